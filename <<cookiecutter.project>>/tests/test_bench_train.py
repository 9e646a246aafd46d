import json

import pyarrow.parquet as parquet
import pytest

from bench import train
from << cookiecutter.__package >>.columns import Number
from << cookiecutter.__package >>.outcome import Unjudged
from << cookiecutter.__package >>.schema import SCHEMA


@pytest.mark.processes
def test_the_rows_are_repeated_with_noise_and_what_runs_here_is_measured(workplace, synthetic, capsys):
    for seed, name in enumerate(("train", "validation")):
        parquet.write_table(synthetic(SCHEMA, rows=300, seed=seed), f"data/{name}.parquet")
    train.repeat(workplace / "rows.parquet", 3)
    made, once = parquet.read_table("rows.parquet"), parquet.read_table("data/train.parquet")
    assert made.schema == once.schema
    assert made.slice(0, 300) == once
    assert made.slice(300, 300)[SCHEMA.label] == once[SCHEMA.label]
    measured = any(isinstance(column, Number) and not column.integer for column in SCHEMA.features)
    assert (made.slice(300, 300) != once) == measured
    train.main(["--times", "2", "--rounds", "2"])
    said, kept = capsys.readouterr().out, json.loads((train.OUT / "train.json").read_text())
    assert kept["runs"][0] | {"device": "cpu", "rows": 600} == kept["runs"][0]
    assert kept["gpu"] == ("no GPU here: CPU alone" not in said)
    assert len(kept["runs"]) == 1 + kept["gpu"]
    assert "| 600 | cpu | in_memory |" in said
    assert "<svg" in (train.OUT / "train.svg").read_text()


def test_the_speed_up_is_over_the_cpu_on_the_same_rows():
    common = {"memory": "in_memory", "making": 1.0, "loss": 0.5, "peak_mb": 100}
    runs = [common | {"rows": rows, "device": "cpu", "training": 8.0 * rows} for rows in (10, 20)]
    runs.append(common | {"rows": 20, "device": "cuda", "training": 16.0})
    assert train.table(runs, 5).splitlines()[-1] == "| 20 | cuda | in_memory | 1.0 | 16.0 | 10.0x | 0.50000 | 100 |"


def test_without_data_there_is_nothing_to_measure(workplace):
    with pytest.raises(Unjudged, match=r"data/train\.parquet is not here"):
        train.main([])
