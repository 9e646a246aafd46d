"""What the image is called, judged by and swept for; nothing is built here, and no registry is asked."""

import base64
import json
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from ci import preflight
from ci.image import build, judge
from ci.image.sweep import Image, garbage
from deploy.containers import names
from deploy.containers.engine import Engine, Failed, explained, patiently
from << cookiecutter.__package >>.outcome import Bad, Unjudged

ROOT = Path(__file__).resolve().parent.parent
GATE = yaml.safe_load((ROOT / "gates.yaml").read_text())["image"]
NOW = datetime(2026, 1, 31, tzinfo=UTC)
pytestmark = pytest.mark.usefixtures("nobody")


def package(name: str, version: str = "1", **said: object) -> dict:
    return {"Name": name, "Version": version, "License-Expression": "MIT", "License": "", "Classifiers": []} | said


def facts(*packages: dict, **others: object) -> dict:
    found = {"mb": 200.0, "user": GATE["user"], "uid": 65532, "why": None, "memory_mb": 100.0}
    return found | {"packages": list(packages) or [package("numpy")]} | others


def test_an_image_within_the_rules_passes() -> None:
    judge.judge("image", facts(package("numpy"), package("onnxruntime")), GATE)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (facts(mb=300.0), "it has 300 MB, at most 260 are allowed"),
        (facts(user="", uid=0), "it runs as root"),
        (facts(user="65532:65532", uid=0), "number 0"),
        (facts(package("pandas"), package("scikit_learn")), "it holds pandas, scikit-learn"),
        (facts(package("evil", **{"License-Expression": "AGPL-3.0-only"})), "evil (AGPL-3.0-only)"),
        (facts(why="with 200 MB it ran out of memory"), "it does not start: with 200 MB"),
    ],
)
def test_an_image_is_refused(found, sentence) -> None:
    with pytest.raises(Bad, match=re.escape(sentence)):
        judge.judge("image", found, GATE)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(Bad, match=r"300 MB.*; it runs as root"):
        judge.judge("image", facts(mb=300.0, user="", uid=0), GATE)


def test_a_package_without_a_licence_is_not_judged_until_someone_looks() -> None:
    silent = facts(package("shy", **{"License-Expression": ""}))
    with pytest.raises(Unjudged, match="no licence is declared by shy"):
        judge.judge("image", silent, GATE)
    judge.judge("image", silent, GATE | {"licence_of": {"shy": "BSD-3-Clause"}})


