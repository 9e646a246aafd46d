"""The losses of each round: what a training is judged by on its way."""

import csv
from pathlib import Path

LOSS = {"binary": "logloss", "multiclass": "mlogloss", "regression": "rmse"}
Rounds = list[dict[str, float]]  # round (from 1), train, validation


def best(rounds: Rounds) -> dict[str, float]:
    """The first round with the lowest loss on the validation window."""
    return min(rounds, key=lambda line: line["validation"])


def exhausted(rounds: Rounds, patience: int | None) -> bool:
    """Whether the last `patience` rounds have brought nothing."""
    return bool(patience and rounds) and len(rounds) - best(rounds)["round"] >= patience


def write(path: Path, task: str, rounds: Rounds) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["round", f"train_{LOSS[task]}", f"validation_{LOSS[task]}"])
        writer.writerows([line["round"], f"{line['train']:.6f}", f"{line['validation']:.6f}"] for line in rounds)
