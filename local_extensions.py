"""Refuses wrong answers before cookiecutter makes the folder that is named after one: its hooks run only afterwards."""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cookiecutter.exceptions import FailedHookException
from jinja2 import Environment
from jinja2.ext import Extension

spec = importlib.util.spec_from_file_location("answers", Path(__file__).parent / "hooks" / "pre_gen_project.py")
answers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(answers)


def checked(given: Mapping[str, Any]) -> str:
    """An empty string for answers that work; raises FailedHookException where one does not."""
    if answers.refused(given, os.path.abspath(str(given["project"]))):
        raise FailedHookException("Nothing was generated.")
    return ""


class Checked(Extension):
    """The filter `checked` for cookiecutter.json."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["checked"] = checked
