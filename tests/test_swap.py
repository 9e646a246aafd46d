"""Three foreign data sets, one for each kind of task, put in by editing schema, ingest and parameters alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SWAPS = Path(__file__).parent / "swaps"
# Name -> primary metric, whether higher is better, and whether the estimator should beat a linear model too.
EXPECTED = {"rings": ("auc", True, True), "digits": ("macro_f1", True, False), "friedman": ("rmse", False, True)}
STAGES = ["test_columns", "test_split", "test_features", "test_train", "test_export", "test_graph", "test_evaluate"]


def python(project: Path, *arguments: str) -> None:
    """Run Python in the environment that the word `train` runs in."""
    where = "from ci import environment as e; print(e.prepare(e.groups('train')))"
    shared = Path(os.environ.get("ENVIRONMENTS", Path(__file__).parent.parent / ".environments"))
    variables = {**os.environ, "ENVIRONMENTS": str(shared / (project / ".python-version").read_text().strip())}
    asked = subprocess.run(
        [sys.executable, "-c", where], cwd=project, env=variables, check=True, capture_output=True, text=True
    )
    command = [f"{asked.stdout.strip()}/bin/python", *arguments]
    subprocess.run(command, cwd=project, env={**os.environ, "DVC_NO_ANALYTICS": "1"}, check=True)


def swap(project: Path, name: str) -> None:
    """Put the data set in: three files edited, and the raw data exchanged."""
    package = next((project / "src").iterdir())
    for edited, folder in (("schema.py", package), ("ingest.py", package), ("params.yaml", project)):
        shutil.copyfile(SWAPS / name / edited, folder / edited)
    for raw in (project / "data" / "raw").iterdir():
        raw.unlink()
    python(project, str(SWAPS / name / "data.py"))
    made = [str(path.relative_to(project)) for path in (project / "data" / "raw").iterdir()]
    python(project, "-m", "dvc", "add", "--quiet", *made)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_foreign_data_set_trains_through_every_stage(project, word, name):
    swap(project, name)
    done = word(project, "train", code=0)
    for stage in ("dataset", "check", "split", "train", "export", "evaluate"):
        assert f"Running stage '{stage}'" in done.stdout
    metrics = json.loads((project / "reports" / "metrics.json").read_text())
    primary, higher, beyond_linear = EXPECTED[name]
    baselines = metrics["baseline"]
    assert (metrics[primary] > baselines["constant"][primary]) == higher
    if beyond_linear:
        assert (metrics[primary] > baselines["linear"][primary]) == higher
    package = next((project / "src").iterdir()).name
    status = ["git", "status", "--porcelain", "--untracked-files=all"]
    changed = subprocess.run(status, cwd=project, capture_output=True, text=True, check=True).stdout
    edited = {line[3:] for line in changed.splitlines()}
    allowed = {f"src/{package}/schema.py", f"src/{package}/ingest.py", "params.yaml", "dvc.lock"}
    assert {path for path in edited - allowed if not path.startswith(("data/raw/", "reports/"))} == set()


def test_the_projects_own_stage_tests_pass_on_a_foreign_data_set(project, word):
    swap(project, "friedman")
    word(project, "test", *(f"tests/{name}.py" for name in STAGES), "-q", code=0)
