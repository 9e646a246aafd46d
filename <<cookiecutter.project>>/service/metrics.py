"""What Prometheus reads: requests by code, their durations, and the distribution of the predictions.

The label look-ups are done once, at the start: on each request they cost more than the model. Where
`PROMETHEUS_MULTIPROC_DIR` is set, as `bentoml serve` does, the processes that share it are summed.
"""

import os

import numpy
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from << cookiecutter.__package >>.columns import Column, Number

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
CODES = (200, 400, 405, 408, 413, 415, 422, 500, 503)
PARTS = 20  # buckets of the distribution of predictions


def buckets(task: str, label: Column) -> list[float]:
    """Bounds for the distribution: of a probability, or of a number within the range that its label declares."""
    low, high = 0.0, 1.0
    if task == "regression" and isinstance(label, Number):
        if label.minimum is None or label.maximum is None:
            decades = [10.0**power for power in range(-3, 7)]
            return [-decade for decade in reversed(decades)] + decades
        low, high = label.minimum, label.maximum
    return [round(low + (high - low) * part / PARTS, 6) for part in range(1, PARTS + 1)]


class Metrics:
    """The counters of one process. `model_version` is on each: a new version starts from zero."""

    def __init__(self, version: str, task: str, classes: list[str], label: Column, registry: CollectorRegistry) -> None:
        names = ["model_version"]
        requests = Counter("service_requests", "Answers of /predict by code", [*names, "code"], registry=registry)
        self.codes = {code: requests.labels(version, str(code)) for code in CODES}
        seconds = Histogram(
            "service_request_seconds", "From the headers to the answer", names, buckets=SECONDS, registry=registry
        )
        self.seconds = seconds.labels(version)
        about = "Predicted value" if task == "regression" else "Predicted probability (multiclass: of the label given)"
        scores = Histogram("service_prediction", about, names, buckets=buckets(task, label), registry=registry)
        self.scores = scores.labels(version)
        self.labels = []
        if task == "multiclass":
            labels = Counter("service_predicted_label", "Rows by the label given", [*names, "label"], registry=registry)
            self.labels = [labels.labels(version, name) for name in classes]
        info = Gauge("service_info", "What is served", [*names, "task"], registry=registry, multiprocess_mode="livemax")
        info.labels(version, task).set(1)

    def answered(self, code: int, seconds: float) -> None:
        self.codes[code].inc()
        self.seconds.observe(seconds)

    def predicted(self, scores: numpy.ndarray) -> None:
        """Count `Model.score`'s result, row by row."""
        if self.labels:
            for top in scores.argmax(axis=1).tolist():
                self.labels[top].inc()
            scores = scores.max(axis=1)
        for score in scores.tolist():
            self.scores.observe(score)


def exposition(registry: CollectorRegistry) -> bytes:
    """The text that `/metrics` answers."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    return generate_latest(registry)
