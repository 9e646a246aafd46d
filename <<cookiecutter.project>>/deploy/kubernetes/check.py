"""Whether this login may change what the target `kubernetes` runs: asked before anything expensive."""

from deploy.kubernetes import manifests
from deploy.kubernetes.answers import ACCESS
from deploy.kubernetes.cluster import Cluster
from deploy.target import ENVIRONMENTS
from << cookiecutter.__package >>.outcome import Unjudged

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def lacking() -> list[tuple[str, str]]:
    """What is missing and where to get it; a login for one of the environments is enough."""
    cluster = Cluster()
    try:
        if any(may(cluster, manifests.namespace(environment)) for environment in ENVIRONMENTS):
            return []
    except Unjudged as error:
        return [(f"a cluster: {error.what}", error.remedy)]
    names = " or ".join(map(manifests.namespace, ENVIRONMENTS))
    return [(f"the right to change Deployments in {names}", ACCESS)]


def may(cluster: Cluster, namespace: str) -> bool:
    asked = {"namespace": namespace, "verb": "patch", "group": "apps", "resource": "deployments"}
    asked["name"] = manifests.deployment_name("a")
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    return cluster.ask("POST", REVIEWS, review | {"spec": {"resourceAttributes": asked}})["status"]["allowed"]
