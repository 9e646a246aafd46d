"""What a failed `dvc repro` stands for: DVC itself ends with 255 for bad data and for a crash alike."""

import json
import os
import subprocess
import sys

import pytest

from ci.dvc import HELD, explained, release
from << cookiecutter.__package >>.outcome import Bad, Unjudged

FAILED = "ERROR: failed to reproduce 'dataset': failed to run: python -m ingest, exited with"
SENTENCE = ["dataset: data/raw/flights.csv is empty", "  -> Run `make data`."]
MISSING = "ERROR: failed to reproduce 'data/raw/flights.csv.dvc': missing data 'source': data/raw/flights.csv"


@pytest.mark.parametrize(
    ("lines", "kind", "said"),
    [
        ([*SENTENCE, f"{FAILED} 1"], Bad, "stage dataset"),
        ([*SENTENCE, f"{FAILED} 2"], Unjudged, "exit code 2"),
        (["Traceback …", "ImportError: nothing", f"{FAILED} 1"], Unjudged, "exit code 1"),
        ([f"{FAILED} -9"], Unjudged, "memory"),
        ([f"{FAILED} 137"], Unjudged, "memory"),
        ([f"{FAILED} -15"], Unjudged, "stopped by SIGTERM"),
        ([MISSING], Unjudged, "the raw data is not here: data/raw/flights.csv"),
        (["ERROR: Unable to acquire lock.", "See the docs."], Unjudged, "Unable to acquire lock"),
        ([], Unjudged, "does not say why"),
    ],
)
def test_the_outcome_of_a_failure(lines, kind, said):
    outcome = explained(lines)
    assert type(outcome) is kind
    assert said in outcome.what
    assert outcome.remedy


@pytest.fixture
def held(tmp_path, monkeypatch):
    """`held(pid)` makes DVC's own record of a process that writes."""
    monkeypatch.chdir(tmp_path)
    HELD.parent.mkdir(parents=True)
    return lambda pid: HELD.write_text(json.dumps({"write": {"model": {"pid": pid, "cmd": "dvc repro"}}, "read": {}}))


def test_what_the_dead_hold_is_released(held):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid in (ended.pid, os.getpid()):  # the second has become a stranger's number
        held(pid)
        release()
        assert not HELD.exists()
    HELD.write_text('{"write": {"mod')
    release()
    assert not HELD.exists()
    release()


def test_what_a_living_dvc_holds_is_not_released(held):
    sleep = "import sys; print('here', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", sleep, "dvc", "repro"], **pipes) as process:
        process.stdout.readline()
        held(process.pid)
        release()
        assert HELD.exists()
        process.stdin.close()
