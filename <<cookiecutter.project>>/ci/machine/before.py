"""Before a training: can this machine do it? One screen, a row for each thing that is needed."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ci.machine import devices
from ci.machine.devices import Device, Driver
from << cookiecutter.__package >> import host
from << cookiecutter.__package >>.host import gib
from << cookiecutter.__package >>.outcome import Unjudged
from << cookiecutter.__package >>.train import checkpoint

# CUDA's major version -> the oldest driver that runs it: docs.nvidia.com/deploy/cuda-compatibility, table 1.
OLDEST_DRIVER = {11: "450", 12: "525", 13: "580"}
LOADED = Path("/proc/driver/nvidia/version")
RUNNER = "docs/runner.md says how a runner gets its GPU."
BUILD = "Set DEVICE=cuda, so that the environment gets XGBoost's build for CUDA."


class Row(NamedTuple):
    name: str
    good: bool
    what: str
    remedy: str = ""


@dataclass(frozen=True)
class Readings:
    """What `judge` judges. Sizes are in bytes; `needs` are those of gates.yaml, `machine`, in GiB."""

    needs: Mapping[str, float]
    device: str  # that is asked for: auto, cpu or cuda
    required: bool  # a GPU, unless the CPU is asked for
    memory: host.Memory
    disks: Mapping[str, int]  # place -> free
    loaded: bool = False  # a driver, whether or not its library is here
    driver: Driver | None = None
    built: tuple[int, int] | None = None  # the CUDA that the installed XGBoost is built for
    gpus: Sequence[Device] = ()


def read(needs: Mapping[str, float], device: str) -> Readings:
    """The readings of this machine; NVML and XGBoost are asked only where a GPU may be used."""
    driver = None if device == "cpu" else devices.driver()
    return Readings(
        needs,
        device,
        required(),
        host.memory(),
        host.disks(Path.cwd(), checkpoint.folder()),
        LOADED.exists(),
        driver,
        _built() if driver else None,
        devices.visible() if driver else (),
    )


def required() -> bool:
    """Whether a training that is not told to use the CPU must find a GPU."""
    return os.environ.get("REQUIRE_GPU", "").lower() in ("yes", "true", "1")


def _built() -> tuple[int, int] | None:
    import xgboost

    found = xgboost.build_info()
    return tuple(found["CUDA_VERSION"][:2]) if found.get("USE_CUDA") else None


def judge(given: Readings) -> list[Row]:
    """The rows of the screen, in order."""
    rows = [] if given.device == "cpu" else _gpu(given)
    need = given.needs["memory_gb"]
    limit = f", the limit of this cgroup {gib(given.memory.limit)}" if given.memory.limit else ""
    rows.append(
        Row(
            "host memory",
            given.memory.available >= need * host.GB,
            f"{gib(given.memory.available)} of {gib(given.memory.total)} available{limit}; {need:g} needed",
            "End what else runs here, give the job more, or lower `machine` in gates.yaml.",
        )
    )
    need = given.needs["disk_gb"]
    for place, free in given.disks.items():
        what = f"{gib(free)} free at {place}; {need:g} needed"
        rows.append(Row("disk", free >= need * host.GB, what, "Free some: `python -m ci.clean` with a lower CACHE_GB."))
    return rows


def _gpu(given: Readings) -> list[Row]:
    must = given.required
    if given.driver is None and given.loaded:
        what = "an NVIDIA driver is loaded, but its library libnvidia-ml is not to be found here"
        return [Row("GPU", not must, what, f"Give the container the driver's capability `utility`. {RUNNER}")]
    if given.driver is None:
        what = "a GPU is required, and no NVIDIA driver is loaded here" if must else "none: no NVIDIA driver is loaded"
        return [Row("GPU", not must, what, f"{RUNNER} To train on the CPU: DEVICE=cpu or REQUIRE_GPU=no.")]
    if given.built is None:
        what = f"driver {given.driver.version}, but the installed XGBoost is built for the CPU alone"
        return [Row("GPU", not must, what, BUILD)]
    if not given.gpus:
        what = f"driver {given.driver.version}, but no GPU is to be seen (CUDA_VISIBLE_DEVICES)"
        return [Row("GPU", not must, what, RUNNER)]
    return [_driver(given), *(row for device in given.gpus for row in _device(given, device))]


def _driver(given: Readings) -> Row:
    built, newest = given.built, given.driver.cuda
    oldest = OLDEST_DRIVER.get(built[0], "one newer than the template")
    what = f"{given.driver.version} runs CUDA {_dotted(newest)}; the locked XGBoost is built for {_dotted(built)}"
    return Row("driver", newest[0] >= built[0], what, f"Install driver {oldest} or later.")


def _device(given: Readings, device: Device) -> list[Row]:
    need, free = given.needs["device_memory_gb"], device.total - device.used
    running = ", ".join(f"process {number} ({gib(held)})" for number, held in device.processes)
    memory = f"{gib(free)} of {gib(device.total)} free on {device.name}, {device.id}; {need:g} needed"
    alone = not (running and given.required)  # a person's own machine may be shared with its screen
    others = "End it: nothing else may use the GPU of a runner."
    return [
        Row("GPU memory", free >= need * host.GB, memory, "End what holds it (`nvidia-smi`), or use a larger GPU."),
        Row("GPU processes", alone, f"{running or 'none'} on {device.id}", others),
    ]


def show(rows: Sequence[Row]) -> None:
    """Print the screen; raises Unjudged with every sentence that fails."""
    print(f"train: on {platform.node()}")
    width = max(len(row.name) for row in rows)
    for row in rows:
        print(f"  {'ok  ' if row.good else 'FAIL'} {row.name:<{width}}  {row.what}")
    sys.stdout.flush()
    bad = [row for row in rows if not row.good]
    if bad:
        what = "; ".join(f"{row.name}: {row.what}" for row in bad)
        raise Unjudged(f"this machine cannot train: {what}", " ".join(dict.fromkeys(row.remedy for row in bad)))


def asked(params: Mapping[str, Any]) -> str:
    """auto, cpu or cuda: what DEVICE or params.yaml ask for; an estimator without a GPU's code asks for the CPU."""
    if params["train"]["estimator"] != "xgboost":
        return "cpu"
    return os.environ.get("DEVICE") or params["train"]["device"]


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
