"""What the generated pipelines must do, the same for both forges: with real git, storage, registry and words."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import run

from engines import forges, services
from engines.sides import OnGitHub, OnGitLab
from engines.world import MORE, SHARED, change, first, sized, world

REQUEST = ["preflight", "lint", "test", "check", "train", "report", "gate"]
RELEASE = ["preflight", "report", "gate", "package", "deploy", "verify", "load", "promote"]
# A service that grows slow with use: `verify`, which asks every recorded row, still passes.
SLOWER = """        self.asked = getattr(self, "asked", 0) + 1
        __import__("time").sleep(0.2 if self.asked > 1100 else 0)
"""


def released(success: int | None = None, then: str = "skipped") -> dict[str, str]:
    """The first `success` jobs went well, the next ended as `then`, the rest was skipped; `status` tells of it."""
    success = len(RELEASE) if success is None else success
    results = ["success"] * success + [then] * (len(RELEASE) > success)
    results += ["skipped"] * (len(RELEASE) - len(results))
    return dict(zip(RELEASE, results, strict=True)) | {"status": "success"}


class Scenarios:
    """Every scenario, on the forge that KIND names."""

    KIND = ""

    @pytest.fixture(scope="class")
    @classmethod
    def forge(cls, tmp_path_factory, shared, default_project):
        """The repository on a forge, with version 1 released by its first pipeline on main."""
        folder = tmp_path_factory.mktemp(cls.KIND)
        project = shared("first", lambda into: first(into, default_project))
        double = {"github": forges.github, "gitlab": forges.gitlab}[cls.KIND]
        prepare = "from ci.environment import prepare; print(prepare(['ui']))"
        shown = run([sys.executable, "-c", prepare], project, env={"ENVIRONMENTS": str(SHARED)})
        for name in ("s3", "mlflow"):
            (folder / name).mkdir()
        with (
            services.store(folder / "s3") as storage,
            services.mlflow(folder / "mlflow", Path(shown.stdout.strip(), "bin", "python")) as registry,
            world(folder, project, storage, registry) as place,
            double(folder) as (api, found),
        ):
            made = {"github": OnGitHub, "gitlab": OnGitLab}[cls.KIND](place, api, found)
            assert made.release(place.git("rev-parse", "HEAD~1")) == released()
            assert place.served() == "1"
            assert bool(place.production()["image"]) == ("IMAGE_REGISTRY" in place.hosted)
            assert api.status(place.head("main")) == ("production", True, "version 1 runs in production")
            yield made

    def test_documentation_alone_is_linted(self, forge):
        forge.place.branch("words")
        (forge.place.clone / "NOTES.md").write_text("# Notes\n")
        forge.place.push("Notes")
        assert forge.request("words") == without(forge, ["test", "check", "train", "report", "gate"])
        assert "Only documentation changed" in forge.last.output

    def test_a_fork_is_linted_and_tested_without_any_credential(self, forge):
        forge.place.branch("stranger")
        with (forge.place.clone / "service" / "limits.py").open("a") as code:
            code.write("# from a stranger\n")
        forge.place.push("From a stranger")
        before = len(forge.double.calls)
        assert forge.fork("stranger") == without(forge, ["check", "train", "report", "gate"])
        assert "A request from a fork gets no credential" in forge.last.output
        assert services.SECRET not in forge.last.output
        assert len(forge.double.calls) == before

    def test_bad_data_stops_at_the_check(self, forge):
        place = forge.place
        place.branch("bad-data")
        flights = place.clone / "data" / "raw" / "flights.csv"
        lines = flights.read_text().splitlines(keepends=True)
        column = lines[0].strip().split(",").index("distance")
        rows = [line.split(",") for line in lines[1:2001]]
        flights.unlink()  # it may be a link into DVC's cache
        spoiled = [",".join([*row[:column], "-1", *row[column + 1 :]]) for row in rows]
        flights.write_text("".join([lines[0], *spoiled, *lines[2001:]]))
        place.dvc("add", "data/raw/flights.csv")
        place.dvc("push", "data/raw/flights.csv")
        place.push("Other data")
        nothing = dict.fromkeys(["train", "report", "gate"], "skipped")
        assert forge.request("bad-data") == requested(forge, "failure", check="failure", **nothing)
        assert "distance" in forge.last.output

    def test_training_by_hand_leaves_what_is_up_to_date(self, forge):
        main = forge.place.head("main")
        job = "train" if forge.name == "github" else "train-branch"
        assert forge.by_hand("train") == {job: "success"}
        assert "nothing to train" in forge.last.output
        assert "nothing to commit" in forge.last.output
        assert forge.place.head("main") == main

    def test_a_slow_release_stops_at_the_load_test(self, forge):
        place = forge.place
        place.branch("slow")
        code = place.clone / "service" / "model.py"
        answer = "        found = self.session.run("
        assert answer in code.read_text()
        code.write_text(code.read_text().replace(answer, SLOWER + answer))
        slow = place.push("A careless change")
        production, main = place.production(), place.merge("slow")
        try:
            assert forge.release(main) == released(RELEASE.index("load"), "failure")
        finally:
            place.git("push", "--quiet", "--force", "origin", f"{main}:main")
        assert "MISSED" in forge.last.output
        assert place.production() == production
        assert place.served() == "1"
        still = ("production", False, "not released: version 1 runs in production")
        assert forge.double.status(slow) == still

    def test_a_change_from_request_to_production_and_back(self, forge):
        """Refused by the gate, pushed again, trained by the pipeline, judged on its new head, merged, rolled back."""
        place = forge.place
        place.branch("change", "worse")  # its developer has trained it: nothing is trained here
        place.git("push", "--quiet", "--force", "origin", "HEAD")
        untrained = {"train": "skipped"} if forge.name == "github" else {}
        assert forge.request("change") == requested(forge, "failure", gate="failure", **untrained)
        assert "gate: fail" in forge.last.output
        assert "Running stage 'train'" not in forge.last.output
        assert (len(reports(forge)), forge.double.writes()) == (1, ["POST"])

        change(place.clone / "params.yaml", train={"xgboost": sized(*MORE)})
        pushed = place.push("More rounds")
        self.kill_the_first_training(forge, "change")
        judged_at_once = {} if forge.name == "gitlab" else {"report": "skipped", "gate": "skipped"}
        assert forge.request("change") == requested(forge, "success", **judged_at_once)
        trained = place.head("change")
        assert place.git("rev-parse", f"{trained}^") == pushed
        assert "dvc.lock" in place.git("diff", "--name-only", pushed, trained)
        assert "train: goes on after round-0" in forge.last.output
        assert "diagnose: well" in forge.last.output
        same = [outputs(place.git("show", f"{at}:dvc.lock")) for at in (trained, "origin/uninterrupted")]
        assert same[0] == same[1]

        assert forge.follow("change") == requested(forge, "success", **untrained)
        assert "Running stage 'train'" not in forge.last.output
        assert "commented by CML" in forge.last.output
        assert len(reports(forge)) == 1
        assert set(forge.double.writes()[1:]) in ({"PATCH"}, {"PUT"})

        assert forge.release(place.merge("change")) == released()
        version = place.served()
        assert version != "1"
        assert place.alias("champion") == version
        assert forge.double.status(trained) == ("production", True, f"version {version} runs in production")
        named = {"version": "1"} if forge.name == "gitlab" else {}  # or the previous one: here they are the same
        assert forge.by_hand("rollback", **named) == {"rollback": "success"}
        assert place.served() == "1"
        assert place.alias("champion") == "1"


    def kill_the_first_training(self, forge, branch: str) -> None:
        """The runner's machine ends a training of the branch, which says so and cleans up."""
        job = "train" if forge.name == "github" else "train-branch"
        with killer(Path(forge.place.machine["CHECKPOINTS"])) as killed:
            assert forge.by_hand("train", branch) == {job: "failure"}
        assert killed, "the training ended before it could be killed"
        for word in ("train", "diagnose: killed"):
            assert f"{word}: the training was killed, by SIGKILL" in forge.last.output
        assert "clean: environments" in forge.last.output
        assert list(forge.last.artifacts.rglob("verdict.md"))


