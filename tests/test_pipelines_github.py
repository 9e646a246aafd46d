"""The generated pipelines executed as GitHub would: act runs the workflows, an emulated API takes their calls."""

from engines.scenarios import Scenarios


class TestGitHub(Scenarios):
    KIND = "github"
