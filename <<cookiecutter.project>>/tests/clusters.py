"""What the tests of the target `kubernetes` need of a real cluster: namespaces of their own, images, an address.

TEST_KUBECTL: kubectl as an administrator of a cluster in which the tests may make namespaces and remove them, such as
`kubectl --context kind-tests`. IMAGE_REGISTRY: a registry that Docker here and the nodes there reach. The tests run
where the addresses of the cluster's Services answer, as on a node.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import yaml
from deployments import package

from deploy.kubernetes import manifests
from deploy.target import ENVIRONMENTS

HERE = Path(__file__).resolve().parent
NEEDED = ("TEST_KUBECTL", "IMAGE_REGISTRY")
LACKING = "" if all(map(os.environ.get, NEEDED)) else f"no cluster is given: {' and '.join(NEEDED)} (tests/clusters.py)"
DOCKERFILE = """FROM python:<< cookiecutter.python >>-slim
WORKDIR /app
COPY . /app
USER 65532:65532
CMD ["python", "-m", "service"]
"""


def admin(*words: str, given: str | None = None, strict: bool = True) -> str:
    """The output of kubectl as an administrator."""
    command = [*shlex.split(os.environ["TEST_KUBECTL"]), *words]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=strict).stdout


def namespaces(folder: Path) -> dict[str, str]:
    """A copy of deploy/kubernetes in `folder` with namespaces of its own, which are made; environment -> namespace.

    Each has its Service, so that the address is known. Production's pipeline may change staging too, for one login.
    """
    shutil.copytree(manifests.HERE, folder)
    mark = uuid.uuid4().hex[:6]
    names = {environment: f"test-{mark}-{environment}" for environment in ENVIRONMENTS}
    for path in folder.rglob("*.yaml"):
        text = path.read_text()
        for environment, name in names.items():
            text = text.replace(f"{manifests.PROJECT}-{environment}", name)
        path.write_text(text)
    admin("apply", "--kustomize", str(folder / "access"))
    for name in names.values():
        made = yaml.safe_load((folder / "base" / "service.yaml").read_text())
        made["spec"]["selector"] |= {manifests.SLOT: "none"}
        admin("apply", "--namespace", name, "--filename", "-", given=json.dumps(made))
    account = f"--serviceaccount={names['production']}:pipeline"
    admin("create", "rolebinding", "both", "--role=pipeline", account, "--namespace", names["staging"])
    return names


def command(*names: str) -> str:
    """KUBECTL as the pipeline of the last of these namespaces, with its rights and no others."""
    account = f"--as=system:serviceaccount:{names[-1]}:pipeline"
    return f"{sys.executable} {HERE / 'kubectl.py'} {os.environ['TEST_KUBECTL']} {account}"


def imaged(folder: Path, number: str, **behaviour: object) -> Path:
    """A package.json with an image of the stand-in in the registry; see `package`."""
    written = package(folder, number, **behaviour)
    described = json.loads(written.read_text())
    source = Path(described["path"]) / "src"
    (source / "Dockerfile").write_text(DOCKERFILE)
    name = f"{os.environ['IMAGE_REGISTRY']}/{manifests.PROJECT}-test"
    tag = f"{name}:{described['digest'].removeprefix('sha256:')[:16]}"
    for words in (["build", "--quiet", "--tag", tag, str(source)], ["push", "--quiet", tag]):
        subprocess.run(["docker", *words], check=True, capture_output=True)
    (source / "Dockerfile").unlink()
    known = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{index .RepoDigests 0}}", tag],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    subprocess.run(["docker", "image", "rm", tag], check=True, capture_output=True)
    written.write_text(json.dumps(described | {"image": known.strip()}))
    return written


def address(namespace: str) -> str:
    """The Service's own address in the cluster: these need not have an ingress, and a node's port may lose a caller."""
    path = "jsonpath={.spec.clusterIP}"
    return f"http://{admin('get', 'service', 'service', '--namespace', namespace, '--output', path)}"
