"""Signatures by cosign: who signs is settled here, whose word counts by gates.yaml's `image.signed`.

A key signs without a transparency log: nothing leaves the company, and it works offline. The identity of a forge's
pipeline signs by Sigstore's public services, whose log shows the repository's name to everybody.
"""

import functools
import hashlib
import os
import platform
import shutil
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci.environment import ROOT
from deploy.containers.engine import Failed, command, explained, patiently
from << cookiecutter.__package >>.outcome import Bad, Unjudged

VERSION = "3.0.6"  # 2.5 or later on PATH will do
RELEASES = "https://github.com/sigstore/cosign/releases/download"
SHA256 = {
    "linux-amd64": "c956e5dfcac53d52bcf058360d579472f0c1d2d9b69f55209e256fe7783f4c74",
    "linux-arm64": "bedac92e8c3729864e13d4a17048007cfafa79d5deca993a43a90ffe018ef2b8",
    "darwin-amd64": "4c3e7af8372d3ca3296e62fa56f23fcbb5721cc6ac1827900d398f110d7cd280",
    "darwin-arm64": "5fadd012ae6381a6a29ff86a7d39aa873878852f1073fc90b15995961ecfb084",
}
UNSIGNED, ANOTHER = 10, 12  # cosign's exit codes
Signed = Mapping[str, str] | None  # gates.yaml's `image.signed`
IDENTITY = ("ACTIONS_ID_TOKEN_REQUEST_URL", "SIGSTORE_ID_TOKEN")


def binary() -> str:
    """The path of cosign: `COSIGN`, the one on PATH, or its release, fetched into `.tools/` and checked by hash."""
    found = os.environ.get("COSIGN") or shutil.which("cosign")
    if found:
        return found
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    kind = f"{platform.system().lower()}-{machine}"
    own = ROOT / ".tools" / f"cosign-{VERSION}"
    if not own.exists():
        remedy = f"Put cosign {VERSION} on PATH, or its path into COSIGN."
        if kind not in SHA256:
            raise Unjudged(f"cosign is needed and has no release for {kind}", remedy)
        try:
            with urllib.request.urlopen(f"{RELEASES}/v{VERSION}/cosign-{kind}", timeout=120) as answer:  # noqa: S310
                content = answer.read()
        except OSError as error:
            raise Unjudged(f"cosign is needed and could not be fetched: {error}", remedy) from error
        if hashlib.sha256(content).hexdigest() != SHA256[kind]:
            raise Unjudged(f"what was fetched is not cosign {VERSION}: its hash is another", remedy)
        own.parent.mkdir(exist_ok=True)
        partial = own.with_suffix(f".{os.getpid()}")
        partial.write_bytes(content)
        partial.chmod(0o755)
        partial.replace(own)
    return str(own)


@dataclass(frozen=True)
class Signer:
    """Signs with `flags`; `settings` are variables, such as where the registry's login lies."""

    flags: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)

    def image(self, image: str, claims: Mapping[str, str]) -> None:
        """Sign the image, and with it what it is said to be."""
        claimed = [word for name, value in claims.items() for word in ("--annotations", f"{name}={value}")]
        self._sign(f"the signature of {image}", "sign", "--recursive", *claimed, image)

    def statement(self, image: str, kind: str, predicate: Path) -> None:
        what = f"the attestation of {image} ({kind})"
        self._sign(what, "attest", "--replace", "--type", kind, "--predicate", str(predicate), image)

    def file(self, path: Path) -> None:
        """Sign a file; the signature is put beside it."""
        self._sign(f"the signature of {path.name}", "sign-blob", "--bundle", str(signature(path)), str(path))

    def _sign(self, what: str, word: str, *words: str) -> None:
        patiently(what, lambda: _cosign(self.settings, word, "--yes", *self.flags, *_format(word), *words))


