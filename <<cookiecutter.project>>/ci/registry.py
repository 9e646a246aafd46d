"""MLflow as this project uses it: one registered model, two aliases, one experiment for runs, one for deployments.

The address is `MLFLOW_TRACKING_URI`, by default a sqlite file in the repository with its artifacts beside it.
"""

import logging
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from << cookiecutter.__package >>.outcome import Unjudged

ROOT = Path(__file__).resolve().parent.parent
MODEL = "<< cookiecutter.project >>"
TRAINING = MODEL  # the experiment of training runs
DEPLOYMENTS = "deployments"  # the experiment that records every promotion and rollback


@dataclass(frozen=True)
class Version:
    """A registered model version; `tags` carry its lineage, among them `model_md5`."""

    number: str
    run: str
    source: str
    tags: dict[str, str] = field(default_factory=dict)


def address() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}"


def client() -> MlflowClient:
    """A client of the tracking server and registry; raises Unjudged with the address where none answers."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table that it makes
    mlflow.set_tracking_uri(address())
    mlflow.set_registry_uri(address())
    try:
        answering = MlflowClient(address())
        answering.search_experiments(max_results=1)
    except Exception as error:
        what = f"MLflow at {address()} does not answer: {str(error).splitlines()[0]}"
        raise Unjudged(what, "Start it, or set MLFLOW_TRACKING_URI (and its credentials) to the one to use.") from error
    return answering


def experiment(at: MlflowClient, name: str) -> str:
    """The id of the experiment called `name`, made on first use."""
    found = at.get_experiment_by_name(name)
    if found:
        return found.experiment_id
    local = address().startswith("sqlite:")
    return at.create_experiment(name, artifact_location=(ROOT / "mlartifacts" / name).as_uri() if local else None)


def by_alias(at: MlflowClient, alias: str) -> Version | None:
    """The version that carries the alias, or None where no version does."""
    try:
        return _version(at.get_model_version_by_alias(MODEL, alias))
    except MlflowException as error:
        if _absent(at, error, "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
            return None
        raise


def by_number(at: MlflowClient, number: str) -> Version | None:
    try:
        return _version(at.get_model_version(MODEL, number))
    except MlflowException as error:
        if _absent(at, error, "RESOURCE_DOES_NOT_EXIST"):
            return None
        raise


def by_md5(at: MlflowClient, md5: str) -> Version | None:
    """The newest version whose ONNX graph has this DVC hash."""
    found = at.search_model_versions(f"name = '{MODEL}' and tags.model_md5 = '{md5}'")
    return _version(max(found, key=lambda version: int(version.version))) if found else None


def register(at: MlflowClient, graph: Path, run: str, tags: dict[str, str]) -> Version:
    """Upload the ONNX graph to the run as `model/model.onnx` and register it as a new version with these tags."""
    if not at.search_registered_models(f"name = '{MODEL}'"):
        at.create_registered_model(MODEL)
    at.log_artifact(run, str(graph), "model")
    source = f"{at.get_run(run).info.artifact_uri}/model"
    return _version(at.create_model_version(MODEL, source, run_id=run, tags=tags))


def download(version: Version, folder: Path) -> Path:
    """Fetch the version's graph into `folder` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    got = mlflow.artifacts.download_artifacts(artifact_uri=f"{version.source}/model.onnx")
    target = folder / "model.onnx"
    if Path(got) != target:
        shutil.copyfile(got, target)
    return target


def _absent(at: MlflowClient, error: MlflowException, *codes: str) -> bool:
    """Whether the error means that there is no such thing: a server with users denies what is not there, except to
    administrators."""
    if error.error_code == "PERMISSION_DENIED":
        return not at.search_registered_models(f"name = '{MODEL}'")
    return error.error_code in codes


def _version(found) -> Version:
    return Version(str(found.version), found.run_id or "", found.source, dict(found.tags))
