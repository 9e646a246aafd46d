"""The target `kubernetes` on a real cluster, with the rights of the pipeline's account and no others."""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from functools import partial

import deployments
import pytest
from clusters import LACKING, address, admin, command, imaged, namespaces
from deployments import Callers

from deploy.kubernetes import manifests, store
from deploy.kubernetes.check import lacking
from deploy.kubernetes.place import Kubernetes
from deploy.target import ROOT, start
from << cookiecutter.__package >>.outcome import Bad, Unjudged

pytestmark = [pytest.mark.skipif(bool(LACKING), reason=LACKING), pytest.mark.processes, pytest.mark.timeout(600)]

until = partial(deployments.until, limit_s=120)


@pytest.fixture(scope="module")
def spaces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster") / "kubernetes"
    names = namespaces(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifests, "HERE", folder)
        yield names
    admin("delete", "namespace", "--wait=false", *names.values())


@pytest.fixture
def cluster(spaces, tmp_path, monkeypatch):
    monkeypatch.setenv("DEPLOYMENTS", str(tmp_path / "deployments"))
    monkeypatch.setenv("KUBECTL", command(spaces["production"]))
    for environment, namespace in spaces.items():
        monkeypatch.setenv(f"{environment.upper()}_URL", address(namespace))
    place = Kubernetes()
    yield place
    place.limits["drain_s"] = 1
    place.stop("production", forget=True)


@pytest.fixture
def production(cluster, tmp_path):
    """The cluster with version 1 in production."""
    start(cluster, "production", cluster.add(imaged(tmp_path, "1")))
    return cluster


def pods(spaces, leaving=False):
    listed = json.loads(admin("get", "pods", "--namespace", spaces["production"], "--output", "json"))["items"]
    return [pod["metadata"]["name"] for pod in listed if leaving or "deletionTimestamp" not in pod["metadata"]]


def test_a_share_is_as_near_as_the_number_of_pods_allows(production, spaces, tmp_path):
    production.begin("production", production.add(imaged(tmp_path, "2")))
    assert round(production.share("production", 10)) == 17, "one of six"
    assert len(pods(spaces)) == 6
    production.settle("production")
    assert len(pods(spaces)) == 2


def test_a_drained_node_takes_one_pod_at_a_time_and_no_request(production, spaces):
    """An eviction as `kubectl drain` asks for it: the disruption budget answers."""

    def evicted(name):
        path = f"/api/v1/namespaces/{spaces['production']}/pods/{name}/eviction"
        asked = json.dumps({"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": name}})
        return subprocess.run(
            [*shlex.split(os.environ["TEST_KUBECTL"]), "create", "--raw", path, "--filename", "-"],
            input=asked, capture_output=True, text=True, check=False,
        )  # fmt: skip

    with Callers(production.address("production"), 2, kept=False) as callers:
        first, second = pods(spaces)
        until(lambda: evicted(first).returncode == 0)  # once the budget has heard of both
        assert "violate the pod's disruption budget" in evicted(second).stderr
        until(lambda: len(pods(spaces)) == 2 and evicted(second).returncode == 0)
        until(lambda: not {first, second} & set(pods(spaces, leaving=True)) and len(pods(spaces)) == 2)
    assert callers.failed == []


def test_the_autoscaler_follows_the_release_that_answers(production, spaces, tmp_path):
    """Without metrics it still holds a Deployment between its bounds."""

    def scaled():
        found = json.loads(admin("get", "hpa", "service", "--namespace", spaces["production"], "--output", "json"))
        return found["spec"]["scaleTargetRef"]["name"], found["spec"]["minReplicas"]

    assert scaled() == ("service-a", 2)
    production.begin("production", production.add(imaged(tmp_path, "2")))
    assert round(production.share("production", 10)) == 17
    assert scaled() == ("service-a", 5), "it must not take back what the share needs"
    production.finish("production")
    assert scaled() == ("service-b", 2)


def test_the_clusters_last_warning_says_why_a_release_is_not_ready(production, tmp_path):
    production.limits["ready_s"] = 12
    with pytest.raises(Bad, match=r"\(0 of 2 pods are\): Unhealthy: Startup probe failed: .*version 1 .* still runs"):
        production.begin("production", production.add(imaged(tmp_path, "2", hang=True)))


