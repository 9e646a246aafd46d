"""What else differs from the commit of the champion: the data, as far as the reports describe them, and parameters."""

import json
from pathlib import Path
from typing import Any

import yaml

from ci.compare import history

# A change of data is told where it could matter to a reader; the checks and the drift monitors judge it.
SHIFT = 0.1  # of a mean, against the spread between the first and the ninth decile
SHARE = 0.03  # of a category, of missing values, of the label
NAMED = 5  # new or vanished categories that are named


def changes(revision: str) -> dict[str, Any]:
    """`data`: sentences on the training window and the counts of the ingest; `parameters`: [name, before, now]."""
    if not revision:
        return {"revision": "", "data": [], "counts": [], "parameters": []}
    before, now = _both(revision, "reports/reference.json")
    earlier, counts = _both(revision, "reports/dataset.json")
    return {
        "revision": revision,
        "data": data(before, now) if before else ["nothing to compare with: the earlier commit has no reports"],
        "counts": differing(earlier, counts) if earlier else [],
        "parameters": differing(*_both(revision, "params.yaml")),
    }


def differing(before: dict[str, Any], now: dict[str, Any]) -> list[list[Any]]:
    """[dotted name, value before, value now] of every leaf that differs; None where there is none."""
    old, new = dict(_leaves(before)), dict(_leaves(now))
    return [[name, old.get(name), new.get(name)] for name in sorted({*old, *new}) if old.get(name) != new.get(name)]


def _leaves(tree: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(tree, dict):
        start = f"{prefix}." if prefix else ""
        return [leaf for key, value in tree.items() for leaf in _leaves(value, f"{start}{key}")]
    return [(prefix, tree if isinstance(tree, str | int | float | None) else json.dumps(tree, default=str))]


def data(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Sentences on how two profiles of `reports/reference.json` differ; none where they do not."""
    told = []
    if before["rows"] != now["rows"]:
        told.append(f"training rows: {before['rows']:,} -> {now['rows']:,} ({now['rows'] / before['rows'] - 1:+.1%})")
    if (before["first"], before["last"]) != (now["first"], now["last"]):
        told.append(f"training window: {_window(before)} -> {_window(now)}")
    told += [f"label, {line}" for line in _column(before["label"], now["label"])]
    old, new = before["features"], now["features"]
    told += [f"new feature: {name}" for name in new if name not in old]
    told += [f"feature gone: {name}" for name in old if name not in new]
    told += [f"{name}, {line}" for name in new if name in old for line in _column(old[name], new[name])]
    return told


def _window(profile: dict[str, Any]) -> str:
    return f"{profile['first'][:10]} to {profile['last'][:10]}"


def _column(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    told = []
    if abs(new["missing"] - old["missing"]) > SHARE:
        told.append(f"missing: {old['missing']:.1%} -> {new['missing']:.1%}")
    if "shares" in old and "shares" in new:
        return told + _categories(old["shares"], new["shares"])
    if old.get("quantiles") and new.get("quantiles"):
        return told + _numbers(old, new)
    if {"mean"} & old.keys() & new.keys() and None not in (old["mean"], new["mean"]):
        moved = abs(new["mean"] - old["mean"]) > SHARE
        return told + ([f"share of true: {old['mean']:.1%} -> {new['mean']:.1%}"] if moved else [])
    return [*told, "another type"] if old.keys() != new.keys() else told


def _categories(old: dict[str, float], new: dict[str, float]) -> list[str]:
    told = []
    for what, names in (("new values", new.keys() - old.keys()), ("values gone", old.keys() - new.keys())):
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            told.append(f"{what}: {', '.join(sorted(names)[:NAMED])}{more}")
    for name in sorted(old.keys() & new.keys()):
        if abs(new[name] - old[name]) > SHARE:
            told.append(f"share of {name}: {old[name]:.1%} -> {new[name]:.1%}")
    return told


def _numbers(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    told = []
    before, now = old["quantiles"], new["quantiles"]
    if (before[0], before[-1]) != (now[0], now[-1]):
        told.append(f"range: {before[0]:g} to {before[-1]:g} -> {now[0]:g} to {now[-1]:g}")
    if abs(new["mean"] - old["mean"]) > SHIFT * ((before[-2] - before[1]) or abs(old["mean"])):
        told.append(f"mean: {old['mean']:.4g} -> {new['mean']:.4g}")
    return told


def _both(revision: str, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A JSON or YAML file as of a commit, empty where it is absent, and as it is now."""
    before, now = history.show(revision, path), Path(path).read_text()
    return yaml.safe_load(before or "{}"), yaml.safe_load(now)
