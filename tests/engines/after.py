"""What gitlab-ci-local lacks of GitLab: an `after_script` that sees the job's workspace and leaves its artifacts alone.

(It runs one in a fresh copy of the repository, and collects the artifacts there.) So it becomes a part of the script:
it runs whatever became of that, in a shell of its own, knows the outcome, and does not change it.
"""

from pathlib import Path
from typing import Any

import yaml


class Reference(tuple):
    """GitLab's `!reference [job, key]`."""


class Loader(yaml.SafeLoader):
    """Keeps references."""


class Dumper(yaml.SafeDumper):
    """Writes references, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


Loader.add_constructor("!reference", lambda loader, node: Reference(loader.construct_sequence(node)))
Dumper.add_representer(Reference, lambda dumper, value: dumper.represent_sequence("!reference", list(value), True))


def folded(pipeline: Path, into: Path) -> Path:
    """The pipeline with every `after_script` inside its `script`, as the file `into`."""
    jobs = yaml.load(pipeline.read_text(), Loader)  # noqa: S506
    for job in jobs.values():
        if isinstance(job, dict) and "after_script" in job:
            job["script"] = [_one(job["script"], job.pop("after_script"))]
    into.write_text(yaml.dump(jobs, Dumper=Dumper, sort_keys=False))
    return into


def _one(script: list[str], after: list[str]) -> str:
    shell = "set -eo pipefail"
    outcome = "export CI_JOB_STATUS=$([ $outcome = 0 ] && echo success || echo failed)"
    return "\n".join(
        ["set +e", "(", shell, *script, ")", "outcome=$?", outcome, "(", shell, *after, ")", "exit $outcome"]
    )
