"""The target `kubernetes` without a cluster: what is applied, and what the cluster's answers are taken for."""

import json
import re

import pytest
import yaml

from ci import preflight
from deploy.history import shortened
from deploy.kubernetes import manifests, pods
from deploy.kubernetes.answers import Conflict, Unanswered, answer
from deploy.kubernetes.cluster import Cluster
from deploy.kubernetes.place import needed
from deploy.kubernetes.space import Here
from deploy.target import Release
from << cookiecutter.__package >>.outcome import Bad, Unjudged

RELEASE = Release("7", f"sha256:{'ab' * 32}", "md5", "0" * 40, "model:7", f"registry.example.org/m@sha256:{'cd' * 32}")


@pytest.fixture
def rendered():
    """What kustomize would make of production, but for the labels and the namespace."""
    files = [*sorted((manifests.HERE / "base").glob("*.yaml")), *(manifests.HERE / "overlays" / "production").glob("*")]
    found = [one for path in files if path.name != "kustomization.yaml" for one in yaml.safe_load_all(path.read_text())]
    for one in found:
        one["metadata"].setdefault("labels", {})["app.kubernetes.io/name"] = manifests.PROJECT
    return found


@pytest.fixture
def deployment(rendered):
    given = {"SERVICE_ROWS": 50, "MODEL_VERSION": "another"}
    return manifests.deployment(rendered, "production", RELEASE, "b", 3, 2, given, "login", 30)


def test_a_release_is_put_into_its_slot(deployment, rendered):
    pod, labels = deployment["spec"]["template"]["spec"], deployment["spec"]["template"]["metadata"]["labels"]
    container = pod["containers"][0]
    assert (deployment["metadata"]["name"], deployment["spec"]["replicas"]) == ("service-b", 3)
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert (labels["deploy/slot"], labels["app.kubernetes.io/version"]) == ("b", "7")
    assert all(re.fullmatch("[A-Za-z0-9._-]{1,63}", value) for value in labels.values())
    assert (container["image"], pod["imagePullSecrets"]) == (RELEASE.image, [{"name": "login"}])
    variables = {one["name"]: one["value"] for one in container["env"]}
    assert variables == {"SERVICE_ROWS": "50", "MODEL_VERSION": "7", "DEPLOYMENT": "production"}
    assert pod["terminationGracePeriodSeconds"] == 30 + manifests.PRE_STOP_S
    assert json.loads(deployment["metadata"]["annotations"]["deploy/release"]) == RELEASE.dict()
    assert manifests.of_kind(rendered, "Deployment")["metadata"]["name"] == "service", "the overlay itself stays"


def test_a_pod_is_as_restricted_as_the_namespace_asks(deployment):
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
    }  # fmt: skip
    assert container["resources"].keys() == {"requests", "limits"}
    assert f"time.sleep({manifests.PRE_STOP_S})" in container["lifecycle"]["preStop"]["exec"]["command"][-1]


