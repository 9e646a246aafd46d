"""The place that this project is set to: `DEPLOY_TARGET`, else deploy/settings.yaml."""

import os

from deploy.target import TARGETS, Target, settings
from << cookiecutter.__package >>.outcome import Unjudged


def kind() -> str:
    """The kind of place that `DEPLOY_TARGET` names, else settings.yaml."""
    return os.environ.get("DEPLOY_TARGET") or settings()["target"]


def target() -> Target:
    """The place of this project; raises Unjudged where there is no such kind."""
    name = kind()
    if name == "process":
        from deploy.process.place import Process

        return Process()
    if name == "compose":
        from deploy.compose.place import Compose

        return Compose()
    if name == "kubernetes":
        from deploy.kubernetes.place import Kubernetes

        return Kubernetes()
    raise Unjudged(f"there is no target {name!r}", f"Set DEPLOY_TARGET, or deploy/settings.yaml: {', '.join(TARGETS)}.")
