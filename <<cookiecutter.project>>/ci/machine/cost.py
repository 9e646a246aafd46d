"""What a training took of its machine, in reports/machine.json: for the report, which another machine writes.

It is no output of DVC: it is another one each time, for the same model.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ci.machine import journal, watch

FILE = Path("reports/machine.json")


def keep(model: str) -> None:
    """Sum up the samples of the training that has just ended; `model` is the md5 of what it made."""
    begun = journal.read()["begin"]
    at = datetime.fromtimestamp(begun["at"], UTC).isoformat(timespec="seconds")
    about = {"model_md5": model, "at": at, "devices": begun["devices"]}
    FILE.write_text(json.dumps(about | watch.summary(watch.rows()), indent=1) + "\n")


def cost(model: str) -> dict[str, Any]:
    """What was kept for this model; empty where it was trained elsewhere, or before there were samples."""
    found = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found if found.get("model_md5") == model else {}
