"""What `evit-search` says of finalists that are timed on devices, and of the winner among them."""

from __future__ import annotations

from itertools import takewhile

from elasticvit.cli.report import Report
from elasticvit.cli.wording import counted
from elasticvit.flows.search import Measured, Winner


def measured_line(one: Measured) -> str:
    """A finalist that was timed, beside its prediction and target."""
    verdict = "kept" if one.kept else "missed"
    unsure = ", too close to tell for sure" if one.low_ms <= one.target_ms <= one.high_ms else ""
    return (
        f"timed on {one.place}: {one.measured_ms:.4g} ms ({one.low_ms:.4g} to {one.high_ms:.4g}, "
        f"predicted {one.predicted_ms:.4g}); target {one.target_ms:g}: {verdict}{unsure}: "
        f"{one.arch}"
    )


def print_verdict(report: Report, winner: Winner, which: str = "") -> None:
    """Say whether the winner of a goal was timed, and what came of it.

    Args:
        which: Beginning of each line that names the goal, where there are several.
    """
    own = [one for one in winner.measured if one.arch == winner.arch]
    timed = {one.arch for one in winner.measured}
    before = takewhile(lambda one: one.arch != winner.arch, winner.measured)  # from the best
    missed = len({one.arch for one in before if not one.kept})
    if winner.kept is False:
        report.warn(
            f"{which}none of the {len(timed)} finalists that were timed keeps the target; this one "
            f"comes nearest. Search again with {_lower(own)}: the predictor has learnt from what "
            "was measured"
        )
    elif own:
        for one in own:
            report.say(
                f"{which}on {one.place}: measured {one.measured_ms:.4g} ms ({one.low_ms:.4g} to "
                f"{one.high_ms:.4g}); target {one.target_ms:g}: kept"
            )
        if missed:
            report.say(
                f"{which}{counted(missed, 'better finalist')} missed the target as measured, so "
                "that this one was chosen instead"
            )
    for device, why in winner.untimed.items():
        report.say(f"{which}on {device}: not timed, so that the latency is a prediction: {why}")


def _lower(own: list[Measured]) -> str:
    """Targets that the nearest finalist's excess suggests, in words."""
    worst = max(own, key=lambda one: one.measured_ms / one.target_ms)
    return f"a target of {worst.target_ms**2 / worst.measured_ms:.3g} ms or so on {worst.place}"
