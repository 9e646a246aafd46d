"""MLflow's stack on an engine: who is let in, what its death costs, and its return from a backup."""

import os
import re
import signal
import subprocess
from functools import partial
from pathlib import Path

import deployments
import httpx
import pytest
import yaml
from deployments import port
from hosts import BASE, available, docker, has
from mlflow.tracking import MlflowClient

from ci.registry import MODEL
from deploy.mlflow import secrets, stack
from deploy.mlflow.words import main
from << cookiecutter.__package >>.outcome import run

pytestmark = [pytest.mark.processes, pytest.mark.timeout(1800)]
HERE = Path(stack.__file__).parent
until = partial(deployments.until, limit_s=240)
BYTES = bytes(range(256)) * 40_000  # 10 MB


def word(*words: str) -> int:
    return run("mlflow", main, list(words))


@pytest.fixture(scope="module")
def living(tmp_path_factory):
    """A stack with a name, ports, volumes and secrets of its own; nothing of it is left."""
    if not (has("info") and has("compose", "version")):
        pytest.skip("no Docker engine with compose answers")
    with pytest.MonkeyPatch.context() as patch:
        wanted = yaml.safe_load((HERE.parent / "settings.yaml").read_text())["mlflow"]["images"]
        given = [os.environ.get(f"STACK_{name.upper()}") or wanted[name] for name in ("postgres", "seaweedfs")]
        for image in (*given, BASE):
            if not available(image):
                pytest.skip(f"the image {image} is neither here nor to be had")
        name = f"{stack.PROJECT}-mlflow-test{os.getpid()}"
        patch.setenv("STACK_NAME", name)
        patch.setenv("STACK_PORT", port())
        patch.setenv("STACK_S3_PORT", port())
        patch.setenv("STACK_SECRETS_FOLDER", str(tmp_path_factory.mktemp("secrets")))
        assert word("password") == 0
        known = secrets.read(secrets.folder() / "admin.env")
        patch.setenv("MLFLOW_TRACKING_USERNAME", known["MLFLOW_TRACKING_USERNAME"])
        patch.setenv("MLFLOW_TRACKING_PASSWORD", known["MLFLOW_TRACKING_PASSWORD"])
        patch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{os.environ['STACK_PORT']}")
        try:
            assert word("up") == 0
            yield name
        finally:
            assert word("down", "--data", name) == 0
            docker("volume", "rm", "--force", f"{name}-backups")
    assert not docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={name}")
    assert not docker("volume", "ls", "--quiet", "--filter", f"name={name}")


def answer(*login: str, host: str = "") -> int:
    address = f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/users/current"
    headers = {"Host": host} if host else {}
    return httpx.get(address, auth=login or None, headers=headers, timeout=60).status_code


def healthy(name: str, service: str) -> bool:
    return docker("inspect", "--format", "{{.State.Health.Status}}", f"{name}-{service}-1") == "healthy"


def test_nobody_is_let_in_without_a_password_or_by_another_name(living) -> None:
    user, password = os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]
    assert answer(user, password) == 200
    assert answer() == answer(user, "wrong" + password) == answer("nobody", password) == 401
    assert answer("admin", "password1234") == answer("admin", "password") == 401
    assert answer(user, password, host="evil.example") == 403


def test_no_secret_is_in_a_container_s_description_or_log(living, capfd) -> None:
    known = [value for path in secrets.folder().iterdir() for name, value in secrets.read(path).items()
             if value and re.search("PASSWORD|SECRET", name)]  # fmt: skip
    containers = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={living}").split()
    assert len(containers) >= 4
    shown = docker("inspect", *containers)
    for container in containers:
        done = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=True)
        shown += done.stdout + done.stderr
    image = docker("inspect", "--format", "{{.Config.Image}}", f"{living}-mlflow-1")
    shown += docker("history", "--no-trunc", image) + "".join(capfd.readouterr())
    assert not [value for value in known if value in shown]


