"""`python -m ci.lock [--check] [--upgrade]`: what is derived from the generated project's pyproject.toml.

uv.lock names the project that it belongs to, by name and by the length of that name. So it is locked under a
placeholder's name, which is then replaced with template expressions. The names of the locked packages go into
hooks/pre_gen_project.py: no project may be called like one of them.
"""

import os
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
HOOK = ROOT / "hooks" / "pre_gen_project.py"
PLACEHOLDER = "placeholder-project"
NAME = "<< cookiecutter.project >>"
LENGTH = "<< cookiecutter.project | length >>"


def committed() -> Path:
    """The lock in the template."""
    (template,) = ROOT.glob("<<cookiecutter*/uv.lock")
    return template


def lock(*options: str) -> str:
    """Lock the rendered project, keeping the committed versions where they fit, and return the lock as a template."""
    with tempfile.TemporaryDirectory() as folder:
        choices = {"project": PLACEHOLDER}
        project = Path(cookiecutter(str(ROOT), None, True, choices, output_dir=folder, accept_hooks=False))
        subprocess.run([os.environ.get("UV", "uv"), "lock", "--quiet", *options], cwd=project, check=True)
        text = (project / "uv.lock").read_text()
    return text.replace(f"group-{len(PLACEHOLDER)}-{PLACEHOLDER}", f"group-{LENGTH}-{NAME}").replace(PLACEHOLDER, NAME)


def hook(locked: str) -> str:
    """The text of the hook with the names of the locked packages in it, each once, wrapped."""
    names = sorted({*re.findall(r'^name = "([a-z0-9-]+)"$', locked, re.MULTILINE)})
    block = textwrap.fill(" ".join(names), 120, break_on_hyphens=False, break_long_words=False)
    return re.sub(r'(?<=^LOCKED = """\n).*?(?=^""")', block + "\n", HOOK.read_text(), flags=re.MULTILINE | re.DOTALL)


def main(arguments: list[str]) -> int:
    options = [argument for argument in arguments if argument != "--check"]
    text = lock(*options)
    wanted = {committed(): text, HOOK: hook(text)}
    stale = [path for path, content in wanted.items() if path.read_text() != content]
    if "--check" in arguments and stale:
        print(f"lock: out of date: {', '.join(str(path.relative_to(ROOT)) for path in stale)}", file=sys.stderr)
        print("  -> `make lock`, and commit the result.", file=sys.stderr)
        return 1
    for path in stale:
        path.write_text(wanted[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
