"""The generated pipelines as files: the same on both forges, and right in what no engine executes."""

import json
import re

import pytest
from engines.files import GitLab, github_form, gitlab_form, scripts, spoken, trainings, workflow, workflows

pytest_plugins = ["engines.files"]
REQUEST = ["preflight", "lint", "test", "check", "train", "report", "gate"]
RELEASE = ["preflight", "report", "gate", "package", "deploy", "verify", "load", "promote", "status"]
HOSTED = "ubuntu-24.04"


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize(
    ("name", "source", "jobs"),
    [("request", "merge_request_event", REQUEST), ("main", "push", RELEASE)],
)
def test_both_forges_have_the_same_jobs_words_needs_and_places(made, name, source, jobs, public):
    project = made(forge="both", public=public)
    ours, theirs = github_form(workflow(project, name)["jobs"]), gitlab_form(GitLab(project).of(source))
    assert list(ours) == jobs
    assert theirs == ours


@pytest.mark.parametrize("name", ["rollback", "train"])
def test_what_is_started_by_hand_is_the_same(made, name):
    project = made(forge="both")
    ours = github_form(workflow(project, name)["jobs"])
    theirs = gitlab_form(GitLab(project).of("web"))
    assert workflow(project, name)["on"].keys() == {"workflow_dispatch"}
    assert [theirs[name if name in theirs else f"{name}-branch"]] == list(ours.values())


def test_stages_are_the_words(made):
    project = made(forge="both")
    known = set(re.findall(r'^    "([a-z]+)": Word\(', (project / "ci" / "words.py").read_text(), re.MULTILINE))
    for name, job in GitLab(project).jobs.items():
        assert job["stage"] in known, name
        assert any(word.split()[0] == job["stage"] for word in spoken(job["script"])), name
    for lines in scripts(project).values():
        assert {word.split()[0] for word in spoken(lines)} <= known


def test_pipelines_hold_no_logic(made):
    """Every line of a script is a word; the one other line is how `pass` fails."""
    for name, lines in scripts(made(forge="both")).items():
        assert lines
        for line in lines:
            assert re.fullmatch(r"python3 -m ci\.[^;&|]+", line) or (name, line) == ("request/pass", "exit 1")
            assert "${{" not in line


def test_documentation_is_the_same_on_both_forges(made):
    project = made(forge="both")
    source = (project / "ci" / "preflight.py").read_text()
    listed = re.findall(r'"([^"]+)"', " ".join(re.findall(r"^HEAVY \+?= (.*)$", source, re.MULTILINE)))
    changes = [rule["changes"] for job in GitLab(project).jobs.values() for rule in job["rules"] if "changes" in rule]
    assert changes
    assert all(change == listed for change in changes)


# -- what the engines ignore -------------------------------------------------------------------------------------------


def test_triggers(made):
    project = made(forge="both")
    on = {name: file["on"] for name, file in workflows(project).items()}
    assert on["request"].keys() == {"pull_request", "workflow_dispatch"}
    assert on["request"]["pull_request"] is None  # a filter would leave required checks waiting for ever
    assert on["main"] == {"push": {"branches": ["main"]}}
    rules = GitLab(project).file["workflow"]["rules"]
    assert [re.findall(r'"(\w+)"', rule["if"])[0] for rule in rules] == ["merge_request_event", "push", "web"]


def test_releases_come_one_at_a_time_and_are_not_cancelled(made):
    project = made(forge="both")
    for name in ("main", "rollback"):
        assert workflow(project, name)["concurrency"] == {"group": "production", "queue": "max"}
    assert workflow(project, "request")["concurrency"]["cancel-in-progress"] is True
    lab = GitLab(project)
    assert lab.file["workflow"]["rules"][1]["auto_cancel"] == {"on_new_commit": "none"}
    for name in ("deploy", "verify", "load", "promote", "rollback"):
        assert lab.jobs[name]["resource_group"] == "production"
        assert lab.jobs[name]["interruptible"] is False


def test_a_release_is_judged_only_where_it_is_the_pipelines_own(made):
    """Each job knows the release that its own pipeline packaged; the words refuse another one (test_release.py)."""
    project = made(forge="both")
    theirs = GitLab(project).jobs
    for name in ("verify", "load", "promote"):
        steps = workflow(project, "main")["jobs"][name]["steps"]
        assert {"name": "package", "path": "build/"} in [step.get("with") for step in steps]
        assert "package" in theirs[name]["needs"]
        assert "dependencies" not in theirs[name]
    assert theirs["package"]["artifacts"]["paths"] == ["build/"]


def test_trainings_wait_in_line_and_cancel_nobody(made):
    """A group of GitHub's that is not told to queue keeps one that waits, and silently cancels the others."""
    ours, theirs = trainings(made(forge="both"))
    assert [job["concurrency"] for job in ours] == [{"group": "gpu", "queue": "max"}] * 2
    assert "concurrency" not in workflow(made(forge="both"), "train")
    assert [(job["resource_group"], job["interruptible"]) for job in theirs] == [("gpu", False)] * 2


def test_only_a_lost_runner_is_retried(made):
    project = made(forge="both")
    lost = {"max": 2, "when": ["runner_system_failure", "runner_interrupted", "no_updates_running"]}
    retried = {name: job["retry"] for name, job in GitLab(project).jobs.items() if "retry" in job}
    assert retried == {"train": lost, "train-branch": lost}


