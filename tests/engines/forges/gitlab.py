"""GitLab: a double of what docs.gitlab.com/api describes of notes, statuses, resource groups and new projects."""

import re
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engines import repositories
from engines.forges.front import TOKEN, Answer, serving

MISSING: Answer = (404, {"message": "404 Not Found"}, {})
SPACES = {"dev": 1, "team": 2}
PROJECT = {"name", "path", "namespace_id", "description", "visibility"}  # of many attributes, those that are known here
STATUS = {"state", "ref", "name", "context", "target_url", "description", "coverage", "pipeline_id"}
STATES = ("pending", "running", "success", "failed", "canceled", "skipped")


class GitLab:
    """Project 1, team/project, with merge request 7; new ones are made in `root`."""

    NOTES = re.compile(r"/projects/(?:1|team%2Fproject)/merge_requests/7/notes(?:/(\d+))?")
    STATUSES = re.compile(r"/projects/(?:1|team%2Fproject)/statuses/([0-9a-f]{40})")

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls: list[tuple[str, str, Any]] = []
        self.notes: list[dict] = []
        self.statuses: dict[str, dict] = {}  # of each commit, the last one
        self.projects = {"team/project"}
        self.turns = "unordered"  # of the resource group
        self.writable = True

    def answer(self, method: str, path: str, body: Any, headers: Any) -> Answer:
        url = urllib.parse.urlsplit(path.removeprefix("/api/v4"))
        if url.path == "/version":
            return 200, {"version": "18.5.0", "revision": "0000000"}, {}
        if TOKEN not in (headers.get("PRIVATE-TOKEN"), headers.get("Authorization", "").removeprefix("Bearer ")):
            return 401, {"message": "401 Unauthorized"}, {}
        if method == "GET" and (found := self.NOTES.fullmatch(url.path)) and not found[1]:
            return self._page(dict(urllib.parse.parse_qsl(url.query)), headers["Host"], "/api/v4" + url.path)
        if method == "GET" and (found := re.fullmatch(r"/namespaces/([^/]+)", url.path)):
            name = urllib.parse.unquote(found[1])
            return (200, {"id": SPACES[name], "full_path": name}, {}) if name in SPACES else MISSING
        if (method, url.path) == ("GET", "/projects/1/resource_groups/production"):
            return 200, {"id": 1, "key": "production", "process_mode": self.turns}, {}
        if method != "GET" and not self.writable:
            return 403, {"message": "403 Forbidden"}, {}
        if (method, url.path) == ("POST", "/projects"):
            return self._project(body)
        if method == "POST" and (found := self.STATUSES.fullmatch(url.path)):
            return self._status(found[1], body)
        found = self.NOTES.fullmatch(url.path)
        return self._note(method, found[1], body) if found else MISSING

    def _note(self, method: str, number: str | None, body: Any) -> Answer:
        if not (body or {}).get("body"):
            return 400, {"error": "body is missing"}, {}
        if len(body["body"]) > 1_000_000:
            return 400, {"message": "400 Bad request - Note is too long (maximum is 1000000 characters)"}, {}
        if method == "POST" and not number:
            return 201, self.comment(body["body"]), {}
        note = next((note for note in self.notes if str(note["id"]) == number), None)
        if method == "PUT" and note:
            note["body"] = body["body"]
            return 200, note, {}
        return MISSING

    def _status(self, commit: str, body: dict) -> Answer:
        if body.get("state") not in STATES or not body.keys() <= STATUS or len(body.get("description", "")) > 255:
            return 400, {"message": "400 Bad request"}, {}
        self.statuses[commit] = body
        return 201, {"sha": commit, "status": body["state"], **body}, {}

    def _project(self, body: dict) -> Answer:
        space = next((name for name, number in SPACES.items() if number == body.get("namespace_id")), None)
        if space is None or not body.keys() <= PROJECT or body.get("visibility") not in ("private", "public"):
            return 400, {"message": "400 Bad request"}, {}
        path = f"{space}/{body['path']}"
        if path in self.projects:
            taken = {key: ["has already been taken"] for key in ("project_namespace.name", "name", "path")}
            return 400, {"message": taken}, {}
        self.projects.add(path)
        repositories.create(self.root, path)
        return 201, {"id": len(self.projects), "path_with_namespace": path, "visibility": body["visibility"]}, {}

    def _page(self, query: dict[str, str], host: str, path: str) -> Answer:
        """Newest first, 20 a page unless asked for more."""
        size, page = min(int(query.get("per_page", 20)), 100), int(query.get("page", 1))
        newest = self.notes[::-1]
        more = page * size < len(newest)
        link = f'<http://{host}{path}?per_page={size}&page={page + 1}>; rel="next"'
        return 200, newest[(page - 1) * size : page * size], {"Link": link} if more else {}

    def comments(self) -> list[str]:
        return [note["body"] for note in self.notes]

    def comment(self, text: str) -> dict:
        """Somebody's remark."""
        self.notes.append({"id": len(self.notes) + 1, "body": text, "system": False})
        return self.notes[-1]

    def writes(self) -> list[str]:
        return [method for method, path, _ in self.calls if method in ("POST", "PUT") and "/notes" in path]

    def status(self, commit: str) -> tuple[str, bool, str]:
        """What the commit was last marked with: name, whether it is good, text."""
        found = self.statuses[commit]
        return found["name"], found["state"] == "success", found["description"]


@contextmanager
def gitlab(folder: Path) -> Iterator[tuple[GitLab, dict[str, str]]]:
    """The double, and the variables by which a job reaches it; `folder` takes what it keeps."""
    forge = GitLab(folder / "repositories")
    with serving(forge) as port:
        host = f"http://127.0.0.1:{port}"
        api = {"CI_API_V4_URL": f"{host}/api/v4", "CI_PROJECT_ID": "1"}
        yield forge, {**api, "CI_MERGE_REQUEST_PROJECT_URL": f"{host}/team/project"}
