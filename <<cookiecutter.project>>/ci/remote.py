"""The DVC remote: pull, push, and what to say when either fails.

The remote is the `origin` of `.dvc/config`: a directory or s3://bucket/prefix. S3 takes its settings from where every
AWS tool does: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN or AWS_PROFILE, AWS_DEFAULT_REGION, and
AWS_ENDPOINT_URL for a server other than Amazon's. For one machine alone they may lie in `.dvc/config.local`, which git
ignores: `dvc remote modify --local origin endpointurl https://…`.

`verify` in `.dvc/config` makes DVC hash whatever it fetches; `pull` also hashes what it then wrote. Everything here
works on the repository of the current directory.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from dvc.config import ConfigError
from dvc.exceptions import CheckoutError, DvcException, FileTransferError, NoOutputOrStageError, NotDvcRepoError
from dvc.lock import LockError
from dvc.output import Output
from dvc.repo import Repo
from dvc.stage.exceptions import StageFileDoesNotExistError
from dvc_data.hashfile.db import HashFileDB
from dvc_data.hashfile.hash import file_md5
from dvc_data.hashfile.tree import Tree
from dvc_objects.errors import ObjectFormatError

from ci.remote_failures import Failures, explain, leftovers, listening
from << cookiecutter.__package >>.outcome import Unjudged

LOCK_SECONDS = 600  # how long another DVC process may keep the repository to itself


class File(NamedTuple):
    """One tracked file: its path from the root, and the hash that git records for it."""

    path: str
    name: str  # of the hash: md5
    value: str


def raw() -> list[str]:
    """The `.dvc` files of `data/raw/`: what the project starts from."""
    return sorted(map(str, Path("data/raw").glob("*.dvc")))


def opened() -> Repo:
    try:
        return Repo()
    except (ConfigError, NotDvcRepoError) as error:
        raise Unjudged(f"DVC: {error}", "Correct .dvc/config (and .dvc/config.local).") from error


def address(repo: Repo) -> str:
    """The remote as people write it: a path, or s3://bucket/prefix."""
    remote = repo.cloud.get_remote()
    return remote.path if remote.fs.protocol == "local" else remote.fs.unstrip_protocol(remote.path)


def outputs(repo: Repo, targets: Sequence[str]) -> list[Output]:
    """What the targets (paths, `.dvc` files or stages; none for all) name; Unjudged where no hash is recorded."""
    found = []
    for target in targets or [None]:
        try:
            found += [out for out in repo.index.targets_view(target).outs if out.use_cache]
        except (NoOutputOrStageError, StageFileDoesNotExistError) as error:
            what = f"DVC tracks nothing called {target}"
            raise Unjudged(what, "Name a path, a .dvc file or a stage that `dvc status` knows.") from error
    bare = sorted({str(out) for out in found if not out.hash_info})
    if bare and targets:
        raise Unjudged(f"no version is recorded yet for {', '.join(bare)}", "Run `make train` and commit dvc.lock.")
    return [out for out in found if out.hash_info]


def files(out: Output, store: HashFileDB | None = None) -> list[File]:
    """The objects behind an output: the file itself, or a directory's list and its files if cache or store has it."""
    name, path = out.hash_info.name, str(out)
    own = File(path, name, out.hash_info.value)
    if not out.hash_info.isdir:
        return [own]
    for place in filter(None, (out.cache, store)):
        try:
            tree = Tree.load(place, out.hash_info)
        except (FileNotFoundError, ObjectFormatError):
            continue
        return [own, *(File("/".join((path, *key)), hashed.name, hashed.value) for key, _, hashed in tree)]
    return [own]


def absent(repo: Repo, wanted: Sequence[File]) -> list[File]:
    """Those of `wanted` that the remote does not have."""
    with failing(repo):
        stores = {name: repo.cloud.get_remote_odb(hash_name=name) for name in {file.name for file in wanted}}
        return [file for file in wanted if not stores[file.name].exists(file.value)]


