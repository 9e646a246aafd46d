"""Trainings that are killed, stopped, starved of disk, held otherwise or shared by workers, on a tenth of the data."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import ENVIRONMENTS, run
from test_train import edit, hashes, package

STAGES = ("train", "export", "evaluate")
LIGHT = {"DEVICE": "cpu", "OMP_NUM_THREADS": "1"}  # what the threads of a small training wait for is each other


def forget(project: Path) -> dict[str, str]:
    """Make the project forget its model, so that `train` has to make it again; returns what it was."""
    before = hashes(project)
    lock = yaml.safe_load((project / "dvc.lock").read_text())
    for stage in STAGES:
        del lock["stages"][stage]
    (project / "dvc.lock").write_text(yaml.safe_dump(lock))
    shutil.rmtree(project / "models" / "native")
    shutil.rmtree(project / ".dvc" / "cache" / "runs")
    return before


def interrupted(project: Path, env: dict[str, str], line: str, how: Callable[[int], None]) -> tuple[int, str]:
    """Run `train` and interrupt it when it says the line; its exit code and what it said until all of it had ended."""
    variables = {**os.environ, "ENVIRONMENTS": str(ENVIRONMENTS / "3.11"), **LIGHT, **env}
    command = [sys.executable, "-m", "ci.train"]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    said = []
    with subprocess.Popen(command, cwd=project, env=variables, **piped) as process:
        for heard in process.stdout:  # until the last process that could write has ended
            said.append(heard)
            if line in heard:
                how(process.pid)
    print("".join(said))
    assert any(line in heard for heard in said), "it was to be interrupted there"
    return process.returncode, "".join(said)


def kill_all(pid: int) -> None:
    """As a machine that goes away."""
    os.killpg(pid, signal.SIGKILL)


def stop_all(pid: int) -> None:
    """As a runner that ends its job: every process is told at once."""
    os.killpg(pid, signal.SIGTERM)


def stop(pid: int) -> None:
    """As `kill` of the word alone."""
    os.kill(pid, signal.SIGTERM)


def working_in(project: Path) -> list[str]:
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if process.info["cwd"] and Path(process.info["cwd"]).is_relative_to(project):
            found.append(" ".join(process.info["cmdline"] or []))
    return found


def test_killed_and_stopped_again_and_again_the_model_is_the_same(sample, word, tmp_path):
    before = forget(sample)
    place = tmp_path / "checkpoints"
    env = {"CHECKPOINTS": str(place), "CHECKPOINT_SECONDS": "0"}
    code, said = interrupted(sample, env, "round 40 of 400", kill_all)
    assert code == -signal.SIGKILL
    assert "goes on after" not in said

    code, said = interrupted(sample, env, "round 80 of 400", stop)
    assert code == 2
    assert "train: goes on after round-0000" in said
    assert "stopped by SIGTERM after round 8" in said
    assert "the next `make train` goes on from there" in said
    assert said.splitlines()[-1].startswith("  -> ")

    code, said = interrupted(sample, env, "round 120 of 400", stop_all)
    assert code == 2
    assert "train: goes on after round-00008" in said
    assert "stopped by SIGTERM after round 12" in said
    assert working_in(sample) == []

    (folder,) = place.iterdir()
    newest = max(folder.iterdir())
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    said = word(sample, "train", env={**LIGHT, **env}, code=0).stdout
    assert f"the checkpoint {newest.stem} is not used: it is torn or corrupted" in said
    assert "train: goes on after round-0001" in said
    rounds = json.loads((sample / "reports" / "training.json").read_text())
    assert 120 < rounds["best_round"] < rounds["rounds"], "it should have stopped early, after the interruptions"
    after = hashes(sample)
    assert {path for path in before if after[path] != before[path]} <= {"reports/training.json"}
    assert not folder.exists(), "a finished training keeps no checkpoints"


def stage(project: Path, prefix: list[str], env: dict[str, str]) -> subprocess.CompletedProcess:
    """The stage `train` alone, in the environment that `default_sample` has made, its command behind the prefix."""
    python = ENVIRONMENTS / "3.11" / "train-cpu" / "bin" / "python"
    return run([*prefix, python, "-m", f"{package(project).name}.train"], project, LIGHT | {"PYTHONPATH": "src"} | env)


@pytest.fixture
def small_disk(sample) -> Callable[[Path], list[str]]:
    """`small_disk(folder)`: what to put before a command so that it finds a disk of 16 KiB there."""
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    mount = 'mount -t tmpfs -o size=16k tmpfs "$0" && exec "$@"'

    def prefix(folder: Path) -> list[str]:
        folder.mkdir(parents=True, exist_ok=True)
        return [*own, "sh", "-c", mount, str(folder)]

    if not shutil.which("unshare") or run([*prefix(sample / "build"), "true"], sample).returncode:
        pytest.skip("this user may not mount a disk of its own here")
    return prefix


def test_a_full_disk_costs_the_checkpoints_but_not_the_training(sample, small_disk, tmp_path):
    before = (sample / "models" / "native" / "pipeline.joblib").read_bytes()
    place = tmp_path / "checkpoints"
    done = stage(sample, small_disk(place), {"CHECKPOINTS": str(place), "CHECKPOINT_SECONDS": "0"})
    assert done.returncode == 0
    assert done.stdout.count("No space left on device; the training goes on") == 1
    assert (sample / "models" / "native" / "pipeline.joblib").read_bytes() == before


def test_a_model_that_finds_no_room_is_not_lost(sample, small_disk, tmp_path):
    env = {"CHECKPOINTS": str(tmp_path / "checkpoints"), "CHECKPOINT_SECONDS": "0"}
    done = stage(sample, small_disk(sample / "models" / "native"), env)
    assert done.returncode == 2
    assert "train: the trained model could not be written to models/native: No space left on device" in done.stderr
    before = (sample / "models" / "native" / "pipeline.joblib").read_bytes()
    (sample / "models" / "native" / "pipeline.joblib").unlink()
    done = stage(sample, [], env)
    assert "train: goes on after round-000" in done.stdout
    assert "train: round 40 of" not in done.stdout
    assert (sample / "models" / "native" / "pipeline.joblib").read_bytes() == before


@pytest.mark.parametrize("mode", ["quantile", "external"])
def test_rows_that_are_held_otherwise_give_the_same_metrics(sample, tmp_path, mode):
    """docs/training.md promises 1 % of the loss."""
    before = json.loads((sample / "reports" / "training.json").read_text())
    edit(sample / "params.yaml", "memory: auto", f"memory: {mode}")
    done = stage(sample, [], {"CHECKPOINTS": str(tmp_path / "checkpoints")})
    assert f"train: memory {mode}: " in done.stdout
    after = json.loads((sample / "reports" / "training.json").read_text())
    assert after["validation_logloss"] == pytest.approx(before["validation_logloss"], rel=0.01)


def test_two_workers_give_the_same_metrics(sample, word):
    """docs/training.md promises 2 % of the loss: they draw other rows and columns."""
    edit(sample / "params.yaml", "learning_rate: 0.05", "learning_rate: 0.2")
    stage(sample, [], {"CHECKPOINTS": str(sample / "build")})
    before = json.loads((sample / "reports" / "training.json").read_text())
    edit(sample / "params.yaml", "workers: 1", "workers: 2")
    done = word(sample, "train", env=LIGHT, code=0)
    assert "train: on 2 workers by Dask, without checkpoints" in done.stdout
    after = json.loads((sample / "reports" / "training.json").read_text())
    assert after["validation_logloss"] == pytest.approx(before["validation_logloss"], rel=0.02)
    assert after["rounds"] < 400, "it should have stopped early"
    assert working_in(sample) == []