@pytest.mark.parametrize(
    ("said", "is_forbidden"),
    [
        ("MIT", False),
        ("BSD-3-Clause AND MIT", False),
        ("GPL-3.0-only", True),
        ("MIT AND GPL-2.0-or-later", True),
        ("GPL-2.0-or-later OR MIT", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("LGPL-3.0-or-later", False),
        ("GNU General Public License v3 (GPLv3)", True),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("SSPL-1.0", True),
        ("", False),
    ],
)
def test_licences(said, is_forbidden) -> None:
    assert judge.forbidden(said, GATE["licences"]) is is_forbidden


def test_a_licence_is_an_expression_else_classifiers_else_a_first_line() -> None:
    silent = package("one", **{"License-Expression": ""})
    classifiers = ["License :: OSI Approved", "License :: OSI Approved :: MIT License"]
    assert judge.licence(package("one"), {"one": "ISC"}) == "ISC"
    assert judge.licence(silent | {"Classifiers": classifiers, "License": "x"}, {}) == "MIT License"
    assert judge.licence(silent | {"License": "Apache 2.0\nand its text"}, {}) == "Apache 2.0"


def test_what_the_registry_calls_the_project(monkeypatch) -> None:
    assert names.repository() is None
    monkeypatch.setenv("IMAGE_REGISTRY", "ghcr.io/Some-Owner/")
    assert names.repository() == f"ghcr.io/some-owner/{names.PROJECT}"
    monkeypatch.setenv("IMAGE_REGISTRY", "127.0.0.1:5000")
    assert names.repository() == f"127.0.0.1:5000/{names.PROJECT}"
    for wrong in ("https://ghcr.io/owner", "ghcr.io/owner:tag", "ghcr.io/a b"):
        monkeypatch.setenv("IMAGE_REGISTRY", wrong)
        with pytest.raises(Unjudged, match="names no registry"):
            names.repository()


def test_logins_come_from_variables_and_each_forge_has_its_own(monkeypatch) -> None:
    assert names.credentials("ghcr.io/owner/project") is None
    monkeypatch.setenv("GITHUB_ACTOR", "octocat")
    monkeypatch.setenv("GITHUB_TOKEN", "of-the-job")
    assert names.credentials("ghcr.io/owner/project") == ("octocat", "of-the-job")
    assert names.credentials("registry.example.org/project") is None  # a forge's token goes to the forge alone
    monkeypatch.setenv("CI_REGISTRY", "registry.example.org")
    monkeypatch.setenv("CI_REGISTRY_USER", "gitlab-ci-token")
    monkeypatch.setenv("CI_REGISTRY_PASSWORD", "of-the-other-job")
    assert names.credentials("registry.example.org/project") == ("gitlab-ci-token", "of-the-other-job")
    monkeypatch.setenv("IMAGE_REGISTRY_USER", "robot")
    monkeypatch.setenv("IMAGE_REGISTRY_PASSWORD", "secret")
    monkeypatch.setenv("IMAGE_REGISTRY", "ghcr.io/Owner")
    assert names.credentials("ghcr.io/owner/project") == ("robot", "secret")
    assert names.credentials("elsewhere.example.org/owner/project") is None  # whatever a package is said to be


def test_a_login_is_a_file_for_the_block_alone(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "own"))
    (tmp_path / "own" / "cli-plugins").mkdir(parents=True)
    (tmp_path / "own" / "config.json").write_text(json.dumps({"credsStore": "keychain", "auths": {"other": {}}}))
    with names.login("registry.example.org/project") as login:
        assert login == {}
    monkeypatch.setenv("IMAGE_REGISTRY", "registry.example.org")
    monkeypatch.setenv("IMAGE_REGISTRY_USER", "robot")
    monkeypatch.setenv("IMAGE_REGISTRY_PASSWORD", "secret")
    with names.login("registry.example.org/project") as login:
        config = Path(login["REGISTRY_AUTH_FILE"])
        assert config.stat().st_mode & 0o077 == 0
        said = json.loads(config.read_text())
        assert base64.b64decode(said["auths"]["registry.example.org"]["auth"]) == b"robot:secret"
        assert set(said) == {"auths"}
        assert "other" in said["auths"]
        assert Path(login["DOCKER_CONFIG"], "cli-plugins").is_dir()
    assert not config.exists()


def test_the_package_index_reaches_the_build_as_secrets(monkeypatch, tmp_path) -> None:
    assert build.index(tmp_path) == ["pip"]
    assert (tmp_path / "pip").read_text() == "[global]\n"
    (tmp_path / "trusted.pem").write_text("certificates")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://user:secret@index.example.org/simple")
    monkeypatch.setenv("UV_INDEX", "own=https://own.example.org/simple file:///here")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    assert build.index(tmp_path) == ["pip", "certificates"]
    settings = (tmp_path / "pip").read_text().splitlines()
    assert "index-url = https://user:secret@index.example.org/simple" in settings
    assert "extra-index-url = https://own.example.org/simple" in settings
    assert "cert = /run/secrets/certificates" in settings
    assert (tmp_path / "certificates").read_text() == "certificates"


def test_the_foundation_is_named_by_what_it_is_made_of(tmp_path) -> None:
    needs = tmp_path / "env" / "python" / "requirements.txt"
    needs.parent.mkdir(parents=True)
    needs.write_text("numpy==2.0\n")
    base = build.Base("python:3.11-slim", "sha256:1")

    def tag(of: build.Base = base, platform: str = "") -> str:
        return build.foundation_tag("team/project", tmp_path, of, platform)

    first = tag()
    assert re.fullmatch(r"team/project:foundation-[0-9a-f]{16}", first)
    assert tag() == first
    others = {tag(build.Base("python:3.11-slim", "sha256:2")), tag(platform="linux/arm64")}
    needs.write_text("numpy==2.1\n")
    assert len({first, tag(), *others}) == 4


def test_failures_are_told_apart() -> None:
    full = Failed("docker", "write /x: no space left on device\n")
    assert "the disk is full" in explained("the build", full).what
    refused = Failed("docker", "denied: requested access to the resource is denied")
    assert "refuses this login" in explained("the push", refused).what
    assert explained("the push", Failed("docker", "")).what == "the push: docker said nothing"


