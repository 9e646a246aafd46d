"""The store of the target `compose`: files in the volume of an environment's proxy, and a lock that the host holds.

The lock belongs to a process in the proxy's container that lives as long as the caller's connection to it: one who dies
lets go at once, one whose network breaks off after `SILENT_S`.
"""

import copy
import io
import json
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from deploy.compose.proxy import Proxy
from deploy.containers.engine import Failed, explained
from deploy.store import holding, patiently
from << cookiecutter.__package >>.outcome import Unjudged

SILENT_S = 60
BEAT_S = 10
HOLD = """
exec 9> /state/lock
flock --nonblock 9 || { cat /state/holder; exit 75; }
printf '%s\\n' "$1" > /state/holder || exit 1
echo held
while read -r -t "$2" _; do :; done
: > /state/holder
"""


class Volumes:
    """See `deploy.store.Store` for what each method promises. `proxies`: by environment."""

    def __init__(self, proxies: Mapping[str, Proxy]) -> None:
        self.proxies = proxies
        self.holders: dict[str, Holder] = {}
        self.known: dict[str, dict[str, Any]] = {}  # of an environment that this process holds: nobody else writes

    def read(self, environment: str, name: str) -> Any:
        known = self.known.get(environment, {})
        if name not in known:
            known[name] = self._read(environment, name)
        return copy.deepcopy(known[name])

    def _read(self, environment: str, name: str) -> Any:
        proxy = self.proxies[environment]
        for _ in range(2):
            try:
                said = proxy.host.run("cp", f"{proxy.container}:/state/{name}", "-")
            except Failed as error:
                lost = "no such container" in error.said.lower()
                if lost and proxy.created():
                    continue
                if lost or "could not find the file" in error.said.lower():
                    return None
                raise explained(f"{environment}: reading {name} on the host failed", error) from error
            with tarfile.open(fileobj=io.BytesIO(said.encode())) as tar:
                file = tar.extractfile(name)
                return json.load(file) if file else None
        return None

    def write(self, environment: str, name: str, value: Any) -> None:
        self.mine(environment)
        proxy = self.proxies[environment]
        self.known.get(environment, {}).pop(name, None)
        with self._awake(environment):
            if value is None:
                proxy.bash(f"removing {name}", 'rm -f "/state/$1" && sync /state', name)
            else:
                proxy.put(name, json.dumps(value, indent=2, sort_keys=True) + "\n")
        if environment in self.known:
            self.known[environment][name] = copy.deepcopy(value)

    @contextmanager
    def hold(self, environment: str, word: str, wait_s: float) -> Iterator[None]:
        with self._awake(environment):
            holder = Holder(self.proxies[environment], holding(word))
            patiently(environment, word, wait_s, holder.take)
            self.holders[environment], self.known[environment] = holder, {}
            try:
                yield
            finally:
                del self.holders[environment], self.known[environment]
                holder.let_go()
                self._rest(environment)

    def mine(self, environment: str) -> None:
        """Return where this process holds the environment, as far as it ever did.

        A lock that went with its proxy is taken again; raises Unjudged where another was first.
        """
        holder = self.holders.get(environment)
        if holder and not holder.alive():
            self.known[environment] = {}
            self.proxies[environment].there()
            other = holder.take()
            if other is not None:
                what = f"{environment}: the lock went with the proxy, and is held now: {other}"
                raise Unjudged(what, "Wait for it to end, then call again.")

    @contextmanager
    def _awake(self, environment: str) -> Iterator[None]:
        """The proxy runs while the block does, and afterwards where it did before."""
        proxy = self.proxies[environment]
        before = proxy.runs()
        if not before:
            proxy.up()
        try:
            yield
        finally:
            if not before:
                self._rest(environment)

    def _rest(self, environment: str) -> None:
        """Stop a proxy that has nothing to send requests to."""
        with suppress(Unjudged):  # what was done before is what counts
            if environment not in self.holders and not self.proxies[environment].needed():
                self.proxies[environment].stop()


class Holder:
    """A process on the host that has the environment's lock for as long as this one keeps its input open."""

    def __init__(self, proxy: Proxy, words: str) -> None:
        self.proxy, self.words = proxy, words
        self.process: subprocess.Popen[str] | None = None
        self.over = threading.Event()

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def take(self) -> str | None:
        """None where the lock is taken now, else who has it."""
        words = ["docker", "exec", "--interactive", "--user", "0:0", self.proxy.container, "bash", "-c", HOLD, "bash"]
        self.process = subprocess.Popen(
            [*words, self.words, str(SILENT_S)], text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        said = self.process.stdout.readline().strip()
        if said == "held":
            threading.Thread(target=self._beat, args=[self.process], daemon=True).start()
            return None
        _, error = self.process.communicate()
        if self.process.returncode != 75 and not self.proxy.runs():
            self.proxy.there()
        elif self.process.returncode != 75:
            raise explained(f"{self.proxy.project} could not be locked", Failed("docker", error))
        return said or "another process"

    def let_go(self) -> None:
        self.over.set()
        with suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _beat(self, process: subprocess.Popen[str]) -> None:
        with suppress(OSError, ValueError):
            while not self.over.wait(BEAT_S):
                process.stdin.write("\n")
                process.stdin.flush()
