"""What is generated: complete, clean, locked and consistent for the defaults and for every choice."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import TEMPLATE, render, run, source, uv

OPENING = {
    "MIT": "MIT License",
    "Apache-2.0": "Apache License",
    "BSD-3-Clause": "BSD 3-Clause License",
    "Proprietary": "Copyright (c)",
}
QUESTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text())
CHOICES = [(field, value) for field, values in QUESTIONS.items() if isinstance(values, list) for value in values]


def git(project: Path, *arguments: str, env: dict | None = None) -> str:
    done = run(["git", *arguments], project, env=env)
    assert done.returncode == 0
    return done.stdout.strip()


def files(project: Path) -> list[str]:
    found = (path.relative_to(project) for path in project.rglob("*") if not path.is_dir())
    return sorted(str(path) for path in found if path.parts[0] != ".git")


def texts(project: Path) -> dict[str, str]:
    return {name: (project / name).read_text() for name in files(project)}


def words(project: Path) -> dict[str, str]:
    """The project's vocabulary, word by word with what it says about itself."""
    code = "import json; from ci.words import WORDS; print(json.dumps({n: w.about for n, w in WORDS.items()}))"
    done = run([sys.executable, "-c", code], project)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def baked(tmp_path_factory):
    return render(tmp_path_factory.mktemp("baked"))


