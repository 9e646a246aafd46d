"""Begin the project's history: one commit on main, whoever runs this and however their git is configured."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ANSWERS = json.loads(r'''<< cookiecutter | tojson >>''')
IDENTITY = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")


def git(*arguments: str, env: dict[str, str]) -> str:
    done = subprocess.run(["git", *arguments], env=env, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def configured(key: str, env: dict[str, str]) -> str:
    """The user's own value for a key of git's configuration, or '' where there is none."""
    done = subprocess.run(["git", "config", key], env=env, check=False, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def begin() -> None:
    """Make the repository and its commit: signing, hooks, templates and ignore files of the user stay out of it.

    Variables that git sets for its own children (GIT_DIR …) would point at another repository and are dropped.
    Without an identity of the user, the author given to the template signs this one commit.
    """
    plain = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    own = {key: os.environ[key] for key in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM") if key in os.environ}
    name = configured("user.name", plain | own) or ANSWERS["author"]
    email = configured("user.email", plain | own) or f"{ANSWERS['project']}@localhost"
    identity = dict(zip(IDENTITY, (name, email) * 2, strict=True))
    given = {key: os.environ[key] for key in IDENTITY if os.environ.get(key)}
    nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    env = plain | nobody | identity | given
    git("init", "--quiet", "--initial-branch", "main", env=env)
    git("add", "--all", env=env)
    git("commit", "--quiet", "--no-gpg-sign", "--message", "Start from the Shipshape template", env=env)


def main() -> int:
    if "_commit" in ANSWERS:  # cruft: it compares renderings, and writes its record after this hook
        return 0
    if not shutil.which("git"):
        print("git was not found on PATH: install git, then generate the project again.", file=sys.stderr)
        return 1
    if not Path(".git").exists():
        begin()
    here = Path.cwd()
    start = Path(os.environ.get("PWD", here.parent))
    folder = here.relative_to(start) if here.is_relative_to(start) else here
    print(f"\nNext: cd {shlex.quote(str(folder))} && make setup && make train")
    return 0


sys.exit(main())
