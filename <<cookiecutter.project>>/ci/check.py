"""Judge the data: bring `data/dataset.parquet` up to date from the raw data and check it, now and in this process.

The stage `check` of dvc.yaml does the same for training and keeps its verdict in `reports/`. This word judges even
what has not changed, since data ages, and leaves its pages in `build/`, so that looking does not outdate the stages.
"""

from pathlib import Path

from ci.dvc import repro
from << cookiecutter.__package >>.check import page


def main(arguments: list[str]) -> None:
    repro(["dataset"])
    page.check(Path("build"))
