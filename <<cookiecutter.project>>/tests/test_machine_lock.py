"""One training at a time on a device."""

import json
import os
import subprocess
import sys

import pytest

from ci.machine import lock
from << cookiecutter.__package >>.outcome import Unjudged

NOTE = {"run": "one", "project": "flights", "user": "ann", "process": 7, "since": "2026-01-01T00:00:00+00:00"}
# Holds the lock of the device `cpu` and says so.
HOLDER = """
import signal, sys
from ci.machine import lock
with lock.hold(["cpu"], lock.about("first", "flights"), lambda: True):
    print("held", flush=True)
    signal.pause()
"""


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("LOCK_WAIT_MINUTES", "0")
    return tmp_path / "locks"


def in_vain(said: str, device: str = "a") -> None:
    with pytest.raises(Unjudged, match=said), lock.hold([device], NOTE, lambda: True):
        pass


def test_a_lock_is_held_and_let_go(places):
    with lock.hold(["b", "a"], NOTE, lambda: True) as held:
        assert held
        assert json.loads((places / "a.lock").read_text()) == NOTE
    assert [path.read_text() for path in sorted(places.iterdir())] == ["", ""]
    assert places.stat().st_mode & 0o1777 == 0o1777
    assert (places / "a.lock").stat().st_mode & 0o666 == 0o666


def test_one_that_waits_in_vain_says_for_whom(capsys):
    with lock.hold(["a"], NOTE, lambda: True):
        in_vain("a is still held after 0 min, by flights of ann since 2026")
    with lock.hold(["a"], NOTE, lambda: True) as held:
        assert held
    assert "its holder died" not in capsys.readouterr().out


def test_one_with_nothing_to_do_does_not_wait():
    with lock.hold(["a"], NOTE, lambda: True), lock.hold(["a"], NOTE, lambda: False) as held:
        assert not held


def test_devices_do_not_wait_for_each_other():
    with lock.hold(["a"], NOTE, lambda: True), lock.hold(["b"], NOTE, lambda: True) as held:
        assert held


def test_a_dead_holders_lock_is_taken_over(places, capsys):
    root = os.getcwd()
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([root, f"{root}/src"])}
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True, env=variables) as holder:
        assert holder.stdout.readline() == "held\n"
        in_vain(f"process {holder.pid}", "cpu")
        capsys.readouterr()
        holder.kill()
        holder.wait()
        with lock.hold(["cpu"], NOTE, lambda: True) as held:
            assert held
    said = capsys.readouterr().out
    assert f"process {holder.pid}" in said
    assert "its holder died: taken over" in said


def test_a_note_is_one_line():
    assert "\n" not in lock.told(NOTE | {"user": "ann\n::stop-commands::x"})


def test_a_note_that_is_being_written_is_no_error(places):
    with lock.hold(["a"], NOTE, lambda: True):
        (places / "a.lock").write_text('{"run')
        in_vain("a training that has left no note")
