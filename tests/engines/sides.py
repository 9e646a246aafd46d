"""The same events on both forges: what a request, a merge or a click brings, as {job: how it ended}."""

import os

from engines import forges
from engines.github import Hub, pull_request, repository
from engines.gitlab import Lab, merge_request
from engines.tools import HERE
from engines.world import World

CML = os.environ.get("CML_HOME") or str(HERE / "cml")


class OnGitHub:
    """The repository on GitHub: its events, and what they bring."""

    name = "github"

    def __init__(self, place: World, double: forges.GitHub, address: dict[str, str]) -> None:
        own = {**place.machine, **address, "CML_HOME": CML}
        own |= {name: place.runner[name] for name in ("STAGING_PORT", "PRODUCTION_PORT")}
        self.place, self.double, self.hub = place, double, Hub(place.url, place.folder / "runs", **own)
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "IMAGE_REGISTRY_PASSWORD")
        self.secrets = {name: place.hosted[name] for name in keys if name in place.hosted}
        self.vars = {name: value for name, value in place.hosted.items() if name not in keys}
        self.vars["DEPLOYMENTS"] = place.runner["DEPLOYMENTS"]

    def _run(self, event: str, workflow: str, branch: str, payload: dict, **given: dict) -> dict[str, str]:
        secrets = self.secrets | {"GITHUB_TOKEN": forges.TOKEN}
        self.last = self.hub.run(event, workflow, branch, payload, **{"secrets": secrets, "vars": self.vars, **given})
        return self.last.jobs

    def request(self, branch: str) -> dict[str, str]:
        return self._run("pull_request", "request.yml", branch, pull_request(branch, self.place.head(branch)))

    def fork(self, branch: str) -> dict[str, str]:
        """From a fork GitHub hands out no secret, and a token that reads."""
        self.double.writable = False
        event = pull_request(branch, self.place.head(branch), fork=True)
        jobs = self._run("pull_request", "request.yml", branch, event, secrets={"GITHUB_TOKEN": forges.TOKEN})
        self.double.writable = True
        return jobs

    def follow(self, branch: str) -> dict[str, str]:
        """What the training's commit brings: one dispatch, for a push with the job's token starts nothing."""
        (asked,) = self.double.dispatches
        assert asked == {"ref": branch, "inputs": {"request": "1", "base": "main"}}
        self.double.dispatches.clear()
        event = {"ref": f"refs/heads/{branch}", "inputs": asked["inputs"], "repository": repository()}
        return self._run("workflow_dispatch", "request.yml", branch, event, inputs=asked["inputs"])

    def release(self, before: str) -> dict[str, str]:
        event = {"ref": "refs/heads/main", "before": before, "after": self.place.head("main")}
        return self._run("push", "main.yml", "main", event | {"repository": repository()})

    def by_hand(self, word: str, branch: str = "main", **inputs: str) -> dict[str, str]:
        event = {"ref": f"refs/heads/{branch}", "inputs": inputs, "repository": repository()}
        return self._run("workflow_dispatch", f"{word}.yml", branch, event, inputs=inputs)


class OnGitLab:
    """The repository on GitLab."""

    name = "gitlab"

    def __init__(self, place: World, double: forges.GitLab, address: dict[str, str]) -> None:
        self.place, self.double, self.address = place, double, address
        self.lab = Lab(place.url, place.folder / "lab", **place.machine, CML_HOME=CML)
        self.variables = {**place.hosted, **place.runner, "GITLAB_TOKEN": forges.TOKEN}

    def _run(self, branch: str, variables: dict[str, str]) -> dict[str, str]:
        self.last = self.lab.run(branch, {**self.address, **variables})
        return self.last.jobs

    def request(self, branch: str) -> dict[str, str]:
        return self._run(branch, {**self.variables, **merge_request(branch)})

    def fork(self, branch: str) -> dict[str, str]:
        """A fork's pipeline runs in the fork, with none of this project's variables."""
        return self._run(branch, merge_request(branch, fork=True))

    def follow(self, branch: str) -> dict[str, str]:
        """The push of a project access token starts a pipeline by itself."""
        return self.request(branch)

    def release(self, before: str) -> dict[str, str]:
        event = {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main", "CI_COMMIT_BEFORE_SHA": before}
        return self._run("main", {**self.variables, **event})

    def by_hand(self, word: str, branch: str = "main", **inputs: str) -> dict[str, str]:
        event = {"CI_PIPELINE_SOURCE": "web", "WORD": word, "CI_COMMIT_REF_NAME": branch}
        given = {name.upper(): value for name, value in inputs.items()}
        return self._run(branch, {**self.variables, **event, **given})