def test_the_network_gets_another_chance_and_a_refusal_none() -> None:
    tries = []

    def attempt(said: str, successes_at: int) -> str:
        tries.append(said)
        if len(tries) < successes_at:
            raise Failed("docker", said)
        return "done"

    assert patiently("the push", lambda: attempt("connection reset by peer", 3), [0, 0]) == "done"
    assert len(tries) == 3
    tries.clear()
    with pytest.raises(Unjudged, match="the push failed, 3 times: connection reset"):
        patiently("the push", lambda: attempt("connection reset by peer", 9), [0, 0])
    tries.clear()
    with pytest.raises(Unjudged, match="refuses this login"):
        patiently("the push", lambda: attempt("unauthorized: authentication required", 9), [0, 0])
    assert len(tries) == 1


def test_an_engine_that_is_named_must_answer(monkeypatch) -> None:
    from deploy.containers.engine import engine

    monkeypatch.setenv("CONTAINER_ENGINE", "no-such-engine")
    with pytest.raises(Unjudged, match="no-such-engine does not answer"):
        engine()
    with pytest.raises(Failed, match="nothing"):
        Engine("false").run("anything")


@pytest.mark.parametrize(
    ("set_here", "signed", "lacking"),
    [
        ({}, None, []),
        ({"IMAGE_REGISTRY": "ghcr.io/owner"}, None, []),  # the job's own token
        ({"IMAGE_REGISTRY": "registry.example.org/team"}, None, ["IMAGE_REGISTRY_USER"]),
        ({"IMAGE_REGISTRY": "registry.example.org/team", "CI_REGISTRY": "registry.example.org"}, None, []),
        ({}, {"key": "deploy/cosign.pub"}, ["COSIGN_KEY"]),
        ({"COSIGN_KEY": "set"}, {"key": "deploy/cosign.pub"}, []),
        ({}, {"identity": "https://forge/pipeline", "issuer": "https://forge"}, []),
    ],
)
def test_preflight_names_what_an_image_lacks(monkeypatch, tmp_path, set_here, signed, lacking) -> None:
    (tmp_path / "gates.yaml").write_text(yaml.safe_dump({"image": {"signed": signed}}))
    monkeypatch.setattr(preflight, "ROOT", tmp_path)
    for name, value in set_here.items():
        monkeypatch.setenv(name, value)
    found = [what for what, _ in preflight.image("Settings", hosted=True)]
    assert len(found) == len(lacking)
    assert all(name in what for name, what in zip(lacking, found, strict=True))


@pytest.mark.parametrize(("status", "code"), [(b"200 OK", 0), (b"503 Service Unavailable", 1), (None, 1)])
def test_the_health_check_needs_nothing_but_python(status, code) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        command = [sys.executable, "-I", "-S", str(ROOT / "service" / "health.py"), str(port)]
        if status is None:
            server.close()
        check = subprocess.Popen(command)
        if status:
            connection, _ = server.accept()
            with connection:
                assert connection.recv(1000).startswith(b"GET /readyz ")
                connection.sendall(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\n\r\n")
        assert check.wait(30) == code


def image(number: int, days: float) -> Image:
    return Image(f"sha256:{number}", f"tag-{number}", NOW - timedelta(days=days), "foundation-1")


def test_old_images_go_beyond_the_newest_unless_they_are_used() -> None:
    images = [image(number, days=10 * number) for number in range(8)]  # 0 is the newest

    def going(used: set[str], count: int, days: int) -> list[int]:
        return [int(one.digest.removeprefix("sha256:")) for one in garbage(images, used, count, days, NOW)]

    assert going(set(), 3, 0) == [3, 4, 5, 6, 7]
    assert going(set(), 0, 35) == [4, 5, 6, 7]
    assert going(set(), 100, 0) == []
    assert going({"sha256:7", "sha256:4"}, 3, 0) == [3, 5, 6]


def test_the_images_of_several_platforms_stay_or_go_together() -> None:
    commits = {number: str(number) * 40 for number in (1, 2)}
    images = [Image(f"sha256:{number}{kind}", commits[number] + kind, NOW - timedelta(days=100 * number), "")
              for number in commits for kind in ("", "-linux-amd64", "-linux-arm64")]  # fmt: skip
    assert garbage(images, {"sha256:1", "sha256:2"}, 0, 0, NOW) == []
    assert garbage(images, {"sha256:2"}, 0, 0, NOW) == images[:3]
    assert garbage(images, set(), 1, 0, NOW) == images[3:]


def test_a_digest_that_a_recent_tag_names_stays() -> None:
    old, new = image(1, days=100), Image("sha256:1", "tag-2", NOW, "foundation-1")
    assert garbage([old, new], set(), 1, 0, NOW) == []
