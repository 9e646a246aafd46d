"""`train` on a machine that is shared, runs full or is taken away; `diagnose` and `clean` after it.

The stage `train` is replaced by a few lines that say what it would say, and wait, allocate or write.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from conftest import ENVIRONMENTS, copy, run

AT_WORK = """
import pathlib, time
print("train: round 120 of 400", flush=True)
pathlib.Path("at-work").touch()
while pathlib.Path("at-work").exists() and not pathlib.Path("go-on").exists():  # nor after the test
    time.sleep(0.05)
raise SystemExit(3)
"""
HUNGRY = """
held = []
while True:
    held.append(bytearray(16 << 20))
"""
FULL = """
with open("small/model", "wb") as file:
    while True:
        file.write(bytes(1 << 20))
"""
SMALL = 700 << 20  # bytes of memory: enough for DVC, and not for one that takes all it gets
NO_GPU = not Path("/proc/driver/nvidia/version").exists()
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes cgroups and mounts")


@pytest.fixture
def work(default_trained, tmp_path) -> Callable[..., Path]:
    """`work(name, stage)`: a trained project whose stage `train` is these lines; without them it is up to date."""

    def make(name: str, stage: str | None = None) -> Path:
        project = copy(default_trained, tmp_path / name)
        if stage:
            (project / "stage.py").write_text(stage)
            text = (project / "dvc.yaml").read_text()
            assert text.count("python -m flight_delays.train") == 1
            (project / "dvc.yaml").write_text(text.replace("python -m flight_delays.train", "python stage.py"))
        return project

    yield make
    shutil.rmtree(tmp_path)


@pytest.fixture
def variables(tmp_path) -> dict[str, str]:
    """A machine of its own: locks and checkpoints."""
    folders = {"LOCKS": str(tmp_path / "locks"), "CHECKPOINTS": str(tmp_path / "checkpoints")}
    return folders | {"DEVICE": "cpu", "ENVIRONMENTS": str(ENVIRONMENTS / "3.11")}


@contextlib.contextmanager
def training(project: Path, variables: dict[str, str], within: str = "") -> Iterator[subprocess.Popen]:
    """`train` as a process whose output goes into the project's `said`; ended with all that it started."""
    command = ["sh", "-c", f'{within} exec "$@"', "train", sys.executable, "-m", "ci.train"]
    with (project / "said").open("w") as said:
        made = subprocess.Popen(
            command, cwd=project, env={**os.environ, **variables}, stdout=said, stderr=subprocess.STDOUT
        )
    family = psutil.Process(made.pid)
    try:
        yield made
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in (*family.children(recursive=True), family):
                process.kill()
        made.wait()
        print((project / "said").read_text())


