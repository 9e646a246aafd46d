"""What goes with a package on paper: the model's manifest, the image's bill of materials, and its provenance.

All of them follow from what was packaged: the same package has the same papers.
"""

import hashlib
import json
import os
import subprocess
import tomllib
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ci.environment import ROOT, uv
from ci.image.judge import licence
from deploy.containers.names import PROJECT
from deploy.store import who

Paper = dict[str, Any]


def manifest(package: Paper, bento: Path, lineage: dict[str, str]) -> Paper:
    """What is served: the model's hashes and licence, the versions of data and code that made it, and all digests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        "model": {
            "name": PROJECT,
            "version": package["version"],
            "md5": package["model_md5"],
            "sha256": sha256(bento / "src" / "models" / "model.onnx"),
            "licence": project["license"],
        },
        "data": {name: lineage[name] for name in sorted(lineage) if name == "data_md5" or name.startswith("raw.")},
        "code": {
            "trained": lineage.get("git_sha", ""),
            "packaged": package["git_sha"],
            "packages_sha256": sha256(bento / "env" / "python" / "requirements.txt"),
        },
        "bento": package["digest"],
        "image": package["image"],
    }


def materials(facts: dict[str, Any], package: Paper, known: Mapping[str, str], at: str) -> Paper:
    """CycloneDX: the locked packages that are in the image, with their hashes and licences, and Debian's libraries."""
    command = [uv(), "export", "--quiet", "--locked", "--only-group", "serve", "--no-emit-project"]
    shown = subprocess.run([*command, "--format", "cyclonedx1.5"], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    bill = json.loads(shown.stdout)
    there = {(one["Name"].lower().replace("_", "-"), one["Version"]): one for one in facts["packages"]}
    kept = [part for part in bill["components"] if (part["name"], part["version"]) in there]
    for part in kept:
        part["licenses"] = [{"license": {"name": licence(there[part["name"], part["version"]], known)}}]
    references = {part["bom-ref"] for part in kept}
    for one in facts["system"]:
        name, version, built = one["Package"], one["Version"], one["Architecture"]
        purl = f"pkg:deb/debian/{name}@{version}?arch={built}"
        kept.append({"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl})
    bill["components"] = kept
    bill["dependencies"] = [
        {**one, "dependsOn": [other for other in one.get("dependsOn", []) if other in references]}
        for one in bill["dependencies"]
        if one["ref"] in references
    ]
    bill["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, package["digest"]).urn
    bill["metadata"]["timestamp"] = moment(at)
    bill["metadata"]["component"] = {"type": "container", "name": PROJECT, "version": package["version"]}
    return bill


def provenance(package: Paper, base: tuple[str, str], bento: Path, at: str) -> Paper:
    """SLSA provenance, version 1: from which source, base, lock and model, and by which pipeline."""
    commit, identity = package["git_sha"], base[1].removeprefix("sha256:")
    return {
        "buildDefinition": {
            "buildType": f"{source() or PROJECT}/ci/image",
            "externalParameters": {"source": source(), "commit": commit, "word": "package"},
            "internalParameters": {},
            "resolvedDependencies": [
                {"uri": f"git+{source()}", "digest": {"gitCommit": commit.removesuffix("-dirty")}},
                {"uri": f"docker://{base[0].partition('@')[0]}", "digest": {"sha256": identity}},
                {"uri": "uv.lock", "digest": {"sha256": sha256(ROOT / "uv.lock")}},
                {"uri": "model.onnx", "digest": {"sha256": sha256(bento / "src" / "models" / "model.onnx")}},
                {"uri": "bento", "digest": {"sha256": package["digest"].removeprefix("sha256:")}},
            ],
        },
        "runDetails": {
            "builder": {"id": builder()},
            "metadata": {"invocationId": pipeline(), "startedOn": moment(at)},
        },
    }


def source() -> str:
    """The address of the repository, without any login that is in it; nothing where it has none."""
    get = os.environ.get
    if get("GITHUB_REPOSITORY"):
        return f"{get('GITHUB_SERVER_URL', '')}/{get('GITHUB_REPOSITORY')}"
    if get("CI_PROJECT_URL"):
        return get("CI_PROJECT_URL", "")
    asked = ["git", "config", "--get", "remote.origin.url"]
    url = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def builder() -> str:
    """Who builds: the pipeline's file, or the person."""
    get = os.environ.get
    if get("GITHUB_WORKFLOW_REF"):
        return f"{get('GITHUB_SERVER_URL', '')}/{get('GITHUB_WORKFLOW_REF')}"
    if get("CI_PROJECT_URL"):
        file = get("CI_CONFIG_PATH", ".gitlab-ci.yml")
        return f"{get('CI_PROJECT_URL')}//{file}@refs/heads/{get('CI_COMMIT_REF_NAME')}"
    return f"person:{who()}"


def pipeline() -> str:
    """The address of the pipeline that this runs in, or nothing."""
    if "GITHUB_RUN_ID" in os.environ:
        return "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}".format_map(os.environ)
    return os.environ.get("CI_PIPELINE_URL", "")


def moment(seconds: str) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
