"""The report as Markdown: the verdict on the first line, then what a reviewer needs to agree with it.

GitHub refuses comments over 65,536 characters: long tables are cut with a note, and so, last, are whole sections.
"""

from collections.abc import Sequence
from typing import Any

from ci.compare.mermaid import charts
from ci.compare.text import SENTENCE, escape, number
from ci.compare.verdict import FAIL, INCONCLUSIVE, PASS, Verdict, gain

LIMIT = 60_000  # characters
ROWS = 12  # of a table
MARKS = {PASS: "✅", FAIL: "❌", INCONCLUSIVE: "⚠️"}
FULL = "reports/report.html"


def render(numbers: dict[str, Any], verdict: Verdict) -> str:
    """The whole report, at most LIMIT characters."""
    sections = [
        f"### {MARKS[verdict.verdict]} {escape(verdict.headline, SENTENCE)}",
        _what(numbers, verdict),
        _metrics(numbers),
        _findings(verdict),
        _slices(numbers),
        _changes(numbers["changes"]),
        _cost(numbers["cost"], numbers["machine"]),
        _charts(numbers),
    ]
    note = f"_The rest is in {FULL}: the report is longer than a comment may be._\n"
    text = ""
    for section in filter(None, sections):
        if len(text) + len(section) + len(note) + 2 > LIMIT:
            return text + note
        text += section + "\n\n"
    return text.rstrip("\n") + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[object]], most: int = ROWS) -> str:
    """A table of escaped cells; rows over `most` are left out with a note."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(escape(cell) for cell in row) + " |" for row in rows[:most]]
    if len(rows) > most:
        lines += ["", f"_{len(rows) - most} more in {FULL}._"]
    return "\n".join(lines)


def details(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def _what(numbers: dict[str, Any], verdict: Verdict) -> str:
    champion, own = numbers["champion"], numbers["candidate"]["md5"][:8]
    against = {
        "found": f"against {escape(champion['name'], SENTENCE)}, {champion['md5'][:8]}",
        "none": "with no champion before it",
        "unknown": "against a champion that is not known",
    }[champion["status"]]
    first, last = numbers["window"]
    lines = [f"Candidate {own} {against}, on the same {numbers['rows']:,} rows of {first} to {last}."]
    if verdict.remedy:
        lines.append(f"**What to do:** {verdict.remedy}")
    notes = [*champion["notes"], *([f"The champion cannot be scored: {champion['why']}."] if champion["why"] else [])]
    return "\n\n".join(lines + [f"> {escape(note, SENTENCE)}" for note in notes])


def _metrics(numbers: dict[str, Any]) -> str:
    own, theirs, best = numbers["metrics"]["candidate"], numbers["metrics"].get("champion"), numbers["baseline"]
    bases = list(best)
    if not theirs:
        rows = [[name, *(number(best[base][name]) for base in bases), number(value)] for name, value in own.items()]
        return table(["metric", *bases, "candidate"], rows)
    rows = []
    for name, value in own.items():
        others = [*(number(best[base][name]) for base in bases), number(theirs[name])]
        rows.append([name, *others, number(value), *_difference(numbers["task"], name, numbers["differences"][name])])
    head = ["metric", *bases, "champion", "candidate", "difference", f"{numbers['confidence']:.0%} interval", ""]
    return table(head, rows)


def _difference(task: str, metric: str, entry: dict[str, Any]) -> list[str]:
    won = gain(task, metric, entry)
    if won is None:
        return [number(entry["difference"], True), "undefined", ""]
    word = "better" if won[1] > 0 else "worse" if won[2] < 0 else "the same" if not any(won) else "cannot be told apart"
    return [number(entry["difference"], True), f"{number(entry['low'], True)} to {number(entry['high'], True)}", word]


def _findings(verdict: Verdict) -> str:
    rows = [[found.verdict, found.rule, found.value, found.threshold] for found in verdict.findings]
    body = table(["verdict", "rule", "value", "threshold"], rows)
    return body if verdict.verdict != PASS else details(f"All {len(rows)} rules of the gate hold", body)


def worse(numbers: dict[str, Any]) -> list[list[str]]:
    """[slice, rows, champion, candidate, difference, interval] of the slices surely worse, the worst first."""
    task, primary, found = numbers["task"], numbers["primary"], []
    for column, values in numbers["slices"].items():
        for value, entry in values.items():
            won = gain(task, primary, entry) if "difference" in entry else None
            if won and won[2] < 0:
                both = [number(entry["champion"]), number(entry["candidate"])]
                row = [f"{column} {value}", f"{entry['rows']:,}", *both, *_difference(task, primary, entry)[:2]]
                found.append((won[0], row))
    return [row for _, row in sorted(found)]


def _slices(numbers: dict[str, Any]) -> str:
    count = sum(len(values) for values in numbers["slices"].values())
    if not numbers["differences"] or not count:
        return ""
    rows = worse(numbers)
    if not rows:
        return f"**Slices:** none of {count} got worse."
    head = ["slice", "rows", "champion", "candidate", "difference", f"{numbers['confidence']:.0%} interval"]
    return f"**Slices that got worse in {escape(numbers['primary'])}** ({len(rows)} of {count})\n\n{table(head, rows)}"


def _changes(changes: dict[str, Any]) -> str:
    if not changes["revision"]:
        return ""
    since = f"since {changes['revision'][:7]}"
    told = [f"- {escape(line, SENTENCE)}" for line in changes["data"]]
    more = [f"- _{len(told) - ROWS} more in {FULL}._"] if len(told) > ROWS else []
    data = "\n".join([f"**Data** {since}", "", *told[:ROWS], *more])
    if not told:
        data = f"**Data** {since}: no notable change."
    rows = [[name, _value(before), _value(now)] for name, before, now in [*changes["counts"], *changes["parameters"]]]
    if not rows:
        return f"{data}\n\n**Parameters** {since}: unchanged."
    return f"{data}\n\n**Counts and parameters** {since}\n\n{table(['name', 'before', 'now'], rows)}"


def _value(value: object) -> str:
    return "none" if value is None else str(value)


def _cost(cost: dict[str, Any], machine: dict[str, Any]) -> str:
    rounds = f", best round {cost['best_round']} of {cost['rounds']}" if cost.get("rounds", 1) > 1 else ""
    spent = f"{cost['seconds']:,} s on {cost['device']}, {cost['peak_memory_mb']:,} MB at the peak"
    return f"**Training cost:** {spent}{rounds}{_machine(machine)}."


def _machine(machine: dict[str, Any]) -> str:
    """What the samples of the machine add: each GPU, and the memory of the host."""
    gpus = [name.removeprefix("peak_").removesuffix("_mb") for name in machine if name.startswith("peak_gpu")]
    told = [f"{machine[f'peak_{gpu}_mb']:,.0f} MB of {gpu} at the peak{_busy(machine, gpu)}" for gpu in gpus]
    if "peak_host_mb" in machine:
        told.append(f"{machine['peak_host_mb']:,.0f} MB of the machine in use at the peak")
    return "".join(f"; {line}" for line in told)


def _busy(machine: dict[str, Any], gpu: str) -> str:
    mean = machine.get(f"mean_{gpu}_busy")
    return "" if mean is None else f", {mean:.0f} % busy on average"


def _charts(numbers: dict[str, Any]) -> str:
    return details("Charts", "\n\n".join(charts(numbers)))
