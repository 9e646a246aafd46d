"""The generated project's own checks hold from the start."""

import re

from engines.images import lacking


def test_its_own_tests_pass_and_its_own_lint_is_clean(project, word):
    two = [] if lacking() else ["-n", "2", "--dist", "loadfile"]  # with an engine most of the time is waited for it
    said = word(project, "test", "-q", *two, code=0).stdout
    passed = re.search(r"(\d+) passed", said)
    assert passed, said[-2000:]
    assert int(passed[1]) > 300
    word(project, "lint", code=0)
