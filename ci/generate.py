"""`python -m ci.generate FOLDER`: a project from a pipeline's form, packed as `FOLDER/<project>.tar.gz`.

ANSWER_<QUESTION> holds what the form says, empty for the default. What the questions refuse ends with 1.
REPOSITORY_OWNER, unless empty, gets it as a new repository too (ci/publish.py); where that fails it ends with 2.
"""

import os
import shutil
import sys
from pathlib import Path

from cookiecutter.exceptions import CookiecutterException
from cookiecutter.main import cookiecutter

from ci.publish import Refused, forge, publish

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "ANSWER_"


def answers() -> dict[str, str]:
    given = {name.removeprefix(PREFIX).lower(): value for name, value in os.environ.items() if name.startswith(PREFIX)}
    return {name: value for name, value in given.items() if value}


def main() -> int:
    folder, owner = Path(sys.argv[1]), os.environ.get("REPOSITORY_OWNER", "")
    given = answers()
    try:
        at = forge() if owner else None
        project = Path(cookiecutter(str(ROOT), no_input=True, extra_context=given, output_dir=str(folder)))
        print(f"generate: {shutil.make_archive(str(project), 'gztar', folder, project.name)}", flush=True)
        if at:
            made = publish(at, project, owner, given.get("description", ""), given.get("public") == "true")
            print(f"generate: {made}")
    except CookiecutterException as error:
        print(f"generate: {error}", file=sys.stderr)
        print("  -> Correct the answer that the message above names.", file=sys.stderr)
        return 1
    except Refused as error:
        print(f"generate: {error.what}\n  -> {error.remedy}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
