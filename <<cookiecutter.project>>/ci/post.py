"""`post`: bring the report to the pull or merge request, as one comment that is edited in place.

By CML where it can; else by a call of the forge's API; always also on the page of the job. The log says which.
"""

import os
from pathlib import Path

from ci import cml, forge
from << cookiecutter.__package >>.outcome import Unjudged

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "reports" / "report.md"


def main(arguments: list[str]) -> None:
    if not REPORT.exists():
        raise Unjudged("there is no reports/report.md to post", "Run `report` first.")
    summarise(REPORT.read_text())
    request = forge.request()
    if request is None:
        print("post: no pull or merge request here")
    elif not request.token:
        print("post: no token to comment with; the report is on the page of this job")
    else:
        print(f"post: {deliver(request)}")


def deliver(request: forge.Request) -> str:
    """Write the comment and say by which way, or why by none."""
    text, refusals = REPORT.read_text(), []
    try:
        at = next((at for at, (_, body) in enumerate(request.comments()) if cml.WATERMARK in body), None)
        if at is not None and at >= cml.PAGE[request.kind]:
            raise forge.Refused(f"the report's comment is number {at + 1}, and CML reads {cml.PAGE[request.kind]}")
        cml.comment(request, REPORT)
        return f"commented by CML {cml.VERSION}"
    except (forge.Refused, OSError) as error:
        refusals.append(f"CML could not: {error}")
    try:
        direct(request, text)
        return f"commented by the API of {request.kind}; {refusals[0]}"
    except forge.Refused as error:
        refusals.append(f"the API of {request.kind} would not: {error}")
    return "; ".join(["no comment; the report is on the page of this job", *refusals])


def direct(request: forge.Request, text: str) -> None:
    """Create the comment, or edit the one that is there, without CML."""
    mark = cml.watermark(request)
    most = cml.MOST[request.kind] - len(mark)
    text = text if len(text) <= most else cut(text, most)
    own = next((comment for comment, body in request.comments() if cml.WATERMARK in body), None)
    if own is None:
        request.create(text + mark)
    else:
        request.edit(own, text + mark)


def cut(text: str, most: int) -> str:
    """As many whole lines as fit, with a note."""
    note = "\n\n*Cut here: the whole report is in the artifacts of the job.*"
    return text[: most - len(note)].rsplit("\n", 1)[0] + note


def summarise(text: str) -> None:
    """Put the report on the page of the job: GitHub's summary; GitLab shows the job's artifacts."""
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    if page:
        with Path(page).open("a") as summary:
            summary.write(text + "\n")
