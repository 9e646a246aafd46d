"""Answers that try to break something: each works everywhere it ends up, or is refused in one sentence."""

import ast
import configparser
import json
import os
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import render, run, source, uv
from cookiecutter.environment import StrictEnvironment
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter

ACCEPTED = {
    "short name": ("project", "m"),
    "name with digits": ("project", "a-1-2-b3"),
    "first in the lock": ("project", "aa"),
    "last in the lock": ("project", "zz-top"),
    "longest name": ("project", "a" * 40),
    "soft keyword": ("project", "match"),
    "double quotes": ("description", 'Is it "late"?'),
    "single quotes": ("description", "Isn't it 'late'?"),
    "backslashes": ("description", r"C:\new\table \\ \" \u0041 \x"),
    "backslash at the end": ("description", "late\\"),
    "quote at the end": ("description", 'late"'),
    "triple quotes": ("description", '"""late""" and \'\'\'late\'\'\''),
    "GitHub expression": ("description", "${{ secrets.TOKEN }}"),
    "Jinja's usual delimiters": ("description", "{{ cookiecutter.author }} {% raw %} {# x #}"),
    "shell": ("description", "$(touch /tmp/x) `id` ; rm -rf / | cat && true > x & !! * ? ~ $HOME"),
    "YAML": ("description", "- a: b # c & *d !e %f @g | > [h] {i} ? -"),
    "TOML": ("description", '[table] key = "value" # \'comment\''),
    "Markdown": ("description", "# not a heading **bold** [link](x) <b> | ``` ~~~"),
    "make": ("description", "$(shell id) $@ %.o: \\"),
    "percent": ("description", "100% %(project)s %d"),
    "braces": ("description", "{project} {0} }{"),
    "unicode": ("description", "Spät? 遅延 تأخير 🛫 ẞ"),
    "right delimiters alone": ("description", "a >> b %> c #> d"),
    "longest description": ("description", "ü" * 200),
    "true in YAML": ("description", "yes"),
    "author with everything": ("author", 'Zoë "Z" O\'Neil \\ <zoe@example.org> & Söhne ${{ x }} {{ y }} $(id)'),
    "author of one digit": ("author", "7"),
    "sibling directory": ("remote", "../store"),
    "directory far away": ("remote", "../../data+store@v1.0/a_b-c"),
    "absolute directory": ("remote", "/srv/dvc/flights"),
    "S3 bucket": ("remote", "s3://my-bucket"),
    "S3 prefix": ("remote", "s3://my.bucket-1/team_a/flights=1/v1.0"),
}

# What a person may type, or a replayed file or cruft's record may hold.
REFUSED = {
    "yes in YAML": ("project", "y"),
    "upper case": ("project", "Flight-Delays"),
    "spaces": ("project", "flight delays"),
    "underscore": ("project", "flight_delays"),
    "digit first": ("project", "2fast"),
    "hyphen first": ("project", "-rf"),
    "hyphen last": ("project", "late-"),
    "two hyphens": ("project", "a--b"),
    "home": ("project", "~"),
    "dotted": ("project", "a.b"),
    "quote in name": ("project", 'a"b'),
    "newline in name": ("project", "a\nb"),
    "newline after name": ("project", "flight-delays\n"),
    "unicode name": ("project", "spät"),
    "too long a name": ("project", "a" * 41),
    "shell in name": ("project", "$(id)"),
    "keyword": ("project", "class"),
    "soft-looking keyword": ("project", "import"),
    "standard library": ("project", "json"),
    "standard library with an underscore": ("project", "concurrent"),
    "true": ("project", "true"),
    "locked package": ("project", "duckdb"),
    "locked package with a hyphen": ("project", "great-expectations"),
    "imported package": ("project", "sklearn"),
    "own folder": ("project", "ci"),
    "folder of the service": ("project", "service"),
    "experiment of promotions": ("project", "deployments"),
    "empty description": ("description", ""),
    "blank description": ("description", "   "),
    "punctuation alone": ("description", "..."),
    "two lines": ("description", "a\nb"),
    "carriage return": ("description", "a\rb"),
    "tab": ("description", "a\tb"),
    "escape character": ("description", "a\x1b[31mb"),
    "delete character": ("description", "a\x7fb"),
    "line separator": ("description", "a\u2028b"),
    "text direction override": ("description", "a\u202eb"),
    "lone surrogate": ("description", "a\ud800b"),
    "space around": ("description", " late "),
    "variable": ("description", "<< cookiecutter.author >>"),
    "half a variable": ("description", "1 << 2"),
    "block": ("description", "<% raw %>"),
    "comment": ("description", "<# x #>"),
    "too long a description": ("description", "x" * 201),
    "number": ("description", 7),
    "list": ("description", ["a"]),
    "empty author": ("author", ""),
    "author git cannot sign with": ("author", "<>"),
    "author on two lines": ("author", "Ada\nLovelace"),
    "too long an author": ("author", "x" * 81),
    "empty remote": ("remote", ""),
    "remote with a space": ("remote", "../a b"),
    "remote with a comment": ("remote", "../a#b"),
    "remote with a quote": ("remote", '../a"b'),
    "remote on two lines": ("remote", "../a\nurl = /etc"),
    "remote in the repository": ("remote", "store"),
    "remote that leads back in": ("remote", "../flight-delays/store"),
    "remote that is the repository": ("remote", "."),
    "remote around the repository": ("remote", ".."),
    "home directory": ("remote", "~/store"),
    "http": ("remote", "https://example.org/store"),
    "bucket in upper case": ("remote", "s3://Bucket/prefix"),
    "bucket with a query": ("remote", "s3://bucket/prefix?x=1"),
    "no bucket": ("remote", "s3://"),
    "prefix that leads upwards": ("remote", "s3://bucket/../other"),
    "slash at the end": ("remote", "s3://bucket/prefix/"),
    "variable in the remote": ("remote", "../$HOME"),
    "unknown Python": ("python", "3.9"),
    "unknown target": ("target", "mainframe"),
    "unknown licence": ("licence", "WTFPL"),
    "unknown forge": ("forge", "sourcehut"),
    "package that is not the project's": ("__package", "os"),
    "description that is not the answer's": ("__description", '" # '),
    "author that is not the answer's": ("__author", '" # '),
    "address that is not the remote's": ("__url", "/etc"),
    "public that is no truth value": ("public", "perhaps"),
}


