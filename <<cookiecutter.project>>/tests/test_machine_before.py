"""What is judged before a training, and which devices it gets."""

import pytest

from ci.machine import before, devices
from ci.machine.devices import Device, Driver, chosen
from << cookiecutter.__package >> import host
from << cookiecutter.__package >>.outcome import Unjudged

GB = host.GB
NEEDS = {"memory_gb": 2, "disk_gb": 2, "device_memory_gb": 2}
ROOMY = host.Memory(total=16 * GB, available=8 * GB, limit=None)
GPU = Device("GPU-1", "A10", 24 * GB, GB, 0)
DRIVER = Driver("550.54.14", (12, 4))


def readings(**given) -> before.Readings:
    usual = {"needs": NEEDS, "device": "auto", "required": True, "memory": ROOMY, "disks": {"/srv": 50 * GB}}
    return before.Readings(**usual | {"driver": DRIVER, "built": (12, 9), "gpus": [GPU]} | given)


def test_a_machine_that_can_train(capsys):
    rows = before.judge(readings())
    before.show(rows)
    assert [row.name for row in rows] == ["driver", "GPU memory", "GPU processes", "host memory", "disk"]
    assert capsys.readouterr().out.count("  ok   ") == 5


@pytest.mark.parametrize(
    ("given", "row", "said", "remedy"),
    [
        ({"driver": None}, "GPU", "a GPU is required, and no NVIDIA driver is loaded", "REQUIRE_GPU=no"),
        ({"driver": None, "loaded": True}, "GPU", "libnvidia-ml is not to be found", "capability `utility`"),
        ({"built": None}, "GPU", "built for the CPU alone", "DEVICE=cuda"),
        ({"gpus": []}, "GPU", "no GPU is to be seen", "docs/runner.md"),
        ({"driver": Driver("470.82", (11, 4))}, "driver", "built for 12.9", "driver 525 or later"),
        ({"built": (13, 0)}, "driver", "550.54.14 runs CUDA 12.4", "driver 580 or later"),
        ({"gpus": [Device("GPU-1", "A10", 24 * GB, 23 * GB, 0)]}, "GPU memory", "1.0 GiB of 24.0 GiB", "nvidia-smi"),
        ({"gpus": [Device("GPU-1", "A10", 24 * GB, GB, 9, ((77, GB),))]}, "GPU processes", "process 77", "End it"),
        ({"memory": host.Memory(16 * GB, GB, 4 * GB)}, "host memory", "limit of this cgroup 4.0 GiB", "gates.yaml"),
        ({"disks": {"/srv": GB}}, "disk", "1.0 GiB free at /srv; 2 needed", "CACHE_GB"),
    ],
)
def test_each_want_has_its_own_sentence(given, row, said, remedy):
    rows = before.judge(readings(**given))
    assert [found.name for found in rows if not found.good] == [row]
    with pytest.raises(Unjudged) as raised:
        before.show(rows)
    assert f"{row}: " in raised.value.what
    assert said in raised.value.what
    assert remedy in raised.value.remedy


@pytest.mark.parametrize(
    "given",
    [
        {"driver": None, "required": False},
        {"device": "cpu", "driver": None},
        {"required": False, "gpus": [Device("GPU-1", "A10", 24 * GB, GB, 9, ((77, GB),))]},
    ],
    ids=["no GPU needed", "the CPU asked for", "a GPU shared with a screen"],
)
def test_nothing_is_wanted_that_is_not_needed(given):
    assert all(row.good for row in before.judge(readings(**given)))


@pytest.mark.parametrize(
    ("ids", "asked", "expected"),
    [
        (["GPU-a", "GPU-b"], None, ["GPU-a", "GPU-b"]),
        (["GPU-a", "GPU-b"], "1", ["GPU-b"]),
        (["GPU-a", "GPU-b"], "1,0", ["GPU-b", "GPU-a"]),
        (["GPU-aa", "GPU-ab"], "GPU-ab", ["GPU-ab"]),
        (["GPU-aa", "GPU-ab"], "GPU-a", []),
        (["GPU-a", "GPU-b"], "0,7,1", ["GPU-a"]),
        (["GPU-a"], "", []),
        (["GPU-a"], "-1", []),
        (["MIG-a", "MIG-b"], None, ["MIG-a"]),
        (["MIG-a", "MIG-b"], "MIG-b", ["MIG-b"]),
    ],
)
def test_the_devices_that_cuda_would_use(ids, asked, expected):
    assert chosen(ids, asked) == expected


@pytest.mark.parametrize(
    ("params", "variable", "expected"),
    [
        ({"estimator": "xgboost", "device": "auto"}, "", "auto"),
        ({"estimator": "xgboost", "device": "auto"}, "cpu", "cpu"),
        ({"estimator": "xgboost", "device": "cpu"}, "", "cpu"),
        ({"estimator": "linear", "device": "auto"}, "cuda", "cpu"),
    ],
)
def test_what_is_asked_for(monkeypatch, params, variable, expected):
    monkeypatch.setenv("DEVICE", variable)
    assert before.asked({"train": params}) == expected


def test_the_readings_of_this_machine(monkeypatch):
    monkeypatch.delenv("REQUIRE_GPU", raising=False)
    read = before.read(NEEDS, "cpu")
    assert 0 < read.memory.available <= read.memory.most
    assert all(free > 0 for free in read.disks.values())
    assert (read.required, read.driver, read.gpus) == (False, None, ())


def test_a_disk_is_told_once(tmp_path):
    assert list(host.disks(tmp_path, tmp_path / "to" / "be" / "made")) == [str(tmp_path)]


@pytest.mark.gpu
@pytest.mark.skipif(not devices.library(), reason="no NVIDIA driver is loaded here")
def test_the_gpu_of_this_machine():
    read = before.read(NEEDS, "cuda")
    assert read.driver.cuda >= (11, 0)
    assert read.gpus[0].id.startswith(("GPU-", "MIG-"))
    assert 0 < read.gpus[0].used < read.gpus[0].total
