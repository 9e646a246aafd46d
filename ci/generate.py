"""`python -m ci.generate FOLDER`: a project from a pipeline's form, packed as `FOLDER/<project>.tar.gz`.

ANSWER_<QUESTION> holds what the form says, empty for the default. What the questions refuse ends with 1.
"""

import os
import shutil
import sys
from pathlib import Path

from cookiecutter.exceptions import CookiecutterException
from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "ANSWER_"


def answers() -> dict[str, str]:
    given = {name.removeprefix(PREFIX).lower(): value for name, value in os.environ.items() if name.startswith(PREFIX)}
    return {name: value for name, value in given.items() if value}


def main() -> int:
    folder = Path(sys.argv[1])
    try:
        project = Path(cookiecutter(str(ROOT), no_input=True, extra_context=answers(), output_dir=str(folder)))
    except CookiecutterException as error:
        print(f"generate: {error}", file=sys.stderr)
        print("  -> Correct the answer that the message above names.", file=sys.stderr)
        return 1
    print(f"generate: {shutil.make_archive(str(project), 'gztar', folder, project.name)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
