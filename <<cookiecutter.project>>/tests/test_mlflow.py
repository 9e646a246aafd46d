"""MLflow's stack without an engine: its secrets, its recipe and the papers of its backups."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from deploy.containers.engine import Engine
from deploy.mlflow import secrets, stack
from deploy.mlflow.words import main, stale
from << cookiecutter.__package >>.outcome import Unjudged, run

HERE = Path(stack.__file__).parent
sys.path.append(str(HERE / "inside"))  # what runs in the containers, by itself

import papers  # noqa: E402
from shelves import Folder  # noqa: E402

RECIPE = yaml.safe_load((HERE / "compose.yaml").read_text())
SERVICES = RECIPE["services"]
COMPOSE = bool(shutil.which("docker")) and Engine("docker").has("compose", "version")


def word(*words: str) -> int:
    return run("mlflow", main, list(words))


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch) -> None:
    """No stack and no secrets of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("STACK_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STACK_SECRETS_FOLDER", str(tmp_path / "secrets"))


def test_secrets_are_made_once_strong_and_for_their_owner_alone(capsys) -> None:
    assert word("password") == 0
    made = {path.name: path for path in secrets.folder().iterdir()}
    assert sorted(made) == ["admin.env", "stack.env"]
    assert {path.stat().st_mode & 0o777 for path in made.values()} == {0o600}
    assert secrets.folder().stat().st_mode & 0o777 == 0o700
    given = [value for path in made.values() for name, value in secrets.read(path).items()
             if value and re.search("PASSWORD|SECRET", name)]  # fmt: skip
    assert len(set(given)) == len(given) == 7
    assert all(len(value) >= 32 for value in given)
    told = "".join(capsys.readouterr())
    assert not [value for value in given if value in told]

    before = made["stack.env"].read_bytes()
    assert word("password") == 2
    assert "there are secrets in" in capsys.readouterr().err
    assert made["stack.env"].read_bytes() == before


def test_secrets_that_others_can_read_are_not_used() -> None:
    secrets.make("http://127.0.0.1:5000")
    (secrets.folder() / "stack.env").chmod(0o644)
    with pytest.raises(Unjudged, match="can be read by others"):
        secrets.files()


def test_each_user_of_the_host_gets_what_it_needs_and_no_more() -> None:
    secrets.make("http://127.0.0.1:5000")
    known = secrets.read(secrets.folder() / "stack.env")
    files = json.loads(secrets.files()[0])["files"]
    for folder, foreign in {
        "mlflow": ("POSTGRES_PASSWORD", "S3_ADMIN_SECRET_ACCESS_KEY", "S3_DVC_SECRET_ACCESS_KEY"),
        "postgres": ("DATABASE_PASSWORD", "S3_ADMIN_SECRET_ACCESS_KEY", "FLASK_SECRET_KEY"),
        "seaweedfs": ("POSTGRES_PASSWORD", "DATABASE_PASSWORD", "FLASK_SECRET_KEY"),
        "jobs": ("FLASK_SECRET_KEY", "S3_DVC_SECRET_ACCESS_KEY"),
    }.items():
        assert not [name for name in foreign if known[name] in json.dumps(files[folder])], folder
    identities = {who["name"]: who["actions"] for who in json.loads(files["seaweedfs"]["s3.json"])["identities"]}
    assert "Admin" in identities["admin"]
    assert all(action.endswith(":mlflow") for action in identities["mlflow"])
    assert all(action.endswith(":dvc") for action in identities["dvc"])


@pytest.mark.parametrize("name", ["../stack", "stack", "-x", "a b"])
def test_a_user_is_called_like_a_user(name, capsys) -> None:
    assert word("password", "--", name) == 2
    assert "cannot be the name of a user" in capsys.readouterr().err


def test_the_recipe_locks_every_container_in() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}, name
        assert service["mem_limit"], name
        assert re.match(r"\$\{(\w+)", service["image"])[1] in ("STACK_IMAGE", "STACK_POSTGRES", "STACK_SEAWEEDFS"), name
        mounted = {volume.partition(":")[0] for volume in service.get("volumes", ())}
        assert mounted <= set(RECIPE["volumes"]), name
    assert [name for name, service in SERVICES.items() if service.get("user", "").startswith("0")] == ["keep"]
    assert SERVICES["keep"]["network_mode"] == "none"
    for name in stack.SERVICES:
        assert SERVICES[name]["restart"] == "unless-stopped"
        assert SERVICES[name]["healthcheck"]["test"]
    waits = {name: what["condition"] for name, what in SERVICES["mlflow"]["depends_on"].items()}
    assert waits["migrate"] == "service_completed_successfully"
    assert {name for name, service in SERVICES.items() if service.get("ports")} == {"mlflow"}
    assert all(port.startswith("${STACK_ADDRESS}:") for port in SERVICES["mlflow"]["ports"])
    assert RECIPE["volumes"]["backups"]["external"]


