"""Builds the Bento of one registered version: the same inputs give the same bytes, whoever builds and whenever.

What is served is `service/`, the two modules of the package that it reads, the version's graph, and the group `serve`
of `uv.lock` with its hashes. Nothing is resolved again, and nothing of training comes along.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import bentoml
import yaml

from ci.environment import ROOT, uv
from ci.registry import MODEL, Version
from deploy.releases import digest

BUILD = ROOT / "build"
SERVICE = "service.service:Predictor"
MODULES = ("__init__.py", "columns.py", "schema.py")
TIMELESS = "1970-01-01T00:00:00+00:00"


def build(version: Version, graph: Path, known: str | None) -> tuple[str, Path]:
    """The tag and the folder of the Bento that serves `graph` as `version`; one with the digest `known` is kept.

    The tag names what is served by its content address, so that changed code or packages make another Bento.
    """
    os.environ["BENTOML_HOME"] = str(BUILD / "bentoml")
    os.environ["PATH"] = os.pathsep.join([str(Path(uv()).parent), os.environ["PATH"]])  # BentoML looks for uv there
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        stage = Path(scratch)
        requirements = collect(stage, version, graph)
        content = digest(stage).removeprefix("sha256:")[:16]
        folder = BUILD / "bentoml" / "bentos" / MODEL / content
        if folder.exists():
            if digest(folder) == known:
                return f"{MODEL}:{content}", folder
            shutil.rmtree(folder)
        bentoml.bentos.build(
            SERVICE,
            version=content,
            description=f"Model {MODEL}, version {version.number}",
            build_ctx=str(stage),
            include=["*"],
            exclude=["__pycache__/"],
            python={"requirements_txt": "requirements.txt", "lock_packages": False},
        )
    settle(folder, requirements)
    return f"{MODEL}:{content}", folder


def collect(stage: Path, version: Version, graph: Path) -> str:
    """Put everything that is served into `stage`; returns the locked requirements."""
    package = Path("<< cookiecutter.__package >>")
    (stage / package).mkdir()
    for name in MODULES:
        shutil.copyfile(ROOT / "src" / package / name, stage / package / name)
    shutil.copytree(ROOT / "service", stage / "service", ignore=shutil.ignore_patterns("__pycache__"))
    (stage / "models").mkdir()
    shutil.copyfile(graph, stage / "models" / "model.onnx")
    (stage / "models" / "version").write_text(f"{version.number}\n")
    command = [uv(), "export", "--quiet", "--locked", "--only-group", "serve", "--no-emit-project"]
    command += ["--no-header", "--no-annotate", "--format", "requirements-txt"]
    requirements = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    (stage / "requirements.txt").write_text(requirements)
    return requirements


def settle(folder: Path, requirements: str) -> None:
    """Take out of the Bento what differs from build to build, and what BentoML adds to the locked requirements."""
    described = yaml.safe_load((folder / "bento.yaml").read_text())
    described["creation_time"] = TIMELESS
    described["image"]["python_requirements"] = requirements
    (folder / "bento.yaml").write_text(yaml.safe_dump(described))
    python = folder / "env" / "python"
    (python / "requirements.txt").write_text(requirements)
    (python / "version.txt").write_text((ROOT / ".python-version").read_text())
