"""The generated pipelines executed as GitLab would: gitlab-ci-local runs them, a double takes their calls."""

from engines.scenarios import Scenarios


class TestGitLab(Scenarios):
    KIND = "gitlab"