def test_a_training_that_meets_its_time_limit_is_diagnosed_and_cleaned_up(made):
    ours, theirs = trainings(made(forge="both"))
    for job in ours:
        limit = job["env"]["TIME_LIMIT_MINUTES"]
        (step,) = (step for step in job["steps"] if step.get("run", "").startswith("python3 -m ci.train"))
        assert step["timeout-minutes"] == limit < job["timeout-minutes"]
        last = job["steps"][-3:]
        assert [step.get("run", step.get("uses", "").split("@")[0]) for step in last] == [
            "python3 -m ci.diagnose", "actions/upload-artifact", "python3 -m ci.clean",
        ]  # fmt: skip
        assert {step["if"] for step in last} == {"always()"}
        assert last[0]["env"] == {"JOB_STATUS": "${{ job.status }}"}
    for job in theirs:
        given = job["variables"]
        assert given["RUNNER_SCRIPT_TIMEOUT"] == f"{given['TIME_LIMIT_MINUTES']}m"
        times = [int(given[f"RUNNER_{name}_TIMEOUT"].rstrip("m")) for name in ("SCRIPT", "AFTER_SCRIPT")]
        assert sum(times) < 60 * int(job["timeout"].rstrip("h"))
        assert job["artifacts"] == {"when": "always", "paths": ["dvc.lock", "reports/", "build/training/"]}


def test_a_training_does_not_fall_back_to_the_cpu_unasked(made):
    project = made(forge="both")
    ours, _ = trainings(project)
    assert {job["env"]["REQUIRE_GPU"] for job in ours} == {"${{ vars.REQUIRE_GPU || 'yes' }}"}
    assert GitLab(project).file["variables"]["REQUIRE_GPU"] == "yes"


def test_every_job_has_a_time_limit(made):
    project = made(forge="both")
    limits = [job["timeout-minutes"] for file in workflows(project).values() for job in file["jobs"].values()]
    assert all(0 < limit <= 720 for limit in limits)
    assert all(re.fullmatch(r"(\d\dm|12h)", job["timeout"]) for job in GitLab(project).jobs.values())


def test_staging_and_production_are_environments_and_nothing_else_is(made):
    project = made(forge="both")
    ours = {name: job.get("environment") for file in workflows(project).values() for name, job in file["jobs"].items()}
    wanted = {"deploy": "staging", "promote": "production", "rollback": "production"}
    assert {name: where for name, where in ours.items() if where} == wanted
    theirs = {name: job["environment"] for name, job in GitLab(project).jobs.items() if "environment" in job}
    assert theirs == wanted


def test_what_became_of_a_release_is_told_however_it_ended(made):
    project = made(forge="both")
    ours, theirs = workflow(project, "main")["jobs"]["status"], GitLab(project).jobs["status"]
    assert ours["if"] == "always() && needs.preflight.outputs.heavy != 'false'"
    assert [rule["when"] for rule in theirs["rules"]] == ["always"]
    assert {key: theirs["rules"][0][key] for key in ("if", "changes", "exists")} == {
        key: GitLab(project).jobs["promote"]["rules"][0][key] for key in ("if", "changes", "exists")
    }


WRITES = {
    ("request", "train"): {"contents": "write", "actions": "write"},
    ("request", "report"): {"contents": "read", "pull-requests": "write"},
    ("request", "pass"): {},
    ("train", "train"): {"contents": "write", "actions": "write"},
    ("main", "package"): {"contents": "read", "packages": "write", "id-token": "write"},
    ("main", "deploy"): {"contents": "read", "packages": "read"},
    ("main", "promote"): {"contents": "read", "packages": "read"},
    ("rollback", "rollback"): {"contents": "read", "packages": "read"},
    ("main", "status"): {"contents": "read", "statuses": "write"},
}


def test_jobs_may_do_no_more_than_they_must(made):
    project = made(forge="github")
    for name, file in workflows(project).items():
        assert file["permissions"] == {}
        for job, content in file["jobs"].items():
            assert content["permissions"] == WRITES.get((name, job), {"contents": "read"})
            for step in content["steps"]:
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] is False


def test_actions_are_pinned(made):
    project = made(forge="github")
    for path in project.glob(".github/**/*.yml"):
        for used in re.findall(r"^[ -]*uses: (.*)", path.read_text(), re.MULTILINE):
            assert used.startswith("./") or re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used)


@pytest.mark.parametrize("public", [False, True])
def test_strangers_meet_no_gpu_and_no_token(made, public):
    project = made(forge="both", public=public)
    jobs = workflow(project, "request")["jobs"]
    trusted = jobs["preflight"]["outputs"]["trusted"]
    assert "head.repo.full_name == github.repository" in trusted
    assert "steps." not in trusted  # what a step says, a stranger's code can say
    for name, job in jobs.items():
        privileged = "write" in job["permissions"].values() or job["runs-on"] != HOSTED
        if privileged:
            assert "needs.preflight.outputs.trusted == 'true'" in job["if"], name
        for step in job["steps"]:  # a token is in the environment of one step, never of a job
            if "github.token" in json.dumps(step):
                assert step["run"] in ("python3 -m ci.commit", "python3 -m ci.post")
        assert "github.token" not in json.dumps(job.get("env", {}))
    for name, job in GitLab(project).of("merge_request_event").items():
        if job.get("tags") or name in ("report", "gate"):
            first = job["rules"][0]
            assert first["when"] == "never", name
            assert "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID != $CI_MERGE_REQUEST_PROJECT_ID" in first["if"]


def test_a_public_repository_asks_before_it_trains(made):
    for public in (False, True):
        project = made(forge="both", public=public)
        assert workflow(project, "request")["jobs"]["train"].get("environment") == ("gpu" if public else None)
        train = GitLab(project).jobs["train"]
        assert train.get("environment") == ("gpu" if public else None)
        assert (train["rules"][-1].get("when") == "manual") == public
        assert train["rules"][-1].get("allow_failure", False) is False
