"""`gate`: the verdict on reports/comparison.json by the rules of gates.yaml: pass 0, fail 1, inconclusive 2.

It judges only a comparison of the very model and data of dvc.lock, made for the very rules of today, and writes
reports/gate.json.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from ci.compare import history
from ci.compare.verdict import Verdict, fingerprint, judge
from << cookiecutter.__package >>.outcome import Unjudged

NUMBERS = Path("reports/comparison.json")
RESULT = Path("reports/gate.json")
AGAIN = "Run `make report`."


def main(arguments: list[str]) -> int:
    RESULT.unlink(missing_ok=True)
    gates = yaml.safe_load(Path("gates.yaml").read_text())
    numbers = comparison(gates)
    verdict = judge(numbers, gates)
    result = {**asdict(verdict), "files": numbers["files"], "champion": numbers["champion"]["md5"]}
    RESULT.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(shown(verdict), file=sys.stderr if verdict.code else sys.stdout)
    return verdict.code


def comparison(gates: dict[str, Any]) -> dict[str, Any]:
    """reports/comparison.json; raises Unjudged where it is absent or about something else than what is here now."""
    if not NUMBERS.exists():
        raise Unjudged(f"there is no {NUMBERS}, and so nothing to judge", AGAIN)
    try:
        numbers = json.loads(NUMBERS.read_text())
    except json.JSONDecodeError as error:
        raise Unjudged(f"{NUMBERS} is not readable: {error}", AGAIN) from error
    lock = history.recorded()
    for path in history.RECORDED:
        stale = numbers["files"][path] != lock.get(path)
        if stale or (Path(path).exists() and history.md5(Path(path)) != lock[path]):
            raise Unjudged(f"{NUMBERS} is stale: {path} is another file now", AGAIN)
    if numbers["gates"] != fingerprint(gates):
        raise Unjudged(f"{NUMBERS} is stale: the gate's rules in gates.yaml have changed since", AGAIN)
    return numbers


def shown(verdict: Verdict) -> str:
    """The headline, every rule in a line, and last what to do."""
    head = ("verdict", "rule", "value", "threshold")
    rows = [head, *((found.verdict, found.rule, found.value, found.threshold) for found in verdict.findings)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    lines = [f"gate: {verdict.headline}"]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return "\n".join([*lines, f"  -> {verdict.remedy}"] if verdict.remedy else lines)
