"""`package`: registers the model that the gate has passed, and builds the Bento that serves exactly that version.

The same model is registered once, under its DVC hash; called again, it gives the same version and the same digest.
Where IMAGE_REGISTRY names a registry it builds, judges and pushes the image of the Bento as well (docs/image.md). It
writes build/package.json, build/manifest.json, signed where there is a key, and build/rows.json: rows of the test
window with the predictions recorded for them.
"""

import argparse
import hashlib
import json
import logging
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy
import pyarrow.parquet as parquet
import yaml
from mlflow.tracking import MlflowClient

from ci.bento import BUILD, build
from ci.environment import ROOT
from ci.image import cosign, make
from ci.image.papers import manifest
from ci.image.sweep import sweep
from ci.lineage import METRICS, MODEL, lineage, recorded
from ci.registry import MODEL as NAME
from ci.registry import TRAINING, Version, by_md5, client, download, experiment, register
from deploy.releases import digest
from deploy.store import read, write
from service.model import predictions
from << cookiecutter.__package >>.columns import Number
from << cookiecutter.__package >>.outcome import Bad, Unjudged
from << cookiecutter.__package >>.schema import SCHEMA

VERDICT = Path("reports/gate.json")
ROWS = 1_000


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="package", description=__doc__)
    parser.add_argument("--image", action="store_true", help="an image in this machine's engine, without a registry")
    parser.add_argument("--sweep", action="store_true", help="instead: remove old images of the project's registry")
    given = parser.parse_args(arguments)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    gates = yaml.safe_load((ROOT / "gates.yaml").read_text())
    if given.sweep:
        gone = sweep(gates["image"]["keep"], gates["release"]["keep"])
        print(f"package: {len(gone)} images removed{': ' if gone else ''}{', '.join(gone)}")
        return
    engine = make.wanted(given.image)
    BUILD.mkdir(exist_ok=True)
    written = BUILD / "package.json"
    known = (read(written) or {}).get("digest")
    written.unlink(missing_ok=True)  # what was built before must not outlive a failure
    hashes = recorded()
    checked(Path(MODEL), hashes[MODEL], "Get it with `make data`, or make it with `make train`.")
    verdict = judged(hashes[MODEL])
    rows = sample()
    at = client()
    version = by_md5(at, hashes[MODEL]) or registered(at, hashes, verdict)
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        graph = download(version, Path(scratch))
        checked(graph, hashes[MODEL], f"Restore the artifact of version {version.number} in the registry.")
        tag, folder = build(version, graph, known)
    at.set_registered_model_alias(NAME, "candidate", version.number)
    write(BUILD / "rows.json", rows)
    package = {
        "version": version.number,
        "model_md5": hashes[MODEL],
        "git_sha": commit(),
        "bento": tag,
        "path": str(folder.relative_to(ROOT)),
        "digest": digest(folder),
        "image": "",
    }
    if engine:
        made = make.image(engine, package, folder, gates)
        package["image"] = made.name
        print(make.told(made))
    sign(package, folder, version, gates["image"]["signed"])
    write(written, package)
    print(f"package: version {version.number} of {NAME}, {package['digest']}\npackage: {package['path']}")


def sign(package: dict[str, Any], folder: Path, version: Version, signed: cosign.Signed) -> None:
    """Write the manifest of what is packaged, and sign it where somebody can."""
    paper = BUILD / "manifest.json"
    write(paper, manifest(package, folder, version.tags))
    cosign.signature(paper).unlink(missing_ok=True)
    signer = cosign.signer(signed, {})
    if signer:
        signer.file(paper)
    elif signed:
        print("package: not signed, so `deploy` will refuse it: there is neither COSIGN_KEY nor a pipeline's identity")


def checked(path: Path, md5: str, remedy: str) -> None:
    """Raises Unjudged unless the file is there and has this hash."""
    if not path.exists():
        raise Unjudged(f"{path} is not here", remedy)
    actual = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    if actual != md5:
        raise Unjudged(f"{path} has the md5 {actual}, dvc.lock says {md5}", remedy)


def judged(md5: str) -> str:
    """The headline of the gate's verdict on this model; raises Bad unless it passed, Unjudged where there is none."""
    remedy = "Run `make report` and `make gate`."
    if not VERDICT.exists():
        raise Unjudged(f"the gate has not judged this model: there is no {VERDICT}", remedy)
    verdict = json.loads(VERDICT.read_text())
    if verdict["files"][MODEL] != md5:
        raise Unjudged(f"the gate has judged another model: {verdict['files'][MODEL]}, not {md5}", remedy)
    if verdict["verdict"] == "fail":
        raise Bad(f"the gate has refused this model: {verdict['headline']}", verdict["remedy"] or remedy)
    if verdict["verdict"] != "pass":
        raise Unjudged(f"the gate could not judge this model: {verdict['headline']}", verdict["remedy"] or remedy)
    return verdict["headline"]


def registered(at: MlflowClient, hashes: dict[str, str], verdict: str) -> Version:
    """A new version with its lineage, belonging to the training run of this model, which is made where it is absent."""
    tags = lineage(hashes) | {
        "params": compact(yaml.safe_load(Path("params.yaml").read_text())),
        "metrics": compact(json.loads(Path(METRICS).read_text())),
        "gate": verdict,
    }
    home = experiment(at, TRAINING)
    found = at.search_runs([home], f"tags.model_md5 = '{hashes[MODEL]}'", max_results=1)
    if found:
        run = found[0].info.run_id
    else:
        run = at.create_run(home, run_name=hashes[MODEL][:8], tags={"model_md5": hashes[MODEL]}).info.run_id
        at.set_terminated(run)
    return register(at, ROOT / MODEL, run, tags)


def compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def commit() -> str:
    """The commit that is packaged, marked where the files that go into the package differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()

    changes = git("status", "--porcelain", "--", "service", "src", "uv.lock", "dvc.lock")
    return git("rev-parse", "HEAD") + ("-dirty" if changes else "")


def sample() -> dict[str, list[Any]]:
    """At most 1,000 rows spread over the test window as requests, and the answers that their recorded scores make."""
    remedy = "Get both with `make data`, or make them with `make train`."
    for path in (Path("data/test.parquet"), Path("data/predictions.parquet")):
        if not path.exists():
            raise Unjudged(f"{path} is not here", remedy)
    test, scored = parquet.read_table("data/test.parquet"), parquet.read_table("data/predictions.parquet")
    key = list(SCHEMA.key)
    if not test.num_rows or not test.select(key).equals(scored.select(key)):
        raise Unjudged("data/predictions.parquet is not about the rows of data/test.parquet", remedy)
    chosen = numpy.unique(numpy.linspace(0, test.num_rows - 1, ROWS).astype(int))
    rows = test.select([column.name for column in SCHEMA.features]).take(chosen).to_pylist()
    whole = [column.name for column in SCHEMA.features if isinstance(column, Number) and column.integer]
    for row in rows:
        row.update({name: int(row[name]) for name in whole if row[name] is not None})
    task, classes = yaml.safe_load(Path("params.yaml").read_text())["task"], list(SCHEMA.classes())
    names = [f"score_{name}" for name in classes] if task == "multiclass" else ["score"]
    scores = numpy.column_stack([scored[name].to_numpy() for name in names])[chosen]
    answers = predictions(task, classes, scores if task == "multiclass" else scores[:, 0])
    return {"rows": rows, "predictions": [plain(answer) for answer in answers]}


def plain(answer: Any) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in answer.__struct_fields__}
