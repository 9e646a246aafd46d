"""`diagnose`: after a training, however it ended: why, by which evidence, and what to change.

It reads what the training left in build/training/ and writes verdict.md beside it and onto the page of the job. That a
training failed is no failure of this word.
"""

import os
from pathlib import Path

from ci.machine import journal
from ci.machine.evidence import collect
from ci.machine.verdict import Verdict, judge


def main(arguments: list[str]) -> None:
    found = judge(collect())
    if found.kind != "none":
        journal.VERDICT.write_text(page(found))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary and found.kind not in ("none", "well"):
        with Path(summary).open("a") as file:
            file.write(page(found))
    print(f"diagnose: {found.kind}: {found.what}")
    for line in found.evidence:
        print(f"  {line}")
    print(f"  -> {found.remedy}")


def page(found: Verdict) -> str:
    lines = [f"### Training: {found.kind}", "", f"{found.what[:1].upper()}{found.what[1:]}.", ""]
    return "\n".join([*lines, *(f"- `{line}`" for line in found.evidence), "", f"**What to do:** {found.remedy}", ""])