def kept(at: Folder, work: Path, name: str, *contents: bytes) -> None:
    """A backup of these objects, as `inside/objects.py` writes it."""
    lines = []
    for content in contents:
        sha256, size = papers.hashed([content])
        (work / "object").write_bytes(content)
        at.take(work / "object", papers.content(sha256))
        lines.append({"bucket": "mlflow", "key": sha256, "sha256": sha256, "bytes": size})
    texts = {papers.DUMP: f"dump of {name}", papers.OBJECTS: "".join(json.dumps(line) + "\n" for line in lines)}
    files = {file: papers.write(at, work, f"{name}/{file}", text) for file, text in texts.items()}
    papers.write(at, work, f"{name}/{papers.MANIFEST}", json.dumps(papers.sealed({"name": name, "files": files})))


@pytest.fixture
def backups(tmp_path) -> Folder:
    """Three backups: `one` stays in all of them, the other object of each does not."""
    at = Folder(tmp_path / "kept")
    for name in ("a", "b", "c"):
        kept(at, tmp_path, name, b"one", name.encode() * 100)
    return at


def test_a_backup_that_is_whole_is_proved(backups) -> None:
    assert papers.backups(backups) == ["a", "b", "c"]
    assert papers.prove(backups, "b")["name"] == "b"


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda root: os.truncate(root / "b" / papers.DUMP, 3), "b/mlflow.dump has 3 of 9 bytes"),
        (lambda root: os.truncate(root / papers.content(papers.hashed([b"b" * 100])[0]), 99), "has 99 of 100 bytes"),
        (lambda root: (root / papers.content(papers.hashed([b"one"])[0])).write_bytes(b"two"), "has other content"),
        (lambda root: (root / papers.content(papers.hashed([b"one"])[0])).unlink(), "is missing"),
        (lambda root: os.truncate(root / "b" / papers.MANIFEST, 50), "manifest.json cannot be read"),
        (lambda root: os.truncate(root / "b" / papers.OBJECTS, 0), "b/objects.jsonl has 0 of"),
    ],
)
def test_a_torn_backup_is_refused_with_the_part(backups, harm, told) -> None:
    harm(backups.root)
    with pytest.raises(papers.Torn, match=told):
        papers.prove(backups, "b")


def test_a_manifest_that_was_edited_is_refused(backups) -> None:
    path = backups.root / "b" / papers.MANIFEST
    path.write_text(path.read_text().replace('"name": "b"', '"name": "c"'))
    with pytest.raises(papers.Torn, match="was changed after it was written"):
        papers.prove(backups, "b")


def test_old_backups_go_with_what_they_alone_held(backups, tmp_path) -> None:
    interrupted = backups.root / "0"
    interrupted.mkdir()
    (interrupted / papers.DUMP).write_text("begun")
    assert papers.prune(backups, 2) == ["a"]
    assert papers.backups(backups) == ["b", "c"]
    assert not interrupted.exists()
    assert {papers.prove(backups, name)["name"] for name in ("b", "c")} == {"b", "c"}
    assert len(list(backups.names("objects/"))) == 3
    kept(backups, tmp_path, "d", b"one")
    assert papers.prune(backups, 1) == ["b", "c"]
    assert len(list(backups.names("objects/"))) == 1


@pytest.mark.parametrize(
    ("rows", "made", "told"),
    [
        ({"runs": 0}, [], []),
        ({"runs": 1}, [], ["there is data and no backup"]),
        ({"runs": 1}, [{"made": "2020-01-01T00:00:00+00:00"}], ["hours old"]),
        ({"runs": 1}, [{"made": "2999-01-01T00:00:00+00:00"}], []),
    ],
)
def test_data_without_a_recent_backup_is_told(rows, made, told) -> None:
    found = stale({"rows": rows, "backups": made})
    assert len(found) == len(told)
    assert all(part in whole for part, whole in zip(told, found, strict=True))


@pytest.mark.skipif(not COMPOSE, reason="there is no docker compose here")
@pytest.mark.parametrize("s3", [False, True])
def test_the_recipe_renders_without_a_secret(s3) -> None:
    secrets.make("http://127.0.0.1:5000")
    recipes = [HERE / "compose.yaml", *([HERE / "s3.yaml"] if s3 else [])]
    files = [word for path in recipes for word in ("--file", str(path))]
    variables = {name: "1g" for path in recipes for name in re.findall(r"\$\{(STACK_\w+)", path.read_text())}
    variables |= {"STACK_ADDRESS": "127.0.0.1", "STACK_PORT": "5000", "STACK_S3_PORT": "8333"}
    engine = Engine("docker", variables | secrets.read(secrets.folder() / "stack.env"))
    rendered = engine.run("compose", *files, "--profile", "words", "config")
    assert not [value for value in secrets.read(secrets.folder() / "stack.env").values() if value and value in rendered]
    published = {name: service.get("ports") for name, service in yaml.safe_load(rendered)["services"].items()}
    assert {name for name, ports in published.items() if ports} == {"mlflow", *(["seaweedfs"] if s3 else [])}
    assert {port["host_ip"] for ports in published.values() for port in ports or ()} == {"127.0.0.1"}
