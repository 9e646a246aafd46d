"""`report`: candidate and champion on the same rows, as numbers, as Markdown for the request and as one HTML page.

It writes reports/comparison.json, which `gate` judges, reports/report.md and reports/report.html. `--base REV` names
the commit to compare with (else BASE_REF, else where the branch left main).
"""

import argparse
import json
import math
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.compute as compute
import yaml

from ci.compare import champion as champions
from ci.compare import comparison, history, markdown, page, verdict
from ci.compare.changes import changes
from ci.machine.cost import cost
from << cookiecutter.__package >>.schema import SCHEMA

NUMBERS = Path("reports/comparison.json")
MARKDOWN = Path("reports/report.md")
PAGE = Path("reports/report.html")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser("report", description=__doc__)
    parser.add_argument("--base", metavar="REV", help="the commit to compare with")
    asked = parser.parse_args(arguments).base
    for path in (NUMBERS, MARKDOWN, PAGE):
        path.unlink(missing_ok=True)  # an older comparison must not outlive a failure
    params, gates = (yaml.safe_load(Path(name).read_text()) for name in ("params.yaml", "gates.yaml"))
    rules = verdict.rules_of(gates, params["task"])
    lock = history.recorded()
    files = {path: history.current(path, lock) for path in history.RECORDED}
    base = history.base(asked, files[history.MODEL])
    with tempfile.TemporaryDirectory() as folder:
        champion = champions.find(base, files[history.MODEL], Path(folder))
        scored, rows, why = comparison.score(params["task"], champion)
    numbers: dict[str, Any] = {
        "files": files,
        "gates": verdict.fingerprint(gates),
        "candidate": {"md5": files[history.MODEL]},
        "champion": {**asdict(champion), "path": None, "why": why},
        **comparison.compare(scored, rows, rules, params["evaluate"]),
        "baseline": _json("reports/metrics.json")["baseline"],
        "cost": _json("reports/training.json"),
        "machine": cost(files[history.MODEL]),
        "changes": changes("" if champion.status == "none" else champion.revision or base.revision),
        "window": _window(rows),
    }
    numbers = finite(numbers)
    judged = verdict.judge(numbers, gates)
    NUMBERS.write_text(json.dumps(numbers, indent=1, sort_keys=True) + "\n")
    MARKDOWN.write_text(markdown.render(numbers, judged))
    PAGE.write_text(page.render(numbers, judged, scored))
    print(f"report: {judged.headline}")
    print(f"report: {MARKDOWN} and {PAGE}")


def finite(value: Any) -> Any:
    """The same, with None for what is not a finite number: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(path: str) -> dict[str, Any]:
    return json.loads(Path(path).read_text())


def _window(rows: Any) -> list[str]:
    ends = compute.min_max(rows[SCHEMA.time]).as_py()
    return [f"{ends[end]:%Y-%m-%d}" for end in ("min", "max")]
