"""What each word does."""

import argparse
import json
import re
from datetime import UTC, datetime

from deploy.containers.engine import Failed
from deploy.mlflow import backups, secrets
from deploy.mlflow.stack import SERVICES, Stack, address, build, give_secrets, stack, start
from deploy.target import settings
from << cookiecutter.__package >>.outcome import Bad, Unjudged

FULL = 0.9  # of a disk, that `status` calls bad
NAME = re.compile(r"[a-z0-9][a-z0-9._@-]*", re.IGNORECASE)


def up(given: argparse.Namespace) -> None:
    on = stack()
    build(on)
    on = give_secrets(on)
    running = on.states().get("mlflow", ("", ""))[0] == "running"
    if running and other_image(on):
        print(f"mlflow: another image than {on.variables['STACK_IMAGE']} runs: a backup before its database is changed")
        tell(backups.backup(on))
        on.compose("stop", "mlflow")
    start(on)
    print(f"mlflow: up at {address()}; users: {secrets.folder()}/NAME.env")


def other_image(on: Stack) -> bool:
    running = on.engine.run("inspect", "--format", "{{.Config.Image}}", f"{on.name}-mlflow-1").strip()
    return running != on.variables["STACK_IMAGE"]


def status(given: argparse.Namespace) -> int:
    """1 where something needs a person."""
    on = stack()
    states = on.states()
    if not states:
        raise Unjudged(f"there is no stack {on.name} on this engine", "Start it: python3 -m deploy.mlflow up")
    wrong = []
    for service in SERVICES:
        state, health = states.get(service, ("absent", ""))
        print(f"{service:<10} {state} {health}".rstrip())
        if (state, health) != ("running", "healthy"):
            wrong.append(f"{service} is {health or state}: {on.last_words(service)}")
    found = on.asked("look")
    for disk, usage in sorted(found["disks"].items()):
        share = usage["used"] / (usage["used"] + usage["free"])
        print(f"{disk:<10} {share:.0%} full, {usage['free'] / 1e9:.1f} GB free")
        if share > FULL:
            wrong.insert(0, f"the disk of {disk} is {share:.0%} full")
    print(f"{'rows':<10} " + (", ".join(f"{rows} {table}" for table, rows in found["rows"].items()) or "none"))
    for made in found["backups"][-1:]:
        print(f"{'backups':<10} {len(found['backups'])}, the newest {made['name']} of {made['bytes'] / 1e6:.1f} MB")
    wrong += found["failed"] + stale(found)
    if wrong:
        raise Bad("; ".join(wrong), "docs/mlflow.md, 'What breaks'.")
    print(f"{'address':<10} {address()}, MLflow {found['mlflow']}")
    return 0


def stale(found: dict) -> list[str]:
    limit = settings()["mlflow"]["backups"]["hours"]
    if not any(found["rows"].values()) or not limit:
        return []
    if not found["backups"]:
        return ["there is data and no backup"]
    age = (datetime.now(UTC) - datetime.fromisoformat(found["backups"][-1]["made"])).total_seconds() / 3600
    return [f"the newest backup is {age:.0f} hours old"] if age > limit else []


def backup(given: argparse.Namespace) -> None:
    tell(backups.backup(ready()))


def tell(made: dict) -> None:
    size = f"{made['objects']} objects, {made['new']} of them new, {made['bytes'] / 1e6:.1f} MB, read back"
    gone = f"; let go of {', '.join(made['gone'])}" if made["gone"] else ""
    print(f"mlflow: backup {made['name']}: {size}{gone}")


def ready() -> Stack:
    """The stack, where its database and its store are at work."""
    on = stack()
    states = on.states()
    for service in ("postgres", "seaweedfs"):
        if states.get(service) != ("running", "healthy"):
            state = " ".join(states.get(service, ("not there",))).strip()
            raise Unjudged(f"{service} is {state}", "See `python3 -m deploy.mlflow status`, or start it: up.")
    return on


def restore(given: argparse.Namespace) -> None:
    on = ready()
    if given.check:
        said = backups.check(on, given.name)
        print(f"mlflow: backup {said['name']} is whole: {said['objects']} objects, {said['bytes'] / 1e6:.1f} MB")
        return
    said = backups.restore(on, given.name, given.replace)
    rows = ", ".join(f"{rows} {table}" for table, rows in said["rows"].items())
    print(f"mlflow: restored {said['name']}: {rows}, {said['objects']} objects")


def down(given: argparse.Namespace) -> None:
    on = stack()
    goes = given.data == on.name
    on.compose("down", "--remove-orphans", *(["--timeout", "1"] if goes else []))  # nothing is left to be written
    if not goes:
        print(f"mlflow: down; its data stays. To remove that too: down --data {on.name}")
        return
    for volume in ("postgres", "seaweedfs", "secrets", "scratch"):
        on.engine.run("volume", "rm", "--force", f"{on.name}_{volume}")
    print(f"mlflow: down, and its data is gone; the backups stay in the volume {on.variables['STACK_BACKUPS']}")


def password(given: argparse.Namespace) -> None:
    if not given.user:
        made = secrets.make(address())
        print(f"mlflow: made {', '.join(map(str, made))}; keep a copy where no server of yours can lose it")
        return
    if not NAME.fullmatch(given.user) or given.user == "stack":
        raise Unjudged(f"{given.user!r} cannot be the name of a user", "Use letters, digits and . _ @ -")
    on, chosen = ready(), secrets.password()
    try:
        words = ("python", "/app/user.py", given.user)
        said = on.word("migrate", *words, given=json.dumps({"password": chosen}), timeout_s=300)
    except Failed as error:
        what = f"the password of {given.user} could not be set: {error}"
        raise Unjudged(what, "See `python3 -m deploy.mlflow status`.") from error
    made = secrets.user(given.user, chosen, address())
    print(f"mlflow: {said.strip().splitlines()[-1]}; {made}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m deploy.mlflow", description="MLflow on PostgreSQL and SeaweedFS.")
    words = parser.add_subparsers(dest="word", required=True, metavar="up|status|backup|restore|down|password")
    words.add_parser("up", help="start it, or bring it to this checkout's versions").set_defaults(call=up)
    words.add_parser("status", help="how it does; 1 where something needs a person").set_defaults(call=status)
    words.add_parser("backup", help="database and objects, read back").set_defaults(call=backup)
    one = words.add_parser("restore", help="a backup, by default the newest, into an empty stack")
    one.add_argument("name", nargs="?", default="")
    one.add_argument("--replace", action="store_true", help="replace the data that is there")
    one.add_argument("--check", action="store_true", help="read the backup whole, and touch nothing")
    one.set_defaults(call=restore)
    one = words.add_parser("down", help="stop it; its data stays")
    one.add_argument("--data", metavar="NAME", default="", help="remove the data of the stack NAME too")
    one.set_defaults(call=down)
    one = words.add_parser("password", help="make the secrets, once; or a user's password, new")
    one.add_argument("user", nargs="?", default="")
    one.set_defaults(call=password)
    given = parser.parse_args(arguments)
    return given.call(given) or 0
