"""From the files of the project to the verdict: JSON, one self-contained HTML page and a few lines for the terminal."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import yaml

from ..columns import Column, Number, Schema
from ..outcome import Bad, Unjudged
from ..schema import SCHEMA
from .judge import Judgement, judge, short
from .suite import kind

DATASET = Path("data/dataset.parquet")
ABSENT = ("does not exist in", "exists on disk, but not in", "invalid object name")  # git's words for it
TEMPLATE = Path(__file__).with_name("page.html")


def check(folder: Path) -> None:
    """Judge the data set, write check.json and check.html into `folder` and say the verdict.

    Raises Bad where an expectation of severity "critical" fails; a failed warning is only said.
    """
    gates = thresholds(Path("gates.yaml"))
    reference, last = committed("reports/reference.json"), committed("reports/check.json")
    judgement = judge(DATASET, SCHEMA, gates, instant(gates["as_of"]), reference, (last or {}).get("rows"))
    folder.mkdir(exist_ok=True)
    (folder / "check.json").write_text(json.dumps(judgement.record(), indent=1, sort_keys=True) + "\n")
    (folder / "check.html").write_text(html(judgement))
    critical, warnings = judgement.failed("critical"), judgement.failed("warning")
    counted = f"{len(judgement.findings)} expectations over {judgement.rows:,} rows"
    for line in judgement.notes + [f"warning: {finding.sentence()}" for finding in warnings]:
        print(f"check: {line}")
    if critical:
        what = "\n  ".join(finding.sentence() for finding in critical)
        remedy = "Correct the data at its source; where the world has changed, the schema or gates.yaml"
        raise Bad(what, f"{remedy}. All {counted}: {folder / 'check.html'}")
    print(f"check: good: {counted}, {len(warnings)} warnings; {folder / 'check.html'}")


def thresholds(path: Path) -> dict[str, Any]:
    """The section `check` of gates.yaml; raises Unjudged where there is none to be read."""
    try:
        return dict(yaml.safe_load(path.read_text())["check"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError) as error:
        what = f"{path} has no section `check` that can be read: {str(error).splitlines()[0]}"
        raise Unjudged(what, "Restore it, for example with `git checkout gates.yaml`.") from error


def instant(as_of: Any) -> datetime:
    """The moment as of which freshness is judged, UTC without a zone; now where gates.yaml says null."""
    if as_of is None:
        return datetime.now(UTC).replace(tzinfo=None)
    moment = datetime.fromisoformat(str(as_of))
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def committed(path: str) -> dict[str, Any] | None:
    """A JSON file as of the last commit, None where that has none; raises Unjudged where git cannot tell."""
    command = ["git", "show", f"HEAD:./{path}"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise Unjudged("git is not installed, so the last reference cannot be read", "Install git.") from error
    if shown.returncode == 0:
        return json.loads(shown.stdout)
    if any(told in shown.stderr for told in ABSENT):
        return None
    what = f"git cannot tell the last {path}: {shown.stderr.strip().splitlines()[0]}"
    raise Unjudged(what, "Run this inside the repository, with its .git folder readable.")


def html(judgement: Judgement, schema: Schema = SCHEMA) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {
        "kind": lambda name: kind(schema[name]).removesuffix(" WITH TIME ZONE").lower(),
        "allowed": lambda name: allowed(schema[name]),
        "short": short,
    }
    failing = [finding for finding in judgement.findings if not finding.success]
    return environment.from_string(TEMPLATE.read_text()).render(
        judgement=judgement,
        failing=sorted(failing, key=lambda finding: (finding.success is None, finding.severity)),
        holding=[finding for finding in judgement.findings if finding.success],
        schema=schema,
    )


def allowed(column: Column) -> str:
    """What the schema accepts, in a few words."""
    if isinstance(column, Number):
        low, high = column.minimum, column.maximum
        return f"{short(low)} … {short(high)} {column.unit}".strip()
    values = getattr(column, "values", ())
    if not values:
        return ""
    return ", ".join(values) if len(values) <= 4 else f"{len(values)} values" + (", open" if column.open else "")
