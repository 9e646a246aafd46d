"""haproxy before an environment's two slots: who gets how many of the requests, who is ready, who is done.

Its state lies in its volume, `/state`, which belongs to root; haproxy itself runs as nobody in particular, reads
haproxy.cfg there when it starts, and takes orders on a socket that only its own container reaches.
"""

import csv
import hashlib
import io
import random
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from string import Template

from deploy.compose.host import TAKEN, Host
from deploy.containers.engine import Failed, explained
from << cookiecutter.__package >>.outcome import Unjudged

CONFIGURATION = Template(Path(__file__).resolve().with_name("haproxy.cfg").read_text())
SLOTS = ("a", "b")
MOST = 8  # containers of a slot that the proxy can know
BESIDE_S = 15  # for two callers who start it at the same moment
HEAVIEST = 256  # a weight of haproxy
# Bash knows connections itself: the image needs neither curl nor socat. `fetch` writes the body of an answer.
FETCH = """
fetch() {
  exec 3<>"/dev/tcp/$1/3000" || return
  printf 'GET %s HTTP/1.0\\r\\nHost: service\\r\\nConnection: close\\r\\n\\r\\n' "$2" >&3
  read -r -t 5 _ code _ <&3 || return
  length=0
  while read -r -t 5 line <&3 && line=${line%$'\\r'} && [ -n "$line" ]; do
    case ${line,,} in content-length:*) length=${line#*:} ;; esac
  done
  [ "$code" = 200 ] && timeout 5 head -c $((length)) <&3
  local got=$?
  exec 3>&-
  return $got
} 2> /dev/null
"""
READY = FETCH + 'for ip; do fetch "$ip" /readyz > /dev/null && echo "$ip"; done; true'
METRICS = FETCH + 'for ip; do fetch "$ip" /metrics; echo; done; true'
ASK = 'exec 3<>/dev/tcp/127.0.0.1/9999; printf "%s\\n" "$1" >&3; cat <&3'
# The whole file or none, on the disk before it is in its place.
PUT = 'cd /state && cat > ".$1" && sync ".$1" && mv ".$1" "$1" && sync .'


def weights(percent: float, slot: str, containers: Mapping[str, int]) -> dict[str, int]:
    """The weight of each container of a slot, such that `slot` gets so many percent of the requests."""
    other = SLOTS[1 - SLOTS.index(slot)]
    if percent <= 0 or percent >= 100 or not containers.get(other):
        return {slot: int(percent > 0), other: int(percent < 100)}

    def error(new: int, old: int) -> float:
        return abs(share({slot: new, other: old}, slot, containers) - percent)

    heavy = range(1, HEAVIEST + 1)
    pairs = [(new, old) for new in heavy for old in {1, HEAVIEST, *_near(percent, new, slot, containers)}]
    new, old = min(pairs, key=lambda pair: (round(error(*pair), 6), sum(pair)))
    return {slot: new, other: old}


def _near(percent: float, new: int, slot: str, containers: Mapping[str, int]) -> Iterable[int]:
    """The weights of the other slot that give about this share, where the slot's own is `new`."""
    other = SLOTS[1 - SLOTS.index(slot)]
    wanted = new * containers[slot] * (100 - percent) / percent / containers[other]
    return (whole for whole in (int(wanted), int(wanted) + 1) if 1 <= whole <= HEAVIEST)


def share(weighed: Mapping[str, int], slot: str, containers: Mapping[str, int]) -> float:
    """The percent of the requests that a slot gets with these weights."""
    parts = {name: weight * containers.get(name, 0) for name, weight in weighed.items()}
    return 100 * parts[slot] / (sum(parts.values()) or 1)


def configuration(weighed: Mapping[str, int], drain_s: float) -> str:
    return CONFIGURATION.substitute({"drain_s": f"{drain_s:g}", "replicas": MOST, **weighed})