def signer(signed: Signed, settings: Mapping[str, str]) -> Signer | None:
    """Who signs here: the key in `COSIGN_KEY`, or the pipeline's identity where gates.yaml asks for one; or nobody."""
    if os.environ.get("COSIGN_KEY"):
        return Signer(("--key", _reference("COSIGN_KEY"), "--tlog-upload=false"), settings)
    if signed and "identity" in signed and any(map(os.environ.get, IDENTITY)):
        return Signer((), settings)
    return None


def signature(path: Path) -> Path:
    return path.with_name(f"{path.name}.signature")


@dataclass(frozen=True)
class Verifier:
    """Whose signature counts: `flags` say it to cosign, `whose` in words."""

    whose: str
    flags: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)

    def image(self, image: str, claims: Mapping[str, str]) -> None:
        """Raises Bad unless the image is signed as being what is claimed."""
        claimed = [word for name, value in claims.items() for word in ("--annotations", f"{name}={value}")]
        try:
            _cosign(self.settings, "verify", *self.flags, *claimed, image)
        except Failed as error:
            raise self._refused(f"the image {image}", error) from error

    def file(self, path: Path) -> None:
        """Raises Bad unless the signature beside the file is good."""
        if not signature(path).exists():
            what = f"{path.name} is not signed, and gates.yaml asks for {self.whose}"
            raise Bad(what, "Package it in the pipeline that signs (docs/image.md).")
        try:
            _cosign(self.settings, "verify-blob", *self.flags, "--bundle", str(signature(path)), str(path))
        except Failed as error:
            raise self._refused(path.name, error) from error

    def _refused(self, what: str, error: Failed) -> Bad | Unjudged:
        said, remedy = error.said.lower(), "Deploy what the pipeline has packaged, unchanged (docs/image.md)."
        if "no signatures found" in said:
            return Bad(f"{what} is not signed, and gates.yaml asks for {self.whose}", remedy)
        if "incorrect annotation" in said:
            return Bad(f"{what} is signed as another package than this one", remedy)
        if "invalid signature" in said or "none of the expected identities" in said or "no matching signatures" in said:
            return Bad(f"{what} is not signed by {self.whose}", remedy)
        return explained(f"the signature of {what} could not be checked", error)


def verifier(signed: Signed, settings: Mapping[str, str]) -> Verifier | None:
    """Whose signature `deploy` asks for; None where gates.yaml asks for none. Raises Unjudged where it is unclear."""
    if signed is None:
        return None
    if set(signed) == {"key"}:
        key = signed["key"] if "://" in signed["key"] else str(ROOT / signed["key"])
        if "://" not in key and not Path(key).exists():
            remedy = "Commit the public half of COSIGN_KEY there: `cosign public-key --key …`."
            raise Unjudged(f"gates.yaml asks for signatures by {signed['key']}, which is absent", remedy)
        return Verifier(f"the key {signed['key']}", ("--key", key, "--insecure-ignore-tlog=true"), settings)
    if set(signed) == {"identity", "issuer"}:
        flags = ("--certificate-identity", signed["identity"], "--certificate-oidc-issuer", signed["issuer"])
        return Verifier(signed["identity"], flags, settings)
    remedy = "Write null, {key: deploy/cosign.pub}, or {identity: …, issuer: …} (docs/image.md)."
    raise Unjudged(f"gates.yaml's `image.signed` is {dict(signed)}", remedy)


def _reference(name: str) -> str:
    """How cosign is told of a key in a variable: by the variable where it holds the key, else by what it names."""
    return f"env://{name}" if os.environ[name].lstrip().startswith("-----BEGIN") else os.environ[name]


@functools.cache
def _format(word: str) -> tuple[str, ...]:
    """Signatures as every version of cosign reads them: version 3 makes others unless told."""
    known = _cosign({}, word, "--help")
    return ("--use-signing-config=false", "--new-bundle-format=false") if "--use-signing-config" in known else ()


def _cosign(settings: Mapping[str, Any], *words: str) -> str:
    unlocked = {"COSIGN_PASSWORD": os.environ.get("COSIGN_PASSWORD", "")}  # it would ask for it otherwise
    return command([binary(), *words], {**unlocked, **settings}, timeout_s=300)
