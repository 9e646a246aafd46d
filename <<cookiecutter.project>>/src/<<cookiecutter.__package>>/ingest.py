"""Raw data to `data/dataset.parquet`: flights with the weather known at their scheduled departure.

DuckDB in bounded memory. Nothing that is known only after the scheduled departure reaches a feature: of the flight's
own record only the plan is read, and of the weather only the latest observation strictly before departure.
"""

# ruff: noqa: S608 - the statements are put together from the names above them

import codecs
import csv
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import yaml

from .columns import Boolean, Category, Column, Number
from .outcome import Bad, Unjudged, run
from .schema import SCHEMA

FLIGHTS = Path("data/raw/flights.csv")
WEATHER = Path("data/raw/weather.csv")
DATASET = Path("data/dataset.parquet")
COUNTS = Path("reports/dataset.json")

# What is read of each file, and as which type; other columns and the order of columns do not matter.
PLAN = {
    **dict.fromkeys(("year", "month", "day", "hour", "minute", "flight"), "BIGINT"),
    **dict.fromkeys(("carrier", "origin", "dest"), "VARCHAR"),
    "distance": "DOUBLE",
    "time_hour": "TIMESTAMP",
}
ARRIVAL = {"dep_time": "BIGINT", "arr_delay": "DOUBLE"}  # decides the label and who is left out, and nothing else
SKY = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
OBSERVATION = {"origin": "VARCHAR", **dict.fromkeys(SKY, "DOUBLE"), "time_hour": "TIMESTAMP"}

STRONGEST_WIND = 253  # mph, the strongest gust ever measured (WMO: Barrow Island, 1996); more is a broken instrument

OBSERVED = f"""
create table observed as
select * replace (case when wind_speed <= {STRONGEST_WIND} then wind_speed end as wind_speed)
from weather where origin is not null and time_hour is not null
qualify row_number() over (partition by origin, time_hour order by {", ".join(SKY)}) = 1
"""

# Every flight with an outcome, beside the latest observation before its departure; one that is too old counts as none.
JOINED = """
create table joined as
with planned as (
  select *, time_hour + to_minutes(minute) as planned_at
  from flights where dep_time is not null and arr_delay is not null
)
select planned.*, make_timestamptz(epoch_us(planned_at)) as departure, isodow(make_date(year, month, day)) as weekday,
  arr_delay > {late} as late, coalesce(observed.time_hour >= planned_at - to_hours({staleness}), false) as fresh, {sky}
from planned asof left join observed on planned.origin = observed.origin and planned_at > observed.time_hour
"""

COUNTED = """
select
  (select count(*) from flights) as flights,
  (select count(*) from flights where dep_time is null) as cancelled,
  (select count(*) from flights where dep_time is not null and arr_delay is null) as diverted,
  (select count(*) from weather) as weather,
  (select count(*) from weather where wind_speed > {strongest}) as wind_speed_absurd,
  (select count(*) from joined) as rows,
  (select count(*) from joined where late) as late,
  (select count(*) from joined where not fresh) as weather_missing
"""


def main(arguments: list[str]) -> None:
    counts = build(FLIGHTS, WEATHER, DATASET, yaml.safe_load(Path("params.yaml").read_text())["ingest"])
    COUNTS.write_text(json.dumps(counts, indent=2, sort_keys=True) + "\n")
    print(
        "dataset: {rows:,} rows of {flights:,} flights; left out: {cancelled:,} cancelled, {diverted:,} without an "
        "arrival; no weather for {weather_missing:,}".format(**counts)
    )


def build(flights: Path, weather: Path, dataset: Path, settings: dict[str, Any]) -> dict[str, int]:
    """Write `dataset`: exactly the schema's columns, ordered by time and key; the same input gives the same bytes.

    Returns what was counted. Raises Bad for a file that is not what it should be, Unjudged for one that is not there.
    """
    with tempfile.TemporaryDirectory(dir=dataset.parent, prefix=".ingest-") as scratch:
        with duckdb.connect(config={"memory_limit": "1GB", "temp_directory": scratch}) as connection:
            load(connection, "flights", flights, PLAN | ARRIVAL)
            load(connection, "weather", weather, OBSERVATION)
            connection.execute(OBSERVED)
            sky = ", ".join(f"case when fresh then observed.{name} end as {name}" for name in SKY)
            late, staleness = float(settings["late_after_minutes"]), int(settings["weather_staleness_hours"])
            connection.execute(JOINED.format(late=late, staleness=staleness, sky=sky))
            counted = connection.execute(COUNTED.format(strongest=STRONGEST_WIND))
            names = [column[0] for column in counted.description]
            counts = dict(zip(names, counted.fetchone(), strict=True))
            if not counts["rows"]:
                what = f"none of the {counts['flights']:,} flights in {flights} has an arrival delay"
                raise Bad(what, "Nothing is left to learn from: see the columns dep_time and arr_delay.")
            written = Path(scratch) / dataset.name
            chosen = ", ".join(f"{column.name}::{kind(column)} as {column.name}" for column in SCHEMA)
            order = dict.fromkeys([SCHEMA.time, *SCHEMA.key, *(column.name for column in SCHEMA)])
            connection.execute(
                f"copy (select {chosen} from joined order by {', '.join(order)}) to '{written}' (compression zstd)"
            )
        os.replace(written, dataset)
    return counts


