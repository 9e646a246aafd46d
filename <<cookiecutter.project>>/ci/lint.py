"""`lint`: ruff's rules of pyproject.toml over the repository; `python -m ci.lint --staged` over what is staged."""

import subprocess
import sys
from pathlib import Path

from << cookiecutter.__package >>.outcome import Bad, Unjudged

ROOT = Path(__file__).resolve().parent.parent
STAGED = ["git", "diff", "--cached", "--name-only", "--diff-filter=ACMR", "-z", "--", "*.py"]


def main(arguments: list[str]) -> int | None:
    if arguments[:1] == ["--staged"]:
        listed = subprocess.run(STAGED, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        arguments = [name for name in listed.split("\0") if name]
        if not arguments:
            return None
    code = subprocess.run([sys.executable, "-m", "ruff", "check", *arguments], cwd=ROOT, check=False).returncode
    if code == 1:
        raise Bad("ruff found faults", "Mend them; `python -m ci.lint --fix` mends what it safely can.")
    if code:
        raise Unjudged(f"ruff ended with {code}", "See its message above.")
    return None