class Proxy:
    """The proxy of one environment, whose containers are the compose project `project`.

    `variables` are those of compose.yaml that are its own; `weighed` tells the weights that it has to start with.
    """

    def __init__(
        self, host: Host, project: str, variables: Mapping[str, object], weighed: Callable[[], Mapping[str, int]]
    ) -> None:
        self.host, self.project, self.weighed = host, project, weighed
        self.drain_s = float(str(variables["DRAIN_S"]))
        template = hashlib.sha256(CONFIGURATION.template.encode()).hexdigest()[:12]
        self.variables = {**variables, "CONFIGURED": template}
        self.container = f"{project}-proxy-1"

    def runs(self) -> bool:
        return any(one.running for one in self.host.containers(self.project, "proxy"))

    def needed(self) -> bool:
        """Whether it has containers to send requests to."""
        return any(one.running for slot in SLOTS for one in self.host.containers(self.project, slot))

    def there(self) -> None:
        """Have it run, whatever its settings are."""
        if not self.runs():
            self.up()

    def up(self) -> None:
        """Start it as settings.yaml wants it; one that runs so already is left alone."""
        end = time.monotonic() + BESIDE_S
        while True:
            try:
                return self._start()
            except Failed as error:
                if self.runs():
                    return None
                self._explain(error, last=time.monotonic() > end)
            time.sleep(random.uniform(0.1, 0.6))  # noqa: S311

    def _start(self) -> None:
        """Raises Failed, also where another caller is at it too: then both may fail."""
        before = self.runs()
        self.host.make(self.project, self.variables, "proxy")
        if not self.runs():
            self._configure(self.weighed())
            self.host.run("start", self.container)
            if before:
                print(f"{self.project}: the proxy was made anew for its new settings; for a moment nobody listened")

    def _explain(self, error: Failed, last: bool) -> None:
        """Raise Unjudged for what another attempt would not change, and after the last one for anything."""
        if any(mark in error.said.lower() for mark in TAKEN):
            where = f"{self.variables['BIND']}:{self.variables['PORT']}"
            remedy = "End what holds it, or set another port (`compose.ports` in deploy/settings.yaml)."
            raise Unjudged(f"{self.project}: {where} of the host is taken", remedy) from error
        image = str(self.variables["PROXY_IMAGE"])
        if not self.host.image(image):
            remedy = "Let the host reach its registry, or set PROXY_IMAGE to a mirror's name for it."
            raise Unjudged(f"the proxy's image {image} cannot be had: {error}", remedy) from error
        if last:
            raise explained(f"the proxy of {self.project} could not be started", error) from error

    def created(self) -> bool:
        """Whether its container is there, running or not: made anew where only its volume is left."""
        if self.host.containers(self.project, "proxy"):
            return True
        volume = ("volume", "ls", "--quiet", "--filter", f"name=^{self.project}_state$")
        if not self.host.do("looking for volumes", *volume).strip():
            return False
        try:
            self.host.make(self.project, self.variables, "proxy")
        except Failed as error:
            raise explained(f"the proxy of {self.project} could not be made", error) from error
        return True

    def stop(self) -> None:
        self.host.stop(self.project, "proxy", self.drain_s)

    def _configure(self, weighed: Mapping[str, int]) -> None:
        """Put haproxy.cfg into the volume of a proxy that does not run."""
        archive, content = io.BytesIO(), configuration(weighed, self.drain_s).encode()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo("haproxy.cfg")
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
        self.host.run("cp", "-", f"{self.container}:/state", given=archive.getvalue().decode())

    def put(self, name: str, content: str) -> None:
        """Write a file of /state, as a whole or not at all."""
        self.bash(f"writing {name}", PUT, name, given=content)

    def bash(self, what: str, script: str, *arguments: str, given: str = "") -> str:
        words = ("exec", "--interactive", "--user", "0:0", self.container, "bash", "-c", script, "bash", *arguments)
        try:
            return self.host.run(*words, given=given, timeout_s=60)
        except Failed as error:
            raise explained(f"{self.project}: {what} on the host failed", error) from error

    def ask(self, *orders: str) -> str:
        """haproxy's answers to commands of its administration socket."""
        return self.bash("an order to the proxy", ASK, "; ".join(orders))

    def weigh(self, weighed: Mapping[str, int]) -> None:
        """Divide the requests so from now on: in the file first, so that a proxy that dies in between starts so."""
        self.put("haproxy.cfg", configuration(weighed, self.drain_s))
        orders = [f"set weight service/{slot}{number} {weight}"
                  for slot, weight in weighed.items() for number in range(1, MOST + 1)]  # fmt: skip
        self._tell("divide", orders)

    def doubt(self, slot: str) -> None:
        """Count a slot's containers as not ready until a check succeeds: a new one may have a former one's address."""
        self._tell("check", [f"set server service/{slot}{number} health down" for number in range(1, MOST + 1)])

    def _tell(self, what: str, orders: Iterable[str]) -> None:
        said = self.ask(*orders).strip()
        if said:
            raise Unjudged(f"{self.project}: the proxy refuses to {what}: {said.splitlines()[0]}", "See its log.")

    def servers(self, slot: str) -> list[dict[str, str]]:
        """haproxy's own figures of the containers of a slot that it knows: `addr`, `status`, `scur` and more."""
        rows = csv.DictReader(io.StringIO(self.ask("show stat service 4 -1").removeprefix("# ")))
        return [row for row in rows if row["svname"].rstrip("0123456789") == slot and row["addr"]]

    def ready(self, slot: str, ips: Iterable[str]) -> bool:
        """Whether each container says so itself, and the proxy has it as one to send requests to."""
        ips = set(ips)
        if set(self.bash("asking for readiness", READY, *ips).split()) != ips:
            return False
        up = {row["addr"].rpartition(":")[0] for row in self.servers(slot) if row["status"].startswith("UP")}
        return ips <= up

    def busy(self, slot: str) -> int:
        """How many requests a slot has not answered yet."""
        return sum(int(row["scur"]) for row in self.servers(slot))

    def metrics(self, ips: Iterable[str]) -> str:
        """What the containers say at /metrics, one after the other."""
        return self.bash("reading metrics", METRICS, *ips)
