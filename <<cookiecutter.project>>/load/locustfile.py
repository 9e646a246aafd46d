"""The load: each user asks the service at an even pace, and the champion beside it, and keeps every raw sample.

`ci/load.py` runs this headless; by hand, with Locust's page: `LOAD_PLAN=plan.json locust -f load/locustfile.py`. The
plan names the addresses, the pace and the rows (see `ci.load.plan`); the samples go to the file that it names.
"""

import json
import os
import random
import time
from pathlib import Path

import gevent
import numpy
from locust import FastHttpUser, events, task
from locust.env import Environment

from load.payloads import difference, fault, requests
from << cookiecutter.__package >>.schema import SCHEMA

PLAN = json.loads(Path(os.environ["LOAD_PLAN"]).read_text())
CLASSES = SCHEMA.classes()
TICK = 0.02  # seconds between two looks at how late this process runs
SERVICE, CHAMPION = "service", "champion"


class Recorder:
    """Raw samples of both services, and how this process itself does: how busy and how late it is."""

    def __init__(self) -> None:
        self.samples: dict[str, list] = {SERVICE: [], CHAMPION: []}  # see load.judge.Sample
        self.late_ms: list[float] = []
        self.from_ = self.until = 0.0
        self.busy = 0.0

    def begin(self, environment: Environment) -> None:
        self.from_ = time.time() + PLAN["warmup_s"]
        self.until = self.from_ + PLAN["duration_s"]
        gevent.spawn(self.watch).link(lambda _: environment.runner.quit())
        gevent.spawn(self.tell)

    def keep(self, name: str, start: float, milliseconds: float, error: str | None, paired: bool) -> None:
        if self.from_ <= start < self.until:
            self.samples[name].append([round(start - self.from_, 4), round(milliseconds, 4), error, paired])

    def watch(self) -> None:
        """Over the measured window: how late a timer fires, and the share of time with something to do."""
        gevent.sleep(max(0.0, self.from_ - time.time()))
        used, wall = worked(), time.perf_counter()
        while time.time() < self.until:
            asked = time.perf_counter()
            gevent.sleep(TICK)
            self.late_ms.append((time.perf_counter() - asked - TICK) * 1000)
        self.busy = (worked() - used) / (time.perf_counter() - wall)

    def tell(self) -> None:
        """Progress: about ten lines in all."""
        step = max((PLAN["warmup_s"] + PLAN["duration_s"]) / 10, 1)
        while time.time() + step < self.until:
            gevent.sleep(step)
            kept, left = self.samples[SERVICE], self.until - time.time()
            measured = PLAN["duration_s"] - left
            if measured < 1 or not kept:
                print(f"load: {left:3.0f} s left, warming up", flush=True)
                continue
            p95 = numpy.percentile([sample[1] for sample in kept], 95, method="inverted_cdf")
            errors, rate = sum(sample[2] is not None for sample in kept), len(kept) / measured
            print(f"load: {left:3.0f} s left, {rate:.0f} requests/s, p95 {p95:.1f} ms, {errors} errors", flush=True)

    def write(self) -> None:
        generator = {"busy": self.busy, "late_ms": self.late_ms}
        Path(PLAN["samples"]).write_text(json.dumps({"samples": self.samples, "generator": generator}))


def worked() -> float:
    """Seconds of processor time, and on Linux those spent waiting for a processor too: both are work to be done."""
    try:
        running, waiting, _ = Path("/proc/self/schedstat").read_text().split()
    except FileNotFoundError:
        return time.process_time()
    return (int(running) + int(waiting)) / 1e9


RECORDER = Recorder()


class Caller(FastHttpUser):
    """One caller: asks the service at its share of the rate, and the champion every so many times."""

    host = PLAN["address"]
    connection_timeout = network_timeout = PLAN["timeout_s"]
    max_retries = 0
    born = 0

    def on_start(self) -> None:
        number = Caller.born
        Caller.born += 1
        recorded = (PLAN["rows"], PLAN["predictions"])
        self.requests = requests(SCHEMA, recorded, start=number * max(1, len(PLAN["rows"]) // PLAN["users"]))
        self.chance = random.Random(number)  # noqa: S311
        self.due = time.perf_counter() + number / PLAN["rate"]  # so that the callers do not all ask at once
        gevent.sleep(number / PLAN["rate"])

    def wait_time(self) -> float:
        """An even pace; `constant_throughput` brings all callers into step. A late request is not made up for."""
        now = time.perf_counter()
        self.due = max(now, self.due + PLAN["users"] / PLAN["rate"])
        return self.due - now

    @task
    def predict(self) -> None:
        rows, expected = next(self.requests)
        paired = bool(PLAN["champion"]) and self.chance.random() < PLAN["champion_share"]
        asked = [(SERVICE, PLAN["address"], rows, expected, PLAN["version"], paired)]
        if paired:  # the same rows for both, first the one, then the other
            asked.insert(self.chance.randrange(2), (CHAMPION, PLAN["champion"], rows, None, None, True))
        for one in asked:
            self.ask(*one)

    def ask(
        self, name: str, address: str, rows: list, expected: list | None, version: str | None, paired: bool
    ) -> None:
        start, clock = time.time(), time.perf_counter()
        with self.client.post(f"{address}/predict", json={"rows": rows}, name=name, catch_response=True) as response:
            milliseconds = (time.perf_counter() - clock) * 1000  # the whole answer is here
            error = wrong(response, len(rows), expected, version)
            if error:
                response.failure(error)
            else:
                response.success()
        RECORDER.keep(name, start, milliseconds, error, paired)


def wrong(response, rows: int, expected: list | None, version: str | None) -> str | None:
    """Why this is not the right answer, in words without values: they are counted by their text."""
    if response.status_code == 0:
        return f"no answer: {type(response.error).__name__}"
    if response.status_code != 200:
        return f"status {response.status_code}"
    try:
        answer = json.loads(response.content)
    except ValueError:
        return "wrong: not JSON"
    found = fault(answer, rows, CLASSES)
    if found:
        return f"wrong: {found}"
    if version is not None and str(answer.get("model_version")) != version:
        return f"version: {str(answer.get('model_version'))[:40]} answered"
    if expected is not None and max(map(difference, answer["predictions"], expected)) > PLAN["tolerance"]:
        return "wrong: not the recorded prediction"
    return None


@events.test_start.add_listener
def _begin(environment: Environment, **_) -> None:
    RECORDER.begin(environment)


@events.quitting.add_listener
def _end(**_) -> None:
    RECORDER.write()
