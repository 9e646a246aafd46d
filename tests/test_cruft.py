"""Projects follow the template: cruft creates, checks, merges an update, and shows a conflict."""

import json
import sys
from pathlib import Path

import pytest
from conftest import checkout, commit, run


def git(folder: Path, *arguments: str) -> str:
    done = run(["git", *arguments], folder)
    assert done.returncode == 0
    return done.stdout.strip()


def cruft(folder: Path, *arguments):
    return run([sys.executable, "-m", "cruft", *arguments], folder, env={"HOME": str(folder.parent)})


def amend(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


@pytest.fixture
def template(tmp_path) -> Path:
    """A clone of the template whose history the test may continue."""
    made = checkout(tmp_path / "cookiecutter-shipshape")
    git(made, "init", "--quiet", "--initial-branch", "main")
    commit(made, "Template")
    return made


@pytest.fixture
def created(template, tmp_path) -> Path:
    """A project made by cruft, with its first commit as the README says."""
    assert cruft(tmp_path, "create", template, "--no-input").returncode == 0
    made = tmp_path / "flight-delays"
    git(made, "init", "--quiet", "--initial-branch", "main")
    commit(made, "Start")
    return made


def parameters(template: Path) -> Path:
    (folder,) = template.glob("<<cookiecutter*")
    return folder / "params.yaml"


def test_create_leaves_the_first_commit_to_its_user(template, tmp_path):
    assert cruft(tmp_path, "create", template, "--no-input").returncode == 0
    made = tmp_path / "flight-delays"
    assert not (made / ".git").exists()
    record = json.loads((made / ".cruft.json").read_text())
    assert record["commit"] == git(template, "rev-parse", "HEAD")


def test_check_and_diff_find_nothing_to_do(created):
    assert cruft(created, "check").returncode == 0
    assert cruft(created, "diff", "--exit-code").returncode == 0
    assert git(created, "status", "--porcelain") == ""


def test_an_update_merges_with_the_project_s_own_changes(created, template):
    amend(created / "params.yaml", "seed: 2013", "seed: 7")
    commit(created, "Own seed")
    amend(parameters(template), "minimum_slice_rows: 500", "minimum_slice_rows: 400")
    (parameters(template).parent / "NEWS.md").write_text("<< cookiecutter.project >>\n")
    commit(template, "Smaller slices")
    assert cruft(created, "check").returncode == 1
    assert cruft(created, "update", "--skip-apply-ask").returncode == 0
    text = (created / "params.yaml").read_text()
    assert "seed: 7" in text
    assert "minimum_slice_rows: 400" in text
    assert (created / "NEWS.md").read_text() == "flight-delays\n"
    changed = git(created, "status", "--porcelain").splitlines()
    assert {line[3:] if line[2] == " " else line[2:] for line in changed} == {".cruft.json", "NEWS.md", "params.yaml"}
    assert not git(created, "diff", "--name-only", "--diff-filter=U")
    commit(created, "Update")
    assert cruft(created, "check").returncode == 0


def test_a_conflict_is_shown_by_git(created, template):
    amend(created / "params.yaml", "learning_rate: 0.1", "learning_rate: 0.2")
    commit(created, "Own rate")
    amend(parameters(template), "learning_rate: 0.1", "learning_rate: 0.05")
    commit(template, "Slower")
    cruft(created, "update", "--skip-apply-ask")
    assert git(created, "diff", "--name-only", "--diff-filter=U") == "params.yaml"
    text = (created / "params.yaml").read_text()
    assert "learning_rate: 0.2" in text
    assert "learning_rate: 0.05" in text


def test_an_answer_can_be_changed_later(created):
    changed = ["--variables-to-update", '{"licence": "Apache-2.0"}']
    assert cruft(created, "update", "--skip-apply-ask", *changed).returncode == 0
    assert "Apache License" in (created / "LICENSE").read_text()
    assert not git(created, "diff", "--name-only", "--diff-filter=U")


def test_a_refused_answer_changes_nothing(created):
    wrong = '{"description": "two\\nlines"}'
    done = cruft(created, "update", "--skip-apply-ask", "--variables-to-update", wrong)
    assert done.returncode != 0
    assert "description: 'two\\nlines' cannot be used" in done.stderr
    assert git(created, "status", "--porcelain") == ""
