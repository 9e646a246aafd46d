"""Artifacts of GitHub's jobs as folders: no hidden files unless asked for, no permissions, nothing to upload twice."""

import glob
import os
import shutil
import sys
from pathlib import Path

STORE = Path(os.environ["ARTIFACTS"], os.environ["NAME"])


def upload() -> None:
    pattern = Path(os.environ["FROM"])
    root = pattern if pattern.is_dir() else pattern.parent
    found = root.rglob("*") if pattern.is_dir() else map(Path, glob.glob(str(pattern)))
    files = [path for path in found if path.is_file()]
    if os.environ["HIDDEN"] != "true":
        files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(root).parts)]
    STORE.mkdir(parents=True)
    for path in files:
        target = STORE / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def download() -> None:
    if not STORE.is_dir():
        sys.exit(f"there is no artifact {STORE.name}")
    shutil.copytree(STORE, os.environ["TO"], copy_function=shutil.copyfile, dirs_exist_ok=True)


{"upload": upload, "download": download}[sys.argv[1]]()
