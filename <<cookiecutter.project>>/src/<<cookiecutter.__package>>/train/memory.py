"""Whether the rows fit: what each way of holding them takes, and what is free.

in_memory: all rows at once, as a matrix of float32 and as XGBoost's index of quantiles. quantile: the index alone, made
from batches. external: the index in a file on disk, page by page. The sizes are estimates; docs/training.md has what
was measured.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import host as machine
from ..host import gib
from ..outcome import Bad, Unjudged

MODES = ("in_memory", "quantile", "external")
MARGIN = 0.8  # of what is free
# Bytes on the host: of a value in the frame, of a cell of the matrix, of one in the index.
VALUE, CELL, INDEX = 24, 4, 6
ROW = 32  # bytes of gradients, predictions and positions for each row, where it trains
PACKED = 2  # bytes of a cell on the GPU
PAGE = 9  # bytes of a cell on disk
BATCH = 64 * 2**20  # bytes of the matrix that a batch makes


@dataclass(frozen=True)
class Size:
    """The training and validation rows, the features of each before preprocessing and its columns after."""

    rows: int
    features: int
    columns: int

    @property
    def cells(self) -> int:
        return self.rows * self.columns

    @property
    def batch(self) -> int:
        """Rows of a batch."""
        return min(max(BATCH // (CELL * self.columns), 1_000), self.rows)

    def host(self, mode: str, device: str) -> int:
        """Bytes of host memory, beyond what the packages take."""
        batch = self.batch * (self.features * VALUE + self.columns * CELL * 2)
        gradients = self.rows * ROW if device == "cpu" else 0
        if mode == "external" and device == "cpu":
            return gradients + batch + 4 * self.batch * self.columns * INDEX  # pages are read ahead
        if mode == "external":
            return batch + self.cells * PACKED  # the pages lie in host memory
        if mode == "quantile":
            return gradients + batch + self.cells * INDEX
        return gradients + self.cells * (CELL + max(CELL, INDEX)) + self.rows * self.features * VALUE

    def gpu(self, mode: str) -> int:
        """Bytes of device memory."""
        pages = 4 * self.batch * self.columns * PACKED
        return self.rows * ROW + (pages if mode == "external" else self.cells * PACKED)


def choose(
    asked: str,
    size: Size,
    device: str,
    host: Callable[[], int] | None = None,
    gpu: Callable[[], int | None] | None = None,
) -> tuple[str, str]:
    """The mode, and a sentence with the numbers: for auto the first that fits into a part of what is free.

    `host` and `gpu` tell the bytes that are free. Raises Bad for an unknown mode.
    """
    if asked not in ("auto", *MODES):
        raise Bad(f"train.memory is {asked!r}", f"Use auto, {', '.join(MODES)} in params.yaml.")
    free, room = (host or free_host)(), (gpu or free_gpu)() if device == "cuda" else None

    def fits(mode: str) -> bool:
        return size.host(mode, device) <= MARGIN * free and (room is None or size.gpu(mode) <= MARGIN * room)

    mode = next((mode for mode in MODES if fits(mode)), MODES[-1]) if asked == "auto" else asked
    said = f"memory {mode}: {size.rows:,} rows of {size.columns:,} columns take about "
    said += f"{gib(size.host(mode, device))} of {gib(free)} free"
    if room is not None:
        said += f", and {gib(size.gpu(mode))} of {gib(room)} free on the GPU"
    if mode != MODES[0] and asked == "auto":
        said += f"; {MODES[0]} would take {gib(size.host(MODES[0], device))}"
    return mode, said


def room_on_disk(place: Path, size: Size) -> None:
    """Raise Unjudged where the pages of `external` would not fit."""
    need, free = size.cells * PAGE, shutil.disk_usage(place).free
    if need > free:
        what = f"training from disk takes about {gib(need)}, and {place.absolute()} has {gib(free)} free"
        raise Unjudged(what, "Free some, or train where there is more memory.")


def free_host() -> int:
    """Bytes that a process gets without swapping, also under the limits of its cgroup."""
    return machine.memory().available


def free_gpu() -> int | None:
    """Bytes free on the first GPU that this process may use, as NVML tells; None where it does not."""
    import pynvml

    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    try:
        pynvml.nvmlInit()
        by_number = chosen.isdigit()
        handle = (pynvml.nvmlDeviceGetHandleByIndex if by_number else pynvml.nvmlDeviceGetHandleByUUID)(
            int(chosen) if by_number else chosen
        )
        return pynvml.nvmlDeviceGetMemoryInfo(handle).free
    except pynvml.NVMLError:
        return None
