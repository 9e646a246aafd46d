"""Holds every call of GitHub's API to GitHub's own description of it.

`github.json` is what the npm package @octokit/openapi says of CALLS. To renew it, or to add a call, in tests/:
`python -m engines.forges.schema package/generated/api.github.com.deref.json`.
"""

import json
import re
import sys
import urllib.parse
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

HELD = Path(__file__).with_name("github.json")
CALLS = [
    "GET /repos/{owner}/{repo}/issues/{issue_number}/comments",
    "GET /user",
    "PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}",
    "POST /orgs/{org}/repos",
    "POST /repos/{owner}/{repo}/actions/workflows/{workflow_id}/dispatches",
    "POST /repos/{owner}/{repo}/issues/{issue_number}/comments",
    "POST /repos/{owner}/{repo}/statuses/{sha}",
    "POST /user/repos",
]


def wrong(method: str, path: str, body: Any) -> str | None:
    """What GitHub's description has against a call, or None: its address, its query and its body, no name unknown."""
    url = urllib.parse.urlsplit(path)
    calls = json.loads(HELD.read_text())["calls"].values()
    found = next((call for call in calls if _matches(call, method, url.path)), None)
    if found is None:
        return f"there is no {method} {url.path}"
    for name, value in urllib.parse.parse_qsl(url.query):
        if name not in found["query"]:
            return f"{method} {url.path} knows no {name}"
        given = int(value) if found["query"][name]["type"] == "integer" and value.isdigit() else value
        if error := _error(found["query"][name], given):
            return f"{name}: {error}"
    if found["body"] is None:
        return f"{method} {url.path} takes no body" if body else None
    if unknown := set(body or {}) - found["body"]["properties"].keys():
        return f"{method} {url.path} knows no {', '.join(sorted(unknown))}"
    return _error(found["body"], body)


def _matches(call: dict[str, Any], method: str, path: str) -> bool:
    return call["method"] == method and re.fullmatch(call["path"], path) is not None


def _error(schema: dict[str, Any], value: Any) -> str | None:
    error = next(Draft202012Validator(schema).iter_errors(value), None)
    return error and error.message


def extract(document: dict[str, Any]) -> dict[str, Any]:
    """What `github.json` keeps of the whole description."""
    found: dict[str, Any] = {}
    for call in CALLS:
        method, path = call.split()
        said = document["paths"][path][method.lower()]
        given = {one["name"]: one for one in said.get("parameters", [])}
        pattern = re.sub(r"{(\w+)}", lambda name: _part(given[name[1]]["schema"]), path)  # noqa: B023
        body = said.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        query = {name: bare(one["schema"]) for name, one in given.items() if one["in"] == "query"}
        found[call] = {"method": method, "path": pattern, "query": query, "body": body and bare(body)}
    return {"version": document["info"]["version"], "calls": found}


def _part(schema: dict[str, Any]) -> str:
    return "[0-9]+" if schema.get("type") == "integer" else "[^/]+"


def bare(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without its prose, and with OpenAPI's `nullable` as JSON Schema has it."""
    kept = {name: value for name, value in schema.items() if name in ("type", "enum", "required", "maxProperties")}
    if schema.get("nullable"):
        kept["type"] = [kept["type"], "null"]
    for name in ("minimum", "maximum", "minLength", "maxLength", "pattern"):
        kept |= {name: schema[name]} if name in schema else {}
    if "properties" in schema:
        kept["properties"] = {name: bare(value) for name, value in schema["properties"].items()}
    if "items" in schema:
        kept["items"] = bare(schema["items"])
    for name in ("oneOf", "anyOf", "allOf"):
        if name in schema:
            kept[name] = [bare(one) for one in schema[name]]
    return kept


if __name__ == "__main__":
    HELD.write_text(json.dumps(extract(json.loads(Path(sys.argv[1]).read_text())), indent=1, sort_keys=True) + "\n")
