"""The target `kubernetes` on a real cluster, with the rights of the pipeline's account and no others."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial

import deployments
import pytest
from clusters import LACKING, address, admin, command, imaged, namespaces
from deployments import ROWS, Callers

from deploy import stepwise
from deploy.client import Client
from deploy.kubernetes import manifests, store
from deploy.kubernetes.check import lacking
from deploy.kubernetes.place import Kubernetes
from deploy.target import ROOT, start
from << cookiecutter.__package >>.outcome import Bad, Unjudged

pytestmark = [pytest.mark.skipif(bool(LACKING), reason=LACKING), pytest.mark.processes, pytest.mark.timeout(600)]

until = partial(deployments.until, limit_s=120)
GATE = {"steps": [10, 50, 100], "watch_s": 0.5, "minimum_requests": 100, "probe_rate": 400, "probe_s": 60}
GATE |= {"error_ratio": 0.005, "factor": 2.0, "allowance_ms": 150}


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
    """Production with version 1, and a function that moves it to a version 2 of some behaviour."""
    start(cluster, "production", cluster.add(imaged(tmp_path, "1")))

    def move(**behaviour):
        stepwise.move(cluster, "production", cluster.add(imaged(tmp_path, "2", **behaviour)), GATE)

    return move


def pods(spaces):
    listed = json.loads(admin("get", "pods", "--namespace", spaces["production"], "--output", "json"))["items"]
    return [pod["metadata"]["name"] for pod in listed if "deletionTimestamp" not in pod["metadata"]]


def test_a_good_release_comes_in_by_steps_and_no_request_is_lost(cluster, production, spaces, capsys):
    with Callers(cluster.address("production"), 1, kept=False) as callers:
        until(lambda: callers.versions["1"] > 50)
        production()
        until(lambda: callers.versions["2"] > 50)
    assert callers.failed == []
    said = capsys.readouterr().out
    assert "10% of production's connections go to version 2" in said
    assert "17%, as near as this place can" in said
    running = cluster.running("production")
    assert (running.release.version, running.alive, running.ready, running.candidate) == ("2", True, True, None)
    assert len(pods(spaces)) == 2


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        ({"exit": 3}, "ended with exit code 3: the graph is broken"),
        ({"hang": True}, r"not ready within 8 s \(0 of 2 pods are\)"),
        ({"errors": 50}, "errs for"),
        ({"crowded": 0.3}, "answers within"),
        ({"dies": 90}, "has ended"),
    ],
    ids=["ends", "never-ready", "errs-for-2%", "slow-under-load", "dies"],
)
def test_a_bad_release_goes_back_by_itself(cluster, production, spaces, behaviour, why):
    cluster.limits["ready_s"] = 8 if "hang" in behaviour else 60
    with Callers(cluster.address("production"), 1, kept=False) as callers, pytest.raises(Bad, match=why):
        production(**behaviour)
    with Client(cluster.address("production")) as client:
        assert {client.predict(ROWS[:1])[1]["model_version"] for _ in range(20)} == {"1"}
    running = cluster.running("production")
    assert (running.release.version, running.ready, running.candidate, len(pods(spaces))) == ("1", True, None, 2)
    if "hang" in behaviour or "exit" in behaviour:
        assert (callers.failed, set(callers.versions)) == ([], {"1"})


def test_whoever_finds_a_move_that_was_left_ends_it(cluster, production, spaces, tmp_path):
    with Callers(cluster.address("production")) as callers:
        release = cluster.add(imaged(tmp_path, "2"))
        cluster.begin("production", release)
        assert cluster.share("production", 50) == 50
        other = Kubernetes()  # on another machine, after this one was lost
        running = other.running("production")
        assert (running.release.version, running.candidate, round(running.share)) == ("1", release, 50)
        other.settle("production")
        other.begin("production", release)
        other.finish("production")
        assert other.running("production").release == release
        before = callers.versions["1"]
        until(lambda: callers.versions["2"] > 50)
    assert callers.failed == []
    assert callers.versions["1"] == before, "the former release has ended"
    assert other.stop("production")
    running = cluster.running("production")
    assert (running.release, running.alive, running.ready) == (release, False, False)
    assert not cluster.stop("production", forget=True)
    assert cluster.running("production") is None


def test_what_is_the_clusters_fault_is_no_judgement(cluster, production, spaces, tmp_path):
    cluster.limits["ready_s"] = 8
    release = cluster.add(imaged(tmp_path, "2"))
    with pytest.raises(Unjudged, match=r"could not be pulled: .*version 1 .* still runs"):
        cluster.begin("production", replace(release, image=release.image.replace(registry(release), "127.0.0.1:1")))
    absent = release.image.replace("@sha256:", "@sha256:0")[:-1]
    with pytest.raises(Bad, match="not in the registry"):
        cluster.begin("production", replace(release, image=absent))
    assert (cluster.kept(release), cluster.kept(replace(release, image=absent))) == (True, False)
    admin("create", "quota", "few", "--hard=pods=3", "--namespace", spaces["production"])
    try:
        with pytest.raises(Unjudged, match=r"quota is exceeded: .*few.*version 1 .* still runs"):
            cluster.begin("production", release)
    finally:
        admin("delete", "quota", "few", "--namespace", spaces["production"])
    assert (len(pods(spaces)), cluster.running("production").candidate) == (2, None)


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
