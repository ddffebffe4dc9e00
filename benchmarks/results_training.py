"""Rows of the results about trainings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Line = Mapping[str, Any]

TECHNIQUES = {
    "sandwich": "sandwich rule (BigNAS)",
    "adjacent": "walk over adjacent levels",
    "smallest": "... and three smallest subnets",
    "bank": "... and memory bank and path preference (all that the paper has)",
    "start": "... and one subnet trained first (30 % of the steps)",
    "grow": "all that the paper has, and levels let in over half of the steps",
}

CHEAPER = {
    "paper": "the paper's: three subnets a step, all levels equally often",
    "one subnet": "one subnet a step",
    "cheap levels": "cheap levels more often (bias 0.5)",
    "small first": "levels let in over half of the steps",
    "cheap": "all three (recipe `cpu-minutes`)",
    "cheap, two subnets": "all three, with two subnets a step",
    "cheap, half": "all three, in half of the time",
}


def _mean(arm: Mapping[str, Any]) -> str:
    """Mean accuracy over seeds, with their standard deviation if there are several."""
    spread = "" if arm["sd"] is None else f" (standard deviation {arm['sd']:.1f})"
    return f"{arm['mean']:.1f} %{spread}"


def technique_rows(lines: Mapping[str, Line]) -> list[list[str]]:
    """A row a technique against gradient conflicts."""
    (line,) = lines.values()
    rows = [[f"`{line['command']}`", "mean test accuracy", "over the sandwich rule"]]
    for name, arm in line["result"]["arms"].items():
        gain = "" if name == "sandwich" else f"{arm['gain']:+.1f} points"
        rows.append([TECHNIQUES[name], _mean(arm), gain])
    return rows


def conflict_rows(lines: Mapping[str, Line]) -> list[list[str]]:
    """The same, and the cosines of gradients."""
    (line,) = lines.values()
    rows, cosine = technique_rows(lines), line["result"]["cosine"]
    by_distance = "; ".join(
        f"{b['median']:.2f} ({b['macs_ratio'][0]:g} to {b['macs_ratio'][1]:g} times the MACs)"
        for b in cosine["by_distance"]
    )
    rows.append(["cosine of two subnets' gradients, median by distance", by_distance, ""])
    if "good_pairs" in cosine:
        pairs = f"{cosine['good_pairs']:.2f}; random pairs of a level {cosine['random_pairs']:.2f}"
        rows.append(["... of good pairs of a level", pairs, ""])
    return rows


def cheaper_rows(lines: Mapping[str, Line]) -> list[list[str]]:
    """A row a way of sampling."""
    (line,) = lines.values()
    result = line["result"]
    rows = [
        [
            f"`{line['command']}`",
            "steps",
            "seconds",
            "mean test accuracy",
            "over the paper's sampling",
        ]
    ]
    for name, arm in result["arms"].items():
        gain = "" if name == "paper" else f"{arm['gain']:+.1f} points"
        rows.append([CHEAPER[name], str(arm["steps"]), str(arm["took_s"]), _mean(arm), gain])
    return rows


def fine_tuning_rows(lines: Mapping[str, Line]) -> list[list[str]]:
    """A row a number of epochs."""
    (line,) = lines.values()
    result = line["result"]
    ways = [name for name in result["rows"][0] if name != "epochs"]
    rows = [[f"`{line['command']}`: epochs", *ways]]
    for row in result["rows"]:
        rows.append([str(row["epochs"]), *(_mean(row[way]) for way in ways)])
    return rows


def rate_rows(lines: Mapping[str, Line]) -> list[list[str]]:
    """A row a data set, with the accuracy of each learning rate."""
    (line,) = lines.values()
    result = line["result"]
    factors = list(result["sets"][0]["accuracy"])
    rates = [f"rate {float(factor) * result['rate']:g}" for factor in factors]
    rows = [[f"`{line['command']}`", "images to train on", *rates, "default behind the best"]]
    for one in result["sets"]:
        accuracies = [f"{one['accuracy'][factor]:.1f} %" for factor in factors]
        images = f"{one['train_images']:,}"
        rows.append([one["set"], images, *accuracies, f"{one['behind_best']:.1f} points"])
    return rows


def alone_rows(lines: Mapping[str, Line]) -> list[list[str]]:
    """A row an architecture, trained alone and as a subnet."""
    (line,) = lines.values()
    rows = [[f"`{line['command']}`", "MMACs", "alone", "in the supernet"]]
    for one in line["result"]["subnets"]:
        figures = (f"{one[way]:.1f} %" for way in ("alone", "supernet"))
        rows.append([one["architecture"], f"{one['mmacs']:.1f}", *figures])
    return rows


def timm_rows(lines: Mapping[str, Line]) -> list[list[str]]:
    """A row a network of timm's, with the subnet of at most as many MACs beside it."""
    (line,) = lines.values()
    rows = [
        [
            f"`{line['command']}`",
            *("MMACs", "ms", "test accuracy", "subnet of at most as many MMACs", "its ms"),
            "its test accuracy",
        ]
    ]
    for one in line["result"]["networks"]:
        subnet = one["subnet"]
        rows.append(
            [one["network"], *_figures(one), f"{subnet['mmacs']:.1f}", *_figures(subnet)[1:]]
        )
    return rows


def _figures(one: Mapping[str, Any]) -> list[str]:
    return [f"{one['mmacs']:.1f}", f"{one['ms']:.3f}", f"{one['accuracy']:.1f} %"]
