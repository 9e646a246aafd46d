"""GitLab, as far as one machine can be it: gitlab-ci-local runs the pipeline; `forges.Notes` answers for the API.

What it ignores (workflow rules, resource groups, time limits, protected environments) is asserted from the file.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from engines.tools import alone, npm


@dataclass
class Run:
    """How every job that the rules let in ended: success, failure, skipped (never started) or manual."""

    jobs: dict[str, str]
    output: str
    artifacts: Path


class Lab:
    """Runs pipelines of a repository. `origin` is its bare repository; `folder` takes what runs leave."""

    def __init__(self, origin: Path, folder: Path, **variables: str) -> None:
        self.origin, self.folder, self.variables = origin, folder, variables
        self.runs = 0

    def run(self, branch: str, variables: dict[str, str], unset: tuple[str, ...] = ()) -> Run:
        self.runs += 1
        clone = self.folder / f"pipeline-{self.runs}"
        subprocess.run(["git", "clone", "--quiet", "--branch", branch, f"file://{self.origin}", clone], check=True)
        subprocess.run(["git", "remote", "set-head", "origin", "main"], cwd=clone, check=True, capture_output=True)
        given = {"GITLAB_CI": "true", "CI_DISPOSABLE_ENVIRONMENT": "true", **self.variables, **variables}
        options = ["--force-shell-executor", "--shell-isolation", "--no-artifacts-to-source", "--concurrency=2"]
        options += ["--no-color", f"--state-dir=../state-{self.runs}", f"--ignore-predefined-vars={','.join(given)}"]
        for name, value in given.items():
            options += ["--variable", f"{name}={value}"]
        if variables.get("CI_PIPELINE_SOURCE") == "push":
            options.append("--no-evaluate-rule-changes")  # it compares with origin/main, GitLab with what main was
        for name in unset:
            options += ["--unset-variable", name]
        command = [*npm("gitlab-ci-local"), *options]
        quiet = {"cwd": clone, "env": alone(self.folder), "capture_output": True, "text": True}
        listed = subprocess.run([*command, "--list-csv"], check=True, **quiet)
        ran = subprocess.run(command, timeout=900, check=False, **quiet)
        output = ran.stdout + ran.stderr
        print(output)
        return Run(_read(output, listed.stdout), output, self.folder / f"state-{self.runs}" / "artifacts")


def merge_request(branch: str, number: int = 7, fork: bool = False, **more: str) -> dict[str, str]:
    """The variables of a merge request's pipeline."""
    return {
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_COMMIT_REF_NAME": branch,
        "CI_MERGE_REQUEST_IID": str(number),
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": branch,
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_MERGE_REQUEST_PROJECT_ID": "1",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2" if fork else "1",
        **more,
    }


def _read(output: str, listed: str) -> dict[str, str]:
    rows = [line.split(";") for line in listed.splitlines() if ";" in line][1:]
    jobs = {row[0]: "manual" if row[3] == "manual" else "skipped" for row in rows}
    for mark, result in (("PASS", "success"), ("WARN", "warning"), ("FAIL", "failure")):
        for name in re.findall(rf"^\s*{mark}\s+(\S+)", output, re.MULTILINE):
            jobs[name] = result
    return jobs
