"""GitLab, as far as one machine can be it: gitlab-ci-local runs the pipeline; `forges.Notes` answers for the API.

What it ignores (workflow rules, resource groups, time limits, protected environments) is asserted from the file.
"""

import csv
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from engines.after import folded
from engines.tools import alone, npm


@dataclass
class Run:
    """How every job that the rules let in ended: success, failure, skipped (never started) or manual."""

    jobs: dict[str, str]
    output: str
    artifacts: Path


class Lab:
    """Runs pipelines of a repository. `origin` is its address; `folder` takes what runs leave."""

    def __init__(self, origin: str, folder: Path, **variables: str) -> None:
        self.origin, self.folder, self.variables = origin, folder, variables
        self.runs = 0

    def run(self, branch: str, variables: dict[str, str]) -> Run:
        self.runs += 1
        clone = self.folder / f"pipeline-{self.runs}"
        subprocess.run(["git", "clone", "--quiet", "--branch", branch, self.origin, clone], check=True)
        subprocess.run(["git", "remote", "set-head", "origin", "main"], cwd=clone, check=True, capture_output=True)
        given = {"GITLAB_CI": "true", "CI_DISPOSABLE_ENVIRONMENT": "true", **self.variables, **variables}
        options = ["--force-shell-executor", "--shell-isolation", "--no-artifacts-to-source", "--concurrency=2"]
        options += [f"--file=../{folded(clone / '.gitlab-ci.yml', self.folder / f'pipeline-{self.runs}.yml').name}"]
        options += ["--no-color", f"--state-dir=../state-{self.runs}", f"--ignore-predefined-vars={','.join(given)}"]
        for name, value in given.items():
            options += ["--variable", f"{name}={value}"]
        if variables.get("CI_PIPELINE_SOURCE") == "push":
            options.append("--no-evaluate-rule-changes")  # it compares with origin/main, GitLab with what main was
        command = [*npm("gitlab-ci-local"), *options]
        quiet = {"cwd": clone, "env": alone(self.folder), "capture_output": True, "text": True}
        listed = subprocess.run([*command, "--list-csv"], check=True, **quiet)
        table = [line for line in listed.stdout.splitlines() if ";" in line]
        when = {row["name"]: row["when"] for row in csv.DictReader(table, delimiter=";")}
        ran = subprocess.run(command, timeout=900, check=False, **quiet)
        output = ran.stdout + ran.stderr
        # Behind a job that is skipped it starts nothing more; GitLab starts what is to run always.
        for name in when:
            if ran.returncode and when[name] == "always" and _read(output, when)[name] == "skipped":
                more = subprocess.run([*command, name], timeout=900, check=False, **quiet)
                output += more.stdout + more.stderr
        print(output)
        return Run(_read(output, when), output, self.folder / f"state-{self.runs}" / "artifacts")


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


def _read(output: str, when: dict[str, str]) -> dict[str, str]:
    """What the output says of each job; `when` is what the rules say."""
    jobs = {name: "manual" if how == "manual" else "skipped" for name, how in when.items()}
    for mark, result in (("PASS", "success"), ("WARN", "warning"), ("FAIL", "failure")):
        for name in re.findall(rf"^\s*{mark}\s+(\S+)", output, re.MULTILINE):
            jobs[name] = result
    return jobs
