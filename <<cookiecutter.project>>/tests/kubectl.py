"""kubectl for the tests: whatever a cluster is too old to know is left out of what `kustomize` renders, and said.

On Kubernetes 1.20 these are policy/v1 (PodDisruptionBudget) and autoscaling/v2 (HorizontalPodAutoscaler).
"""

import os
import subprocess
import sys

import yaml


def main(command: list[str]) -> None:
    if "kustomize" not in command:
        os.execvp(command[0], command)  # noqa: S606
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    before = command[: command.index("kustomize")]
    known = subprocess.run([*before, "api-versions"], capture_output=True, text=True, check=True).stdout.split()
    manifests = list(yaml.safe_load_all(rendered))
    for one in manifests:
        if one["apiVersion"] not in known:
            print(f"left out: {one['kind']} of {one['apiVersion']}", file=sys.stderr)
    yaml.safe_dump_all([one for one in manifests if one["apiVersion"] in known], sys.stdout)


main(sys.argv[1:])
