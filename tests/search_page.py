"""Contents of the report of a search, made from real costs and made-up accuracies."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import MacsCost, space_kernels
from elasticvit.searching.caps import Cap
from elasticvit.searching.goal import Goal
from elasticvit.searching.judge import Judged
from elasticvit.searching.report_data import Judgements, SearchPage
from elasticvit.searching.summary import summarise_caps
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
    truth = 0.82 - 0.35 * np.exp(-MacsCost(MOBILE).price(archs) / 300) - 0.02
    rng = np.random.default_rng(seed)
    return np.asarray(100 * rng.binomial(images, truth) / images, dtype=np.float64)


def winner(goal: Goal, judged: Judgements, verified: bool) -> Winner:
    """The best of the judged ones for a goal."""
    fits = np.flatnonzero(goal.loads(judged.archs) <= 1)
    order = fits[np.argsort(-judged.judged.accuracy[fits], kind="stable")]
    best = judged.archs.take(order[:1])
    caps = summarise_caps(goal.caps, best)
    timed = tuple(
        Measured(
            arch=judged.archs[int(row)],
            device=cap.device,
            source=cap.source or "",
            target_ms=cap.target,
            predicted_ms=float(cap.cost.price(judged.archs.take(order[i : i + 1]))[0]),
            measured_ms=cap.target * (1.03 - 0.04 * i),
            low_ms=cap.target * (1.01 - 0.04 * i),
            high_ms=cap.target * (1.05 - 0.04 * i),
            rounds=9,
            kept=i > 0,
        )
        for cap in goal.caps
        if cap.device is not None
        for i, row in enumerate(order[:3])
    )
    return Winner(
        arch=best[0],
        caps=caps,
        macs_m=float(MacsCost(MOBILE).price(best)[0]),
        predicted_ms=caps[0].predicted if caps[0].unit == "ms" else None,
        upper_ms=caps[0].upper if caps[0].unit == "ms" else None,
        accuracy=float(judged.judged.accuracy[order[0]]),
        error=float(judged.judged.error[order[0]]),
        runner_up=judged.archs[int(order[1])],
        confidence=0.81,
        test_accuracy=74.18,
        measured=timed if verified else (),
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
    slowness = {name: 0.05 * (i + 1) for i, name in enumerate(devices)}
    costs = {name: latency(name, slow) for name, slow in slowness.items()}
    goals = [
        Goal(
            tuple(
                Cap(cost=c, target=target * (i + 1), device=n, source=f"fake:{n}")
                for i, (n, c) in enumerate(costs.items())
            )
        )
        for target in targets
    ]
    drawn = MOBILE.sample(40 * count, rng)
    keeps = np.flatnonzero(goals[-1].loads(drawn) <= 1)[:count]
    cheap = np.argsort(goals[-1].loads(drawn))[:40]
    archs = drawn.take(np.concatenate([cheap, keeps])).unique()
    archs = archs.take(rng.permutation(len(archs)))
    evaluated = Judgements.of_shares(archs, accuracies(archs, IMAGES, 1), IMAGES)
    best = archs.take(np.argsort(-evaluated.judged.accuracy)[:12]).concat(archs.take(slice(0, 20)))
    best = best.unique()
    finalists = Judgements.of_shares(best, accuracies(best, AGAIN, 2), AGAIN)
    said = np.where(np.arange(len(archs)) < 60, np.nan, accuracies(archs, 2000, 3))
    return SearchPage(
        name="20260101-120000",
        space=MOBILE,
        data="imagenet:/data/imagenet",
        weights="runs/20260101-110000",
        source="accuracy with the supernet's weights",
        evaluated=evaluated,
        finalists=finalists,
        predicted=said if guided else None,
        agreement=Agreement(tau=0.634, archs=len(archs) - 60) if guided else None,
        goals=goals,
        winners=[winner(goal, finalists, guided) for goal in goals],
        test_images=50_000,
        took_s=1234.0,
    )


def proxy() -> SearchPage:
    """A page of a search by a proxy, under a cap on multiply-accumulates, of hostile names."""
    archs = MOBILE.sample(300, np.random.default_rng(5))
    cost = MacsCost(MOBILE)
    archs = archs.take(cost.price(archs) <= 900)
    score = np.log(cost.price(archs)) ** 2
    judged = Judgements(archs=archs, judged=Judged(accuracy=score, error=np.zeros(len(archs))))
    goal = Goal((Cap(cost=cost, target=900.0),))
    best = archs.take(np.argsort(-score)[:1])
    return SearchPage(
        name="<b>bold</b>",
        space=MOBILE,
        data=EVIL,
        weights=None,
        source="capacity <proxy>",
        proxy=True,
        evaluated=judged,
        goals=[goal],
        winners=[
            Winner(
                arch=best[0],
                caps=summarise_caps(goal.caps, best),
                macs_m=float(cost.price(best)[0]),
                predicted_ms=None,
                upper_ms=None,
                accuracy=float(score.max()),
                error=0.0,
            )
        ],
        complete=False,
        notes=["<i>slanted</i>"],
    )
