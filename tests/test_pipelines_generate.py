"""This repository's own pipelines executed on both forges: its tests, and the form that makes a project.

git is served over HTTP, and the forges' APIs are GitHub's emulated and a double of GitLab's: nothing is pretended to
have been created or pushed.
"""

import os
import sys
import tarfile
from pathlib import Path

import pytest
from conftest import TEMPLATE, checkout, commit, run
from engines import forges, repositories
from engines.github import Hub, repository
from engines.gitlab import Lab

FAST = {"ARGS": "tests/test_pipelines_generate.py -k refused_leaves_nothing", "WORKERS": "0"}


class Forge:
    """A forge whose API makes repositories in `root`, served over HTTP; `job` is what its jobs' variables say."""

    def __init__(self, name: str, double, api: dict[str, str], server) -> None:
        self.name, self.double, self.server = name, double, server
        address = {"github": "GITHUB_SERVER_URL", "gitlab": "CI_SERVER_URL"}[name]
        runs = {"github": {"GITHUB_ACTIONS": "true"}, "gitlab": {"GITLAB_CI": "true"}}[name]
        self.job = api | runs | {address: server.url}

    def clone(self, path: str, into: Path) -> Path:
        assert run(["git", "clone", "--quiet", f"{self.server.url}/{path}.git", into], into.parent).returncode == 0
        return into


