"""Trainings of a moment through the train flow, and ways to stop them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from training_small import MICRO

from elasticvit.events import Event
from elasticvit.flows.train_events import TrainProgress

QUICK: dict[str, Any] = {"space": MICRO, "epochs": 1, "batch_size": 128, "threads": 1}


@pytest.fixture
def short_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticvit.training.probe.BUDGET_S", 0.0)


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """A data set of three classes in folders: images that are red, green or blue."""
    rng = np.random.default_rng(0)
    for label, colour in enumerate(("red", "green", "blue")):
        folder = tmp_path / "shapes" / colour
        folder.mkdir(parents=True)
        for i in range(40):
            pixels = rng.integers(0, 80, (12, 12, 3), dtype=np.uint8)
            pixels[..., label] += 150
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "shapes"


def at_step(step: int, act: Callable[[], None]) -> Callable[[Event], None]:
    """An event handler that acts after a step."""

    def handle(event: Event) -> None:
        if isinstance(event, TrainProgress) and event.done == step:
            act()

    return handle


class Enough(Exception):
    """What a caller raises to stop a flow."""


def enough() -> None:
    raise Enough
