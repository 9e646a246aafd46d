"""What a release in a pipeline needs for the target `compose`: asked before anything expensive."""

import os

from deploy.compose.host import Host
from << cookiecutter.__package >>.outcome import Unjudged


def lacking(variables: str, hosted: bool) -> list[tuple[str, str]]:
    """What is missing and where to set it; a `hosted` runner is not the one that deploys, and knows no engine."""
    missing = []
    if not os.environ.get("IMAGE_REGISTRY"):
        what = "IMAGE_REGISTRY, from which the host of the target `compose` takes the image"
        missing.append((what, f"Set it in {variables} (docs/image.md)."))
    if not hosted:
        try:
            Host().do("asking the engine for its version", "version")
            Host().tried()
        except Unjudged as error:
            missing.append((f"an engine for the target `compose`: {error.what}", error.remedy))
    return missing
