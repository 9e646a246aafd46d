"""`test`: this repository's own tests; arguments go to pytest: `python -m ci.test tests/test_schema.py -x`."""

import pytest

from << cookiecutter.__package >>.outcome import Bad, Unjudged


def main(arguments: list[str]) -> int | None:
    code = pytest.main(arguments)
    if code == pytest.ExitCode.TESTS_FAILED:
        raise Bad("tests failed", "See pytest's summary above.")
    if code:
        raise Unjudged(f"pytest did not run the tests: {pytest.ExitCode(code).name.lower()}", "See its message above.")
    return None
