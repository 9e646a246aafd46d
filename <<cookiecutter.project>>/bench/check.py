"""The data check beside plain Great Expectations on pandas, pandera on Polars and the bare DuckDB query.

All judge the same rows by the same rules (missing values, ranges, categories, unique key; types), each in a process of
its own: `python -m ci.bench check --rows 10000000`. The rows are those of data/dataset.parquet, repeated, each
repetition a millisecond later, so that the key stays unique; whole repetitions, so that --rows is approximate.
"""
# ruff: noqa: S608 - the statements are put together from declared names

import argparse
import json
import resource
import sys
import time
from datetime import datetime
from pathlib import Path

import yaml

from bench.apart import apart
from << cookiecutter.__package >>.columns import Boolean, Category, Number
from << cookiecutter.__package >>.outcome import Unjudged
from << cookiecutter.__package >>.schema import SCHEMA

DATASET = Path("data/dataset.parquet")
ROWS = 3_400_000
TITLES = {
    "ours": "this check",
    "plain": "plain Great Expectations on pandas",
    "pandera": "pandera on Polars",
    "query": "the bare DuckDB query",
}


def main(arguments: list[str]) -> int | None:
    parser = argparse.ArgumentParser("bench check")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--only", choices=TITLES, nargs="*", default=list(TITLES))
    parser.add_argument("--run", choices=[*TITLES, "make"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, default=Path("build/bench.parquet"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.run:
        return child(given.run, given.file, given.rows)
    if not DATASET.exists():
        raise Unjudged(f"{DATASET} is not here", "Run `make check` first.")
    given.file.parent.mkdir(exist_ok=True)
    given.rows = started("make", given)["rows"]
    told = {name: started(name, given) for name in given.only}
    given.file.unlink()
    print(f"\n{given.rows:,} rows, each in a process of its own\n")
    print("| | seconds | of which importing | | seconds of all cores | peak MB | |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    first = next(iter(told.values()))
    for name, run in told.items():
        slower, larger = run["seconds"] / first["seconds"], run["peak"] / first["peak"]
        times = f"{run['seconds']:.1f} | {run['importing']:.1f} | {slower:.2f}x | {run['cores']:.1f}"
        print(f"| {TITLES[name]} | {times} | {run['peak']:,.0f} | {larger:.2f}x |")
    return None


def started(name: str, given: argparse.Namespace) -> dict[str, float]:
    """Run one contender in its own process and return what it says of itself."""
    print(f"bench: {TITLES.get(name, 'making the rows')}", file=sys.stderr, flush=True)
    arguments = ["--run", name, "--rows", str(given.rows), "--file", str(given.file)]
    return apart("bench.check", arguments, TITLES.get(name, name))


def child(name: str, file: Path, rows: int) -> None:
    start = time.monotonic()
    work = {"make": make, "ours": ours, "plain": plain, "pandera": pandera, "query": query}[name]()
    imported = time.monotonic()
    made = work(file, rows)
    used = resource.getrusage(resource.RUSAGE_SELF)
    times = {"importing": imported - start, "seconds": time.monotonic() - start, "cores": used.ru_utime + used.ru_stime}
    print(json.dumps({**times, "rows": made, "peak": used.ru_maxrss / 1024}))


def make():
    import duckdb

    def work(file: Path, rows: int) -> int:
        later = f"make_timestamptz(epoch_us({SCHEMA.time}) + 1000 * copy) as {SCHEMA.time}"
        with duckdb.connect(config={"memory_limit": "2GB"}) as connection:
            whole = connection.execute(f"select count(*) from '{DATASET}'").fetchone()[0]
            copies = f"range({max(1, round(rows / whole))}) as copies(copy) cross join '{DATASET}'"
            connection.execute("set preserve_insertion_order = false")
            copied = f"select columns(* exclude copy) from (select * replace ({later}) from {copies})"
            return connection.execute(f"copy ({copied}) to '{file}'").fetchone()[0]

    return work


def gates() -> dict:
    return yaml.safe_load(Path("gates.yaml").read_text())["check"]


def ours():
    from << cookiecutter.__package >>.check import judge

    def work(file: Path, rows: int) -> None:
        judgement = judge.judge(file, SCHEMA, gates(), datetime(2014, 1, 2))
        expected(judgement.good and judgement.rows == rows)

    return work


def expected(fine: bool) -> None:
    """A contender that finds fault with good rows, or misses some, has not done the work that is timed."""
    if not fine:
        raise Unjudged("the verdict is not the expected one", "The comparison would mean nothing; see the data set.")


def plain():
    import great_expectations
    import pandas

    from << cookiecutter.__package >>.check import suite

    def work(file: Path, rows: int) -> None:
        frame = pandas.read_parquet(file)
        frame[SCHEMA.time] = frame[SCHEMA.time].dt.tz_localize(None)
        wanted = [*suite.project(SCHEMA, gates(), datetime(2014, 1, 2), None), *suite.values(SCHEMA)]
        context = great_expectations.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        batch = context.data_sources.pandas_default.read_dataframe(frame)
        result = batch.validate(great_expectations.ExpectationSuite("plain", expectations=wanted))
        expected(result.success and len(frame) == rows)

    return work


def pandera():
    import pandera.polars as pandera
    import polars

    def declared(column):
        kinds = {Category: polars.String, Boolean: polars.Boolean}
        whole = isinstance(column, Number) and column.integer
        kind = polars.Int64 if whole else polars.Float64 if isinstance(column, Number) else kinds.get(type(column))
        checks = []
        if isinstance(column, Number):
            checks.append(pandera.Check.in_range(column.minimum, column.maximum))
        if isinstance(column, Category):
            checks.append(pandera.Check.isin(column.values))
        return pandera.Column(kind, checks, nullable=column.optional)

    def work(file: Path, rows: int) -> None:
        frame = polars.read_parquet(file)
        for column in SCHEMA:
            expected(frame[column.name].null_count() <= column.missing * len(frame))
        columns = {column.name: declared(column) for column in SCHEMA}
        pandera.DataFrameSchema(columns, unique=list(SCHEMA.key), ordered=True, strict=True).validate(frame)
        expected(len(frame) == rows)

    return work


def query():
    import duckdb

    def rules(column) -> list[str]:
        made = [f"count({column.name})"]
        if isinstance(column, Number):
            made.append(f"count(*) filter (where {column.name} not between {column.minimum} and {column.maximum})")
        if isinstance(column, Category):
            made.append(f"count(*) filter (where {column.name} not in {column.values})")
        return made

    def work(file: Path, rows: int) -> None:
        every = ", ".join(rule for column in SCHEMA for rule in rules(column))
        key = ", ".join(SCHEMA.key)
        found, *_ = duckdb.execute(f"select count(*), {every} from '{file}'").fetchone()
        repeated = f"select count(*) from (from '{file}' select {key} group by all having count(*) > 1)"
        expected(found == rows and duckdb.execute(repeated).fetchone() == (0,))

    return work
