"""Rounds of a device whose speed moves, corrected for background load by its calibration models."""

import json

import numpy as np
import pandas as pd
import pytest

from lut.steady import AT_QUANTILE, Rounds, steady_ms

MODELS = 40


def table(seed: int = 0, rounds: int = 4, noise: float = 0.01) -> tuple[pd.DataFrame, np.ndarray]:
    """Rounds of models on a device that neighbours slow, and what each model really takes there.

    A kernel feels the slowing of the caches alone; a subnet that of the memory as well, the
    smaller the more.
    """
    rng = np.random.default_rng(seed)
    rows = []
    true_ms = np.exp(rng.uniform(-1, 3, MODELS))
    caches, memory = np.abs(rng.normal(0, 0.15, (2, MODELS, rounds)))
    for model, ms in enumerate(true_ms):
        kind = "subnet" if model % 2 else "ffn"
        for number in range(rounds):
            c, m = caches[model, number], memory[model, number]
            slow = c if kind == "ffn" else 0.5 * c + (1.0 - 0.2 * np.log(ms)) * m
            runs = {"cached": [200 * np.exp(c)], "fetching": [1500 * np.exp(m)]}
            rows.append(
                {
                    "key": f"{kind} {model}",
                    "kind": kind,
                    "round": number,
                    "round_ms": ms * np.exp(slow + noise * rng.standard_normal()),
                    "calibration_us": json.dumps(runs),
                }
            )
    return pd.DataFrame(rows), np.repeat(true_ms, rounds)


def steady(frame: pd.DataFrame) -> np.ndarray:
    return steady_ms(Rounds.of_table(frame))


def spread(frame: pd.DataFrame, values: np.ndarray) -> float:
    logs = pd.Series(np.log(values)).groupby(frame["key"].to_numpy())
    return float(logs.std().mean())


def test_the_rounds_of_a_model_agree_afterwards() -> None:
    frame, _ = table()
    assert spread(frame, frame["round_ms"].to_numpy()) > 0.08
    assert spread(frame, steady(frame)) < 0.02


def test_models_keep_their_levels() -> None:
    frame, true_ms = table()
    ratio = np.log(steady(frame) / true_ms)
    kernels = frame["kind"] == "ffn"
    # the steady speed is that of the readings' lower quartile, so a little slower than undisturbed
    slow = [np.log(json.loads(g)["cached"][0] / 200) for g in frame["calibration_us"]]
    assert ratio[kernels].mean() == pytest.approx(np.quantile(slow, AT_QUANTILE), abs=0.01)
    assert ratio[kernels].std() < 0.02
    assert ratio[~kernels].std() < 0.04


def test_a_model_that_is_slower_is_told_to_be_slower() -> None:
    frame, _ = table()
    before = steady(frame)
    one = (frame["key"] == "ffn 4").to_numpy()
    frame.loc[one, "round_ms"] *= 1.3
    after = steady(frame)
    assert after[one] / before[one] == pytest.approx(1.3, rel=0.01)
    assert after[~one] / before[~one] == pytest.approx(1.0, rel=0.01)


def test_without_calibration_models_nothing_is_changed() -> None:
    frame, _ = table()
    frame["calibration_us"] = None
    assert steady(frame).tolist() == frame["round_ms"].tolist()


def test_rows_of_other_calibration_models_are_judged_among_themselves() -> None:
    frame, _ = table()
    alone = steady(frame)
    other = frame.assign(key="other " + frame["key"], calibration_us='{"another": [5.0]}')
    both = steady(pd.concat([frame, other], ignore_index=True))
    assert both[: len(frame)] == pytest.approx(alone)
    # a calibration model whose time never moves says nothing
    assert both[len(frame) :] == pytest.approx(frame["round_ms"].to_numpy())


def test_few_rounds_are_left_alone() -> None:
    frame, _ = table()
    few = frame.head(20)
    assert steady(few).tolist() == few["round_ms"].tolist()
    once = frame[frame["round"] == 0]
    assert steady(once).tolist() == once["round_ms"].tolist()


def test_an_empty_table() -> None:
    frame, _ = table()
    assert steady(frame.head(0)).shape == (0,)