def cases(table: dict) -> dict:
    return {"argvalues": list(table.values()), "ids": [f"{field}: {name}" for name, (field, _) in table.items()]}


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def url(made: Path) -> str:
    config = configparser.ConfigParser(interpolation=None)
    config.read(made / ".dvc" / "config")
    return config["'remote \"origin\"'"]["url"]


def constant(module: Path, name: str) -> object:
    """The value that the module gives to a name, without running it."""
    assigned = [node for node in ast.parse(module.read_text()).body if isinstance(node, ast.Assign)]
    return ast.literal_eval(next(node.value for node in assigned if node.targets[0].id == name))


@pytest.mark.parametrize(("field", "value"), **cases(ACCEPTED))
def test_accepted_works_everywhere(tmp_path, field, value):
    made = render(tmp_path / "out", **{field: value})
    answers = {"project": "flight-delays", "description": "Will a flight from New York arrive late?"}
    answers |= {"author": "The flight-delays team", "remote": f"../{made.name}-dvc", field: value}
    declared = tomllib.loads((made / "pyproject.toml").read_text())["project"]
    assert declared["name"] == made.name == answers["project"]
    assert declared["description"] == answers["description"]
    assert declared["authors"] == [{"name": answers["author"]}]
    assert f" {answers['author']}\n" in (made / "LICENSE").read_text()
    assert answers["description"] in (made / "README.md").read_text()
    remote = answers["remote"]
    there = url(made)
    assert there == remote or os.path.normpath(made / ".dvc" / there) == os.path.normpath(made / remote)
    for path in made.rglob("*.py"):
        ast.parse(path.read_text(), path)
    assert constant(made / "service" / "page.py", "ABOUT") == answers["description"]
    for path in [*made.rglob("*.yaml"), *made.rglob("*.yml"), *made.rglob("*.dvc")]:
        list(yaml.safe_load_all(path.read_text()) if path.is_file() else [])
    assert (made / "src" / made.name.replace("-", "_") / "schema.py").exists()
    assert run(["git", "status", "--porcelain", "--ignored"], made).stdout == ""
    assert run([uv(), "lock", "--check", "--offline"], made).returncode == 0
    linted = "." if field == "project" else "service"
    assert run([sys.executable, "-m", "ruff", "check", "--no-cache", linted], made).returncode == 0


@pytest.fixture(scope="module")
def replay(tmp_path_factory) -> dict:
    """What cookiecutter keeps of a generation for `--replay-file`."""
    folder = tmp_path_factory.mktemp("replay")
    (folder / "rc").write_text(f"replay_dir: {folder / 'kept'}\n")
    options = ["--no-input", "--output-dir", str(folder), "--config-file", str(folder / "rc")]
    assert run([sys.executable, "-m", "cookiecutter", str(source()), *options], folder).returncode == 0
    (kept,) = (folder / "kept").iterdir()
    return json.loads(kept.read_text())


def test_a_replay_generates_the_same(tmp_path, replay):
    (tmp_path / "answers.json").write_text(json.dumps(replay))
    options = ["--replay-file", str(tmp_path / "answers.json"), "--output-dir", str(tmp_path / "out")]
    assert run([sys.executable, "-m", "cookiecutter", str(source()), *options], tmp_path).returncode == 0
    assert (tmp_path / "out" / "flight-delays" / "dvc.yaml").exists()