def test_one_commit_on_main_and_clean(baked):
    assert git(baked, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert git(baked, "rev-list", "--count", "HEAD") == "1"
    assert git(baked, "status", "--porcelain", "--ignored") == ""


def test_every_file_is_committed(baked):
    assert git(baked, "ls-files").splitlines() == files(baked)


def test_nothing_of_the_template_is_left(baked):
    left = {name for name, text in texts(baked).items() if re.search(r"<<|<%|<#|cookiecutter\.", text)}
    assert not left


def test_every_file_parses(baked):
    for name, text in texts(baked).items():
        if name.endswith(".py"):
            ast.parse(text, name)
        elif name.endswith((".yaml", ".yml", ".dvc")) or name == "dvc.lock":
            list(yaml.safe_load_all(text))
        elif name.endswith((".toml", "uv.lock")):
            tomllib.loads(text)
        elif name.endswith(".json"):
            json.loads(text)


def test_ruff_is_content(baked):
    assert run([sys.executable, "-m", "ruff", "check", "--no-cache", "."], baked).returncode == 0


def test_the_next_step_is_said(tmp_path, capfd):
    made = render(tmp_path)
    assert f"{made.name} && make setup && make train" in capfd.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(("field", "value"), CHOICES, ids=[f"{field}={value}" for field, value in CHOICES])
def test_every_choice(bake, field, value, tmp_path):
    made = bake(**{field: value})
    defaults = {name: given[0] if isinstance(given, list) else given for name, given in QUESTIONS.items()}
    answers = defaults | {field: value}
    declared = tomllib.loads((made / "pyproject.toml").read_text())["project"]
    assert (made / ".python-version").read_text() == answers["python"] + "\n"
    assert declared["license"] == answers["licence"].replace("Proprietary", "LicenseRef-Proprietary")
    assert (made / "LICENSE").read_text().lstrip().startswith(OPENING[answers["licence"]])
    assert git(made, "status", "--porcelain", "--ignored") == ""
    empty_cache = {"UV_CACHE_DIR": str(tmp_path / "cache"), "UV_PYTHON_DOWNLOADS": "never"}
    checked = run([uv(), "lock", "--check", "--offline"], made, env=empty_cache)
    assert checked.returncode == 0


@pytest.mark.parametrize("python", QUESTIONS["python"])
def test_the_lock_installs_on_every_python(bake, python, tmp_path):
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    path = os.pathsep.join([*map(str, pyenv.glob(f"{python}.*/bin")), os.environ["PATH"]])
    environment = {"PATH": path, "UV_PROJECT_ENVIRONMENT": str(tmp_path / "venv"), "UV_PYTHON_DOWNLOADS": "never"}
    if run([uv(), "python", "find", python], tmp_path, env=environment).returncode:
        pytest.skip(f"no Python {python} on this machine")
    made = bake(python=python)
    command = [uv(), "sync", "--locked", "--dry-run", "--only-group", "data", "--only-group", "check"]
    done = run(command, made, env=environment)
    assert done.returncode == 0
    assert "+ dvc==" in done.stderr


@pytest.mark.parametrize("licence", ["MIT", "BSD-3-Clause", "Proprietary"])
def test_the_licence_names_author_and_year(bake, licence):
    made = bake(licence=licence, author="Ada & Co")
    assert re.search(r"Copyright \(c\) 20\d\d Ada & Co", (made / "LICENSE").read_text())


def test_words_stand_in_makefile_readme_and_modules_alike(baked):
    spoken = set(words(baked))
    makefile = re.search(r"^WORDS := (.*)$", (baked / "Makefile").read_text(), re.MULTILINE)[1].split()
    headings = re.findall(r"^### `make ([a-z]+)`", (baked / "README.md").read_text(), re.MULTILINE)
    helpers = {"__init__", "__main__"}
    modules = {path.stem for path in (baked / "ci").glob("*.py")} - helpers
    assert set(makefile) == spoken
    assert set(headings) == spoken
    assert spoken <= modules


def test_readme_names_only_words_that_exist(baked):
    for readme in (baked / "README.md", TEMPLATE / "README.md"):
        named = set(re.findall(r"\bmake ([a-z]+)\b", " ".join(re.findall(r"`+[^`]+`+", readme.read_text()))))
        own = set(re.findall(r"^([a-z]+):", (TEMPLATE / "Makefile").read_text(), re.MULTILINE))
        assert named <= set(words(baked)) | (own if readme.parent == TEMPLATE else set())


def test_help_lists_every_word(baked):
    done = run([sys.executable, "-m", "ci"], baked)
    assert all(f"make {word}" in done.stdout and about in done.stdout for word, about in words(baked).items())


def test_questions_are_few_and_explained():
    asked = [name for name in QUESTIONS if not name.startswith("_")]
    assert len(asked) <= 10
    assert set(QUESTIONS["__prompts__"]) == set(asked)
    assert all("\n" not in text and 10 < len(text) <= 100 for text in QUESTIONS["__prompts__"].values())


def test_one_folder_is_the_template_and_cruft_finds_it():
    (folder,) = TEMPLATE.glob("<<cookiecutter*")
    (link,) = TEMPLATE.glob("{{cookiecutter*")
    assert folder.is_dir()
    assert not folder.is_symlink()
    assert link.is_symlink()
    assert link.resolve() == folder


def test_both_repositories_bring_the_same_uv(baked):
    here = re.search(r"^UV_VERSION := (\S+)$", (TEMPLATE / "Makefile").read_text(), re.MULTILINE)[1]
    there = re.search(r'^UV_VERSION = "(\S+)"$', (baked / "ci" / "environment.py").read_text(), re.MULTILINE)[1]
    assert here == there


def generate(into: Path, env: dict | None = None, **answers: str):
    """Run the command line as a person does; return the CompletedProcess."""
    into.mkdir(parents=True, exist_ok=True)
    given = [f"{name}={value}" for name, value in answers.items()]
    command = [sys.executable, "-m", "cookiecutter", str(source()), "--no-input", "--output-dir", str(into), *given]
    home = into.parent / "home"
    home.mkdir(exist_ok=True)
    return run(command, into, env={"HOME": str(home), "XDG_CONFIG_HOME": str(home), **(env or {})})


def test_without_a_git_identity_the_author_signs(tmp_path, monkeypatch):
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    assert generate(tmp_path / "out", author="Ada Lovelace").returncode == 0
    made = tmp_path / "out" / "flight-delays"
    assert git(made, "log", "--format=%an %cn") == "Ada Lovelace Ada Lovelace"
    assert "user" not in (made / ".git" / "config").read_text()


def test_an_identity_of_the_user_signs(tmp_path, monkeypatch):
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n  name = Grace Hopper\n  email = grace@example.org\n")
    assert generate(tmp_path / "out", env={"GIT_CONFIG_GLOBAL": str(config)}).returncode == 0
    made = tmp_path / "out" / "flight-delays"
    assert git(made, "log", "--format=%an <%ae>") == "Grace Hopper <grace@example.org>"


def test_a_hostile_git_configuration_changes_nothing(tmp_path):
    hooks = tmp_path / "hooks"
    template = tmp_path / "git-template" / "hooks"
    for folder in (hooks, template):
        folder.mkdir(parents=True)
        hook = folder / "pre-commit"
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
    (tmp_path / "ignore").write_text("*.yaml\n*.py\n")
    config = tmp_path / "gitconfig"
    config.write_text(
        f"[core]\n  hooksPath = {hooks}\n  excludesFile = {tmp_path / 'ignore'}\n  autocrlf = true\n"
        f"[init]\n  templateDir = {template.parent}\n  defaultBranch = trunk\n"
        "[commit]\n  gpgSign = true\n  template = /nowhere\n[gpg]\n  program = false\n"
    )
    hostile = {"GIT_CONFIG_GLOBAL": str(config)}
    assert generate(tmp_path / "out", env=hostile).returncode == 0
    made = tmp_path / "out" / "flight-delays"
    assert git(made, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert git(made, "ls-files").splitlines() == files(made)
    assert git(made, "status", "--porcelain", env=hostile) == ""


def test_inside_another_repository_it_is_its_own(tmp_path):
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet", "--initial-branch", "main")
    inside_a_hook = {"GIT_DIR": str(outer / ".git"), "GIT_INDEX_FILE": str(outer / ".git" / "index")}
    assert generate(outer / "projects", env=inside_a_hook).returncode == 0
    made = outer / "projects" / "flight-delays"
    assert git(made, "rev-parse", "--show-toplevel") == str(made.resolve())
    assert git(made, "status", "--porcelain") == ""
    assert run(["git", "rev-parse", "--verify", "HEAD"], outer).returncode != 0, "the outer repository was committed to"
    assert git(outer, "ls-files") == ""


def test_generation_needs_no_network(tmp_path):
    unshare = ["unshare", "--net", "--map-root-user"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let the test take the network away (unshare --net)")
    (tmp_path / "home").mkdir()
    command = [*unshare, sys.executable, "-m", "cookiecutter", str(source()), "--no-input", "-o", str(tmp_path / "out")]
    assert run(command, tmp_path, env={"HOME": str(tmp_path / "home")}).returncode == 0
    assert git(tmp_path / "out" / "flight-delays", "status", "--porcelain") == ""