@pytest.mark.parametrize("selected", [None, {"app.kubernetes.io/component": "service", "deploy/slot": "a"}])
def test_applying_a_candidate_changes_nothing_of_who_answers(rendered, selected):
    around = manifests.around(rendered, "a", selected)
    assert manifests.of_kind(around, "Deployment") is None
    assert manifests.of_kind(around, "Service")["spec"]["selector"]["deploy/slot"] == ("a" if selected else "none")
    assert manifests.of_kind(around, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "service-a"


def test_the_autoscaler_leaves_the_pods_that_a_share_needs(rendered):
    spec = manifests.autoscaler(rendered, "a", 12)["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (12, 12)
    assert manifests.autoscaler(rendered, "b")["spec"]["minReplicas"] == 2
    without = [one for one in rendered if one["kind"] != "HorizontalPodAutoscaler"]
    assert manifests.autoscaler(without, "a") is None


@pytest.mark.parametrize(
    ("percent", "present", "more", "wanted"),
    [(10, 2, 3, (1, 5)), (50, 2, 3, (2, 2)), (10, 2, 0, (1, 2)), (10, 9, 3, (1, 9)), (99, 1, 3, (1, 1))],
)
def test_counts_of_pods_come_as_near_to_a_share_as_they_can(percent, present, more, wanted):
    assert manifests.counts(percent, present, more) == wanted


def side(replicas, **notes):
    annotations = {f"deploy/{name}": value for name, value in notes.items()}
    return {"spec": {"replicas": replicas}, "metadata": {"annotations": annotations}}


@pytest.mark.parametrize(
    ("present", "candidate", "wanted"),
    [
        (side(5), side(1, beside="2", raised="5"), 2),  # the share's own pods are not needed afterwards
        (side(7), side(1, beside="2", raised="5"), 7),  # the callers' are
        (side(2), side(2, beside="2"), 2),  # at once, without a share
        (side(0), side(3, beside="0"), 3),  # after a stop
    ],
)
def test_a_candidate_answers_alone_with_as_many_pods_as_are_needed(present, candidate, wanted):
    service = {"metadata": {"annotations": {"deploy/present": "a"}}}
    assert needed(Here(service, {"a": present, "b": candidate})) == wanted


def test_the_address_is_that_of_the_ingress(rendered):
    assert manifests.address(rendered) == f"http://{manifests.PROJECT}.example.org"
    manifests.of_kind(rendered, "Ingress")["spec"]["tls"] = [{"secretName": "certificate"}]
    assert manifests.address(rendered).startswith("https://")
    assert manifests.address([]) is None


def pod(state, restarts=0, last=None, conditions=()):
    container = {"state": state, "restartCount": restarts, "lastState": {"terminated": last} if last else {}}
    return {"metadata": {"name": "one"}, "status": {"containerStatuses": [container], "conditions": list(conditions)}}


def test_a_container_that_has_ended_says_its_code_and_its_last_line():
    crashed = pod({"waiting": {"reason": "CrashLoopBackOff"}}, 1, {"exitCode": 3, "reason": "Error"})
    assert pods.ended([crashed], lambda _: "no such graph").what == "it ended with exit code 3: no such graph"
    killed = pod({"running": {}}, 1, {"exitCode": 137, "reason": "OOMKilled"})
    assert pods.ended([killed], lambda _: "").what == "it ended with exit code 137, out of memory (OOMKilled)"
    assert pods.ended([pod({"running": {}})], lambda _: "") is None


@pytest.mark.parametrize(
    ("why", "kind"),
    [("manifest unknown", Bad), ("401 Unauthorized", Unjudged), ("dial tcp: connection refused", type(None))],
)
def test_an_image_that_cannot_be_pulled(why, kind):
    told = []
    assert isinstance(pods.unpulled([pod({"waiting": {"reason": "ErrImagePull", "message": why}})], told), kind)
    back = pod({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}})
    assert pods.unpulled([back], told) is None
    late = pods.late([back], [], told, 60, lambda _: "")
    assert isinstance(late, Unjudged)
    assert why in late.what, "the reason, and not that it waits"


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
REPLICA_FAILURE = {"type": "ReplicaFailure", "status": "True"}


@pytest.mark.parametrize(
    ("found", "conditions", "kind", "what"),
    [
        ([pod({"waiting": {}}, conditions=[UNSCHEDULABLE])], [], Unjudged, "no node takes its pods: 0/3 nodes"),
        ([], [REPLICA_FAILURE | {"message": "exceeded quota: pods"}], Unjudged, "quota is exceeded"),
        ([], [REPLICA_FAILURE | {"message": "violates PodSecurity"}], Unjudged, "does not allow such a pod"),
        ([pod({"waiting": {"reason": "CreateContainerError", "message": "no"}})], [], Bad, "does not start: Create"),
        ([pod({"waiting": {"reason": "ContainerCreating"}})], [], Unjudged, "not started it within 60 s: No: sandbox"),
        ([pod({"running": {}})], [], Bad, r"not ready within 60 s \(0 of 1 pods are\): No: sandbox"),
    ],
)
def test_why_pods_are_late(found, conditions, kind, what):
    late = pods.late(found, conditions, [], 60, lambda _: "No: sandbox")
    assert type(late) is kind
    assert re.search(what, late.what)


def status(message):
    return json.dumps({"kind": "Status", "message": message}).encode()


@pytest.mark.parametrize(
    ("code", "content", "kind", "what"),
    [
        (401, status("Unauthorized"), Unjudged, "does not accept this login"),
        (403, status('User "x" cannot patch resource "deployments"'), Unjudged, "forbids it: User"),
        (403, status("exceeded quota: cpu"), Unjudged, "quota is exceeded"),
        (404, status('namespaces "late" not found'), Unjudged, 'the namespace "late" is not there'),
        (409, status("the object has been modified"), Conflict, "modified"),
        (422, status("spec.replicas: Invalid value"), Unjudged, "refuses it: spec.replicas"),
        (502, b"dial tcp 10.0.0.1:6443: connection refused", Unanswered, "connection refused"),
    ],
)
def test_what_the_cluster_refuses(code, content, kind, what):
    with pytest.raises(kind, match=what):
        answer(code, content)


def test_what_is_not_there_is_nothing():
    assert answer(404, status('services "service" not found')) is None
    assert answer(200, b'{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("command", ["/nowhere/kubectl", "false"])
def test_without_kubectl_a_sentence(monkeypatch, command):
    monkeypatch.setenv("KUBECTL", command)
    with pytest.raises(Unjudged, match="kubectl"):
        Cluster().get("/readyz")


def test_preflight_says_that_no_cluster_answers(monkeypatch):
    monkeypatch.setenv("DEPLOY_TARGET", "kubernetes")
    monkeypatch.setenv("KUBECTL", "false")
    assert any("a cluster: kubectl cannot reach a cluster" in what for what, _ in preflight.needs(True))
    monkeypatch.setenv("DEPLOY_TARGET", "process")
    assert not any("a cluster" in what for what, _ in preflight.needs(True))


def change(number, recorded):
    return {"id": number, "recorded": recorded, "evidence": {"load": "x" * 1000}}


def test_a_history_stays_within_what_a_cluster_keeps():
    changes = [change(number, number < 8) for number in range(10)]
    assert shortened(changes) == changes
    short = shortened(changes, 5_000)
    assert [bool(one["evidence"]) for one in short] == [False] * 6 + [True] * 4
    most = len(json.dumps(changes[8:])) + 150
    tight = shortened(changes, most)
    assert len(json.dumps(tight)) <= most
    assert tight[-2:] == changes[8:], "what is not yet on record stays whole"
    assert [one["id"] for one in tight] == list(range(10 - len(tight), 10))
    assert 2 < len(tight) < 10
