"""The verdict: the rules of gates.yaml's `gate`, applied to the numbers of comparison.json.

Non-inferiority is decided by the paired interval of the primary metric's gain g (candidate minus champion, turned so
that more is better): pass where the interval lies above -margin, fail where it lies below, else inconclusive. So a
model that is slightly worse passes only where the rows show that it is not worse than the margin allows, and too few
rows never pass anything (Piaggio et al. 2012, "Reporting of noninferiority trials", figure 1).
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ci.compare.text import number
from << cookiecutter.__package >>.metrics import METRICS
from << cookiecutter.__package >>.outcome import Unjudged

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"
CODES = {PASS: 0, FAIL: 1, INCONCLUSIVE: 2}
NEEDED = {"primary", "margin", "confidence", "resamples", "seed", "minimum_rows"}
KEYS = NEEDED | {"minimum_class_rows", "limits", "baseline", "too_good", "jump", "slices"}
SLICE_KEYS = {"minimum_rows", "limit", "margin"}
LEAK = "Look for a feature that knows the label; where the value is honest, raise the threshold in gates.yaml."
WORSE = "Keep the champion, or improve the candidate; reports/report.html shows where it is worse."
SEARCH = "Make the registry or the base commit reachable, then run `make report`."
ROWS = "Widen `split.test` in params.yaml until the rows can tell, or change the threshold in gates.yaml."


@dataclass(frozen=True)
class Finding:
    """One rule applied. `told` is the sentence for the headline where it is this rule that decides."""

    rule: str
    value: str
    threshold: str
    verdict: str
    told: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Verdict:
    verdict: str
    headline: str
    remedy: str
    findings: tuple[Finding, ...]

    @property
    def code(self) -> int:
        return CODES[self.verdict]

def fingerprint(gates: dict[str, Any]) -> str:
    """A hash of gates.yaml's `gate`: a verdict by other rules needs another comparison."""
    return hashlib.sha256(json.dumps(gates.get("gate"), sort_keys=True).encode()).hexdigest()


def rules_of(gates: dict[str, Any], task: str) -> dict[str, Any]:
    """The task's rules; raises Unjudged where one is absent or unknown: a misspelt rule would never fire."""
    rules = (gates.get("gate") or {}).get(task)
    if not isinstance(rules, dict):
        raise Unjudged(f"gates.yaml has no gate.{task}", "Add its rules; another task's show the form.")
    named = [rules.get("primary"), *(rules.get("limits") or {}), *(rules.get("too_good") or {})]
    wrong = [
        *sorted(rules.keys() ^ KEYS),
        *sorted((rules.get("slices") or dict.fromkeys(SLICE_KEYS)).keys() ^ SLICE_KEYS),
        *(name for name in sorted(NEEDED) if rules.get(name) is None),
        *(name for name in named if name not in METRICS[task]),
    ]
    if wrong:
        names = ", ".join(dict.fromkeys(map(repr, wrong)))
        what = f"gates.yaml, gate.{task}: absent, unknown or empty: {names}"
        raise Unjudged(what, f"Metrics are {', '.join(METRICS[task])}; rules are {', '.join(sorted(KEYS))}.")
    return {**rules, "unscorable_champion": gates["gate"].get("unscorable_champion")}


def judge(numbers: dict[str, Any], gates: dict[str, Any]) -> Verdict:
    """The verdict on comparison.json. With too few rows nothing else is looked at."""
    rules = rules_of(gates, numbers["task"])
    findings = list(_rows(numbers, rules))
    if all(finding.verdict == PASS for finding in findings):
        for look in (_champion, _limits, _baseline, _too_good, _slices):
            findings += look(numbers, rules)
    findings.sort(key=lambda finding: [FAIL, INCONCLUSIVE, PASS].index(finding.verdict))
    worst = findings[0].verdict
    if worst == PASS:
        return Verdict(PASS, f"pass: {_summary(numbers, rules)}", "", tuple(findings))
    deciding = [finding for finding in findings if finding.verdict == worst]
    more = f" (and {len(deciding) - 1} more)" if len(deciding) > 1 else ""
    return Verdict(worst, f"{worst}: {deciding[0].told}{more}", deciding[0].remedy, tuple(findings))


def direction(task: str, metric: str) -> int:
    """1 where a higher value is better, else -1."""
    return 1 if METRICS[task][metric] else -1


