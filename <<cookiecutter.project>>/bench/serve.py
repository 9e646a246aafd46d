"""`bench serve`: the service beside the usual ways of serving the same model, in one run on this machine.

Each server has one core, the client another; one row in a request, 16 connections. This service alone scores what has
arrived together in one run of the graph. Other work on the machine shows in the rates, less so in the processor time of
an answer. The table also goes to build/bench/serve.json and serve.svg.
"""

import argparse
import json
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import joblib
import psutil

from bench.serving.chart import bars
from bench.serving.client import Load, load
from bench.serving.servers import MLFLOW, OURS, OUT, PLAIN, RAW, servers, serving
from << cookiecutter.__package >>.outcome import Unjudged

WARM_S = 2


@dataclass(frozen=True)
class Measured:
    """One server under load; `processor_us`: processor time for an answer, over all its processes."""

    name: str
    rate: float
    p50_ms: float
    p99_ms: float
    failed: int
    processor_us: float
    memory_mb: float


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser("bench serve", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="of load on each server")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rows", type=int, default=1, help="in one request")
    parser.add_argument("--soak", type=int, metavar="REQUESTS", help="only this service, for its memory over so many")
    given = parser.parse_args(arguments)
    for path in ("models/model.onnx", "models/native/pipeline.joblib"):
        if not Path(path).exists():
            raise Unjudged(f"{path} is not here", "Get it with `make data`, or make it with `make train`.")
    OUT.mkdir(parents=True, exist_ok=True)
    if not shutil.which("wrk"):
        print("bench: wrk is not installed; Python asks instead, and is the limit of the fast servers", file=sys.stderr)
    if given.soak:
        soak(given.soak, given.connections)
        return
    save_mlflow()
    found = []
    for name in servers(0):
        with serving(name, given.rows) as (process, address, body):
            found.append(measure(name, process, address, body, given.connections, given.seconds))
            print(f"bench: {name}: {found[-1].rate:,.0f} requests/s", file=sys.stderr, flush=True)
    (OUT / "serve.json").write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    title = f"Requests per second, {given.rows} row(s) each, {given.connections} connections, one core"
    (OUT / "serve.svg").write_text(bars(title, [(one.name, one.rate) for one in found]))
    print(table(found))
    print(f"\nbench: {OUT / 'serve.json'} and {OUT / 'serve.svg'}")


def measure(name: str, process: psutil.Process, address: str, body: bytes, connections: int, seconds: int) -> Measured:
    load(address, body, connections, WARM_S)
    before = processor_s(process)
    done: Load = load(address, body, connections, seconds)
    spent = processor_s(process) - before
    if not done.answers or done.failed > done.answers / 100:
        raise Unjudged(f"{name}: {done.failed} of {done.answers} requests failed", f"Read its log in {OUT}.")
    memory = memory_mb(process)
    return Measured(name, done.rate, done.p50, done.p99, done.failed, spent / done.answers * 1e6, memory)


def tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def processor_s(process: psutil.Process) -> float:
    return sum(sum(one.cpu_times()[:2]) for one in tree(process))


def memory_mb(process: psutil.Process) -> float:
    return sum(one.memory_info().rss for one in tree(process)) / 2**20


def soak(requests: int, connections: int) -> None:
    """Print the service's memory after every tenth of so many requests."""
    with serving(OURS, 1) as (process, address, body):
        done = load(address, body, connections, WARM_S)
        total, shown = done.answers, 0
        print(f"{'requests':>10}  {'MB':>6}  {'p99 ms':>6}")
        while total < requests:
            done = load(address, body, connections, 5)
            total += done.answers
            if done.failed:
                raise Unjudged(f"{done.failed} of {done.answers} requests failed", f"Read its log in {OUT}.")
            if total * 10 // requests > shown:
                shown = total * 10 // requests
                print(f"{total:>10,}  {memory_mb(process):>6.1f}  {done.p99:>6.2f}", flush=True)


def save_mlflow() -> None:
    """The scikit-learn pipeline as an MLflow model, once for each."""
    import mlflow.sklearn

    shutil.rmtree(OUT / "mlflow", ignore_errors=True)
    pipeline = joblib.load("models/native/pipeline.joblib")
    answer = "predict_proba" if hasattr(pipeline, "predict_proba") else "predict"
    mlflow.sklearn.save_model(
        pipeline,
        OUT / "mlflow",
        serialization_format="cloudpickle",
        pyfunc_predict_fn=answer,
        pip_requirements=["scikit-learn"],
    )


def table(found: list[Measured]) -> str:
    """One line for each server, with its rate as a multiple of the others that the service is measured by."""
    rate = {one.name: one.rate for one in found}
    head = ("server", "requests/s", "p50 ms", "p99 ms", "processor us", "MB", "x MLflow", "x plain", "x raw")
    lines = [head]
    for one in found:
        times = [f"{one.rate / rate[other]:.2f}" for other in (MLFLOW, PLAIN, RAW)]
        cells = (f"{one.rate:,.0f}", f"{one.p50_ms:.2f}", f"{one.p99_ms:.2f}", f"{one.processor_us:,.0f}")
        lines.append((one.name, *cells, f"{one.memory_mb:,.0f}", *times))
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    cells = ([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines)
    return "\n".join(map("  ".join, cells))
