"""Contents of the report of a search, made from real costs and made-up accuracies."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import MacsCost, space_kernels
from elasticvit.searching.caps import Cap
from elasticvit.searching.goal import Goal, Goals
from elasticvit.searching.judge import standard_errors
from elasticvit.searching.result import SearchResult
from elasticvit.searching.search_page import SearchPage
from elasticvit.searching.summary import front_of, summarise_archs, summarise_caps
from elasticvit.searching.winner import Agreement, Measured, Winner
from elasticvit.space import MOBILE, SearchSpace
from predictors.interval import Interval
from predictors.kernel_table import KernelTable
from predictors.network_correction import NetworkCorrection
from predictors.predictor import LatencyCost, Predictor

IMAGES, AGAIN = 200, 5000
EVIL = "photos & <script>alert('x')</script>"


@cache
def latency(device: str, ms_per_mmac: float, space: SearchSpace = MOBILE) -> LatencyCost:
    """A latency that knows an upper bound, and what a subnet costs besides its kernels."""
    table = {k: (k.macs / 1e6) ** 0.8 * ms_per_mmac + 0.02 for k in space_kernels(space)}
    predictor = Predictor(
        device=device,
        source=f"fake:{device}",
        kernels=KernelTable(table),
        network=replace(NetworkCorrection.plain(), constant_ms=0.4),
        interval=Interval(lower=1 / 1.08, upper=1.08, coverage=0.95, count=40),
    )
    return predictor.cost(space)


def accuracies(archs: ArchBatch, images: int, seed: int) -> FloatArray:
    """Accuracies in percent that rise with size, as a number of images would show them."""
    truth = 0.80 - 0.35 * np.exp(-MacsCost(MOBILE).price(archs) / 300)
    rng = np.random.default_rng(seed)
    return np.asarray(100 * rng.binomial(images, truth) / images, dtype=np.float64)


def timed(goal: Goal, archs: ArchBatch) -> tuple[Measured, ...]:
    """The first three on each device: the best misses its target, the others keep it."""
    return tuple(
        Measured(
            arch=archs[i],
            device=cap.device,
            source=cap.source or "",
            target_ms=cap.target,
            predicted_ms=float(cap.cost.price(archs)[i]),
            measured_ms=cap.target * (1.03 - 0.04 * i),
            low_ms=cap.target * (1.01 - 0.04 * i),
            high_ms=cap.target * (1.05 - 0.04 * i),
            rounds=9,
            kept=i > 0,
        )
        for cap in goal.caps
        if cap.device is not None
        for i in range(3)
    )


@cache
def content(
    targets: tuple[float, ...] = (20.0,),
    count: int = 240,
    devices: tuple[str, ...] = ("pixel6",),
    guided: bool = False,
) -> SearchPage:
    """A page of a search in the paper's space, with a goal for each target."""
    rng = np.random.default_rng(0)
    costs = {name: latency(name, 0.05 * (i + 1)) for i, name in enumerate(devices)}
    goals = [
        Goal(
            tuple(
                Cap(cost=cost, target=target * (i + 1), device=name, source=f"fake:{name}")
                for i, (name, cost) in enumerate(costs.items())
            )
        )
        for target in targets
    ]
    drawn = MOBILE.sample(40 * count, rng)
    loads = goals[-1].loads(drawn)
    rows = np.concatenate([np.argsort(loads)[:40], np.flatnonzero(loads <= 1)[:count]])
    archs = drawn.take(np.unique(rows))
    accuracy = accuracies(archs, IMAGES, 1)
    finalists = archs.take(np.argsort(-accuracy)[:12]).concat(archs.take(slice(0, 20))).unique()
    again = accuracies(finalists, AGAIN, 2)
    errors = standard_errors(again, AGAIN)
    winners = []
    for number, goal in enumerate(goals):
        fits = np.flatnonzero(goal.loads(finalists) <= 1)
        order = fits[np.argsort(-again[fits], kind="stable")]
        ranked = finalists.take(order)
        caps = summarise_caps(goal.caps, ranked.take(slice(0, 1)))
        winners.append(
            Winner(
                arch=ranked[0],
                caps=caps,
                macs_m=float(MacsCost(MOBILE).price(ranked)[0]),
                predicted_ms=caps[0].predicted,
                upper_ms=caps[0].upper,
                accuracy=float(again[order[0]]),
                error=float(errors[order[0]]),
                runner_up=ranked[1],
                confidence=0.81 - 0.1 * number,
                test_accuracy=74.18,
                measured=timed(goal, ranked) if guided else (),
            )
        )
    points = summarise_archs(MOBILE, finalists, again, goals[0].latency, goals[0].caps)
    return SearchPage(
        result=result(
            winners,
            front=front_of(points),
            evaluations=len(archs),
            agreement=Agreement(tau=0.634, archs=len(archs) - 60) if guided else None,
        ),
        space=MOBILE,
        goals=Goals(tuple(goals)),
        archs=archs,
        accuracy=accuracy,
        images=IMAGES,
        again=dict(zip(finalists, errors.tolist(), strict=True)),
        foreseen=accuracies(archs, 2000, 3)[60:] if guided else np.empty(0),
        judged=accuracy[60:] if guided else np.empty(0),
        took_s=1234.0,
    )


def result(winners: list[Winner], **changes: Any) -> SearchResult:
    """A result with the figures of its first winner."""
    first = winners[0]
    facts: dict[str, Any] = {
        "space": "mobile",
        "data": "imagenet:/data/imagenet",
        "classes": 1000,
        "arch": first.arch,
        "predicted_ms": first.predicted_ms,
        "upper_ms": first.upper_ms,
        "macs_m": first.macs_m,
        "accuracy": first.accuracy,
        "test_accuracy": first.test_accuracy,
        "search_images": AGAIN,
        "test_images": 50_000,
        "caps": first.caps,
        "winners": tuple(winners),
        "run": "runs/20260101-110000",
        "seed": 0,
        "complete": True,
    }
    return SearchResult(**{**facts, **changes})


def proxy() -> SearchPage:
    """A page of a search by a proxy, under a cap on multiply-accumulates, of hostile names."""
    archs = MOBILE.sample(300, np.random.default_rng(5))
    cost = MacsCost(MOBILE)
    archs = archs.take(cost.price(archs) <= 900)
    score = np.log(cost.price(archs)) ** 2
    goal = Goal((Cap(cost=cost, target=900.0),))
    best = archs.take(np.argsort(-score)[:1])
    winner = Winner(
        arch=best[0],
        caps=summarise_caps(goal.caps, best),
        macs_m=float(cost.price(best)[0]),
        predicted_ms=None,
        upper_ms=None,
        accuracy=float(score.max()),
        error=0.0,
    )
    return SearchPage(
        result=result(
            [winner],
            space=EVIL,
            data="",
            run="",
            front=front_of(summarise_archs(MOBILE, archs, score, None, goal.caps)),
            evaluations=len(archs),
            accuracy_source="proxy <i>macs</i>",
            search_images=0,
            test_images=0,
            complete=False,
        ),
        space=MOBILE,
        goals=Goals((goal,)),
        archs=archs,
        accuracy=score,
    )
