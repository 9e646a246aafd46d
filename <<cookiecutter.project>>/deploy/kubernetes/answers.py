"""What an answer of the cluster's API means, and in one sentence why it refuses."""

import json
from typing import Any

from << cookiecutter.__package >>.outcome import Unjudged

ACCESS = "An administrator applies deploy/kubernetes/access (docs/kubernetes.md)."


class Conflict(Exception):
    """Somebody else has changed, or made, the object meanwhile."""


class Unanswered(Exception):
    """The API server, or a pod behind it, gave no answer; the message says why."""


def answer(status: int, content: bytes) -> Any:
    """What the API's answer means; see `Cluster.ask`."""
    try:
        said = json.loads(content)
    except ValueError:
        said = content.decode(errors="replace")
    if status < 300:
        return said
    why = said.get("message", "") if isinstance(said, dict) else said.strip()
    if status == 404 and why.startswith("namespaces "):
        raise Unjudged(f"the namespace {why.split()[1]} is not there", ACCESS)
    if status == 404:
        return None
    if status == 409:
        raise Conflict(why)
    if status in (429, 500, 502, 503, 504):
        raise Unanswered(why)
    if status == 401:
        raise Unjudged("the cluster does not accept this login", "Renew the login that KUBECONFIG holds.")
    if status == 403:
        raise Unjudged(*forbidden(why))
    raise Unjudged(f"the cluster refuses it: {why}", "Mend what the message names in deploy/kubernetes.")


def forbidden(why: str) -> tuple[str, str]:
    """What was refused, and what to do."""
    if "exceeded quota" in why:
        return f"the namespace's quota is exceeded: {why}", "Raise the quota, or ask for less in the overlay."
    if "violates PodSecurity" in why:
        return f"the namespace does not allow such a pod: {why}", "Mend the pod's securityContext in the overlay."
    return f"the cluster forbids it: {why}", ACCESS