def requested(forge, result: str, **others: str) -> dict[str, str]:
    """Every job of a request: success unless said otherwise; on GitHub also `pass`, with this result."""
    return dict.fromkeys(REQUEST, "success") | others | ({"pass": result} if forge.name == "github" else {})


def without(forge, jobs: list[str]) -> dict[str, str]:
    """A request that goes well with these jobs left out: GitHub skips them, GitLab's rules do not name them."""
    if forge.name == "github":
        return requested(forge, "success", **dict.fromkeys(jobs, "skipped"))
    return {name: result for name, result in requested(forge, "success").items() if name not in jobs}


@contextlib.contextmanager
def killer(checkpoints: Path) -> Iterator[list[int]]:
    """Kills the training that writes there as soon as it has written one; yields the process ids."""
    killed: list[int] = []
    over = threading.Event()

    def trainers() -> Iterator[psutil.Process]:
        for process in psutil.process_iter(["cmdline", "environ"]):
            given, command = process.info["environ"] or {}, process.info["cmdline"] or []
            if given.get("CHECKPOINTS") == str(checkpoints) and command[-2:] == ["-m", "flight_delays.train"]:
                yield process

    def watch() -> None:
        while not over.wait(0.01):
            for process in trainers():
                while process.is_running() and not any(checkpoints.glob("*/*.checkpoint")):
                    time.sleep(0.001)
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
                    killed.append(process.pid)
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def outputs(lock: str) -> dict[str, str]:
    """Path -> md5 of all that the stages have made, without what tells the time."""
    made = {out["path"]: out["md5"] for stage in yaml.safe_load(lock)["stages"].values() for out in stage["outs"]}
    return {path: md5 for path, md5 in made.items() if not path.startswith(("reports/training", "reports/check"))}


def reports(forge) -> list[str]:
    return [body for body in forge.double.comments() if "CML watermark report" in body]
