"""Passwords and keys of the stack: made once, kept in files of mode 0600, and handed to the host on standard input.

`.secrets/stack.env` is what the containers need of each other; `.secrets/NAME.env` is what NAME needs to use the
server, as the variables that every MLflow client reads.
"""

import hashlib
import json
import os
import secrets
from pathlib import Path

from deploy.store import replace
from << cookiecutter.__package >>.outcome import Unjudged

HERE = Path(__file__).resolve().parent
STACK = "stack.env"

PASSWORDS = ("POSTGRES_PASSWORD", "DATABASE_PASSWORD", "FLASK_SECRET_KEY")
IDENTITIES = ("ADMIN", "MLFLOW", "DVC")  # of the object store
BACKUPS = ("BACKUPS_ACCESS_KEY_ID", "BACKUPS_SECRET_ACCESS_KEY")  # of another store: filled in by hand


def folder() -> Path:
    return Path(os.environ.get("STACK_SECRETS_FOLDER") or HERE / ".secrets").absolute()


def make(address: str) -> list[Path]:
    """Make the stack's secrets and the administrator's password; raises Unjudged where there are some already."""
    if there():
        remedy = "Use them. They are the only ones that open the stack's volumes: remove them with these, if at all."
        raise Unjudged(f"there are secrets in {folder()} already", remedy)
    made = {name: secrets.token_urlsafe(32) for name in PASSWORDS}
    for name in IDENTITIES:
        made[f"S3_{name}_ACCESS_KEY_ID"] = f"{name}{secrets.token_hex(8).upper()}"
        made[f"S3_{name}_SECRET_ACCESS_KEY"] = secrets.token_urlsafe(32)
    made |= dict.fromkeys(BACKUPS, "")
    return [user("admin", password(), address), write(folder() / STACK, made)]


def password() -> str:
    return secrets.token_urlsafe(24)


def user(name: str, chosen: str, address: str) -> Path:
    """Write what `name` needs to use the server."""
    known = {"MLFLOW_TRACKING_URI": address, "MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": chosen}
    return write(folder() / f"{name}.env", known)


def write(path: Path, values: dict[str, str]) -> Path:
    """Replace the file as a whole; nobody but its owner ever sees it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace(path, "".join(f"{name}={value}\n" for name, value in values.items()), 0o600)
    return path


def read(path: Path) -> dict[str, str]:
    """Raises Unjudged where others may read the file, or a value is missing."""
    if path.stat().st_mode & 0o077:
        raise Unjudged(f"{path} can be read by others than its owner", f"chmod 600 {path}; then change what is in it.")
    lines = [line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and line[0] != "#"]
    return {name.strip(): value.strip() for name, value in lines}


def there() -> bool:
    return (folder() / STACK).exists()


def files() -> tuple[str, str]:
    """What `inside/keep.py` takes on its standard input, and the mark that tells this set from another."""
    try:
        of, admin = read(folder() / STACK), read(folder() / "admin.env")["MLFLOW_TRACKING_PASSWORD"]
        keys = {name: (of[f"S3_{name}_ACCESS_KEY_ID"], of[f"S3_{name}_SECRET_ACCESS_KEY"]) for name in IDENTITIES}
        made = {
            "postgres": {"password": of["POSTGRES_PASSWORD"]},
            "seaweedfs": {"s3.json": json.dumps({"identities": [_identity(name, *keys[name]) for name in IDENTITIES]})},
            "mlflow": {
                "pgpass": f"postgres:5432:*:mlflow:{of['DATABASE_PASSWORD']}\n",
                "aws": _profile("default", *keys["MLFLOW"]),
                "flask": of["FLASK_SECRET_KEY"],
                "admin": admin,
            },
            "jobs": {
                "mlflow": of["DATABASE_PASSWORD"],
                "pgpass": f"postgres:5432:*:postgres:{of['POSTGRES_PASSWORD']}\n"
                f"postgres:5432:*:mlflow:{of['DATABASE_PASSWORD']}\n",
                "aws": _profile("default", *keys["ADMIN"]) + _profile("backups", *map(of.__getitem__, BACKUPS)),
            },
        }
    except (KeyError, FileNotFoundError) as error:
        what = f"the secrets in {folder()} are not complete: {error} is missing"
        raise Unjudged(what, "Put back the files that `password` made.") from error
    mark = hashlib.sha256(json.dumps(made).encode()).hexdigest()[:16]
    return json.dumps({"files": made, "mark": mark}), mark


def _identity(name: str, key: str, secret: str) -> dict[str, object]:
    """An identity of SeaweedFS: the administrator, or one that has the bucket of its name to itself."""
    verbs = ("Read", "Write", "List", "Tagging")
    actions = ["Admin", *verbs] if name == "ADMIN" else [f"{verb}:{name.lower()}" for verb in verbs]
    return {"name": name.lower(), "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}


def _profile(name: str, key: str, secret: str) -> str:
    return f"[{name}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
