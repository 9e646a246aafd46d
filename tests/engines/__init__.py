"""What executes the generated pipelines on one machine: act, gitlab-ci-local, and doubles of what surrounds them."""

import pytest

pytest.register_assert_rewrite("engines.files", "engines.scenarios", "engines.world")
