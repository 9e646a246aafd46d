"""The forge that runs this pipeline, GitHub or GitLab, as its documented REST API and job variables describe it.

Two tokens, both from the environment of the one step that needs them: GITHUB_TOKEN, or a project access token in
GITLAB_TOKEN (a job token may not write notes).
"""

import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any

NEXT = re.compile(r'<([^>]+)>;\s*rel="next"')


class Refused(Exception):
    """The forge did not do what it was asked; the message is the reason, without the token."""


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit in a project of the forge, and what it takes to write on it. `token` may be empty."""

    kind: str  # github or gitlab
    api: str
    project: str  # owner/name, or GitLab's number
    sha: str
    token: str = field(repr=False)

    def mark(self, name: str, good: bool, text: str, page: str) -> None:
        """Put a status on the commit, or renew the one of this name; GitHub takes 140 characters of text."""
        status = {"description": text, "target_url": page}
        if self.kind == "github":
            status |= {"context": name, "state": "success" if good else "failure"}
            self._call("POST", f"{self.api}/repos/{self.project}/statuses/{self.sha}", status)
        else:
            status |= {"name": name, "state": "success" if good else "failed"}
            self._call("POST", f"{self.api}/projects/{self.project}/statuses/{self.sha}", status)

    def turns(self, group: str) -> str:
        """Which waiting job a resource group of GitLab takes next; "" before its first use and for who may not know."""
        try:
            return self._call("GET", f"{self.api}/projects/{self.project}/resource_groups/{group}")[0]["process_mode"]
        except Refused:
            return ""

    def _call(self, method: str, url: str, body: dict[str, Any] | None = None) -> tuple[Any, str]:
        """The decoded answer and the address of the next page ("" where there is none); raises Refused."""
        secret = {"PRIVATE-TOKEN": self.token} if self.kind == "gitlab" else {"Authorization": f"Bearer {self.token}"}
        headers = {"Content-Type": "application/json", "Accept": "application/json", **secret}
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(url, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
                content, link = answer.read(), NEXT.search(answer.headers.get("Link", ""))
        except urllib.error.HTTPError as error:
            raise Refused(f"{method} {url} answered {error.code} {error.reason}") from error
        except OSError as error:
            raise Refused(f"{method} {url} failed: {error}") from error
        return json.loads(content or b"null"), link[1] if link else ""


@dataclass(frozen=True, kw_only=True)
class Request(Commit):
    """A pull or merge request, its head, and what it takes to write on it."""

    page: str  # the project's web page
    number: str

    def comments(self) -> list[tuple[int, str]]:
        """Every comment as (id, text), in the forge's order, through all pages."""
        url, found = f"{self._notes()}?per_page=100", []
        while url:
            answer, url = self._call("GET", url)
            found += [(comment["id"], comment["body"] or "") for comment in answer]
        return found

    def create(self, text: str) -> None:
        self._call("POST", self._notes(), {"body": text})

    def edit(self, comment: int, text: str) -> None:
        if self.kind == "github":
            self._call("PATCH", f"{self.api}/repos/{self.project}/issues/comments/{comment}", {"body": text})
        else:
            self._call("PUT", f"{self._notes()}/{comment}", {"body": text})

    def dispatch(self, workflow: str, branch: str, inputs: dict[str, str]) -> None:
        """Start a workflow of GitHub on a branch."""
        url = f"{self.api}/repos/{self.project}/actions/workflows/{workflow}/dispatches"
        self._call("POST", url, {"ref": branch, "inputs": inputs})

    def _notes(self) -> str:
        if self.kind == "github":
            return f"{self.api}/repos/{self.project}/issues/{self.number}/comments"
        return f"{self.api}/projects/{self.project}/merge_requests/{self.number}/notes"


def commit() -> Commit | None:
    """The commit that this pipeline runs for, or None outside of pipelines."""
    if os.environ.get("GITHUB_ACTIONS"):
        return Commit(
            kind="github",
            api=os.environ["GITHUB_API_URL"],
            project=os.environ["GITHUB_REPOSITORY"],
            sha=os.environ["GITHUB_SHA"],
            token=os.environ.get("GITHUB_TOKEN", ""),
        )
    if os.environ.get("GITLAB_CI"):
        return Commit(
            kind="gitlab",
            api=os.environ["CI_API_V4_URL"],
            project=os.environ["CI_PROJECT_ID"],
            sha=os.environ["CI_COMMIT_SHA"],
            token=os.environ.get("GITLAB_TOKEN", ""),
        )
    return None


def request() -> Request | None:
    """The request that this pipeline runs for, or None."""
    at = commit()
    number = at and os.environ.get("REQUEST" if at.kind == "github" else "CI_MERGE_REQUEST_IID")
    if not number:
        return None
    if at.kind == "github":
        page = f"{os.environ['GITHUB_SERVER_URL']}/{at.project}"
        own = {"page": page, "sha": os.environ.get("HEAD") or at.sha}
    else:
        page = os.environ["CI_MERGE_REQUEST_PROJECT_URL"]
        own = {"page": page, "project": os.environ["CI_MERGE_REQUEST_PROJECT_ID"]}
    return Request(**vars(at) | own | {"number": number})
