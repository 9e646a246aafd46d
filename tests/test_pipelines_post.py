"""`post` on both forges: one comment, edited in place, by CML where it can and by the API where it cannot.

CML_HOME names a real CML for these tests; without it a double takes its place that refuses whatever CML refuses.
"""

import os
from pathlib import Path

import pytest
from conftest import render, speak
from engines import forges
from engines.tools import HERE

CML = os.environ.get("CML_HOME") or str(HERE / "cml")
SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def baked(tmp_path_factory) -> Path:
    made = render(tmp_path_factory.mktemp("post"), forge="both")
    speak(made, "post", code=2)  # there is no report yet; makes the environment
    return made


@pytest.fixture(params=["github", "gitlab"])
def forge(request, tmp_path):
    """(the double, the variables of a job of a request on that forge)"""
    if request.param == "github":
        with forges.github(tmp_path) as (double, address):
            summary = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
            job = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "team/project", "GITHUB_ACTOR": "dev"}
            more = {"GITHUB_TOKEN": forges.TOKEN, "GITHUB_SHA": SHA, "REQUEST": "1"}
            yield double, {**address, **summary, **job, **more, "CML_HOME": CML}
    else:
        with forges.gitlab(tmp_path) as (double, address):
            job = {"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_PROJECT_ID": "1"}
            more = {"GITLAB_TOKEN": forges.TOKEN, "CI_COMMIT_SHA": SHA}
            yield double, {**address, **job, **more, "CML_HOME": CML}


def post(project: Path, text: str, environment: dict) -> str:
    (project / "reports" / "report.md").write_text(text)
    return speak(project, "post", env=environment, code=0).stdout


def own(double) -> list[str]:
    return [body for body in double.comments() if "CML watermark report" in body]


def test_cml_creates_the_comment_once_and_then_edits_it(baked, forge):
    double, environment = forge
    assert "commented by CML" in post(baked, "# First", environment)
    assert "commented by CML" in post(baked, "# Second", environment)
    assert len(own(double)) == 1
    assert own(double)[0].startswith("# Second")
    assert len(double.writes()) == 2
    assert double.writes()[0] == "POST"


def test_without_cml_the_api_edits_the_same_comment(baked, forge):
    double, environment = forge
    post(baked, "# By CML", environment)
    said = post(baked, "# By hand", {**environment, "CML_HOME": "/nowhere"})
    assert "commented by the API" in said
    assert "CML could not" in said
    assert "commented by CML" in post(baked, "# By CML again", environment)
    assert [body.split("\n")[0] for body in own(double)] == ["# By CML again"]


def test_a_comment_beyond_the_first_page_is_found(baked, forge):
    double, environment = forge
    before, after = (35, 0) if isinstance(double, forges.GitHub) else (0, 125)
    for number in range(before):
        double.comment(f"Remark {number}")
    post(baked, "# First", environment)
    for number in range(after):
        double.comment(f"Remark {number}")
    said = post(baked, "# Second", environment)
    assert "CML reads" in said
    assert [body.split("\n")[0] for body in own(double)] == ["# Second"]


def test_a_token_that_may_not_write_leaves_the_job_page(baked, forge):
    double, environment = forge
    double.writable = False
    said = post(baked, "# Report", environment)
    assert "no comment" in said
    assert "403" in said
    assert forges.TOKEN not in said
    assert not double.comments()


def test_without_a_token_nothing_is_asked(baked, forge):
    double, environment = forge
    said = post(baked, "# Report", {**environment, "GITHUB_TOKEN": "", "GITLAB_TOKEN": ""})
    assert "no token" in said
    assert not double.calls
    if isinstance(double, forges.GitHub):
        assert "# Report" in Path(environment["GITHUB_STEP_SUMMARY"]).read_text()


def test_a_report_that_is_too_long_is_cut_with_a_note(baked, forge):
    double, environment = forge
    most = 65_536 if isinstance(double, forges.GitHub) else 1_000_000
    said = post(baked, "# Report\n" + "a line of many\n" * (most // 15), environment)
    assert "commented by the API" in said
    (comment,) = own(double)
    assert len(comment) <= most
    assert "Cut here" in comment


def test_the_commit_says_what_production_runs(baked, forge):
    """A commit that did not get there; test_pipelines_*.py have those that did."""
    double, environment = forge
    said = speak(baked, "status", "--on-commit", env=environment, code=0).stdout
    assert "not released: production runs nothing; the commit says so too" in said
    assert double.status(SHA) == ("production", False, "not released: production runs nothing")
    double.writable = False
    said = speak(baked, "status", "--on-commit", env=environment, code=0).stdout
    assert "the forge takes no status" in said
    assert "403" in said
    assert forges.TOKEN not in said
