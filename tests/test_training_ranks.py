"""Processes that are not started as torchrun starts them."""

from __future__ import annotations

import pytest

from elasticvit.errors import TrainingError
from elasticvit.training.ranks import joined


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'; it must be a whole number"),
        ({"WORLD_SIZE": "2", "RANK": "first"}, "RANK is 'first'; it must be a whole number"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "cannot be joined.*MASTER_ADDR.*with torchrun"),
    ],
)
def test_a_wrong_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match=message), joined():
        pass
