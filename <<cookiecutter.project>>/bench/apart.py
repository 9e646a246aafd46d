"""One contender in a process of its own, so that nothing of another one's memory or imports counts for it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from << cookiecutter.__package >>.outcome import Unjudged


def apart(module: str, arguments: Sequence[str], name: str) -> dict[str, Any]:
    """Run the module's main and return the JSON of its last line; raises Unjudged where `name` fails."""
    code = f"import sys; from {module} import main; sys.exit(main({list(arguments)!r}))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Unjudged(f"{name} failed with exit code {done.returncode}", "See its message above.")
    return json.loads(done.stdout.splitlines()[-1])
