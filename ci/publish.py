"""A generated project as a new repository on the forge whose pipeline runs this: created empty, then its first commit.

REPOSITORY_TOKEN is the one secret: it is in no argument, file or message. GitHub and GitLab as their REST APIs describe
them, at the addresses that their jobs' variables name.
"""

import base64
import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECRET = "REPOSITORY_TOKEN"  # noqa: S105
TAKEN = ("already exists", "already been taken")


class Refused(Exception):
    """The repository is not there or not whole; `what` happened and the `remedy`, a sentence each."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


class Answered(Exception):
    """The forge's refusal: its status and its own words."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(status, said)
        self.status, self.said = status, said


@dataclass(frozen=True)
class Forge:
    """Where the repository is to be: `api` and `server` are addresses, `kind` is github or gitlab."""

    kind: str
    api: str
    server: str
    token: str = field(repr=False)

    def create(self, owner: str, name: str, description: str, public: bool) -> str:
        """Make an empty repository and return its path, owner/name; raises Answered."""
        if self.kind == "github":
            own = self._call("GET", "/user")["login"].lower() == owner.lower()
            where = "/user/repos" if own else f"/orgs/{urllib.parse.quote(owner, safe='')}/repos"
            asked = {"name": name, "description": description, "private": not public}
            return self._call("POST", where, asked)["full_name"]
        space = self._call("GET", f"/namespaces/{urllib.parse.quote(owner, safe='')}")["id"]
        asked = {"name": name, "path": name, "namespace_id": space, "description": description}
        asked |= {"visibility": "public" if public else "private"}
        return self._call("POST", "/projects", asked)["path_with_namespace"]

    def push(self, project: Path, path: str) -> None:
        """Push the project's main; raises Refused."""
        secret = base64.b64encode(f"oauth2:{self.token}".encode()).decode()
        own = {"http.extraHeader": f"Authorization: Basic {secret}", "credential.helper": ""}
        variables = os.environ | {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_COUNT": str(len(own))}
        for number, (key, value) in enumerate(own.items()):
            variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        command = ["git", "push", "--quiet", f"{self.server}/{path}.git", "main:refs/heads/main"]
        done = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"git push ended with {done.returncode}"]
            what = f"{self.server}/{path} was created and is empty, for its first commit was refused: {said[-1]}"
            raise Refused(what, f"Let {SECRET} write code and workflows; delete the repository, and generate again.")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        secret = {"PRIVATE-TOKEN": self.token} if self.kind == "gitlab" else {"Authorization": f"Bearer {self.token}"}
        headers = {"Content-Type": "application/json", "Accept": "application/json", **secret}
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.api + path, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise Answered(error.code, error.read().decode(errors="replace")) from error


def forge() -> Forge:
    """The forge of this pipeline; raises Refused where there is none, or no token."""
    token = os.environ.get(SECRET, "")
    if not token:
        raise Refused(f"there is no {SECRET} to make a repository with", "Set it (README), or name no owner.")
    if os.environ.get("GITHUB_ACTIONS"):
        return Forge("github", os.environ["GITHUB_API_URL"], os.environ["GITHUB_SERVER_URL"], token)
    if os.environ.get("GITLAB_CI"):
        return Forge("gitlab", os.environ["CI_API_V4_URL"], os.environ["CI_SERVER_URL"], token)
    raise Refused("this is no pipeline of GitHub or GitLab", "Start `generate` there, or name no owner.")


def publish(at: Forge, project: Path, owner: str, description: str, public: bool) -> str:
    """Make owner/<the project's name> and push its main there; returns its web address, raises Refused."""
    wanted = f"{owner}/{project.name}"
    try:
        path = at.create(owner, project.name, description, public)
    except Answered as error:
        raise _explained(error, wanted) from error
    except OSError as error:
        raise Refused(f"{at.api} does not answer: {error}", "Nothing was created: generate again later.") from error
    at.push(project, path)
    return f"{at.server}/{path}"


def _explained(error: Answered, wanted: str) -> Refused:
    if error.status == 401:
        return Refused(f"the forge does not know {SECRET}; nothing was created", "Make another and set it (README).")
    if any(sign in error.said for sign in TAKEN):
        remedy = "Choose another name, or push the project that is in the artifact."
        return Refused(f"{wanted} is there already; nothing was created", remedy)
    said = " ".join(error.said.split())[:200]
    what = f"{wanted} could not be created: the forge answers {error.status}, {said}"
    return Refused(what, f"Name an owner for whom {SECRET} may create repositories.")
