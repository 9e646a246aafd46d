"""The GPUs that this process may use, read by NVML, the library behind `nvidia-smi`.

A GPU that is divided by MIG counts as its instances: each has an id and a memory of its own.
"""

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from << cookiecutter.__package >>.outcome import Unjudged

ABSENT = ("NVML_ERROR_LIBRARY_NOT_FOUND", "NVML_ERROR_DRIVER_NOT_LOADED")


@dataclass(frozen=True)
class Device:
    """Memory in bytes, `busy` in percent (None: the driver does not say, as for MIG instances)."""

    id: str  # GPU-… or MIG-…
    name: str
    total: int
    used: int
    busy: int | None
    processes: tuple[tuple[int, int], ...] = ()  # process id and its bytes, 0 where the driver does not say


@dataclass(frozen=True)
class Driver:
    version: str
    cuda: tuple[int, int]  # the newest that it can run


@functools.cache
def library() -> Any | None:
    """NVML, started; None where no NVIDIA driver is loaded. Raises Unjudged for one that does not answer."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.value in [getattr(pynvml, name) for name in ABSENT]:
            return None
        remedy = "`nvidia-smi` says the same; after an update of the driver restart the machine."
        raise Unjudged(f"the NVIDIA driver does not answer: {error}", remedy) from error
    return pynvml


def driver() -> Driver | None:
    """The driver, None where there is none."""
    nvml = library()
    if nvml is None:
        return None
    newest = nvml.nvmlSystemGetCudaDriverVersion_v2()
    return Driver(nvml.nvmlSystemGetDriverVersion(), (newest // 1000, newest % 1000 // 10))


def visible() -> list[Device]:
    """What CUDA_VISIBLE_DEVICES leaves of the GPUs here, in its order."""
    nvml = library()
    if nvml is None:
        return []
    handles = {nvml.nvmlDeviceGetUUID(handle): handle for handle in _handles(nvml)}
    return [_device(nvml, name, handles[name]) for name in chosen([*handles], os.environ.get("CUDA_VISIBLE_DEVICES"))]


def chosen(ids: Sequence[str], asked: str | None) -> list[str]:
    """The ids that CUDA would use of `ids`, in PCI order: numbers, or beginnings of ids, up to the first unknown one.

    Of MIG instances a process uses the first alone (CUDA C++ Programming Guide, environment variables).
    """
    if asked is None:
        whole = [one for one in ids if not one.startswith("MIG-")]
        return whole or [*ids[:1]]
    found: list[str] = []
    for word in asked.split(","):
        word = word.strip()
        number = int(word) if word.isdigit() else None
        named = [one for one in ids if one.startswith(word)] if word.startswith(("GPU-", "MIG-")) else []
        if number is not None and number < len(ids):
            named = [ids[number]]
        if len(named) != 1 or named[0] in found:
            break
        found += named
    return found


def pin(devices: Sequence[Device]) -> None:
    """Let this process and its children use exactly these."""
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(device.id for device in devices)


def _handles(nvml: Any) -> Iterator[Any]:
    for index in range(nvml.nvmlDeviceGetCount()):
        whole = nvml.nvmlDeviceGetHandleByIndex(index)
        instances = list(_instances(nvml, whole))
        yield from instances or [whole]


def _instances(nvml: Any, whole: Any) -> Iterator[Any]:
    try:
        count = nvml.nvmlDeviceGetMaxMigDeviceCount(whole) if nvml.nvmlDeviceGetMigMode(whole)[0] else 0
    except nvml.NVMLError:  # most models know no MIG
        return
    for index in range(count):
        try:
            yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(whole, index)
        except nvml.NVMLError_NotFound:  # the numbers have gaps
            continue


def _device(nvml: Any, name: str, handle: Any) -> Device:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    model, busy, running = nvml.nvmlDeviceGetName(handle), _busy(nvml, handle), _running(nvml, handle)
    return Device(name, model, memory.total, memory.used, busy, running)


def _busy(nvml: Any, handle: Any) -> int | None:
    try:
        return nvml.nvmlDeviceGetUtilizationRates(handle).gpu
    except nvml.NVMLError:
        return None


def _running(nvml: Any, handle: Any) -> tuple[tuple[int, int], ...]:
    try:
        running = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:  # not to be seen from inside some containers
        return ()
    return tuple((process.pid, process.usedGpuMemory or 0) for process in running)