@pytest.fixture(scope="module")
def filled(living, tmp_path_factory) -> dict[str, str]:
    """A run with metrics and an artifact, a version with an alias, and a user, made by that user."""
    assert word("password", "someone") == 0
    known = secrets.read(secrets.folder() / "someone.env")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in known.items():
            patch.setenv(name, value)
        at = MlflowClient(known["MLFLOW_TRACKING_URI"])
        run_id = at.create_run(at.create_experiment("restored")).info.run_id
        for step in range(3):
            at.log_metric(run_id, "auc", 0.5 + step / 10, step=step)
        file = tmp_path_factory.mktemp("artifact") / "model.onnx"
        file.write_bytes(BYTES)
        at.log_artifact(run_id, str(file), "model")
        at.set_terminated(run_id)
        at.create_registered_model(MODEL)
        source = f"{at.get_run(run_id).info.artifact_uri}/model"
        version = at.create_model_version(MODEL, source, run_id=run_id, tags={"model_md5": "abc"}).version
        at.set_registered_model_alias(MODEL, "champion", version)
    return {"run": run_id, "version": str(version), "password": known["MLFLOW_TRACKING_PASSWORD"]}


def whole(filled: dict[str, str], folder: Path) -> None:
    at = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    assert [metric.value for metric in at.get_metric_history(filled["run"], "auc")] == [0.5, 0.6, 0.7]
    version = at.get_model_version_by_alias(MODEL, "champion")
    assert (str(version.version), version.tags["model_md5"]) == (filled["version"], "abc")
    folder.mkdir()
    assert Path(at.download_artifacts(filled["run"], "model/model.onnx", str(folder))).read_bytes() == BYTES
    assert answer("someone", filled["password"]) == 200


def test_a_stack_that_was_destroyed_comes_back_from_its_backup(living, filled, tmp_path, capsys) -> None:
    whole(filled, tmp_path / "before")
    assert word("backup") == 0
    assert word("backup") == 0
    assert "0 of them new" in capsys.readouterr().out
    assert word("restore") == 2
    assert "there is data already: 1 experiments, 1 runs" in capsys.readouterr().err

    assert word("down", "--data", living) == 0
    assert word("up") == 0
    assert answer("someone", filled["password"]) == 401
    assert word("restore") == 0
    whole(filled, tmp_path / "after")
    assert word("status") == 0


def test_a_torn_backup_is_refused_before_anything_is_touched(living, filled, tmp_path, capsys) -> None:
    assert word("backup") == 0
    stack.stack().word("dump", "cd /backups/kept; truncate --size=-1 $(ls -d 2* | tail -1)/mlflow.dump")
    started = docker("inspect", "--format", "{{.State.StartedAt}}", f"{living}-mlflow-1")
    capsys.readouterr()
    assert word("restore", "--replace") == 1
    assert "mlflow.dump has" in capsys.readouterr().err
    assert docker("inspect", "--format", "{{.State.StartedAt}}", f"{living}-mlflow-1") == started
    whole(filled, tmp_path / "untouched")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root kills what the engine of this machine runs")
def test_a_killed_database_store_or_server_comes_back_with_its_data(living, filled, tmp_path) -> None:
    for service in ("postgres", "seaweedfs", "mlflow"):
        began = docker("inspect", "--format", "{{.State.StartedAt}}", f"{living}-{service}-1")
        os.kill(int(docker("inspect", "--format", "{{.State.Pid}}", f"{living}-{service}-1")), signal.SIGKILL)
        until(lambda: docker("inspect", "--format", "{{.State.StartedAt}}", f"{living}-{service}-1") != began)  # noqa: B023
        until(lambda: all(healthy(living, each) for each in stack.SERVICES))
        whole(filled, tmp_path / service)


def test_the_server_waits_for_a_migration_that_succeeds(living, filled, tmp_path, capsys) -> None:
    """The database says that it was left by a version that this MLflow does not know."""

    def schema(change: str) -> str:
        psql = ("psql", "--username=postgres", "--dbname=mlflow", "--tuples-only", "--no-align", "--quiet", "--command")
        return docker("exec", f"{living}-postgres-1", *psql, change)

    was = schema("SELECT version_num FROM alembic_version")
    schema("UPDATE alembic_version SET version_num = 'unheard of'")
    docker("stop", f"{living}-mlflow-1")
    try:
        capsys.readouterr()
        assert word("up") == 2
        assert "migrate is exited: migrate: the database was left by a newer MLflow" in capsys.readouterr().err
        assert docker("inspect", "--format", "{{.State.Status}}", f"{living}-mlflow-1") == "exited"
    finally:
        schema(f"UPDATE alembic_version SET version_num = '{was}'")  # noqa: S608
    assert word("up") == 0
    whole(filled, tmp_path / "again")
