"""What a release has answered: read from the service's `/metrics`, added over its processes, compared over a time."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

SAMPLE = re.compile(r"^(service_requests_total|service_request_seconds_bucket)\{(.*)\} (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Counts:
    """Answers of /predict since the start: how many, how many by the service's own fault, how many within so many s.

    `restarts` are of the processes that answered.
    """

    requests: int = 0
    errors: int = 0
    within: Counter[float] = field(default_factory=Counter)
    restarts: int = 0

    @classmethod
    def parse(cls, exposition: str) -> Self:
        """From the text of one process's `/metrics`, in Prometheus' format."""
        requests = errors = 0
        within: Counter[float] = Counter()
        for name, labels, value in SAMPLE.findall(exposition):
            known = dict(LABEL.findall(labels))
            if name == "service_requests_total":
                requests += int(float(value))
                errors += int(float(value)) if known["code"].startswith("5") else 0
            else:
                within[float(known["le"])] += int(float(value))
        return cls(requests, errors, within)

    @classmethod
    def sum(cls, parts: Iterable[Self]) -> Self:
        parts = list(parts)
        within = sum((part.within for part in parts), Counter())
        return cls(
            sum(part.requests for part in parts), sum(part.errors for part in parts), within,
            sum(part.restarts for part in parts),
        )  # fmt: skip

    def since(self, earlier: Self) -> Self:
        """What came after `earlier`; everything where a process has started anew meanwhile."""
        if self.requests < earlier.requests:
            return self
        within = Counter({bound: count - earlier.within[bound] for bound, count in self.within.items()})
        return type(self)(
            self.requests - earlier.requests, self.errors - earlier.errors, within, self.restarts - earlier.restarts
        )

    @property
    def error_ratio(self) -> float:
        return self.errors / self.requests if self.requests else math.nan

    def quantile_ms(self, level: float) -> float:
        """The latency in ms below which this share of the answers lies, linear within a bucket; nan without answers.

        As Prometheus' histogram_quantile: beyond the last bound it is the last bound.
        """
        total = self.within[math.inf]
        if not total:
            return math.nan
        below, low, rank = 0, 0.0, level * total
        for bound in sorted(self.within):
            count = self.within[bound]
            if count >= rank:
                if math.isinf(bound):
                    break
                return 1000 * (low + (bound - low) * ((rank - below) / (count - below) if count > below else 0))
            below, low = count, bound
        return 1000 * low
