"""GitHub, as far as one machine can be it: act runs the workflows, emulate answers for the API.

What act ignores (triggers, filters, concurrency, environments, permissions, time limits) is asserted from the files.
"""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from engines.tools import BIN, HERE, alone

LABELS = ("ubuntu-24.04", "self-hosted")
REPOSITORY = "team/project"


@dataclass
class Run:
    """How every job of a workflow ended: success, failure or skipped."""

    jobs: dict[str, str]
    output: str
    artifacts: Path
    summaries: str = ""
    steps: dict[str, list[str]] = field(default_factory=dict)


class Hub:
    """Runs the workflows of a repository. `origin` is its address; `folder` takes what runs leave."""

    def __init__(self, origin: str, folder: Path, api: str = "http://127.0.0.1:9", **variables: str) -> None:
        self.origin, self.folder, self.api, self.variables = origin, folder, api, variables
        self.runs = 0

    def run(self, event: str, workflow: str, branch: str, payload: dict, **given: dict[str, str]) -> Run:
        """Run `.github/workflows/<workflow>` of the branch for the event; `secrets`, `vars` and `env` as given."""
        self.runs += 1
        folder = self.folder / f"run-{self.runs}"
        clone = folder / "clone"
        folder.mkdir(parents=True)
        subprocess.run(["git", "clone", "--quiet", "--branch", branch, self.origin, clone], check=True)
        for path in clone.glob(".github/workflows/*.yml"):
            path.write_text(without_queue(path.read_text()))
        (folder / "event.json").write_text(json.dumps(payload))
        ran = subprocess.run(
            [*self._command(event, workflow, folder), *self._options(folder, given)],
            cwd=clone, env=alone(folder), capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        return _read(ran, clone / ".github" / "workflows" / workflow, folder)

    def _command(self, event: str, workflow: str, folder: Path) -> list[str]:
        command = [str(BIN / "act"), event, "--workflows", f".github/workflows/{workflow}"]
        command += ["--eventpath", str(folder / "event.json"), "--json", "--action-offline-mode", "--pull=false"]
        command += ["--action-cache-path", str(folder / "work")]  # workspaces; BentoML refuses hidden folders
        command += ["--no-cache-server", "--actor", "dev", "--concurrent-jobs", "2"]
        for label in LABELS:
            command += ["--platform", f"{label}=-self-hosted"]
        for name, reference in _actions(folder / "clone").items():
            command += ["--local-repository", f"{name}@{reference}={HERE / 'actions' / name.split('/')[1]}"]
        return command

    def _options(self, folder: Path, given: dict[str, dict[str, str]]) -> list[str]:
        own = {
            "GITHUB_API_URL": self.api,
            "GITHUB_REPOSITORY": REPOSITORY,
            "RUNNER_ENVIRONMENT": "github-hosted",
            "ORIGIN": self.origin,
            "ARTIFACTS": str(folder / "artifacts"),
            "ENGINES": str(HERE),
        }
        options = []
        for option, values in (
            ("--env", own | self.variables | given.get("env", {})),
            ("--secret", given.get("secrets", {})),
            ("--var", given.get("vars", {})),
            ("--input", given.get("inputs", {})),
        ):
            for name, value in values.items():
                options += [option, f"{name}={value}"]
        return options


def without_queue(workflow: str) -> str:
    """A workflow as act and actionlint know them, which refuse `concurrency.queue` (rhysd/actionlint#657)."""
    return workflow.replace(", queue: max }", " }")


def _actions(clone: Path) -> dict[str, str]:
    """Every action of others that the repository uses, with the commit that it is pinned to."""
    files = [*clone.glob(".github/workflows/*.yml"), *clone.glob(".github/actions/*/action.yml")]
    used = [line.split("uses:")[1].split("#")[0].strip() for file in files for line in file.read_text().splitlines()
            if "uses:" in line]  # fmt: skip
    return dict(one.split("@") for one in used if "@" in one)


def _read(ran: subprocess.CompletedProcess, workflow: Path, folder: Path) -> Run:
    jobs = dict.fromkeys(yaml.safe_load(workflow.read_text())["jobs"], "skipped")
    lines, steps = [], {}
    for line in ran.stdout.splitlines():
        entry = json.loads(line) if line.startswith("{") else {"msg": line}
        if entry.get("jobResult"):
            jobs[entry["jobID"]] = entry["jobResult"]
        if entry.get("stepResult") and entry.get("stage") == "Main":
            steps.setdefault(entry["jobID"], []).append(f"{entry['step']}: {entry['stepResult']}")
        lines.append(f"[{entry.get('jobID', '')}] {entry['msg'].rstrip()}")
    output = "\n".join([*lines, ran.stderr])
    print(output)
    summaries = "\n".join(line.split("Summary - ", 1)[1] for line in lines if "Summary - " in line)
    return Run(jobs, output, folder / "artifacts", summaries, steps)


def pull_request(branch: str, sha: str, number: int = 1, fork: bool = False) -> dict:
    """The event of a pull request, with what the workflows read of it."""
    head = {"ref": branch, "sha": sha, "repo": {"full_name": "stranger/project" if fork else REPOSITORY, "fork": fork}}
    request = {"number": number, "head": head, "base": {"ref": "main"}, "user": {"login": "dev"}}
    return {"action": "synchronize", "number": number, "pull_request": request, "repository": repository()}


def repository() -> dict:
    owner, name = REPOSITORY.split("/")
    return {"full_name": REPOSITORY, "name": name, "owner": {"login": owner}, "default_branch": "main"}
