"""Puts the secrets from standard input into their volume, each file readable for the one user that needs it.

Standard input is JSON, or nothing for a look. Prints the mark of the set that is there now.
"""

import json
import os
import sys
from pathlib import Path

SECRETS = Path("/run/secrets")
MARK = SECRETS / "mark"  # tells one set of secrets from another
FOLDERS = {"postgres": 999, "seaweedfs": 1000, "mlflow": 65532, "jobs": 65533}
BACKUPS = (Path("/backups"), Path("/backups/work"), Path("/backups/kept"))


def keep(files: dict[str, dict[str, str]], mark: str) -> None:
    for folder, owner in FOLDERS.items():
        at = SECRETS / folder
        at.mkdir(mode=0o700, exist_ok=True)
        for name, content in files[folder].items():
            partial = at / f".{name}"
            partial.unlink(missing_ok=True)
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
                file.write(content)
                os.fsync(file.fileno())
            os.chown(partial, owner, owner)
            partial.replace(at / name)
        os.chown(at, owner, owner)
    MARK.write_text(mark)


def main() -> None:
    for folder in BACKUPS:
        folder.mkdir(mode=0o700, exist_ok=True)
        os.chown(folder, FOLDERS["jobs"], FOLDERS["jobs"])
    given = sys.stdin.read()
    if given:
        keep(**json.loads(given))
    print(MARK.read_text() if MARK.exists() else "")


main()
