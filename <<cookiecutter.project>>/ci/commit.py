"""`commit`: what training wrote for git (dvc.lock, reports) goes onto the branch that it was trained for.

BRANCH names the branch. On GitHub a push with the job's token starts no pipeline, so the request's workflow is
dispatched on the new head; on GitLab the push of a project access token (GITLAB_TOKEN) starts it.
"""

import base64
import os
import subprocess
import urllib.parse
from pathlib import Path

from ci import forge
from << cookiecutter.__package >>.outcome import Unjudged

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = ["dvc.lock", "reports"]
REFUSED = ("terminal prompts disabled", "Authentication failed", "error: 403", "not allowed to push")
BOT = ["-c", "user.name=pipeline", "-c", "user.email=pipeline@localhost", "-c", "core.hooksPath=/dev/null"]


def main(arguments: list[str]) -> None:
    branch = os.environ.get("BRANCH")
    if not branch:
        raise Unjudged("BRANCH does not name the branch to commit to", "Set it, or commit dvc.lock by hand.")
    git("add", "--", *WRITTEN)
    if not git("diff", "--cached", "--name-only"):
        print("commit: dvc.lock is as it was: nothing to commit")
        return
    git(*BOT, "commit", "--quiet", "--message", "Train: dvc.lock and reports")
    push(branch)
    print(f"commit: {git('rev-parse', '--short', 'HEAD')} is on {branch}")
    request = forge.request()
    if request and request.kind == "github":
        base = os.environ["BASE_REF"].removeprefix("origin/")
        try:
            request.dispatch("request.yml", branch, {"request": request.number, "base": base})
        except forge.Refused as error:
            what = f"dvc.lock is on {branch}, and the checks of request {request.number} did not start: {error}"
            raise Unjudged(what, "Push to the branch again; the job's token needs `actions: write`.") from error
        print(f"commit: the checks of request {request.number} start on it")


def push(branch: str) -> None:
    """Push HEAD to the branch with the token of this step; the token is in no argument and no file."""
    token = os.environ.get("GITHUB_TOKEN") or os.environ.get("GITLAB_TOKEN")
    if os.environ.get("GITLAB_CI") and not token:
        what = "there is no GITLAB_TOKEN to push dvc.lock with; the trained outputs are on the DVC remote"
        raise Unjudged(
            what, "Commit dvc.lock and reports/ from this job's artifacts, or set GITLAB_TOKEN (docs/pipelines.md)."
        )
    url = urllib.parse.urlsplit(git("remote", "get-url", "origin"))
    where = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
    variables = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    if token and url.scheme in ("http", "https"):
        secret = base64.b64encode(f"oauth2:{token}".encode()).decode()
        own = {"http.extraHeader": f"Authorization: Basic {secret}", "credential.helper": ""}
        variables |= {"GIT_CONFIG_COUNT": str(len(own))}
        for number, (key, value) in enumerate(own.items()):
            variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    command = ["git", "push", "--quiet", where, f"HEAD:refs/heads/{branch}"]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if done.returncode and ("fetch first" in done.stderr or "non-fast-forward" in done.stderr):
        raise Unjudged(f"{branch} moved on while this trained", "Nothing: the pipeline of its new head decides.")
    if done.returncode and any(sign in done.stderr for sign in REFUSED):
        name = "GITLAB_TOKEN" if os.environ.get("GITLAB_CI") else "GITHUB_TOKEN"
        remedy = "Let it write to the branch (docs/pipelines.md); the trained outputs are on the DVC remote."
        raise Unjudged(f"the forge refuses {name} to push to {branch}", remedy)
    if done.returncode:
        raise Unjudged(
            f"git push to {branch} failed: {done.stderr.strip().splitlines()[-1]}",
            "Let the token of this step write to the branch; the trained outputs are on the DVC remote.",
        )


def git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unjudged(f"git {arguments[0]} failed: {done.stderr.strip()}", "See `git status`.")
    return done.stdout.strip()
