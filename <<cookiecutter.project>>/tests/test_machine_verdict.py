"""Why a training ended, judged from what is known of it."""

import pytest

from ci.machine import journal
from ci.machine.evidence import Evidence
from ci.machine.verdict import judge
from << cookiecutter.__package >> import host

KERNEL = {"group": "/sys/fs/cgroup/job", "group_kills": 0, "limit_hits": 0, "host_kills": 0}
BEGIN = {"started": 1000.0, "boot": "a", "counters": KERNEL, "limit_s": None}
SAMPLE = {"seconds": 60.0, "host_mb": 4000.0, "disk_free_mb": 9000.0, "gpu0_mb": 700.0}
KILLED = ["Running stage 'train':", "ERROR: failed to reproduce 'train': failed to run: train, exited with -9"]
FAILED = {"code": 2, "what": "stage train failed", "remedy": "See above.", "at": 1060.0}


def kind(**given) -> str:
    usual = {"begin": BEGIN, "end": FAILED, "now": 1061.0, "boot": "a", "counters": KERNEL, "samples": [SAMPLE]}
    found = judge(Evidence(**usual | given))
    assert found.what
    assert found.remedy
    return found.kind


LIMIT_MET = KERNEL | {"group_kills": 1, "host_kills": 1, "limit_hits": 7}
ONE_KILLED = {"group": KERNEL["group"], "group_kills": 1, "host_kills": 1}  # by version 1 of cgroups
WHOLE = {"host_kills": 2}  # by a kernel that knows no memory cgroups
CRASH = ["ValueError: no"]
LIMITED = BEGIN | {"limit_s": 61.0}
NOTHING: dict = {}


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        ("none", {"begin": NOTHING, "end": NOTHING}),
        ("well", {"end": {"code": 0, "at": 1060.0}}),
        ("running", {"end": NOTHING, "alive": True}),
        ("data error", {"end": FAILED | {"code": 1}, "disk_free": 0}),
        ("cgroup limit", {"output": KILLED, "counters": LIMIT_MET, "limit": host.GB}),
        ("cgroup limit", {"output": KILLED, "counters": ONE_KILLED, "limit": host.GB}),
        ("host memory", {"output": KILLED, "counters": LIMIT_MET}),
        ("host memory", {"output": KILLED, "counters": LIMIT_MET | {"limit_hits": 0}, "limit": host.GB}),
        ("killed", {"output": KILLED, "counters": {"group": "/sys/fs/cgroup/another", "group_kills": 9}}),
        ("killed", {"output": KILLED, "counters": KERNEL | {"host_kills": 1}}),
        ("host memory", {"begin": BEGIN | {"counters": WHOLE}, "output": KILLED, "counters": {"host_kills": 3}}),
        ("killed", {"begin": BEGIN | {"counters": WHOLE}, "output": KILLED, "counters": WHOLE}),
        ("code error", {"begin": BEGIN | {"counters": WHOLE}, "output": CRASH, "counters": {"host_kills": 3}}),
        ("lost runner", {"end": NOTHING, "boot": "b"}),
        ("GPU memory", {"output": ["train: training ran out of memory on the GPU"]}),
        ("GPU memory", {"output": ["xgboost.core.XGBoostError: cudaErrorMemoryAllocation: out of memory"]}),
        ("host memory", {"output": ["train: training ran out of memory on this machine"]}),
        ("disk full", {"output": ["OSError: [Errno 28] No space left on device"]}),
        ("disk full", {"end": NOTHING, "disk_free": host.MB}),
        ("disk full", {"end": NOTHING, "samples": [SAMPLE, SAMPLE | {"disk_free_mb": 1.0}]}),
        ("time limit", {"begin": LIMITED, "output": KILLED}),
        ("time limit", {"begin": LIMITED, "output": ["train: stopped by SIGTERM after round 9; it goes on"]}),
        ("time limit", {"begin": LIMITED, "end": NOTHING}),
        ("code error", {"begin": LIMITED, "output": CRASH}),
        ("cancelled", {"output": KILLED, "job": "cancelled"}),
        ("cancelled", {"end": NOTHING, "job": "canceled"}),
        ("killed", {"output": KILLED}),
        ("killed", {"end": NOTHING}),
        ("killed", {"output": [KILLED[1].replace("-9", "137")]}),
        ("killed", {"end": FAILED | {"signal": 2}}),
        ("refused", {"output": ["Everything is up to date."]}),
        ("refused", {"output": ["train: no checkpoint in a: No space left on device; the training goes on"]}),
    ],
)
def test_the_verdict(expected, given):
    assert kind(**given) == expected


def test_the_evidence_is_told():
    found = judge(Evidence(BEGIN, FAILED, 1061.0, output=KILLED, samples=[SAMPLE], counters=KERNEL, boot="a"))
    assert found.what == "the training was killed, by SIGKILL"
    assert found.evidence == (
        "the kernel counted no process that it ended for want of memory",
        "last sample after 1.0 min: 700 MB of gpu0, 4000 MB of the host, 9000 MB of disk free",
    )


def test_the_message_of_a_stage_is_told():
    output = ["check: bad: 3 rows of distance are below 0", "  -> Mend the data.", "ERROR: failed, exited with 1"]
    found = judge(Evidence(BEGIN, FAILED | {"code": 1}, 1061.0, output=output))
    assert found == ("data error", "stage train failed", "Mend the data.", (f"said: {output[0]}",))


def test_a_journal_outlives_its_writer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIME_LIMIT_MINUTES", "10")
    assert not journal.alive()
    journal.begin("run", ["cpu"])
    assert journal.alive()
    assert journal.read()["begin"]["limit_s"] == 600
    journal.add("end", code=0)
    with journal.JOURNAL.open("a") as file:
        file.write('{"event": "e')  # torn
    assert list(journal.read()) == ["begin", "end"]
    journal.begin("another", ["cpu"])
    assert list(journal.read()) == ["begin"]


@pytest.mark.parametrize(
    ("files", "limit", "counted"),
    [
        (
            {"memory.max": "1000000", "memory.current": "900000", "memory.events": "low 0\noom 3\noom_kill 2\n"},
            1000000,
            {"group_kills": 2, "limit_hits": 3},
        ),
        (
            {"memory.limit_in_bytes": "1000000", "memory.oom_control": "under_oom 0\noom_kill 1\n"},
            1000000,
            {"group_kills": 1},
        ),
        ({"memory.max": "max", "memory.events": "oom 0\noom_kill 0\n"}, None, {"group_kills": 0, "limit_hits": 0}),
    ],
    ids=["version 2", "version 1", "no limit"],
)
def test_both_versions_of_cgroups_are_read(tmp_path, monkeypatch, files, limit, counted):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(host, "_folders", lambda: iter([tmp_path]))
    assert host.memory().limit == limit
    assert {name: host.counters()[name] for name in counted} == counted
