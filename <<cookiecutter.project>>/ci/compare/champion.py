"""The model to beat: the registry's alias `champion`, else the model of the base commit's dvc.lock.

A registry that cannot be reached is not a registry without a champion: only the second may make a first model.
"""

from dataclasses import dataclass
from pathlib import Path

from ci.compare import history
from ci.compare.history import MODEL
from << cookiecutter.__package >>.outcome import Unjudged


@dataclass(frozen=True)
class Champion:
    """`status`: found, none (the candidate is the first model) or unknown.

    `name` says for people where it comes from, `path` is its graph on this machine, `revision` the commit that made it
    where known, `notes` what a reader must know about the search.
    """

    status: str
    name: str = ""
    md5: str = ""
    path: Path | None = None
    revision: str = ""
    notes: tuple[str, ...] = ()


def find(base: history.Base, candidate: str, folder: Path) -> Champion:
    """The champion, its graph fetched into `folder` unless it is the candidate's own (md5 `candidate`)."""
    notes: list[str] = []
    try:
        found = _registered(candidate, folder)
        if found:
            return found
        sure = True
    except Unjudged as outcome:
        notes.append(f"The registry gave no champion: {outcome.what}.")
        sure = False
    try:
        found = _of_base(base, candidate, folder, tuple(notes))
    except Unjudged as outcome:
        return Champion("unknown", notes=(*notes, f"{outcome.what}."))
    if found:
        return found
    return Champion("none" if sure else "unknown", notes=tuple(notes))


def _registered(candidate: str, folder: Path) -> Champion | None:
    from ci import registry  # here, for importing MLflow takes longer than all else that a comparison imports

    address = registry.address()
    if address.startswith("sqlite:///") and not Path(address.removeprefix("sqlite:///")).exists():
        return None  # nothing was ever registered here, and asking would make the file
    version = registry.by_alias(registry.client(), "champion")
    if not version:
        return None
    name = f"version {version.number} (alias champion of the registry)"
    md5 = version.tags.get("model_md5", "")
    revision = history.commit(version.tags.get("git_sha", "")) or "" if version.tags.get("git_sha") else ""
    if md5 == candidate:
        return Champion("found", name, md5, Path(MODEL), revision)
    try:
        path = registry.download(version, folder)
    except Exception as error:  # whatever store the artifacts lie in has errors of its own
        raise Unjudged(f"{name} could not be downloaded: {_line(error)}") from error
    got = history.md5(path)
    if md5 and got != md5:
        raise Unjudged(f"{name} is recorded with the hash {md5[:8]}, its file has {got[:8]}")
    return Champion("found", name, got, path, revision)


def _of_base(base: history.Base, candidate: str, folder: Path, notes: tuple[str, ...]) -> Champion | None:
    if base.why:
        raise Unjudged(f"The base commit is not known: {base.why}")
    md5 = history.outputs(history.show(base.revision, "dvc.lock")).get(MODEL) if base.revision else None
    if not md5:
        return None
    name = f"the model of {base.name} ({base.revision[:7]})"
    path = Path(MODEL) if md5 == candidate else _fetch(base, folder, name)
    return Champion("found", name, md5, path, base.revision, notes)


def _fetch(base: history.Base, folder: Path, name: str) -> Path:
    """Get the base commit's graph from the DVC cache or remote."""
    from dvc.api import DVCFileSystem

    target = folder / "model.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        DVCFileSystem(rev=base.revision).get_file(MODEL, str(target))
    except Exception as error:  # every remote has errors of its own
        raise Unjudged(f"{name[0].upper()}{name[1:]} could not be fetched: {_line(error)}") from error
    return target


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
