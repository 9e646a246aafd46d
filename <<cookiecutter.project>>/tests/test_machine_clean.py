"""What a training leaves behind goes, and nothing else."""

import json
import os
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager

import psutil
import pytest

from ci import clean
from ci.machine import caches, journal, leftovers
from ci.machine.caches import Cache, Entry
from << cookiecutter.__package >>.outcome import Unjudged

WAIT = "print('here', flush=True); __import__('signal').pause()"


@contextmanager
def process(*command: str, **variables: str):
    """A process that runs until it is ended."""
    with subprocess.Popen(
        [*(command or [sys.executable]), "-c", WAIT], stdout=subprocess.PIPE, env={**os.environ, **variables}
    ) as made:
        assert made.stdout.readline() == b"here\n"
        try:
            yield psutil.Process(made.pid)
        finally:
            made.kill()


@pytest.fixture
def run() -> str:
    """The mark of a training of this test's own: others run beside it."""
    return uuid.uuid4().hex


def begun(folder, run: str, process: int) -> None:
    (folder / "build" / "training").mkdir(parents=True)
    entry = {"event": "begin", "run": run, "process": process, "created": 0.0}
    (folder / journal.JOURNAL).write_text(json.dumps(entry) + "\n")


def test_processes_of_the_training_are_ended_and_no_others(tmp_path, monkeypatch, capsys, run):
    monkeypatch.chdir(tmp_path)
    begun(tmp_path, run, os.getpid())
    with process(TRAINING_RUN=run) as mine, process(TRAINING_RUN=f"not {run}") as other:
        clean.processes()
        assert not mine.is_running() or mine.status() == psutil.STATUS_ZOMBIE
        assert other.status() != psutil.STATUS_ZOMBIE
    assert f"process {mine.pid}" in capsys.readouterr().out


@pytest.mark.parametrize("run", ["", None])
def test_no_mark_marks_nobody(run):
    with process():
        assert leftovers.marked(run) == []


def test_a_training_at_work_is_left_alone(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    journal.begin(run, ["cpu"])
    with process(TRAINING_RUN=run) as mine:
        clean.processes()
        assert mine.status() != psutil.STATUS_ZOMBIE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_a_container_go_back_to_the_owner_of_the_workspace(tmp_path, capsys):
    os.chown(tmp_path, 1234, 1234)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "link").symlink_to("/etc/passwd")
    owner = os.stat("/etc/passwd").st_uid
    clean.workspace(tmp_path)
    assert {path.lstat().st_uid for path in tmp_path.rglob("*")} == {1234}
    assert os.stat("/etc/passwd").st_uid == owner
    assert "2 files given back" in capsys.readouterr().out


def test_files_that_cannot_be_given_back_are_named(tmp_path, monkeypatch):
    (tmp_path / "stranger").touch()
    monkeypatch.setattr(leftovers, "foreign", lambda root: [tmp_path / "stranger"])
    monkeypatch.setattr(leftovers, "give_back", lambda root, paths: 1)
    with pytest.raises(Unjudged, match="1 files of the workspace belong to another user, among them stranger"):
        clean.workspace(tmp_path)


def test_the_least_recently_used_goes_first():
    gone = []
    sizes = {"old": 3, "used": 5, "middle": 4, "new": 2}

    def entry(name: str, age: int) -> Entry:
        return Entry(name, sizes[name], -age, lambda: gone.append(name) is None)

    ages = {"new": 1, "old": 9, "used": 8, "middle": 5}
    cache = Cache("a", [entry(name, age) for name, age in ages.items()])
    assert cache.bound(7) == (14, 6, 2)
    assert gone == ["old", "used"]
    gone.clear()
    assert cache.bound(14) == (14, 14, 0)


def test_what_is_in_use_stays():
    cache = Cache("a", [Entry("used", 9, 0, lambda: False), Entry("other", 9, 1, lambda: True)])
    assert cache.bound(0) == (18, 9, 1)


def test_an_environment_goes_unless_a_process_runs_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("ENVIRONMENTS", str(tmp_path))
    for name in ("used", "unused", "release-1"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "python").symlink_to(sys.executable)
    for name in ("used", "unused"):
        (tmp_path / name / "locked").write_text("hash")
    with process(str(tmp_path / "used" / "bin" / "python")):
        assert caches.environments().bound(0)[2] == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["release-1", "used"]


def test_checkpoints_of_an_hour_ago_go_and_nothing_else(tmp_path):
    for name, age in (("a" * 64, 7200), ("b" * 64, 60), ("notes", 7200)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "round-000001.checkpoint").write_bytes(b"12")
        for path in (tmp_path / name / "round-000001.checkpoint", tmp_path / name):
            os.utime(path, (time.time() - age,) * 2)
    assert caches.checkpoints(tmp_path).bound(0) == (4, 2, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b" * 64, "notes"]
    assert caches.checkpoints(tmp_path / "nowhere").bound(0) == (0, 0, 0)