def pull(targets: Sequence[str]) -> tuple[list[File], int]:
    """Bring the targets' recorded versions into place: their files, and how many had to be fetched.

    A corrupted copy in the local cache is dropped and fetched again. Raises Unjudged for everything else that fails.
    """
    repo = opened()
    outs = outputs(repo, targets)
    reach(repo)
    for attempt in (1, 2):
        with failing(repo, outs):
            result = waiting(lambda: repo.pull([str(target) for target in targets]))
        written = [Path(path).absolute() for path in (*result["added"], *result["modified"])]
        wrong = spoiled([out for out in outs if any(touches(Path(out.fs_path), path) for path in written)])
        if not wrong:
            kept = [file for out in outs for file in files(out) if not file.value.endswith(".dir")]
            return kept, result["stats"]["fetched"]
        for file in wrong:
            discard(repo, file)
        names = ", ".join(file.path for file in wrong)
        if attempt == 1:
            print(f"data: the cached copy of {names} was corrupted; fetching it again", flush=True)
    raise corrupted(repo, wrong)


def push(targets: Sequence[str] = ()) -> int:
    """Send what the targets (none for everything) name and the remote lacks; returns how many objects went."""
    repo = opened()
    outs = outputs(repo, targets)
    reach(repo)
    with failing(repo, outs):
        sent = waiting(lambda: repo.push([str(target) for target in targets] or None))
    nowhere = absent(repo, uncached(outs))
    if nowhere:
        what = f"{listed(nowhere)}: recorded, but neither here nor on the DVC remote {address(repo)}"
        raise Unjudged(what, "Run `make train` (or `dvc add` for raw data) here, then commit what it records.")
    return sent


def reach(repo: Repo) -> None:
    """Refuse a directory remote that is not there; DVC would call each of its objects missing."""
    with failing(repo):
        remote = repo.cloud.get_remote()
    if remote.fs.protocol != "local":
        return
    if not os.path.isdir(remote.path):
        what = f"the DVC remote cannot be reached: there is no directory {remote.path}"
        raise Unjudged(what, "Mount it, correct its url in .dvc/config, or let `make setup` make it on first use.")
    if not os.access(remote.path, os.R_OK | os.X_OK):
        raise Unjudged(f"the DVC remote {remote.path} may not be read by this user", "Ask its owner for read access.")


def waiting(action: Callable[[], Any]) -> Any:
    """Run a DVC command, waiting while another one holds the repository (DVC itself gives up after 3 s)."""
    deadline = time.monotonic() + LOCK_SECONDS
    told = False
    while True:
        try:
            return action()
        except LockError as error:
            if time.monotonic() > deadline:
                what = f"another DVC process has held this repository for {LOCK_SECONDS} s"
                raise Unjudged(what, "Let it finish or stop it (`pgrep -fa dvc`), then run this again.") from error
            if not told:
                print("data: another DVC process holds this repository; waiting for it", flush=True)
            told = True


@contextmanager
def failing(repo: Repo, outs: Sequence[Output] = ()) -> Iterator[None]:
    """Turn DVC's failures into Unjudged: by the reason it logged, else by which objects are not in place."""
    with listening() as failures:
        try:
            yield
        except Unjudged:
            raise
        except Exception as error:
            where = repo.config["remote"].get(repo.config["core"].get("remote"), {}).get("url", "")
            for path in (path for reason in (error, *failures.errors) for path in leftovers(reason)):
                Path(path).unlink(missing_ok=True)
            for reason in (error, *failures.errors):
                explained = (bare(reason) and explain(asked(repo), where)) or explain(reason, where)
                if explained:
                    raise Unjudged(*explained) from error
            if isinstance(error, CheckoutError | FileTransferError | ObjectFormatError | FileNotFoundError):
                raise unfound(repo, outs, failures) from error
            if "unsaved files" in str(error):
                what = f"changed here, and would be overwritten: {', '.join(str(error).splitlines()[1:])}"
                raise Unjudged(what, "Keep it with `dvc add` or `dvc commit`, or delete it.") from error
            if isinstance(error, DvcException):
                raise Unjudged(f"DVC: {error}", "Correct .dvc/config, or see what `dvc pull -v` says.") from error
            raise


