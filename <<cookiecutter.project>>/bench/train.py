"""`bench train`: XGBoost on the GPU beside XGBoost on the CPU, on the training window and on 30 times its rows.

Each training runs in a process of its own, for a fixed number of rounds without early stopping, in the memory mode that
`train` would choose. The rows are those of data/train.parquet, repeated with noise on the measured numbers. The table
also goes to build/bench/train.json and train.svg. Where there is no GPU, the CPU is measured alone.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet as parquet
import yaml

from bench.apart import apart
from bench.serving.chart import bars
from << cookiecutter.__package >>.columns import Number
from << cookiecutter.__package >>.features import build
from << cookiecutter.__package >>.outcome import Unjudged
from << cookiecutter.__package >>.schema import SCHEMA
from << cookiecutter.__package >>.train import memory
from << cookiecutter.__package >>.train.device import obstacle
from << cookiecutter.__package >>.train.rows import Rows

TRAIN, VALIDATION = Path("data/train.parquet"), Path("data/validation.parquet")
OUT = Path("build/bench")
NOISE = 0.01  # of a column's range
BATCH = 250_000


def main(arguments: list[str]) -> int | None:
    parser = argparse.ArgumentParser("bench train", description=__doc__)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 30], help="the rows of the training window")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--run", choices=["cpu", "cuda"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.run:
        print(json.dumps(trained(given.run, given.file, given.rounds)))
        return None
    for path in (TRAIN, VALIDATION):
        if not path.exists():
            raise Unjudged(f"{path} is not here", "Get it with `make data`, or make it with `make train`.")
    why = obstacle("cuda")
    if why:
        print(f"bench: no GPU here: CPU alone ({why})", flush=True)
    OUT.mkdir(parents=True, exist_ok=True)
    found = []
    for times in given.times:
        file = OUT / "rows.parquet"
        repeat(file, times)
        found += [started(device, file, given.rounds) for device in ("cpu", *(["cuda"] if not why else []))]
        file.unlink()
    said = {"gpu": not why, "rounds": given.rounds, "runs": found}
    (OUT / "train.json").write_text(json.dumps(said, indent=1) + "\n")
    values = [(f"{run['rows']:,} rows, {run['device']}", 1000 * run["training"] / given.rounds) for run in found]
    (OUT / "train.svg").write_text(bars("Milliseconds a round" + ("; no GPU here" if why else ""), values))
    print(f"\n{table(found, given.rounds)}\n\nbench: {OUT / 'train.json'} and {OUT / 'train.svg'}")
    return None


def repeat(file: Path, times: int) -> None:
    """The training window so many times, in bounded memory; every copy but the first with noise."""
    draw = numpy.random.default_rng(0)
    noisy = [column for column in SCHEMA.features if isinstance(column, Number) and not column.integer]
    with parquet.ParquetWriter(file, parquet.read_schema(TRAIN)) as writer:
        for copy in range(times):
            for table in Rows(TRAIN, SCHEMA, "").batches(BATCH, parquet.read_schema(TRAIN).names):
                for column in noisy if copy else ():
                    place, values = table.column_names.index(column.name), table[column.name].to_numpy()
                    low, high = numpy.nanmin(values), numpy.nanmax(values)
                    values = numpy.clip(values + draw.normal(0, NOISE * (high - low), len(values)), low, high)
                    field = table.schema.field(place)
                    table = table.set_column(place, field, pyarrow.array(values, field.type, from_pandas=True))
                writer.write_table(table)


def started(device: str, file: Path, rounds: int) -> dict:
    """One training in a process of its own; returns what it says of itself."""
    print(f"bench: {parquet.read_metadata(file).num_rows:,} rows on {device}", file=sys.stderr, flush=True)
    arguments = ["--run", device, "--file", str(file), "--rounds", str(rounds)]
    return apart("bench.train", arguments, f"training on {device}")


def trained(device: str, file: Path, rounds: int) -> dict:
    from << cookiecutter.__package >>.train import boost, matrix
    from << cookiecutter.__package >>.train.checkpoint import Shelf

    params = yaml.safe_load(Path("params.yaml").read_text())
    task, settings = params["task"], params["train"]
    knobs = {**(settings.get("xgboost") or {}), "n_estimators": rounds, "early_stopping_rounds": None}
    pipeline = build(SCHEMA, task, "xgboost", settings["seed"], knobs)
    start = time.monotonic()
    parts = {"train": Rows(file, SCHEMA, task), "validation": Rows(VALIDATION, SCHEMA, task)}
    mode, _ = memory.choose(settings.get("memory", "auto"), matrix.size(parts, parts["train"].values()), device)
    data = matrix.make(pipeline["features"], parts, mode, device, bins=knobs.get("max_bin"))
    made = time.monotonic()
    shelf = Shelf("0" * 64, seconds=float("inf"))
    losses = boost.boost(pipeline["estimator"], task, len(SCHEMA.classes()), device, data, shelf)
    return {
        "device": device,
        "rows": parts["train"].count,
        "memory": mode,
        "making": round(made - start, 2),
        "training": round(time.monotonic() - made, 2),
        "loss": round(losses[-1]["validation"], 6),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def table(found: list[dict], rounds: int) -> str:
    """Markdown; the speed-up is that over the CPU on the same rows."""
    lines = [
        f"| rows | device | memory | seconds: matrix | {rounds} rounds | speed-up | loss | peak MB |",
        "|---:|---|---|---:|---:|---:|---:|---:|",
    ]
    for run in found:
        (cpu,) = (other for other in found if (other["rows"], other["device"]) == (run["rows"], "cpu"))
        faster = f"{cpu['training'] / run['training']:.1f}x"
        name = f"| {run['rows']:,} | {run['device']} | {run['memory']} | {run['making']:.1f} | {run['training']:.1f} "
        lines.append(f"{name}| {faster} | {run['loss']:.5f} | {run['peak_mb']:,} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
