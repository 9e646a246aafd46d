"""A place whose disk is full changes nothing, loses no request and says so; with room again, the next call succeeds."""

import os
import subprocess
from contextlib import contextmanager, suppress

import pytest
from deployments import Callers, until
from hosts import docker

from deploy import stepwise
from deploy.chosen import kind
from deploy.target import start
from << cookiecutter.__package >>.outcome import run

pytestmark = pytest.mark.processes
GATE = {"steps": [50, 100], "watch_s": 0, "minimum_requests": 20, "probe_rate": 1000, "probe_s": 60}
GATE |= {"error_ratio": 0.5, "factor": 100, "allowance_ms": 5000}


def mounted(folder, size, *within):
    """Mount a small file system there; skips the test where that is not allowed."""
    if subprocess.run([*within, "mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")


@pytest.fixture
def tmp_path(tmp_path, kind):
    """With a disk of its own for what `process` keeps."""
    if kind != "process":
        yield tmp_path
        return
    (tmp_path / "deployments").mkdir()
    mounted(tmp_path / "deployments", "4m")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path / "deployments"], check=True)


@contextmanager
def full(place, folder):
    """While the block runs, nothing more can be written where the place keeps what runs."""
    if kind() == "process":
        with (folder / "deployments" / "junk").open("wb", buffering=0) as junk, suppress(OSError):
            while True:
                junk.write(b"x" * 512)
        yield
        (folder / "deployments" / "junk").unlink()
        return
    proxy = docker("inspect", "--format", "{{.State.Pid}}", place.proxies["production"].container)
    within = ("nsenter", "--target", proxy, "--mount")
    mounted("/state", "4k", *within)
    try:
        yield
    finally:
        subprocess.run([*within, "umount", "/state"], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small file system")
@pytest.mark.parametrize("kind", ["process", "compose"], indirect=True)
def test_a_release_onto_a_full_disk_changes_nothing(place, brought, tmp_path, capfd):
    start(place, "production", brought("1"))
    release = brought("2")
    with Callers(place.address("production"), 2) as kept, Callers(place.address("production"), 2, kept=False) as fresh:
        with full(place, tmp_path):
            assert run("promote", lambda _: stepwise.move(place, "production", release, GATE), []) == 2
            before = kept.versions.total()
            until(lambda: kept.versions.total() > before + 100)
            assert place.running("production").release.version == "1"
        assert set(kept.versions) == set(fresh.versions) == {"1"}
        assert "promote: " in (said := capfd.readouterr().err)
        assert "the disk is full" in said
        assert "Traceback" not in said
        stepwise.move(place, "production", release, GATE)
    assert (kept.failed, fresh.failed) == ([], [])
    assert place.running("production").release.version == "2"
