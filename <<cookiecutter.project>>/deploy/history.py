"""What production has run: `change.json` is the change under way, `history.json` holds every change that ended."""

from typing import Any

from deploy.target import Release, read, state, write

Change = dict[str, Any]  # as `ci.production.begin` makes it
NAME = "production"


def under_way() -> Change | None:
    """The change that was begun and not ended, or None."""
    return read(state(NAME, "change.json"))


def ended() -> list[Change]:
    """Every change that ended, the oldest first, with its `outcome`: done or put back."""
    return read(state(NAME, "history.json")) or []


def begin(change: Change) -> None:
    write(state(NAME, "change.json"), change)


def end(change: Change, outcome: str) -> None:
    """Put the change among those that ended, once; `recorded` says that MLflow has not heard of it yet."""
    others = [other for other in ended() if other["id"] != change["id"]]
    keep([*others, change | {"outcome": outcome, "recorded": False}])
    state(NAME, "change.json").unlink()


def keep(changes: list[Change]) -> None:
    write(state(NAME, "history.json"), changes)


def line(changes: list[Change]) -> list[Release]:
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


def needed(former: int) -> list[Release]:
    """The releases that must stay on disk: production's, so many `former` ones, and those of a change under way."""
    pending = under_way() or {}
    changing = [Release.of(pending[end]) for end in ("to", "from") if pending.get(end)]
    return [*line(ended())[-former - 1 :], *changing]
