"""What is derived from the generated project's pyproject.toml: its lock, and the names that no project may have."""

import re
import sys
from pathlib import Path

import pytest
from conftest import ENVIRONMENTS, TEMPLATE, checkout, run


@pytest.fixture
def copied(tmp_path) -> Path:
    return checkout(tmp_path / "template")


def check(copied: Path):
    return run([sys.executable, "-m", "ci.lock", "--check"], copied)


def test_lock_and_names_are_current(copied):
    assert check(copied).returncode == 0


def test_a_changed_bound_makes_the_lock_stale(copied):
    (declared,) = copied.glob("<<cookiecutter*/pyproject.toml")
    declared.write_text(declared.read_text().replace('"ruff>=0.14"', '"ruff>=0.14.1"'))
    done = check(copied)
    assert done.returncode == 1
    assert "uv.lock" in done.stderr


def test_a_name_that_is_missing_makes_the_hook_stale(copied):
    hook = copied / "hooks" / "pre_gen_project.py"
    hook.write_text(hook.read_text().replace(" duckdb ", " ", 1))
    done = check(copied)
    assert done.returncode == 1
    assert "pre_gen_project.py" in done.stderr


def test_no_module_that_is_installed_could_be_hidden_by_a_project(default_trained):
    """Every importable name in the words' environments that reads as a project's name is refused by the hook."""
    source = (TEMPLATE / "hooks" / "pre_gen_project.py").read_text().split("def project")[0]
    refused: dict = {}
    exec(re.sub(r"^ANSWERS.*$", "", source, flags=re.MULTILINE), refused)  # noqa: S102
    known = {name.replace("-", "_") for name in (*refused["LOCKED"], *refused["IMPORTS"], *refused["FOLDERS"])}
    environments = ENVIRONMENTS / (default_trained / ".python-version").read_text().strip()
    installed = set()
    for packages in environments.glob("*/lib/python*/site-packages"):
        modules = [entry for entry in packages.iterdir() if entry.suffix == ".py" or _is_package(entry)]
        installed |= {entry.stem for entry in modules if re.fullmatch(r"[a-z][a-z0-9]+(_[a-z0-9]+)*", entry.stem)}
    assert "dvc" in installed
    assert not installed - known


def _is_package(entry: Path) -> bool:
    return entry.is_dir() and any(entry.glob("*.py"))
