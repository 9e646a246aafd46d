"""The image that `package` builds beside the one of `bentoml containerize`, of the same Bento, in one run.

    python -m ci.bench image               needs a container engine, and build/ from `make package`

Each is run read-write and alone, several times in turn: from the engine's `run` to the first 200 of /readyz, and the
memory of its processes then, as the engine counts it. The first build of BentoML's image takes minutes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml

from ci.image import build, judge, make
from deploy.client import Client
from deploy.containers.engine import Engine, Failed, explained
from deploy.store import read
from deploy.target import ROOT
from << cookiecutter.__package >>.outcome import Unjudged


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser("bench image")
    parser.add_argument("--times", type=int, default=5, help="runs of each")
    times = parser.parse_args(arguments).times
    package = read(ROOT / "build" / "package.json")
    if not package:
        raise Unjudged("there is no package: build/package.json is absent", "Run `make package` first.")
    engine = make.wanted(local=True)
    bento, gates = ROOT / package["path"], yaml.safe_load((ROOT / "gates.yaml").read_text())
    ours = ourselves(engine, package, bento)
    names = {"this project's": ours, "bentoml containerize": bentoml(engine, package["bento"])}
    sizes = {name: judge.size_mb(engine, image) for name, image in names.items()}
    told: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(times):
        for name, image in names.items():
            told[name].append(run(engine, image, gates["release"]["ready_s"]))
    print("\n| image | MB | ready after s | memory MB |\n|---|---:|---:|---:|")
    for name, runs in told.items():
        ready, memory = (statistics.median(one[place] for one in runs) for place in (0, 1))
        print(f"| {name} | {sizes[name]:,.0f} | {ready:.2f} | {memory:.0f} |")


def ourselves(engine: Engine, package: dict[str, str], bento: Path) -> str:
    base, tag = build.base(engine), f"{package['bento']}-bench"
    upon = build.foundation_tag(tag.partition(":")[0], bento, base, "")
    if not engine.has("image", "inspect", upon):
        build.foundation(engine, upon, bento, base, "")
    build.service(engine, tag, bento, upon, "", {}, "0")
    return tag


def bentoml(engine: Engine, bento: str) -> str:
    tag = f"{bento}-bentoml"
    command = [sys.executable, "-m", "bentoml", "containerize", bento, "--image-tag", tag, "--backend", engine.name]
    home = {"BENTOML_HOME": str(ROOT / "build" / "bentoml")}
    if subprocess.run(command, env={**os.environ, **home}, cwd=ROOT, check=False).returncode:
        raise Unjudged("`bentoml containerize` failed", "See its message above.")
    return tag


def run(engine: Engine, image: str, limit_s: float) -> tuple[float, float]:
    """Seconds until it is ready, and its memory in MB."""
    try:
        began = time.monotonic()
        container = engine.run("run", "--detach", "--publish", "127.0.0.1::3000", image).split()[-1]
        try:
            client = Client(f"http://{engine.run('port', container, '3000').split()[0]}")
            while not client.ready():
                if time.monotonic() - began > limit_s:
                    raise Unjudged(f"{image} was not ready in {limit_s} s", f"See `{engine.name} run {image}`.")
                time.sleep(0.01)
            ready = time.monotonic() - began
            used = engine.run("stats", "--no-stream", "--format", "{{.MemUsage}}", container)
            return ready, mb(used.partition("/")[0].strip())
        finally:
            engine.has("rm", "--force", container)
    except Failed as error:
        raise explained(f"{image} could not be run", error) from error


def mb(text: str) -> float:
    """Millions of bytes of what an engine prints, such as 89.37MiB or 93.7MB."""
    units = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "GB": 1e9, "MB": 1e6, "kB": 1e3, "B": 1}
    unit = next(unit for unit in units if text.endswith(unit))
    return float(text.removesuffix(unit)) * units[unit] / 1e6
