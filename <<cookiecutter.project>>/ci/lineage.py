"""What a trained model came from, as hashes: read from `dvc.lock`, git and `uv.lock`, without MLflow."""

import hashlib
import platform
import subprocess
from pathlib import Path

import yaml

MODEL = "models/model.onnx"
METRICS = "reports/metrics.json"
DATASET = "data/dataset.parquet"


def recorded(lock: Path = Path("dvc.lock")) -> dict[str, str]:
    """Path -> DVC hash of everything that `dvc.lock` names."""
    stages = yaml.safe_load(lock.read_text())["stages"].values()
    entries = [entry for stage in stages for entry in [*stage.get("deps", []), *stage.get("outs", [])]]
    return {entry["path"]: entry["md5"] for entry in entries}


def identity(hashes: dict[str, str]) -> dict[str, str]:
    """What makes two training runs the same: the model and how it was judged."""
    return {"model_md5": hashes[MODEL], "metrics_md5": hashes[METRICS]}


def lineage(hashes: dict[str, str]) -> dict[str, str]:
    """The versions of model, data, code and packages, as the tags of a run."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()

    # What training itself writes does not make the code differ from its commit.
    changes = git("status", "--porcelain", "--", ".", ":!dvc.lock", ":!reports")
    return {
        **identity(hashes),
        **{f"raw.{path.stem}": _md5(path) for path in sorted(Path("data").rglob("*.dvc"))},
        "data_md5": hashes[DATASET],
        "git_sha": git("rev-parse", "HEAD"),
        "git_dirty": str(bool(changes)).lower(),
        "lock_sha256": hashlib.sha256(Path("uv.lock").read_bytes()).hexdigest(),
        "python": platform.python_version(),
    }


def _md5(path: Path) -> str:
    """The hash in a `.dvc` file."""
    return yaml.safe_load(path.read_text())["outs"][0]["md5"]
