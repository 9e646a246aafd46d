"""The files of the generated pipelines as both forges read them, and what they say in one form."""

import json
from pathlib import Path

import pytest
import yaml
from conftest import render


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """`made(**choices)`: the rendered project, each combination once."""
    kept: dict[str, Path] = {}

    def get(**choices) -> Path:
        key = json.dumps(choices, sort_keys=True)
        if key not in kept:
            kept[key] = render(tmp_path_factory.mktemp("pipelines"), **choices)
        return kept[key]

    return get


class Loader(yaml.SafeLoader):
    """Reads GitLab's `!reference [job, key, …]` as a tuple."""


Loader.add_constructor("!reference", lambda loader, node: tuple(loader.construct_sequence(node)))


def merged(base: dict, over: dict) -> dict:
    return base | {
        name: merged(base[name], value) if isinstance(value, dict) and isinstance(base.get(name), dict) else value
        for name, value in over.items()
    }


class GitLab:
    """`.gitlab-ci.yml` with defaults, `extends` and `!reference` resolved."""

    OWN = ("stages", "workflow", "variables", "default")

    def __init__(self, project: Path) -> None:
        self.file = yaml.load((project / ".gitlab-ci.yml").read_text(), Loader)  # noqa: S506
        shown = [name for name in self.file if name not in self.OWN and not name.startswith(".")]
        self.jobs = {}
        for name in shown:
            job = self.file["default"] | self.resolved(name)
            self.jobs[name] = job | {"rules": self.flat(job["rules"])}

    def resolved(self, name: str) -> dict:
        job = self.file[name]
        above = job.get("extends", [])
        whole: dict = {}
        for base in [above] if isinstance(above, str) else above:
            whole = merged(whole, self.resolved(base))
        return merged(whole, job)

    def flat(self, rules: list) -> list[dict]:
        found = []
        for rule in rules:
            found += self.file[rule[0]][rule[1]] if isinstance(rule, tuple) else [rule]
        return found

    def of(self, source: str) -> dict[str, dict]:
        """The jobs that have a rule for this source of pipelines: merge_request_event, push or web."""
        return {
            name: job
            for name, job in self.jobs.items()
            if any(f'"{source}"' in rule["if"] and rule.get("when") != "never" for rule in job["rules"])
        }


def workflow(project: Path, name: str) -> dict:
    """A workflow of GitHub; YAML reads its key `on` as true."""
    loaded = yaml.safe_load((project / ".github" / "workflows" / f"{name}.yml").read_text())
    return {("on" if key is True else key): value for key, value in loaded.items()}


def workflows(project: Path) -> dict[str, dict]:
    return {path.stem: workflow(project, path.stem) for path in (project / ".github" / "workflows").glob("*.yml")}


def scripts(project: Path) -> dict[str, list[str]]:
    """Every script of every job of both forges."""
    found = {f"gitlab/{name}": whole(job) for name, job in GitLab(project).jobs.items()}
    for name, file in workflows(project).items():
        for job, content in file["jobs"].items():
            found[f"{name}/{job}"] = [step["run"] for step in content["steps"] if "run" in step]
    return found


def whole(job: dict) -> list[str]:
    """What a job of GitLab runs, whatever becomes of the first part."""
    return [*job["script"], *job.get("after_script", [])]


def listed(value) -> list:
    return [value] if isinstance(value, str) else list(value or [])


def spoken(lines: list[str]) -> list[str]:
    """The words that the lines call, with their arguments."""
    return [line.removeprefix("python3 -m ci.") for line in lines if line.startswith("python3 -m ci.")]


def github_form(jobs: dict[str, dict]) -> dict[str, dict]:
    places = {"GPU_RUNNER": "gpu", "DEPLOY_RUNNER": "deploy"}
    return {
        name: {
            "words": spoken([step["run"] for step in job["steps"] if "run" in step]),
            "needs": set(listed(job.get("needs"))),
            "place": next((place for key, place in places.items() if key in job["runs-on"]), "hosted"),
            "environment": job.get("environment"),
        }
        for name, job in jobs.items()
        if name != "pass"
    }


def gitlab_form(jobs: dict[str, dict]) -> dict[str, dict]:
    places = {"$GPU_RUNNER": "gpu", "$DEPLOY_RUNNER": "deploy"}
    return {
        name: {
            "words": spoken(whole(job)),
            "needs": {one if isinstance(one, str) else one["job"] for one in job.get("needs", [])} & jobs.keys(),
            "place": places[job["tags"][0]] if job.get("tags") else "hosted",
            "environment": job.get("environment"),
        }
        for name, job in jobs.items()
    }


def trainings(project: Path) -> tuple[list[dict], list[dict]]:
    """The jobs that train, of GitHub and of GitLab."""
    jobs = GitLab(project).jobs
    return [workflow(project, name)["jobs"]["train"] for name in ("request", "train")], [
        jobs[name] for name in ("train", "train-branch")
    ]