@pytest.fixture(scope="module", params=["github", "gitlab"])
def forge(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    with (
        {"github": forges.github, "gitlab": forges.gitlab}[request.param](folder) as (double, api),
        repositories.over_http(folder / "repositories", forges.TOKEN) as server,
    ):
        yield Forge(request.param, double, api, server)


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> str:
    """This repository, as it is here, with one commit."""
    made = checkout(tmp_path_factory.mktemp("origin") / "cookiecutter-shipshape")
    assert run(["git", "init", "--quiet", "--initial-branch=main"], made).returncode == 0
    commit(made, "As it is")
    return f"file://{made}"


def start(forge: Forge, origin: str, folder: Path, job: str, variables: dict[str, str], answers: dict[str, str]):
    """One pipeline of this repository: `test` of a push, or `generate` by hand with these answers.

    Its packages are those that this runs with.
    """
    machine = {"UV": os.environ["UV"], "UV_NO_SYNC": "1", "UV_PROJECT_ENVIRONMENT": sys.prefix}
    if forge.name == "github":
        hub = Hub(origin, folder, **machine, **forge.job, **variables)
        if job == "test":
            event = {"ref": "refs/heads/main", "repository": repository()}
            return hub.run("push", "test.yml", "main", event)
        event = {"ref": "refs/heads/main", "inputs": answers, "repository": repository()}
        secrets = {"GITHUB_TOKEN": forges.TOKEN, "REPOSITORY_TOKEN": forges.TOKEN}
        return hub.run("workflow_dispatch", "generate.yml", "main", event, inputs=answers, secrets=secrets)
    lab = Lab(origin, folder, **machine, **forge.job, **variables)
    if job == "test":
        return lab.run("main", {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main"})
    asked = {f"ANSWER_{name.upper()}": value for name, value in answers.items() if name != "owner"}
    asked |= {"REPOSITORY_OWNER": answers["owner"], "REPOSITORY_TOKEN": forges.TOKEN}
    return lab.run("main", {"CI_PIPELINE_SOURCE": "web", "GENERATE": "yes", **asked})


def test_a_push_is_tested(forge, origin, tmp_path):
    ran = start(forge, origin, tmp_path, "test", FAST, {})
    assert ran.jobs == {"test": "success"}
    assert "All checks passed!" in ran.output  # of the linter
    assert "1 passed" in ran.output


def test_the_form_becomes_an_artifact_and_a_repository(forge, origin, tmp_path):
    answers = {"project": "late-trains", "forge": "gitlab", "public": "true", "owner": "team"}
    ran = start(forge, origin, tmp_path, "generate", {}, answers)
    assert ran.jobs == {"generate": "success"}
    assert f"{forge.server.url}/team/late-trains" in ran.output
    (artifact,) = ran.artifacts.rglob("late-trains.tar.gz")
    with tarfile.open(artifact) as packed:
        packed.extractall(tmp_path / "unpacked", filter="data")
    made, cloned = tmp_path / "unpacked" / "late-trains", forge.clone("team/late-trains", tmp_path / "cloned")
    assert (made / ".gitlab-ci.yml").exists()
    assert run(["git", "status", "--porcelain"], made).stdout == ""
    assert not [path for path in made.rglob("*") if path.is_file() and forges.TOKEN.encode() in path.read_bytes()]
    assert forges.TOKEN not in ran.output
    heads = [run(["git", "log", "--format=%H %T %an %s"], folder).stdout for folder in (made, cloned)]
    assert heads[0] == heads[1] != ""
    (created,) = [body for method, path, body in forge.double.calls if method == "POST"]
    assert created["name"] == "late-trains"
    assert created.get("visibility") == "public" or created["private"] is False


def generate(folder: Path, forge: Forge | None = None, answers: dict[str, str] | None = None, **variables: str):
    given = {f"ANSWER_{name.upper()}": value for name, value in (answers or {"project": "late-trains"}).items()}
    nowhere = {"GITHUB_ACTIONS": "", "GITLAB_CI": ""}  # whatever runs this
    job = nowhere | (forge.job if forge else {}) | {"REPOSITORY_TOKEN": forges.TOKEN}
    return run([sys.executable, "-m", "ci.generate", folder], TEMPLATE, env=job | given | variables)


def test_an_own_name_is_an_owner_and_what_is_there_is_left_alone(forge, tmp_path):
    assert generate(tmp_path / "one", forge, REPOSITORY_OWNER="dev").returncode == 0
    before = run(["git", "log"], forge.clone("dev/late-trains", tmp_path / "cloned")).stdout
    done = generate(tmp_path / "other", forge, REPOSITORY_OWNER="dev")
    assert done.returncode == 2
    assert "dev/late-trains is there already; nothing was created" in done.stderr
    assert (tmp_path / "other" / "late-trains.tar.gz").exists()
    assert run(["git", "log"], forge.clone("dev/late-trains", tmp_path / "again")).stdout == before


REFUSED = {
    "token": ({"REPOSITORY_TOKEN": "of-somebody"}, "the forge does not know REPOSITORY_TOKEN; nothing was created"),
    "owner": ({"REPOSITORY_OWNER": "strangers"}, "strangers/late-boats could not be created: the forge answers 404"),
    "none": ({"REPOSITORY_TOKEN": ""}, "there is no REPOSITORY_TOKEN to make a repository with"),
}


@pytest.mark.parametrize(("variables", "why"), REFUSED.values(), ids=REFUSED)
def test_a_repository_that_is_refused_is_not_there(forge, tmp_path, variables, why):
    before = sorted(forge.server.root.rglob("*.git"))
    done = generate(tmp_path, forge, {"project": "late-boats"}, **{"REPOSITORY_OWNER": "team", **variables})
    assert done.returncode == 2
    assert why in done.stderr
    assert "of-somebody" not in done.stderr
    assert sorted(forge.server.root.rglob("*.git")) == before


def test_a_push_that_is_refused_is_told_with_what_was_created(forge, tmp_path):
    forge.server.token = "another"  # noqa: S105 - that creates, but may not push
    try:
        done = generate(tmp_path, forge, {"project": "late-ships"}, REPOSITORY_OWNER="team")
    finally:
        forge.server.token = forges.TOKEN
    assert done.returncode == 2
    assert f"{forge.server.url}/team/late-ships was created and is empty" in done.stderr
    assert run(["git", "branch"], forge.clone("team/late-ships", tmp_path / "cloned")).stdout == ""


def test_without_an_owner_there_is_an_artifact_alone(tmp_path):
    assert generate(tmp_path).returncode == 0
    assert (tmp_path / "late-trains.tar.gz").exists()


def test_outside_of_a_pipeline_nothing_can_be_created(tmp_path):
    done = generate(tmp_path, REPOSITORY_OWNER="team")
    assert done.returncode == 2
    assert "no pipeline of GitHub or GitLab" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_form_that_is_refused_leaves_nothing(tmp_path):
    done = generate(tmp_path, answers={"project": "Late Trains"})
    assert done.returncode == 1
    assert "project" in done.stderr
    assert not list(tmp_path.iterdir())
