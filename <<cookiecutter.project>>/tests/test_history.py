"""Which commit a candidate is compared with, and what dvc.lock says of it."""

import hashlib
import subprocess

import pytest

from ci.compare import history
from << cookiecutter.__package >>.outcome import Unjudged

LOCK = "schema: '2.0'\nstages:\n  export:\n    cmd: x\n    outs:\n    - path: models/model.onnx\n      md5: {}\n"


def git(*arguments):
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """main with two models, and the working tree on it; returns `commit(md5) -> hash`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BASE_REF", raising=False)
    git("init", "--quiet", "--initial-branch", "main")

    def commit(model):
        (tmp_path / "dvc.lock").write_text(LOCK.format(model))
        git("add", "--all")
        git("commit", "--quiet", "--allow-empty", "--message", model)
        return git("rev-parse", "HEAD")

    return commit


def test_outputs():
    assert history.outputs(LOCK.format("abc")) == {"models/model.onnx": "abc"}
    assert history.outputs(None) == history.outputs("") == history.outputs("schema: '2.0'") == {}


def test_nothing_before_the_first_commit(repository):
    repository("a")
    assert history.base(None, "a") == history.Base()


def test_on_main_it_is_the_commit_before(repository):
    first = repository("a")
    repository("b")
    assert history.base(None, "b").revision == first


def test_a_new_model_in_the_working_tree_is_compared_with_the_last_commit(repository):
    repository("a")
    second = repository("b")
    assert history.base(None, "c").revision == second


def test_on_a_branch_it_is_where_the_branch_left_main(repository):
    left = repository("a")
    git("switch", "--quiet", "--create", "feature")
    repository("b")
    repository("c")
    git("switch", "--quiet", "main")
    repository("d")
    git("switch", "--quiet", "feature")
    assert history.base(None, "c") == history.Base(left, "main")


def test_asked_for(repository, monkeypatch):
    first = repository("a")
    repository("b")
    repository("c")
    assert history.base("HEAD~2", "c") == history.Base(first, "HEAD~2")
    monkeypatch.setenv("BASE_REF", first)
    assert history.base(None, "c").revision == first
    with pytest.raises(Unjudged, match="elsewhere") as refused:
        history.base("elsewhere", "c")
    assert "git fetch origin elsewhere" in refused.value.remedy


def test_a_shallow_clone_is_not_a_first_commit(repository, tmp_path, monkeypatch):
    repository("a")
    repository("b")
    git("clone", "--quiet", "--depth", "1", f"file://{tmp_path}", str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    found = history.base(None, "b")
    assert not found.revision
    assert "fetch the whole history" in found.why


def test_without_a_main_branch_nothing_is_known(repository):
    repository("a")
    git("branch", "--quiet", "--move", "trunk")
    assert "no branch main" in history.base(None, "a").why


def test_a_file_must_be_the_recorded_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Unjudged, match=r"no dvc\.lock"):
        history.recorded()
    lock = tmp_path / "dvc.lock"
    lock.write_text(LOCK.format("abc") + "  evaluate:\n    deps:\n    - path: models/model.onnx\n      md5: abc\n")
    assert history.recorded() == {"models/model.onnx": "abc"}
    lock.write_text(lock.read_text().replace("md5: abc", "md5: abd", 1))
    with pytest.raises(Unjudged, match="torn: evaluate"):
        history.recorded()
    lock = {"model": hashlib.md5(b"right", usedforsecurity=False).hexdigest()}
    with pytest.raises(Unjudged, match="records no other"):
        history.current("other", lock)
    with pytest.raises(Unjudged, match="not here"):
        history.current("model", lock)
    (tmp_path / "model").write_bytes(b"wrong")
    with pytest.raises(Unjudged, match="not the file"):
        history.current("model", lock)
    (tmp_path / "model").write_bytes(b"right")
    assert history.current("model", lock) == lock["model"]