def gain(task: str, metric: str, entry: dict[str, Any]) -> tuple[float, float, float] | None:
    """(gain, low, high), more being better, of an entry with `difference`, `low` and `high`; None where undefined."""
    if None in (entry["difference"], entry["low"], entry["high"]):
        return None
    if direction(task, metric) > 0:
        return entry["difference"], entry["low"], entry["high"]
    return -entry["difference"], -entry["high"], -entry["low"]


def amount(threshold: float | str, of: float) -> float:
    """A threshold as it stands, or in percent of a value."""
    if isinstance(threshold, str):
        if not threshold.endswith("%"):
            raise Unjudged(f"gates.yaml: {threshold!r} is no threshold", "Write a number, or a percentage such as 2%.")
        return float(threshold[:-1]) / 100 * abs(of)
    return float(threshold)


def _summary(numbers: dict[str, Any], rules: dict[str, Any]) -> str:
    primary, champion = rules["primary"], numbers["champion"]
    own = f"{primary} {number(numbers['metrics']['candidate'][primary])}"
    if champion["status"] == "none":
        return f"a first model, {own}, judged by its limits alone"
    if champion["md5"] == numbers["candidate"]["md5"]:
        return f"no change of model, {own}"
    if not numbers["differences"]:
        return f"{own}, replacing a champion that cannot be scored"
    theirs = number(numbers["metrics"]["champion"][primary])
    return f"{own} against {theirs} of the champion, {interval_text(numbers, primary)}"


def interval_text(numbers: dict[str, Any], metric: str) -> str:
    entry = numbers["differences"][metric]
    ends = f"{number(entry['low'], True)} to {number(entry['high'], True)}"
    return f"difference {number(entry['difference'], True)} ({numbers['confidence']:.0%} interval {ends})"


def _rows(numbers: dict[str, Any], rules: dict[str, Any]) -> Iterator[Finding]:
    rows, least = numbers["rows"], rules["minimum_rows"]
    told = f"only {rows:,} rows to judge by, {least:,} are needed"
    yield Finding("rows", f"{rows:,}", f"at least {least:,}", PASS if rows >= least else INCONCLUSIVE, told, ROWS)
    least = rules["minimum_class_rows"]
    if numbers["classes"] and least is not None:
        name, count = min(numbers["classes"].items(), key=lambda pair: pair[1])
        told = f"only {count:,} rows of the class {name}, {least:,} are needed"
        verdict = PASS if count >= least else INCONCLUSIVE
        yield Finding(f"rows of {name}", f"{count:,}", f"at least {least:,}", verdict, told, ROWS)


def _champion(numbers: dict[str, Any], rules: dict[str, Any]) -> Iterator[Finding]:
    champion, primary, task = numbers["champion"], rules["primary"], numbers["task"]
    if champion["status"] == "none":
        yield Finding("champion", "none: a first model", "", PASS)
        return
    if champion["status"] == "unknown":
        told = f"the champion is not known: {' '.join(champion['notes'])}".removesuffix(".")
        yield Finding("champion", "unknown", "known", INCONCLUSIVE, told, SEARCH)
        return
    if not numbers["differences"]:
        allowed = rules["unscorable_champion"] == champion["md5"]
        told = f"the champion, {champion['name']}, cannot be scored on these rows: {champion['why']}"
        remedy = f"Where it is to be replaced unseen, set `unscorable_champion: {champion['md5']}` in gates.yaml."
        verdict = PASS if allowed else INCONCLUSIVE
        yield Finding("champion", "cannot be scored", "allowed" if allowed else "scored", verdict, told, remedy)
        return
    value = numbers["metrics"]["champion"][primary]
    margin = None if value is None else amount(rules["margin"], value)
    won = gain(task, primary, numbers["differences"][primary])
    if won is None or margin is None:
        told = f"{primary} or its interval is undefined on these rows"
        yield Finding(f"{primary} not worse", "undefined", str(rules["margin"]), INCONCLUSIVE, told, ROWS)
        return
    _, low, high = won
    verdict = PASS if low >= -margin else FAIL if high < -margin else INCONCLUSIVE
    how = "is worse than the champion" if verdict == FAIL else "may be worse than the champion"
    told = f"{primary} {how} by more than {number(margin)}: {interval_text(numbers, primary)}"
    shown = f"gain {number(won[0], True)} ({number(low, True)} to {number(high, True)})"
    remedy = WORSE if verdict == FAIL else ROWS
    yield Finding(f"{primary} not worse", shown, f"above {number(-margin)}", verdict, told, remedy)
    if rules["jump"] is not None:
        most = amount(rules["jump"], value)
        told = f"too good to be true: {primary} gains {number(won[0])} on the champion, more than {number(most)}"
        verdict = PASS if won[0] <= most else FAIL
        yield Finding(f"{primary} credible gain", number(won[0], True), f"at most {number(most)}", verdict, told, LEAK)


