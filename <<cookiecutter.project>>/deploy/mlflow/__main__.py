"""`python3 -m deploy.mlflow up|status|backup|restore|down|password`: MLflow for a team that has none."""

import os
import sys

from ci.environment import INSIDE, ROOT, prepare, variables

if os.environ.get(INSIDE) != "deploy":
    environment = prepare(["deploy"])
    python = str(environment / "bin" / "python")
    os.chdir(ROOT)
    os.execve(python, [python, "-m", "deploy.mlflow", *sys.argv[1:]], variables(environment))  # noqa: S606

from deploy.mlflow.words import main
from << cookiecutter.__package >>.outcome import run

sys.exit(run("mlflow", main, sys.argv[1:]))
