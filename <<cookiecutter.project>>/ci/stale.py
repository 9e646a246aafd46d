"""Whether dvc.lock still matches the code, the parameters and the data that git names; needs no data.

`dvc status` says what differs here from dvc.lock. Data that is merely not pulled is no difference: what its `.dvc` file
or the stage that makes it records stands for it.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from dvc.utils.serialize import load_yaml

from << cookiecutter.__package >>.outcome import Unjudged


def stale() -> bool:
    """True where `dvc repro` would have something to do; raises Unjudged where DVC cannot tell."""
    if not Path("dvc.lock").exists():
        return True
    stages = load_yaml("dvc.lock")["stages"]
    made = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
    used = [(dep["path"], dep["md5"]) for stage in stages.values() for dep in stage.get("deps", [])]
    if any(made.get(path, md5) != md5 for path, md5 in used):
        return True  # two halves of a merge
    return any(not excused(name, change, made, stages) for name, changes in status().items() for change in changes)


def excused(name: str, change: str | dict, made: dict[str, str], stages: dict) -> bool:
    """Whether what `dvc status` says of a stage is only that data is not here."""
    if not isinstance(change, dict) or (name not in stages and not name.endswith(".dvc")):
        return False
    recorded = {dep["path"]: dep["md5"] for dep in stages.get(name, {}).get("deps", [])}
    for kind, paths in change.items():
        for path, how in paths.items():
            if kind == "changed deps" and recorded.get(path, "") == (made.get(path) or named(Path(path))):
                continue
            if kind != "changed outs" or how != "not in cache":
                return False
    return True


def named(path: Path) -> str | None:
    """The hash that git names for a file or folder of raw data: its own, or that of its `.dvc` file."""
    beside = Path(f"{path}.dvc")
    if beside.exists():
        return load_yaml(beside)["outs"][0]["md5"]
    if not path.is_dir():
        return None
    files = {file.relative_to(path).as_posix(): None for file in path.rglob("*") if file.is_file()}
    files |= {file.removesuffix(".dvc"): None for file in files if file.endswith(".dvc")}
    hashes = {file: named(path / file) or hashlib.md5((path / file).read_bytes()).hexdigest() for file in files}  # noqa: S324
    listed = [{"md5": hashes[file], "relpath": file} for file in sorted(files)]
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode()).hexdigest() + ".dir"  # noqa: S324


def status() -> dict[str, list]:
    """What differs, by stage and `.dvc` file, as `dvc status --json` has it."""
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it says nothing"]
        raise Unjudged(f"DVC cannot read the pipeline: {said[-1]}", "See `dvc status`.")
    return json.loads(done.stdout)
