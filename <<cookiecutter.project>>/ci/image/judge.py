"""What an image is, and whether gates.yaml's `image` allows that.

Everything is asked of the image itself: run as it will be run, with a read-only root, without a network, without a
capability, within the memory that it may take.
"""

import json
import re
import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from deploy.containers.engine import Engine, Failed, explained
from << cookiecutter.__package >>.outcome import Bad, Unjudged

CONFINED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")  # noqa: S108
CONFINED += ("--network", "none")
HEALTHY = ("python", "-I", "-S", "service/health.py")
# Asked inside the image, which has no shell: who it is, and what is installed there.
INSIDE = """
import json, os
from importlib.metadata import distributions
from pathlib import Path
fields = ("Name", "Version", "License-Expression", "License")
packages = [{name: one.metadata.get(name) or "" for name in fields}
            | {"Classifiers": [c for c in one.metadata.get_all("Classifier") or [] if c.startswith("License ::")]}
            for one in distributions()]
system = [dict(line.split(": ", 1) for line in path.read_text().splitlines() if line.startswith(
          ("Package: ", "Version: ", "Architecture: "))) for path in sorted(Path("/var/lib/dpkg/status.d").iterdir())]
print(json.dumps({"uid": os.getuid(), "packages": sorted(packages, key=lambda one: one["Name"].lower()),
                  "system": system}))
"""
CHOICE = re.compile(r"\s+OR\s+", re.IGNORECASE)
Facts = dict[str, Any]


def facts(engine: Engine, image: str, gate: Mapping[str, Any], ready_s: float) -> Facts:
    """What the image is: size in MB, user, packages, and the memory in MB that it takes once it answers."""
    try:
        mb = size_mb(engine, image)
        user = engine.run("image", "inspect", "--format", "{{.Config.User}}", image).strip()
        said = engine.run("run", "--rm", *CONFINED, "--entrypoint", "python", image, "-c", INSIDE)
    except Failed as error:
        raise explained(f"{image} could not be looked into", error) from error
    about = {"mb": mb, "user": user, **json.loads(said)}
    return about | started(engine, image, gate["memory_mb"], ready_s)


def size_mb(engine: Engine, image: str) -> float:
    """Millions of bytes of its files, whatever way the engine stores them."""
    words = ["history", "--human=false"] if engine.name == "docker" else ["image", "inspect"]
    return sum(map(float, engine.run(*words, "--format", "{{.Size}}", image).split())) / 1e6


def started(engine: Engine, image: str, memory_mb: int, ready_s: float) -> Facts:
    """Run it within `memory_mb` until it says that it is ready: `memory_mb` of its process, or `why` it is not."""
    limits = ("--memory", f"{memory_mb}m", "--memory-swap", f"{memory_mb}m")
    try:
        container = engine.run("run", "--detach", *CONFINED, *limits, image).split()[-1]
    except Failed as error:
        raise explained(f"{image} could not be run", error) from error
    try:
        end = time.monotonic() + ready_s
        while not engine.has("exec", container, *HEALTHY):
            state = json.loads(engine.run("inspect", "--format", "{{json .State}}", container))
            if not state["Running"] or time.monotonic() > end:
                log = engine.run("logs", container, loud=True).strip().splitlines()[-1:] or ["it said nothing"]
                within = f"with {memory_mb} MB it ran out of memory" if state["OOMKilled"] else log[0]
                return {"why": within if not state["Running"] else f"not ready in {ready_s:g} s: {log[0]}"}
            time.sleep(0.1)
        status = engine.run("exec", container, "python", "-I", "-S", "-c", "print(open('/proc/1/status').read())")
        return {"why": None, "memory_mb": int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024 / 1e6}
    except Failed as error:
        raise explained(f"{image} could not be watched", error) from error
    finally:
        engine.has("rm", "--force", container)


def judge(image: str, found: Facts, gate: Mapping[str, Any]) -> None:
    """Raises Bad with every rule that the image breaks, Unjudged where a package does not say its licence."""
    names = {package["Name"].lower().replace("_", "-") for package in found["packages"]}
    licences = {package["Name"]: licence(package, gate["licence_of"]) for package in found["packages"]}
    banned = {name: said for name, said in licences.items() if forbidden(said, gate["licences"])}
    training = sorted(name for name in names if any(fnmatchcase(name, pattern) for pattern in gate["packages"]))
    faults = []
    if found["mb"] > gate["maximum_mb"]:
        faults.append(f"it has {found['mb']:.0f} MB, at most {gate['maximum_mb']} are allowed")
    if found["user"] != gate["user"] or str(found["uid"]) != gate["user"].partition(":")[0]:
        faults.append(f"it runs as {found['user'] or 'root'} (number {found['uid']}), not as {gate['user']}")
    if training:
        faults.append(f"it holds {', '.join(training)}, which serving must not need")
    if banned:
        listed = ", ".join(f"{name} ({said})" for name, said in sorted(banned.items()))
        faults.append(f"the licence forbids it: {listed}")
    if found["why"]:
        faults.append(f"it does not start: {found['why']}")
    if faults:
        raise Bad(f"the image {image} is refused: {'; '.join(faults)}", "Mend it, or gates.yaml's `image`.")
    silent = sorted(name for name, said in licences.items() if not said)
    if silent:
        remedy = "Look it up and write it down in gates.yaml's `image.licence_of`."
        raise Unjudged(f"no licence is declared by {', '.join(silent)}", remedy)


def licence(package: Mapping[str, Any], known: Mapping[str, str]) -> str:
    """What a package's licence is: gates.yaml's word, its expression, all its classifiers, or its text's first line."""
    classifiers = [words.rpartition(" :: ")[2] for words in package["Classifiers"] if words.count(" :: ") > 1]
    text = package["License"].strip().partition("\n")[0]
    return known.get(package["Name"]) or package["License-Expression"] or " AND ".join(classifiers) or text


def forbidden(said: str, patterns: list[str]) -> bool:
    """Whether every choice that a licence leaves has a part that a pattern matches, without an exception to it."""
    choices = [re.split(r"\s+AND\s+|[()]", choice, flags=re.IGNORECASE) for choice in CHOICE.split(said)]
    return bool(said) and all(
        any(fnmatchcase(part.strip(), pattern) for pattern in patterns for part in parts if " WITH " not in part)
        for parts in choices
    )
