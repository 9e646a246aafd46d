"""kubectl for the tests: what a cluster is too old to know is asked for in its older words, or left out, and said.

On Kubernetes 1.20 these are policy/v1 (PodDisruptionBudget) and autoscaling/v2 (HorizontalPodAutoscaler).
"""

import os
import subprocess
import sys

import yaml

OLDER = {"policy/v1": "policy/v1beta1", "autoscaling/v2": "autoscaling/v2beta2"}
SINCE_127 = "unhealthyPodEvictionPolicy"


def main(command: list[str]) -> None:
    if "kustomize" not in command:
        os.execvp(command[0], command)  # noqa: S606
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    before = command[: command.index("kustomize")]
    known = subprocess.run([*before, "api-versions"], capture_output=True, text=True, check=True).stdout.split()
    manifests = []
    for one in yaml.safe_load_all(rendered):
        older = OLDER.get(one["apiVersion"])
        if one["apiVersion"] not in known and older in known:
            print(f"as {older}: {one['kind']}", file=sys.stderr)
            one["apiVersion"] = older
            one["spec"].pop(SINCE_127, None)
        if one["apiVersion"] in known:
            manifests.append(one)
        else:
            print(f"left out: {one['kind']} of {one['apiVersion']}", file=sys.stderr)
    yaml.safe_dump_all(manifests, sys.stdout)


main(sys.argv[1:])
