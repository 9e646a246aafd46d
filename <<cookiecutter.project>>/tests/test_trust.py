"""What `deploy` takes: a package of one piece, signed where that is asked for; and nothing that unpickles."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ci.image import cosign, trust
from deploy.containers.engine import Failed
from deploy.containers.registry import Registry
from << cookiecutter.__package >>.outcome import Bad, Unjudged

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.usefixtures("nobody")


@pytest.fixture
def packaged(tmp_path, monkeypatch) -> Path:
    """The package.json of a whole package with its manifest, without an image."""
    monkeypatch.setattr(trust, "ROOT", tmp_path)
    monkeypatch.setattr(cosign, "ROOT", tmp_path)
    graph = tmp_path / "bento" / "src" / "models" / "model.onnx"
    graph.parent.mkdir(parents=True)
    graph.write_bytes(b"graph")
    described = {"version": "3", "model_md5": "m", "git_sha": "c", "digest": "sha256:d", "image": "", "path": "bento"}
    model = {"version": "3", "md5": "m", "sha256": trust.sha256(graph)}
    papers = {"model": model, "code": {"packaged": "c"}, "bento": "sha256:d", "image": ""}
    (tmp_path / "package.json").write_text(json.dumps(described))
    (tmp_path / "manifest.json").write_text(json.dumps(papers))
    return tmp_path / "package.json"


def test_a_whole_package_is_taken_and_called_unsigned(packaged) -> None:
    assert trust.check(packaged, {"signed": None}).startswith("unsigned: gates.yaml")


@pytest.mark.parametrize("name", ["version", "model_md5", "git_sha", "digest", "image"])
def test_papers_that_differ_are_refused(packaged, name) -> None:
    packaged.write_text(json.dumps(json.loads(packaged.read_text()) | {name: "another"}))
    with pytest.raises(Bad, match=f"not of one piece: package.json says {name} another"):
        trust.check(packaged, {"signed": None})


def test_a_swapped_model_is_refused(packaged) -> None:
    (packaged.parent / "bento" / "src" / "models" / "model.onnx").write_bytes(b"another graph")
    with pytest.raises(Bad, match="the model is not the one of the manifest"):
        trust.check(packaged, {"signed": None})


def test_a_package_without_papers_is_not_judged(packaged) -> None:
    (packaged.parent / "manifest.json").unlink()
    with pytest.raises(Unjudged, match="has no manifest"):
        trust.check(packaged, {"signed": None})
    packaged.unlink()
    with pytest.raises(Unjudged, match="there is no package"):
        trust.check(packaged, {"signed": None})


def test_an_unsigned_package_is_refused_where_a_signature_is_asked_for(packaged) -> None:
    gate = {"signed": {"key": "cosign.pub"}}
    with pytest.raises(Unjudged, match="which is absent"):
        trust.check(packaged, gate)
    (packaged.parent / "cosign.pub").write_text("a public key")
    with pytest.raises(Bad, match=r"manifest\.json is not signed, and gates\.yaml asks for the key"):
        trust.check(packaged, gate)
    with pytest.raises(Bad, match="asks for https://forge/pipeline"):
        trust.check(packaged, {"signed": {"identity": "https://forge/pipeline", "issuer": "https://forge"}})
    with pytest.raises(Unjudged, match=r"image\.signed"):
        trust.check(packaged, {"signed": {"who": "me"}})


def test_who_signs(monkeypatch) -> None:
    identity = {"identity": "https://forge/pipeline", "issuer": "https://forge"}
    assert cosign.signer(None, {}) is None
    assert cosign.signer(identity, {}) is None  # no pipeline, no identity
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", "token")
    assert cosign.signer(None, {}) is None  # nobody asked: the public log would show the repository's name
    assert cosign.signer(identity, {}).flags == ()
    monkeypatch.setenv("COSIGN_KEY", "/path/cosign.key")
    assert cosign.signer(None, {}).flags == ("--key", "/path/cosign.key", "--tlog-upload=false")
    monkeypatch.setenv("COSIGN_KEY", "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n…")
    assert cosign.signer(None, {}).flags[1] == "env://COSIGN_KEY"  # never on a command line


@pytest.mark.parametrize(
    ("said", "kind", "sentence"),
    [
        ("Error: no signatures found", Bad, "is not signed, and gates.yaml asks for me"),
        ("no matching signatures: missing or incorrect annotation", Bad, "signed as another package"),
        ("no matching signatures: invalid signature when validating ASN.1", Bad, "is not signed by me"),
        ("none of the expected identities matched what was in the certificate", Bad, "is not signed by me"),
        ("dial tcp 127.0.0.1:9: connect: connection refused", Unjudged, "could not be checked: dial tcp"),
    ],
)
def test_what_cosign_says_is_told_in_a_sentence(said, kind, sentence) -> None:
    refused = cosign.Verifier("me", ())._refused("the image", Failed("cosign", said))
    assert isinstance(refused, kind)
    assert sentence in refused.what


def test_a_registry_that_is_away_is_no_verdict() -> None:
    with pytest.raises(Unjudged, match="does not answer"):
        Registry("127.0.0.1:9/team/project").digest("tag")


def test_no_module_that_serves_or_deploys_imports_what_unpickles() -> None:
    unsafe = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    found = {}
    for path in [file for folder in ("service", "deploy", "ci/image") for file in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if unsafe & {module.partition(".")[0] for module in modules}:
                found[path.name] = modules
    assert not found


def test_importing_the_service_unpickles_nothing() -> None:
    code = (
        "import sys\n"
        "sys.addaudithook(lambda event, given: event == 'pickle.find_class' and sys.exit(f'unpickled {given}'))\n"
        "import service.service, service.model, service.front"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
