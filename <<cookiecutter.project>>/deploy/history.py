"""What production has run: `change.json` is the change under way, `history.json` holds every change that ended."""

import json
from collections.abc import Iterable
from typing import Any

from deploy.store import Store
from deploy.target import Release

Change = dict[str, Any]  # as `ci.production.begin` makes it
NAME = "production"
MOST_BYTES = 500_000  # of the history: an object of a Kubernetes cluster holds 1 MiB


class History:
    """The changes of production as a place's store holds them."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def under_way(self) -> Change | None:
        """The change that was begun and not ended, or None."""
        return self.store.read(NAME, "change.json")

    def ended(self) -> list[Change]:
        """Every change that ended, the oldest first, with its `outcome`: done or put back."""
        return self.store.read(NAME, "history.json") or []

    def begin(self, change: Change) -> None:
        self.store.write(NAME, "change.json", change)

    def end(self, change: Change, outcome: str) -> None:
        """Put the change among those that ended, once; `recorded` says that MLflow has not heard of it yet."""
        others = [other for other in self.ended() if other["id"] != change["id"]]
        self.keep([*others, change | {"outcome": outcome, "recorded": False}])
        self.store.write(NAME, "change.json", None)

    def keep(self, changes: list[Change]) -> None:
        self.store.write(NAME, "history.json", shortened(changes))

    def needed(self, former: int) -> list[Release]:
        """The releases that must stay: production's, so many `former` ones, and those of a change under way."""
        pending = self.under_way() or {}
        changing = [Release.of(pending[end]) for end in ("to", "from") if pending.get(end)]
        return [*line(self.ended())[-former - 1 :], *changing]


def line(changes: Iterable[Change]) -> list[Release]:
    """The releases that production can go back through, the oldest first; the last is what it should run now."""
    releases: list[Release] = []
    for change in changes:
        to = Release.of(change["to"])
        if change["outcome"] != "done":
            continue
        if change["action"] == "rollback" and to in releases:
            releases = releases[: releases.index(to) + 1]
        else:
            releases = [*(release for release in releases if release != to), to]
    return releases


def shortened(changes: list[Change], most: int = MOST_BYTES) -> list[Change]:
    """The changes in at most so many bytes: the oldest that are on record lose their evidence, then go themselves."""
    kept, size = list(changes), len(json.dumps(changes))
    for number, change in enumerate(kept):
        if size > most and change["recorded"]:
            kept[number] = change | {"evidence": {}}
            size -= len(json.dumps(change)) - len(json.dumps(kept[number]))
    for change in [change for change in kept[:-1] if change["recorded"]]:
        if size > most:
            kept.remove(change)
            size -= len(json.dumps(change)) + 2
    return kept
