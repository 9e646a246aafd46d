"""The forges' APIs: GitHub's emulated, GitLab's by a double. Both keep `calls`: each request's (method, path, body)."""

from engines.forges.front import TOKEN
from engines.forges.github import GitHub, github
from engines.forges.gitlab import GitLab, gitlab

__all__ = ["TOKEN", "GitHub", "GitLab", "github", "gitlab"]
