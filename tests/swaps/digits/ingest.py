"""The raw scans to `data/dataset.parquet`, with the instant that the file leaves out."""

import json
import sys
from pathlib import Path

import pandas
import pyarrow
import pyarrow.parquet as parquet
import yaml

from .outcome import run
from .schema import SCHEMA


def main(arguments: list[str]) -> None:
    settings = yaml.safe_load(Path("params.yaml").read_text())["ingest"]
    raw = pandas.read_csv("data/raw/scans.csv")
    raw["scanned"] = pandas.Timestamp(settings["start"]) + pandas.to_timedelta(raw["scan"], unit="h")
    raw["digit"] = raw["digit"].astype(str)
    table = pyarrow.Table.from_pandas(raw[[column.name for column in SCHEMA]], preserve_index=False)
    place = table.column_names.index("scanned")
    table = table.set_column(place, "scanned", table["scanned"].cast(pyarrow.timestamp("us", tz="UTC")))
    parquet.write_table(table.sort_by([("scanned", "ascending")]), "data/dataset.parquet")
    Path("reports/dataset.json").write_text(json.dumps({"rows": table.num_rows}) + "\n")


if __name__ == "__main__":
    sys.exit(run("dataset", main, sys.argv[1:]))