def until(condition: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        assert process is None or process.poll() is None, "the process has ended"
        time.sleep(0.05)


def said(project: Path) -> str:
    return (project / "said").read_text()


def stage(project: Path) -> psutil.Process:
    """The process of the stage."""
    processes = psutil.process_iter(["cmdline", "cwd"])
    return next(p for p in processes if p.info["cwd"] == str(project) and p.info["cmdline"] == ["python", "stage.py"])


def ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE  # its parent is gone, and who takes care of it takes its time
    except psutil.NoSuchProcess:
        return True


def at_work(project: Path, made: subprocess.Popen) -> psutil.Process:
    until((project / "at-work").exists, made)
    return stage(project)


@pytest.mark.parametrize(("number", "how"), [(signal.SIGKILL, "killed"), (signal.SIGTERM, "stopped")])
def test_a_killed_stage_is_told_and_leaves_its_evidence(work, variables, word, number, how):
    project = work("one", AT_WORK)
    with training(project, variables) as made:
        at_work(project, made).send_signal(number)
        assert made.wait(300) == 2
    *_, what, remedy = said(project).splitlines()
    assert what.startswith(f"train: the training was {how}, by {number.name}: ")
    assert "ended for want of memory" in what
    assert remedy.startswith("  -> ")
    diagnosed = word(project, "diagnose", env=variables, code=0).stdout.splitlines()
    assert diagnosed[0] == f"diagnose: killed: the training was {how}, by {number.name}"
    assert "last sample after" in diagnosed[-2]
    assert "Training: killed" in (project / "build" / "training" / "verdict.md").read_text()
    assert "round 120 of 400" in (project / "build" / "training" / "output.log").read_text()


def test_two_trainings_take_turns_and_a_dead_one_holds_nothing(work, variables, word):
    first, second, third = work("first", AT_WORK), work("second", AT_WORK), work("third")
    with training(first, variables) as holder:
        at_work(first, holder)
        assert "nothing to train" in word(third, "train", env=variables | {"LOCK_WAIT_MINUTES": "0"}, code=0).stdout
        with training(second, variables) as waiting:
            until(lambda: "waiting for cpu" in said(second), waiting)
            assert f"held by flight-delays of {psutil.Process().username()} since " in said(second)
            assert f"(process {holder.pid})" in said(second)
            assert not (second / "at-work").exists()
            left = stage(first)
            holder.kill()
            at_work(second, waiting)
            assert "its holder died: taken over" in said(second)
            assert f"ended what it left behind: process {left.pid} (python stage.py)" in said(second)
            assert ended(left)
            (second / "go-on").touch()
            assert waiting.wait(300) == 2
    assert "stage train failed with exit code 3" in said(second)
    diagnosed = word(first, "diagnose", env=variables, code=0).stdout
    assert "killed, without a trace: its journal has no end" in diagnosed


def test_clean_ends_what_a_killed_training_left(work, variables, word, tmp_path):
    project = work("one", AT_WORK)
    small = {name: str(tmp_path / name.lower()) for name in ("ENVIRONMENTS", "UV_CACHE_DIR")}  # quick to measure
    Path(small["ENVIRONMENTS"]).mkdir()
    Path(small["ENVIRONMENTS"], "data").symlink_to(ENVIRONMENTS / "3.11" / "data")
    kept = variables | small
    with training(project, variables) as made:
        left = at_work(project, made)
        assert "ended" not in word(project, "clean", env=kept, code=0).stdout
        made.kill()
        made.wait()
        assert left.is_running()
        cleaned = word(project, "clean", env=kept, code=0).stdout
        assert f"process {left.pid} (python stage.py)" in cleaned
        assert ended(left)
    for cache in ("packages of uv", "objects of DVC", "environments", "checkpoints"):
        assert f"clean: {cache}: " in cleaned


@pytest.fixture
def limited() -> Iterator[str]:
    """Shell that puts its process into a cgroup with little memory."""
    top = Path("/sys/fs/cgroup")
    one = (top / "memory").is_dir()
    group = (top / "memory" if one else top) / f"test-{uuid.uuid4().hex[:8]}"
    names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes") if one else ("memory.max", "memory.swap.max")
    try:
        group.mkdir()
        (group / names[0]).write_text(str(SMALL))
        if (group / names[1]).exists():
            (group / names[1]).write_text(str(SMALL) if one else "0")
    except OSError as error:
        if group.exists():
            group.rmdir()
        pytest.skip(f"no memory cgroup can be made here: {error.strerror}")
    yield f"echo $$ > {group}/cgroup.procs;"
    until(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


@root
def test_the_memory_limit_of_a_cgroup_is_told_from_other_kills(work, variables, word, limited):
    project = work("one", HUNGRY)
    gates = project / "gates.yaml"
    assert "  memory_gb: 2\n" in gates.read_text()
    with training(project, variables, limited) as made:
        assert made.wait(300) == 2
    assert "FAIL host memory" in said(project)
    gates.write_text(gates.read_text().replace("  memory_gb: 2\n", "  memory_gb: 0.1\n"))
    with training(project, variables, limited) as made:
        assert made.wait(300) == 2
    *_, what, remedy = said(project).splitlines()
    assert what.startswith("train: the memory limit of 0.7 GiB of this job was met: the kernel ended 1 process(es)")
    assert "Raise the memory limit" in remedy
    assert "cgroup limit" in word(project, "diagnose", env=variables, code=0).stdout


@root
def test_a_full_disk_is_told_before_and_after(work, variables, tmp_path):
    project = work("one", FULL)
    small = project / "small"
    small.mkdir()
    if run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], project).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with training(project, variables | {"CHECKPOINTS": str(small / "checkpoints")}) as made:
            assert made.wait(300) == 2
        assert "FAIL disk" in said(project)
        assert f"0.0 GiB free at {small}/checkpoints; 2 needed" in said(project)
        with training(project, variables) as made:
            assert made.wait(300) == 2
    finally:
        run(["umount", small], project)
    what = said(project).splitlines()[-2]
    assert what.startswith("train: the disk is full: said: OSError: [Errno 28] No space left on device")


@pytest.mark.skipif(not NO_GPU, reason="a GPU is here")
def test_a_required_gpu_is_not_replaced_by_the_cpu(work, variables, word):
    project = work("one", AT_WORK)
    asked = variables | {"REQUIRE_GPU": "yes", "DEVICE": "auto"}
    failed = word(project, "train", env=asked, code=2)
    assert "FAIL GPU" in failed.stdout
    assert "a GPU is required, and no NVIDIA driver is loaded here" in failed.stderr
    assert "DEVICE=cpu" in failed.stderr
    assert "Running stage" not in failed.stdout
    assert "refused: this machine cannot train" in word(project, "diagnose", env=asked, code=0).stdout
    (project / "go-on").touch()
    assert "Running stage 'train'" in word(project, "train", env=asked | {"DEVICE": "cpu"}, code=2).stdout