def _bound(
    rule: str, value: float | None, bound: float, above: bool, told: Callable[[str], str], remedy: str
) -> Finding:
    """The value must be at least the bound, or at most where not `above`; an undefined value decides nothing."""
    threshold = f"at {'least' if above else 'most'} {number(bound)}"
    if value is None:
        return Finding(rule, "undefined", threshold, INCONCLUSIVE, f"{rule} is undefined on these rows", ROWS)
    good = value >= bound if above else value <= bound
    return Finding(rule, number(value), threshold, PASS if good else FAIL, told(number(value)), remedy)


def _limits(numbers: dict[str, Any], rules: dict[str, Any]) -> Iterator[Finding]:
    for metric, bound in (rules["limits"] or {}).items():
        higher = direction(numbers["task"], metric) > 0

        def told(value: str, metric: str = metric, bound: float = bound, higher: bool = higher) -> str:
            return f"{metric} {value} is {'below' if higher else 'above'} the limit {number(bound)}"

        yield _bound(metric, numbers["metrics"]["candidate"][metric], bound, higher, told, WORSE)


def _baseline(numbers: dict[str, Any], rules: dict[str, Any]) -> Iterator[Finding]:
    if rules["baseline"] is None:
        return
    primary, sign = rules["primary"], direction(numbers["task"], rules["primary"])
    known = {name: entry[primary] for name, entry in numbers["baseline"].items() if entry[primary] is not None}
    if not known:
        yield Finding("baseline", "undefined", "beaten", INCONCLUSIVE, "no baseline has a defined metric", ROWS)
        return
    name = max(known, key=lambda name: sign * known[name])
    bound = known[name] + sign * amount(rules["baseline"], known[name])
    remedy = "Use the baseline's simpler estimator (train.estimator in params.yaml), or improve the candidate."
    yield _bound(
        f"{primary} beats {name}", numbers["metrics"]["candidate"][primary], bound, sign > 0,
        lambda value: f"{primary} {value} does not beat the {name} baseline's {number(bound)}", remedy,
    )  # fmt: skip


def _too_good(numbers: dict[str, Any], rules: dict[str, Any]) -> Iterator[Finding]:
    for metric, bound in (rules["too_good"] or {}).items():
        higher = direction(numbers["task"], metric) > 0

        def told(value: str, metric: str = metric, bound: float = bound) -> str:
            return f"too good to be true: {metric} {value}, beyond {number(bound)}"

        yield _bound(f"{metric} credible", numbers["metrics"]["candidate"][metric], bound, not higher, told, LEAK)


def _slices(numbers: dict[str, Any], rules: dict[str, Any]) -> Iterator[Finding]:
    """Each slice with enough rows against the limit, and the surest loss against the margin."""
    settings, primary = rules["slices"], rules["primary"]
    if not settings:
        return
    task, sign = numbers["task"], direction(numbers["task"], primary)
    large = [
        (f"{column} {value}", entry)
        for column, values in numbers["slices"].items()
        for value, entry in values.items()
        if entry["rows"] >= settings["minimum_rows"] and entry["candidate"] is not None
    ]
    if not large:
        if numbers["slices"]:
            yield Finding("slices", f"none of {settings['minimum_rows']:,} rows", "", PASS)
        return
    if settings["limit"] is not None:
        name, entry = min(large, key=lambda pair: sign * pair[1]["candidate"])
        yield _bound(
            f"{primary} of the worst slice, {name}", entry["candidate"], settings["limit"], sign > 0,
            lambda value: f"{primary} of the slice {name} is {value}, the limit {number(settings['limit'])}", WORSE,
        )  # fmt: skip
    losses = []
    for name, entry in large:
        won = gain(task, primary, entry) if "difference" in entry else None
        if won:
            losses.append((-won[2], amount(settings["margin"], entry["champion"]), name))
    if losses and settings["margin"] is not None:
        loss, margin, name = max(losses, key=lambda found: found[0] - found[1])
        told = f"{primary} of the slice {name} is worse than the champion's by at least {number(loss)}"
        shown = f"{name}: sure loss {number(max(loss, 0))}"
        verdict = PASS if loss <= margin else FAIL
        yield Finding(f"{primary} of each slice", shown, f"at most {number(margin)}", verdict, told, WORSE)
