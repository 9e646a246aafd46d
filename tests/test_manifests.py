"""The Kubernetes manifests of the generated project, rendered by a current kustomize: valid, strictly, and clean."""

import shutil
import subprocess

import pytest
import yaml
from conftest import run
from engines.tools import BIN, HERE

pytest_plugins = ["engines.files"]
VERSIONS = ("1.30", "1.37")  # the oldest that docs/kubernetes.md names, and a current one
CUSTOM = "argoproj.io/"  # of Argo Rollouts: no part of Kubernetes
DEVICE = "nvidia.com~1gpu"
FOLDERS = ["access", "overlays/staging", "overlays/production", "rollouts", "training", "training on a slice"]


@pytest.fixture
def rendered(made, tmp_path):
    """`rendered(name)`: the file of what kustomize makes of a folder of deploy/kubernetes."""

    def get(name: str):
        folder, _, device = name.partition(" on ")
        copied = tmp_path / "kubernetes"
        shutil.copytree(made(target="kubernetes") / "deploy" / "kubernetes", copied)
        if device:
            path = copied / folder / "kustomization.yaml"
            assert path.read_text().count(DEVICE) == 1, "the device is one parameter"
            path.write_text(path.read_text().replace(DEVICE, "nvidia.com~1mig-1g.10gb"))
        path = tmp_path / "rendered.yaml"
        path.write_text(run([BIN / "kubectl", "kustomize", copied / folder], tmp_path).stdout)
        return path

    return get


def validated(path, version) -> subprocess.CompletedProcess:
    command = [BIN / "kubernetes-validate", "--strict", "--kubernetes-version", version, path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", FOLDERS)
def test_every_manifest_is_valid(rendered, name):
    path = rendered(name)
    manifests = list(yaml.safe_load_all(path.read_text()))
    known = [one for one in manifests if not one["apiVersion"].startswith(CUSTOM)]
    assert known
    for version in VERSIONS:
        done = validated(path, version)
        assert (done.stdout + done.stderr).count("passed for resource") == len(known), done.stdout + done.stderr
    for one in manifests:
        assert one["kind"] != "Secret"
        assert one["kind"] == "Namespace" or one["metadata"].get("namespace"), one["metadata"]["name"]


def test_a_wrong_manifest_is_not(rendered):
    path = rendered("overlays/production")
    path.write_text(path.read_text().replace("maxUnavailable: 1", "maximumUnavailable: 1"))
    done = validated(path, VERSIONS[-1])
    assert done.returncode != 0
    assert "maximumUnavailable" in done.stdout + done.stderr


def test_a_device_is_asked_for_by_its_name(rendered):
    [job] = [one for one in yaml.safe_load_all(rendered("training on a slice").read_text()) if one["kind"] == "Job"]
    limits = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert {name for name in limits if name.startswith("nvidia")} == {"nvidia.com/mig-1g.10gb"}


def test_their_form_is_clean(made):
    folder = made(target="kubernetes") / "deploy" / "kubernetes"
    done = run([BIN / "yamllint", "--strict", "--config-file", HERE / "yamllint.yml", folder], folder)
    assert done.returncode == 0
