"""The vocabulary: every word, what it does and the dependency groups of `pyproject.toml` that it runs with."""

from typing import NamedTuple


class Word(NamedTuple):
    about: str
    groups: tuple[str, ...]
    rare: bool = False  # its environment is made when it is first called, not by `setup`


# "device" stands for the group cpu or cuda, "distributed" for nothing unless it is asked for: see `ci.environment`.
WORDS = {
    "setup": Word("environments, git hooks and the DVC remote", ("data", "example")),
    "data": Word("pull data from the DVC remote", ("data",)),
    "preflight": Word("what this pipeline needs and lacks, and what it may leave out", ("data",)),
    "check": Word("judge the data with Great Expectations", ("data", "check")),
    "train": Word("bring dvc.lock up to date: every stage from data to evaluation", ("train", "device", "distributed")),
    "report": Word("compare candidate and champion", ("report",)),
    "diagnose": Word("why a training ended as it did, and what to change", ("data",)),
    "clean": Word("the machine after a training: processes, files and caches", ("data",)),
    "commit": Word("dvc.lock and reports onto the branch, from a pipeline", ("data",)),
    "post": Word("the report as a comment on the request, from a pipeline", ("post",)),
    "gate": Word("judge the candidate against champion and floors", ("report",)),
    "package": Word("register the judged model, build its Bento and, where asked, its image", ("package", "score")),
    "deploy": Word("put the package on staging, or start production again", ("deploy",)),
    "verify": Word("smoke test, and the answers against the recorded predictions", ("deploy",)),
    "load": Word("Locust against the service-level objectives", ("load",)),
    "promote": Word("the release that staging runs to production", ("deploy",)),
    "rollback": Word("the previous production release, or a named version", ("deploy",)),
    "status": Word("what runs where, aliases, last gates", ("deploy",)),
    "stop": Word("end what deploy has started", ("deploy",)),
    "bench": Word("speed side by side: of `serve` or of `check`", ("train", "device", "serve", "ui", "bench"), True),
    "demo": Word("the whole life on this machine, told and checked, in demo/", ("deploy",)),
    "lint": Word("ruff", ("lint",)),
    "test": Word("this repository's own tests", ("train", "device", "report", "serve", "lint", "test")),
}