def derived(answers: dict) -> dict:
    """The answers with what the template derives from them, as it does when a person types them."""
    questions = json.loads((source() / "cookiecutter.json").read_text())
    jinja = StrictEnvironment(context={"cookiecutter": answers}, **questions["_jinja2_env_vars"])
    for name, text in questions.items():
        if name.startswith("__") and name != "__checked" and isinstance(text, str):
            answers[name] = jinja.from_string(text).render(cookiecutter=answers)
    return answers


@pytest.mark.parametrize(("field", "value"), **cases(REFUSED))
def test_refused_in_one_sentence_and_nothing_is_left(tmp_path, capfd, replay, field, value):
    answers = replay["cookiecutter"] | {field: value}
    if isinstance(value, str) and not field.startswith("_"):
        answers = derived(answers)
    (tmp_path / "answers.json").write_text(json.dumps(replay | {"cookiecutter": answers}))
    (tmp_path / "rc").write_text(f"replay_dir: {tmp_path}\n")
    out = tmp_path / "above" / "out"
    out.mkdir(parents=True)
    before = listing(tmp_path)
    options = {"replay": str(tmp_path / "answers.json"), "config_file": str(tmp_path / "rc"), "output_dir": str(out)}
    with pytest.raises(FailedHookException):
        cookiecutter(str(source()), **options)
    (sentence,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith(f"{field}: ")]
    assert repr(value)[:60].rstrip("'\"") in sentence
    assert " cannot be used: " in sentence
    assert sentence.endswith(".")
    assert listing(tmp_path) - {"cookiecutter-shipshape.json"} == before
    assert not Path("/tmp/shipshape-absolute").exists()


# No name of a folder: cookiecutter would make, or fail to make, the folder before a hook could speak.
NO_FOLDER = ["", ".", "..", "a/b", "a/b/c/d", "../x", "/tmp/shipshape-absolute/x", "a" * 300, "class", "My Project"]


@pytest.mark.parametrize("project", NO_FOLDER)
def test_refused_on_the_command_line(tmp_path, project):
    (tmp_path / "out").mkdir()
    (tmp_path / "home").mkdir()
    command = [sys.executable, "-m", "cookiecutter", str(source()), "--no-input", f"project={project}"]
    done = run(command, tmp_path / "out", env={"HOME": str(tmp_path / "home")})
    assert done.returncode == 1
    assert f"project: {project!r:.60}".rstrip("'") in done.stderr
    assert " cannot be used: " in done.stderr
    assert not listing(tmp_path / "out")
    assert not Path("/tmp/shipshape-absolute").exists()


def test_refusal_leaves_what_was_there(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine").write_text("kept")
    command = [sys.executable, "-m", "cookiecutter", str(source()), "--no-input", "project=a/b"]
    assert run(command, tmp_path, env={"HOME": str(tmp_path)}).returncode == 1
    assert (tmp_path / "a" / "mine").read_text() == "kept"
    assert listing(tmp_path / "a") == {"mine"}


def test_every_wrong_answer_is_told_at_once(tmp_path):
    (tmp_path / "out").mkdir()
    wrong = ["project=Class", "author=", "remote=store"]
    command = [sys.executable, "-m", "cookiecutter", str(source()), "--no-input", *wrong]
    done = run(command, tmp_path / "out", env={"HOME": str(tmp_path)})
    assert [line.split(":")[0] for line in done.stderr.splitlines()][:3] == ["project", "author", "remote"]


def test_the_hook_knows_the_choices():
    questions = json.loads((source() / "cookiecutter.json").read_text())
    hook = (source() / "hooks" / "pre_gen_project.py").read_text()
    for field, values in questions.items():
        if isinstance(values, list) and not field.startswith("_"):
            assert f'"{field}": {json.dumps(values)}' in hook


def test_every_top_folder_is_refused_as_a_name(tmp_path):
    hook = (source() / "hooks" / "pre_gen_project.py").read_text()
    folders = hook.split('FOLDERS = """')[1].split('"""')[0].split()
    made = render(tmp_path)
    visible = {path.name for path in made.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert visible <= set(folders)


def test_an_unusual_project_lives(bake, word):
    """Unusual names where they really end up: a locked environment is installed, and DVC stores and serves the data."""
    made = bake(
        project="x1-y2-z3",
        description='"""${{ x }}""" \\ {{ y }} 🛫',
        author="Zoë <z> \"O'Neil\" \\",
        remote="../odd+store@v1.0",
    )
    word(made, "setup", code=0)
    assert any((made.parent / "odd+store@v1.0" / "files" / "md5").rglob("*"))
    (made / "data" / "raw" / "flights.csv").unlink(missing_ok=True)
    word(made, "data", code=0)
    assert (made / "data" / "raw" / "flights.csv").stat().st_size == 31053850
