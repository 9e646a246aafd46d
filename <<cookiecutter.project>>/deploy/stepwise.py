"""A move of production by shares: at each step the new release is watched beside the present one, over the same time.

The judgement rests on what both have counted themselves, and on whether a process of the new one has ended. Where
callers send too few requests to judge by, probes make up for it: rows of the package, each on a connection of its own.
"""

import time
from typing import Any

from deploy.counts import Counts
from deploy.probe import probe
from deploy.releases import rows
from deploy.target import Release, Target
from << cookiecutter.__package >>.outcome import Bad, Unjudged
from << cookiecutter.__package >>.schema import SCHEMA

LOOK_S = 0.5


def move(place: Target, environment: str, release: Release, gate: dict[str, Any]) -> None:
    """Move the environment from what it runs to the release, by the steps of gates.yaml's `release`.

    Raises Bad where the new release does worse, Unjudged where that cannot be told; the present one runs on alone.
    """
    place.begin(environment, release)
    try:
        for percent in gate["steps"]:
            if percent < 100:
                got = place.share(environment, percent)
                real = "" if abs(got - percent) < 1 else f" ({got:.0f}%, as near as this place can)"
                print(f"release: {percent:g}% of {environment}'s connections go to {release}{real}", flush=True)
                compared = watch(place, environment, release, gate)
                print(f"release: {told(*compared)}", flush=True)
        place.finish(environment)
    except BaseException:  # also when it is interrupted by hand
        place.settle(environment)
        raise


def watch(place: Target, environment: str, release: Release, gate: dict[str, Any]) -> tuple[Counts, Counts]:
    """Compare both releases for `watch_s`, and longer with probes if need be; returns what both have counted."""
    before, begun = place.counts(environment), time.monotonic()

    def seen() -> tuple[Counts, Counts]:
        new, old = (now.since(then) for now, then in zip(place.counts(environment), before, strict=True))
        if new.restarts:
            raise Bad(f"{release} has ended {new.restarts} times at this step", f"See {place.logs(environment)}.")
        return new, old

    def enough() -> bool:
        return all(counts.requests >= gate["minimum_requests"] for counts in seen())

    while time.monotonic() < begun + gate["watch_s"]:
        time.sleep(LOOK_S)
        seen()
    had, least = min(counts.requests for counts in seen()), gate["minimum_requests"]
    if had < least:
        print(f"release: only {had} requests to judge by, {least} are asked for: probes make up for it", flush=True)
        sent, lost = probe(place.address(environment), sample(release), gate["probe_rate"], enough, gate["probe_s"])
        if lost > gate["error_ratio"] * sent:
            what = f"{lost} of {sent} probes got no answer while {release} was coming in"
            raise Bad(what, f"See {place.logs(environment)}.")
    new, old = seen()
    judge(release, new, old, gate)
    return new, old


def sample(release: Release) -> list[dict[str, Any]]:
    """Rows to ask with: those of the package where they are here, else the schema's example."""
    known = rows(release)
    return known["rows"] if known else [SCHEMA.example()]


def judge(release: Release, new: Counts, old: Counts, gate: dict[str, Any]) -> None:
    """Raises Bad where the new release errs more or answers later than the present one in the same time allows."""
    few = min(new.requests, old.requests)
    if few < gate["minimum_requests"]:
        what = f"{release} was not judged: {few} requests at a step, {gate['minimum_requests']} are asked for"
        raise Unjudged(what, "Raise release.probe_s or release.probe_rate in gates.yaml.")
    if not new.error_ratio <= old.error_ratio + gate["error_ratio"]:
        both = f"{new.error_ratio:.2%} of the requests, the present release for {old.error_ratio:.2%}"
        what = f"{release} errs for {both}"
        raise Bad(what, "See the service's log for the cause.")
    late, former = new.quantile_ms(0.95), old.quantile_ms(0.95)
    if not late <= former * gate["factor"] + gate["allowance_ms"]:
        both = f"within {late:.0f} ms (p95), the present release at the same time within {former:.0f} ms"
        what = f"{release} answers {both}"
        raise Bad(what, "Compare what both do for a request; `make load` shows it on staging.")


def told(new: Counts, old: Counts) -> str:
    sides: list[str] = []
    for name, counts in (("new", new), ("present", old)):
        ratio, late = counts.error_ratio, counts.quantile_ms(0.95)
        sides.append(f"{name} {counts.requests} requests, {ratio:.2%} errors, p95 {late:.1f} ms")
    return "; ".join(sides)