def kind(column: Column) -> str:
    """The DuckDB type of a declared column."""
    if isinstance(column, Number):
        return "bigint" if column.integer else "double"
    if isinstance(column, Boolean):
        return "boolean"
    return "varchar" if isinstance(column, Category) else "timestamptz"


def load(connection: duckdb.DuckDBPyConnection, table: str, path: Path, wanted: dict[str, str]) -> None:
    """Make `table` of the wanted columns of a CSV file (comma, UTF-8, a header, NA for missing), strictly typed.

    Raises Bad with the file, the line and the column for whatever is not as wanted.
    """
    types = {name: wanted.get(name, "VARCHAR") for name in header(path, wanted)}
    named = ", ".join(f'"{name}"' for name in wanted)
    try:
        connection.execute(
            f"create table {table} as select {named} from read_csv(?, columns=?, header=true, auto_detect=false, "
            "delim=',', quote='\"', escape='\"', nullstr='NA', null_padding=false)",
            [str(path), types],
        )
    except duckdb.InvalidInputException as error:
        raise refused(path, str(error), wanted) from error
    except duckdb.ConversionException as error:
        raise refused(path, str(error), wanted) from error
    if not connection.execute(f"select count(*) from {table}").fetchone()[0]:
        raise Bad(f"{path} has a header and no row", "Ask its source for the full file.")


def header(path: Path, wanted: dict[str, str]) -> list[str]:
    """The names of the file's columns, after looking at its first and last bytes for what a reader only garbles."""
    if not path.exists():
        raise Unjudged(f"{path} is not here", "Run `make data`.")
    with path.open("rb") as file:
        first = file.readline(1_000_000)
        file.seek(-1, os.SEEK_END) if first else None
        last = file.read(1)
    if not first:
        raise Bad(f"{path} is empty", "Run `make data`; if it stays empty, ask its source for the file.")
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in first:
        raise Bad(f"{path}, line 1: is UTF-16, not UTF-8", "Export it as UTF-8.")
    if last != b"\n":
        what = f"{path} breaks off in its last line, which has no end"
        raise Bad(what, "It was cut short on the way: fetch it again (a complete file ends with a line break).")
    names = next(csv.reader([first.decode("utf-8-sig", errors="replace")]))
    absent = [name for name in wanted if name not in names]
    if absent:
        what = f"{path}, line 1: no column {', '.join(absent)}; there are: {', '.join(names)}"
        raise Bad(what, "Ask its source for the column, or adapt src/*/ingest.py to its new name.")
    if len(set(names)) < len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise Bad(f"{path}, line 1: more than one column {', '.join(repeated)}", "Leave one of them.")
    return names


def refused(path: Path, message: str, wanted: dict[str, str]) -> Bad:
    """What DuckDB's CSV reader objects to, in one sentence."""
    line = re.search(r"Line: (\d+)", message)
    where = f"{path}, line {line[1]}" if line else str(path)
    value = re.search(r'converting column "(\w+)".*?convert string "(.*?)" to', message, re.DOTALL)
    fields = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
    if value:
        what = f"{where}, column {value[1]}: {value[2]!r} is not of type {wanted[value[1]]}"
        return Bad(what, "Correct the value at its source; NA stands for a missing one.")
    if fields:
        what = f"{where}: {fields[2]} fields instead of {fields[1]}"
        return Bad(what, "The line is cut or has an unquoted comma: fetch the file again, or correct it at its source.")
    if "unicode" in message.lower() or "utf-8" in message.lower():
        return Bad(f"{where}: is not UTF-8", "Its encoding changed (Latin-1?): export it as UTF-8.")
    return Bad(f"{where}: {message.splitlines()[0]}", "Correct the file at its source.")


if __name__ == "__main__":
    sys.exit(run("dataset", main, sys.argv[1:]))
