"""The objectives of `gates.yaml`'s `load` against raw samples."""

import math
from collections import Counter
from typing import Any, NamedTuple

import numpy

BUSY = 0.9  # of the time: beyond this the generator measures itself (Locust warns at the same share)
LATE_MS = 25.0  # 95th percentile of how late its timers fire: beyond this the machine starves it

Sample = list[Any]  # [start in s, duration in ms, error or None, whether the champion got the same rows with it]


class Objective(NamedTuple):
    """One line of the verdict; `least`: the limit is the smallest accepted value instead of the largest."""

    name: str
    limit: float
    measured: float
    unit: str = ""
    least: bool = False

    @property
    def met(self) -> bool:  # never by nan
        return self.measured >= self.limit if self.least else self.measured <= self.limit

    def numbers(self) -> dict[str, Any]:
        measured = self.measured if math.isfinite(self.measured) else None  # JSON has no nan
        return self._asdict() | {"measured": measured, "met": self.met}


class Side(NamedTuple):
    """One service's samples, summed up. Latencies are those of right answers; nan where there is none."""

    requests: int
    errors: int
    error_ratio: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    kinds: dict[str, int]

    def numbers(self) -> dict[str, Any]:
        """Everything that was measured."""
        return {name: value for name, value in self._asdict().items() if value == value}


def side(samples: list[Sample]) -> Side:
    """Percentiles are nearest-rank: a latency that was measured, never one interpolated below it."""
    kinds = Counter(error for _, _, error, _ in samples if error is not None)
    errors = sum(kinds.values())
    right = [milliseconds for _, milliseconds, error, _ in samples if error is None]
    levels = numpy.percentile(right, [50, 95, 99, 100], method="inverted_cdf") if right else [numpy.nan] * 4
    ratio = errors / len(samples) if samples else 1.0
    return Side(len(samples), errors, ratio, *(round(float(level), 3) for level in levels), dict(kinds.most_common()))


def objectives(
    service: Side, pair: tuple[Side, Side] | None, seconds: float, rate: float, gate: dict
) -> list[Objective]:
    """Every objective, in the order of gates.yaml.

    `pair`: service and champion on the requests that both got; `rate` is what was asked for, in requests/s.
    """
    achieved = (service.requests - service.errors) / seconds / rate
    wrong = sum(count for kind, count in service.kinds.items() if kind.startswith("wrong"))
    found = [
        Objective("p95", gate["p95_ms"], service.p95_ms, "ms"),
        Objective("p99", gate["p99_ms"], service.p99_ms, "ms"),
        Objective("error ratio", gate["error_ratio"], service.error_ratio),
        Objective("wrong answers", 0, wrong),
        Objective("achieved of asked rate", gate["achieved"], achieved, least=True),
    ]
    if pair:
        same, champion = pair
        limit = champion.p95_ms * gate["champion"]["factor"] + gate["champion"]["allowance_ms"]
        found.append(Objective("p95 beside the champion", round(limit, 3), same.p95_ms, "ms"))
    return found


def doubt(service: Side, champion: Side | None, generator: dict, gate: dict, missed: bool) -> tuple[str, str] | None:
    """Why the run judges nothing, and what to do; None where it does."""
    if all(kind.startswith("no answer") for kind in service.kinds) and service.requests == service.errors:
        return f"not one answer to {service.requests} requests", "See the service's log."
    other = next((kind for kind in service.kinds if kind.startswith("version")), None)
    if other:
        return f"another release answers: {other.partition(': ')[2]}", "Deploy again; see `make status`."
    if service.requests < gate["minimum_requests"]:
        what = f"{service.requests} requests are too few, {gate['minimum_requests']} are asked for"
        return what, "Raise --duration or --rate, or lower load.minimum_requests in gates.yaml."
    if generator["busy"] > BUSY:
        what = f"the load generator is saturated: busy {generator['busy']:.0%} of the time"
        return what, "Lower --rate, or run it where a faster core is free."
    if missed and late(generator) > LATE_MS:
        what = f"an objective was missed, but the load generator itself was starved ({late(generator):.0f} ms late)"
        return what, "Run it again on a machine with a free core."
    if champion and champion.requests - champion.errors < gate["champion"]["minimum_requests"]:
        what = f"the champion gave only {champion.requests - champion.errors} right answers to compare with"
        return what, "See `make status`; raise --duration, or judge without it: --champion none."
    return None


def late(generator: dict) -> float:
    """95th percentile of how late the generator's own timers fired, in ms."""
    return round(float(numpy.percentile(generator["late_ms"], 95)), 3)