def bare(error: BaseException) -> bool:
    """Whether S3 said no without saying why: the answer to a HEAD request has no body."""
    return isinstance(error, PermissionError) and "(403)" in str(error.__cause__)


def asked(repo: Repo) -> BaseException | None:
    """What the remote answers to the smallest request whose refusal carries a code."""
    store = repo.cloud.get_remote_odb()
    bucket, _, prefix = store.path.partition("/")
    try:
        store.fs.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)
    except Exception as error:
        return error
    return None


def unfound(repo: Repo, outs: Sequence[Output], failures: Failures) -> Unjudged:
    """Tell missing objects from corrupted ones among those that the cache still lacks after the fetch."""
    lacking = uncached(outs, repo.cloud.get_remote_odb())
    missing = absent(repo, lacking)
    dropped = [file for file in missing if place(repo, file) in failures.dropped]  # by DVC, from a directory remote
    wrong = dropped or [file for file in lacking if file not in missing and not sound(repo, file)]
    if wrong:
        return corrupted(repo, wrong)
    if missing:
        what = f"the DVC remote {address(repo)} has no {listed(missing)}"
        return Unjudged(what, "Whoever has it must run `dvc push`; the pre-push hook of `make setup` does.")
    reasons = [*map(repr, failures.errors), *failures.messages, "no reason given"]
    return Unjudged(f"DVC could not finish: {reasons[0]}", "`dvc pull -v` says more.")


def uncached(outs: Sequence[Output], store: HashFileDB | None = None) -> list[File]:
    return [file for out in outs for file in files(out, store) if not out.cache.exists(file.value)]


def place(repo: Repo, file: File) -> str:
    """Where the remote keeps the object."""
    return repo.cloud.get_remote_odb(hash_name=file.name).oid_to_path(file.value)


def sound(repo: Repo, file: File) -> bool:
    """Whether the remote's object has the hash that it is kept under; reads it."""
    store = repo.cloud.get_remote_odb(hash_name=file.name)
    return file_md5(place(repo, file), store.fs, name=file.name) == file.value.removesuffix(".dir")


def spoiled(outs: Sequence[Output]) -> list[File]:
    """The files of `outs` in the workspace whose content is not what git records; reads all of them."""
    every = [(out, file) for out in outs for file in files(out) if not file.value.endswith(".dir")]
    return [file for out, file in every if file_md5(file.path, out.fs, name=file.name) != file.value]


def discard(repo: Repo, file: File) -> None:
    """Drop a corrupted copy from the cache and from its place, so that the next pull fetches it."""
    cache = getattr(repo.cache, "local" if file.name == "md5" else "legacy")
    Path(cache.oid_to_path(file.value)).unlink(missing_ok=True)
    Path(file.path).unlink(missing_ok=True)


def corrupted(repo: Repo, wrong: Sequence[File]) -> Unjudged:
    what = f"the DVC remote {address(repo)} holds corrupted content: its hash differs for {listed(wrong)}"
    there = ", ".join(place(repo, file) for file in wrong[:5])
    remedy = f"Remove {there} if it is still there, then `dvc push` from a machine that has the right content."
    return Unjudged(what, remedy)


def touches(out: Path, written: Path) -> bool:
    return out == written or out in written.parents


def listed(some: Sequence[File], most: int = 5) -> str:
    more = f" and {len(some) - most} more" if len(some) > most else ""
    return ", ".join(f"{file.path} ({file.name} {file.value})" for file in some[:most]) + more