def test_what_is_the_clusters_fault_is_no_judgement(production, spaces, tmp_path):
    production.limits["ready_s"] = 8
    release = production.add(imaged(tmp_path, "2"))
    with pytest.raises(Unjudged, match=r"could not be pulled: .*version 1 .* still runs"):
        production.begin("production", replace(release, image=release.image.replace(registry(release), "127.0.0.1:1")))
    absent = release.image.replace("@sha256:", "@sha256:0")[:-1]
    with pytest.raises(Bad, match="not in the registry"):
        production.begin("production", replace(release, image=absent))
    assert (production.kept(release), production.kept(replace(release, image=absent))) == (True, False)
    admin("create", "quota", "few", "--hard=pods=3", "--namespace", spaces["production"])
    try:
        with pytest.raises(Unjudged, match=r"quota is exceeded: .*few.*version 1 .* still runs"):
            production.begin("production", release)
    finally:
        admin("delete", "quota", "few", "--namespace", spaces["production"])
    assert (len(pods(spaces)), production.running("production").candidate) == (2, None)


def registry(release):
    return release.image.partition("/")[0]


HOLD = """
import time
from deploy.kubernetes import manifests
from deploy.kubernetes.place import Kubernetes
from pathlib import Path
manifests.HERE = Path({here!r})
with Kubernetes().store.hold("production", "promote", 5):
    print("held", flush=True)
    time.sleep(600)
"""


def test_one_caller_at_a_time_and_a_killed_one_lets_go(cluster, monkeypatch):
    words = [sys.executable, "-c", HOLD.format(here=str(manifests.HERE))]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Unjudged, match="changed: promote by"), cluster.store.hold("production", "rollback", 1):
            pass
        holder.kill()
    monkeypatch.setattr(store, "SECONDS", 3)
    with cluster.store.hold("production", "rollback", 60):
        cluster.store.write("production", "change.json", {"id": 1})
        assert cluster.store.read("production", "change.json") == {"id": 1}
        with pytest.raises(Unjudged, match="rollback by"), Kubernetes().store.hold("production", "promote", 0):
            pass
    with Kubernetes().store.hold("production", "promote", 0):
        cluster.store.write("production", "change.json", None)
    assert cluster.store.read("production", "change.json") is None


def test_a_caller_that_was_cut_off_changes_nothing_more(cluster, spaces, monkeypatch):
    monkeypatch.setattr(store, "SECONDS", 3)
    with cluster.store.hold("production", "promote", 20):
        admin("delete", "lease", "deployments", "--namespace", spaces["production"])  # as one that ran out
        until(lambda: "production" in cluster.store.lost)
        for act in (lambda: cluster.store.write("production", "change.json", 1), lambda: cluster.settle("production")):
            with pytest.raises(Unjudged, match="was held until"):
                act()


@pytest.mark.parametrize(
    "may",
    [
        "get secrets", "create pods", "create pods --subresource=exec", "create pods --subresource=portforward",
        "create serviceaccounts --subresource=token", "create serviceaccounts", "create rolebindings", "patch roles",
        "delete services", "patch deployments/other", "get configmaps/other", "delete namespaces",
    ],
)  # fmt: skip
def test_the_pipeline_may_not(spaces, may):
    account = f"--as=system:serviceaccount:{spaces['production']}:pipeline"
    place = ["--namespace", spaces["production"]]
    assert admin("auth", "can-i", *may.split(), account, *place, strict=False) == "no\n"
    assert admin("auth", "can-i", *may.split(), *place, strict=False) == "yes\n", "the question is well put"


def test_the_pipeline_of_staging_looks_at_production_and_no_more(spaces, cluster, monkeypatch):
    monkeypatch.setenv("KUBECTL", command(spaces["staging"]))
    place = Kubernetes()
    assert place.running("production") is None
    assert lacking() == []
    with pytest.raises(Unjudged, match=r"forbids it: .*leases"), place.store.hold("production", "deploy", 1):
        pass
    monkeypatch.setenv("KUBECTL", f"{os.environ['TEST_KUBECTL']} --as=nobody")
    [(what, _)] = lacking()
    assert "the right to change Deployments" in what
    monkeypatch.setenv("KUBECTL", f"{os.environ['TEST_KUBECTL']} --server=https://127.0.0.1:1")
    monkeypatch.setattr("deploy.kubernetes.cluster.PATIENCE_S", 1)
    [(what, _)] = lacking()
    assert "the cluster does not answer" in what
