"""`preflight`: before anything expensive, what this pipeline needs and lacks, and what it may leave out.

It writes `heavy` (something other than documentation changed since BASE_REF) and `stale` (dvc.lock does not match the
code) as outputs of a GitHub job; GitLab takes the first from the same patterns in its rules.
"""

import configparser
import os
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import yaml

from ci import forge
from ci.stale import stale
from deploy.chosen import kind
from << cookiecutter.__package >>.outcome import Unjudged

ROOT = Path(__file__).resolve().parent.parent
# What can change a verdict. `.gitlab-ci.yml` has the same list: a positive one, because its rules know no other.
HEAVY = ["**/*.py", "**/*.yaml", "**/*.yml", "**/*.toml", "**/*.lock", "**/*.dvc", "**/*.json"]
HEAVY += [".dvc/config", ".python-version", "Makefile"]


def main(arguments: list[str]) -> None:
    release = any(map(os.environ.get, ("GITHUB_ACTIONS", "GITLAB_CI"))) and forge.request() is None
    heavy = is_heavy(os.environ.get("BASE_REF", ""))
    trained = not stale() if heavy else True
    if os.environ.get("FORK") == "true" or foreign():
        say("A request from a fork gets no credential: it is linted and tested, not trained or compared.")
    elif not heavy:
        say("Only documentation changed: nothing is trained, compared or released.")
    else:
        missing = needs(release)
        if missing:
            what = "this pipeline lacks " + "; ".join(what for what, _ in missing)
            raise Unjudged(what, " ".join(dict.fromkeys(where for _, where in missing)))
        if release and turns() not in ("", "oldest_first"):
            say("Releases may overtake each other: let the resource group take the oldest first (docs/pipelines.md).")
        if release and not (ROOT / "dvc.lock").exists():
            heavy = False
            say("No model is trained yet (there is no dvc.lock): nothing is released.")
        elif release and not trained:
            remedy = "Train on a branch and merge that: what is released is what a request has judged."
            raise Unjudged("dvc.lock does not match the code, parameters or data", remedy)
        else:
            say("dvc.lock matches the code." if trained else "dvc.lock does not match the code: training comes first.")
    write("heavy", heavy)
    write("stale", heavy and not trained)


def is_heavy(base: str) -> bool:
    """Whether anything but documentation changed since `base`; also true where that cannot be told."""
    if base.strip("0") in ("", "origin/") or not known(base):
        return True
    changed = git("diff", "--name-only", "-z", f"{base}...HEAD").split("\0")
    return any(fnmatch(path, pattern.removeprefix("**/")) for path in changed for pattern in HEAVY)


def known(base: str) -> bool:
    """Whether the commit and a common ancestor are here, fetched if need be: clones of pipelines are shallow."""
    for more in ([], ["--depth=1"], ["--unshallow"]):
        if more:
            reference = base.removeprefix("origin/")
            git("fetch", "--quiet", *more, "origin", f"+{reference}:refs/remotes/origin/{reference}", strict=False)
        if git("merge-base", base, "HEAD", strict=False):
            return True
    return False


def needs(release: bool) -> list[tuple[str, str]]:
    """What is missing and where to set it, a sentence each."""
    gitlab = bool(os.environ.get("GITLAB_CI"))
    variables = "Settings > CI/CD > Variables" if gitlab else "Settings > Secrets and variables > Actions"
    hosted = os.environ.get("RUNNER_ENVIRONMENT") == "github-hosted" or "CI_DISPOSABLE_ENVIRONMENT" in os.environ
    missing, url = [], remote()
    if "://" not in url and hosted:
        what = f"a DVC remote that a hosted runner reaches ({url} is a directory)"
        missing.append((what, "Set an s3:// address: `dvc remote modify origin url s3://bucket/prefix`."))
    if url.startswith("s3://") and hosted and not any(map(os.environ.get, ("AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN"))):
        what = "credentials for the DVC remote (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        missing.append((what, f"Set them in {variables}, or use OIDC (docs/pipelines.md)."))
    if hosted and not os.environ.get("MLFLOW_TRACKING_URI"):
        missing.append(("MLFLOW_TRACKING_URI, the registry of models", f"Set it in {variables}."))
    if release and not os.environ.get("DEPLOYMENTS"):
        what = "DEPLOYMENTS, a folder of the runner for services that outlives its workspace"
        missing.append((what, f"Set it in {variables}."))
    if release:
        missing += place(variables, hosted) + image(variables, hosted)
    if gitlab and not os.environ.get("GITLAB_TOKEN"):
        say("No GITLAB_TOKEN: the report stays on the job's page, and dvc.lock is not committed back.")
    return missing


def place(variables: str, hosted: bool) -> list[tuple[str, str]]:
    """What is missing to change the place that releases run at; a hosted runner does not reach it, and cannot tell."""
    if kind() == "compose":
        from deploy.compose.check import lacking as host

        return host(variables, hosted)
    if kind() == "kubernetes" and not hosted:
        from deploy.kubernetes.check import lacking as cluster

        return cluster()
    return []


def image(variables: str, hosted: bool) -> list[tuple[str, str]]:
    """What is missing to push and sign the image; nothing where none is asked for."""
    missing, where = [], os.environ.get("IMAGE_REGISTRY", "").lower()
    known = all(map(os.environ.get, ("IMAGE_REGISTRY_USER", "IMAGE_REGISTRY_PASSWORD")))
    own = where.partition("/")[0] in ("ghcr.io", os.environ.get("CI_REGISTRY", "ghcr.io").lower())
    if where and hosted and not known and not own:
        what = f"a login for {where} (IMAGE_REGISTRY_USER, IMAGE_REGISTRY_PASSWORD)"
        missing.append((what, f"Set it in {variables}."))
    signed = yaml.safe_load((ROOT / "gates.yaml").read_text())["image"]["signed"] or {}
    if "key" in signed and not os.environ.get("COSIGN_KEY"):
        what = "COSIGN_KEY, with which gates.yaml asks package to sign"
        missing.append((what, f"Set it in {variables}, or `image.signed` to null (docs/image.md)."))
    if signed and not shutil.which("cosign"):
        say("No cosign on PATH: `package` and `deploy` fetch its release and check its hash.")
    return missing


def turns() -> str:
    """Which release GitLab takes next where some wait; "" elsewhere, and where it does not say."""
    at = forge.commit()
    return at.turns("production") if at and at.kind == "gitlab" and at.token else ""


def remote() -> str:
    """The address of DVC's remote, as git records it."""
    config = configparser.ConfigParser(interpolation=None)
    config.read([ROOT / ".dvc" / "config", ROOT / ".dvc" / "config.local"])
    return config["'remote \"origin\"'"]["url"]


def foreign() -> bool:
    """Whether this is a merge request from another GitLab project."""
    source, target = (os.environ.get(f"CI_MERGE_REQUEST_{side}PROJECT_ID") for side in ("SOURCE_", ""))
    return source != target


def say(sentence: str) -> None:
    print(f"preflight: {sentence}")
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    if page:
        with Path(page).open("a") as summary:
            summary.write(f"{sentence}\n")


def write(name: str, value: bool) -> None:
    print(f"preflight: {name} = {str(value).lower()}")
    outputs = os.environ.get("GITHUB_OUTPUT")
    if outputs:
        with Path(outputs).open("a") as file:
            file.write(f"{name}={str(value).lower()}\n")


def git(*arguments: str, strict: bool = True) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode and strict:
        raise Unjudged(f"git {arguments[0]} failed: {done.stderr.strip()}", "Fetch the whole history in this job.")
    return done.stdout if not done.returncode else ""
