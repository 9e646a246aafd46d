"""What is said about a DVC remote that fails, and `pull` and `push` on a small repository of its own."""

import errno
import hashlib

import pytest
from botocore import exceptions as aws
from dvc.repo import Repo

from ci import remote
from ci.remote_failures import explain
from << cookiecutter.__package >>.outcome import Unjudged

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc")
CONTENT = b"a,b\n1,2\n"
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


def client_error(code: str) -> Exception:
    """S3's answer as s3fs passes it on: a plain exception caused by botocore's."""
    error = PermissionError("refused")
    error.__cause__ = aws.ClientError({"Error": {"Code": code, "Message": "x"}}, "ListObjectsV2")
    return error


@pytest.mark.parametrize(
    ("error", "what", "remedy"),
    [
        (client_error("InvalidAccessKeyId"), "refused the credentials (InvalidAccessKeyId)", "AWS_PROFILE"),
        (client_error("SignatureDoesNotMatch"), "refused the credentials (SignatureDoesNotMatch)", "AWS_PROFILE"),
        (client_error("AccessDenied"), "does not allow this", "Ask its owner"),
        (client_error("ExpiredToken"), "have expired", "aws sso login"),
        (client_error("NoSuchBucket"), "no such bucket", "Create the bucket"),
        (client_error("RequestTimeTooSkewed"), "clock is wrong", "NTP"),
        (client_error("SlowDown"), "overloaded", "in a while"),
        (aws.NoCredentialsError(), "there are no credentials", "AWS_ACCESS_KEY_ID"),
        (aws.UnauthorizedSSOTokenError(), "have expired", "aws sso login"),
        (aws.ProfileNotFound(profile="team"), "The config profile (team) could not be found", "AWS_PROFILE"),
        (aws.EndpointConnectionError(endpoint_url="https://s3.example"), "cannot be reached", "AWS_ENDPOINT_URL"),
        (OSError(errno.ENOSPC, "No space left", "a", None, "cache/b.tmp"), "the disk is full at cache", "Free space"),
        (PermissionError(errno.EACCES, "no", "cache/b"), "may not write at cache", "of its own"),
    ],
)
def test_each_reason_has_its_message(error, what, remedy):
    said = explain(error, "s3://team/data")
    assert what in said[0]
    assert remedy in said[1]


def test_an_unknown_reason_is_left_alone():
    assert explain(ValueError("x"), "s3://team/data") is None


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The current directory is a DVC repository with one file, pushed to a directory and forgotten here."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    project, store = tmp_path / "project", tmp_path / "store"
    (project / "data").mkdir(parents=True)
    store.mkdir()
    monkeypatch.chdir(project)
    Repo.init(no_scm=True).close()
    settings = "[core]\n    no_scm = true\n    remote = origin\n"
    origin = f"['remote \"origin\"']\n    url = {store}\n    verify = true\n"
    (project / ".dvc" / "config").write_text(settings + origin)
    (project / "data" / "a.csv").write_bytes(CONTENT)
    Repo().add("data/a.csv")
    assert remote.push() == 1
    forget(project)
    return project


def forget(project):
    (project / "data" / "a.csv").unlink()
    stored(project / ".dvc" / "cache").unlink()


def stored(place):
    return place / "files" / "md5" / MD5[:2] / MD5[2:]


def test_pull_brings_back_what_push_has_sent(small):
    files, fetched = remote.pull(remote.raw())
    assert (small / "data" / "a.csv").read_bytes() == CONTENT
    assert ([file.path for file in files], fetched) == (["data/a.csv"], 1)
    assert remote.pull(["data/a.csv"])[1] == 0
    assert remote.push() == 0


def test_a_missing_object_is_named(small):
    stored(small.parent / "store").unlink()
    with pytest.raises(Unjudged, match=rf"has no data/a.csv \(md5 {MD5}\)"):
        remote.pull(remote.raw())
    with pytest.raises(Unjudged, match="neither here nor on the DVC remote"):
        remote.push()


@pytest.mark.parametrize("mode", [0o444, 0o644])
def test_a_corrupted_object_is_named_and_not_kept(small, mode):
    stored(small.parent / "store").chmod(0o644)
    stored(small.parent / "store").write_bytes(b"rotten")
    stored(small.parent / "store").chmod(mode)
    with pytest.raises(Unjudged, match=rf"corrupted content: its hash differs for data/a.csv \(md5 {MD5}\)"):
        remote.pull(remote.raw())
    assert not (small / "data" / "a.csv").exists()
    assert not stored(small / ".dvc" / "cache").exists()


def test_a_remote_that_is_not_there(small):
    (small.parent / "store").rename(small.parent / "elsewhere")
    with pytest.raises(Unjudged, match="cannot be reached: there is no directory"):
        remote.pull(remote.raw())


def test_waiting_for_another_process_ends(small, monkeypatch):
    monkeypatch.setattr(remote, "LOCK_SECONDS", 0)
    with Repo().lock, pytest.raises(Unjudged, match="another DVC process has held this repository"):
        remote.pull(remote.raw())
