"""Rows of the results about searches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WAYS = {
    "guided": "guided (ours)",
    "evolution": "the paper's evolution",
    "random": "random",
    "nsga2": "NSGA-II (pymoo)",
}
BY = {"held_out_best": "by what is climbed", "test_best": "by test images"}


def search_rows(lines: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Accuracies by number of evaluations, and the gain over each with its standard error."""
    (line,) = lines.values()
    r = line["result"]
    rows = [[f"`{line['command']}`: evaluations", *WAYS.values(), "gain of ours over each"]]
    for name, by in BY.items():
        for budget in r["budgets"]:
            best = [f"{budget[name][way]:.2f} %" for way in WAYS]
            gains = [
                f"{gain:+.2f} ({error:.2f})" for gain, error in budget[f"{name}_gain"].values()
            ]
            rows.append([f"{by}: {budget['evaluations']}", *best, "; ".join(gains)])
    for name in ("held_out_area", "test_area"):
        areas = (f"{budget['evaluations']}: {_areas(budget[name])}" for budget in r["budgets"])
        by = BY[name.replace("area", "best")]
        rows.append(_wide(f"area of the front, {by}", "; ".join(areas)))
    few = r.get("guided_131_over_evolution_1311", {})
    for name, by in BY.items():
        if name in few:
            gain, error = few[name]
            text = f"{gain:+.2f} points, standard error {error:.2f}"
            rows.append(_wide(f"ours after 131 over evolution after 1311, {by}", text))
    part, caps = r["enumerated"], r["random_caps"]
    what = f"area of the true front of {part['architectures']} architectures"
    how = f"found with {part['evaluations']} evaluations, by the images of each"
    rows.append(_wide(f"{what} {how}", "; ".join(_found(one) for one in part["by_images"])))
    rows.append(_wide("random caps broken", f"{caps['broken']} of {caps['caps']}"))
    return rows


SUMMARY_BUDGETS = (50, 131, 300, 1311)


def search_summary(lines: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """The accuracies by test images at some numbers of evaluations."""
    (line,) = lines.values()
    r = line["result"]
    gain_of = [f"gain over {name} (standard error)" for name in ("evolution", "random", "NSGA-II")]
    rows = [[f"`{line['command']}`: evaluations", *WAYS.values(), *gain_of]]
    for budget in r["budgets"]:
        if budget["evaluations"] in SUMMARY_BUDGETS:
            best = [f"{budget['test_best'][way]:.2f} %" for way in WAYS]
            gains = [f"{g:+.2f} ({error:.2f})" for g, error in budget["test_best_gain"].values()]
            rows.append([str(budget["evaluations"]), *best, *gains])
    return rows


def _found(front: Mapping[str, Any]) -> str:
    mean, worst = (100 * share for share in front["share_of_area"])
    images = "without noise" if front["images"] is None else f"{front['images']:,} images"
    return f"{images}: {mean:.1f} % (worst {worst:.1f})"


def _wide(head: str, text: str) -> list[str]:
    """A row with one figure for all."""
    return [head, text, *[""] * len(WAYS)]


def _areas(area: Mapping[str, float]) -> str:
    return " / ".join(f"{area[way]:.2f}" for way in WAYS)


def proxy_rows(lines: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Rank correlations of proxies."""
    (line,) = lines.values()
    r = line["result"]
    networks, free = r["networks"], r["tau"]
    some = f"the same of {networks['archs']} architectures"
    rows = [[f"`{line['command']}`", "all architectures", "pairs of the same MACs", some]]
    for name, tau in networks["tau"].items():
        both = f"{tau['all']:.2f}; {tau['same_macs']:+.2f}"
        of_all = free.get(name)
        whole = ["", ""] if of_all is None else _pair(of_all)
        label = name if of_all else f"{name} (runs networks, {networks['seconds_each']:.1f} s each)"
        rows.append([label, *whole, both])
    return [*rows, ["accuracy on other images", *_pair(r["ceiling"]), ""]]


def _pair(tau: Mapping[str, float]) -> list[str]:
    return [f"{tau['all']:.2f}", f"{tau['same_macs']:+.2f}"]
