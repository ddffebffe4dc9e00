"""Weights in files of others: a table of tensors by name, wherever a training script puts it.

A script saves the table itself, or a table of tables: the weights under `state_dict` or `model`,
often a moving average of them beside (EMA), the state of the optimiser, and what else it needs to
go on. The moving average is what such a training is evaluated with, so it is taken where there is
one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from elasticvit.nn.safetensors_file import read_safetensors
from elasticvit.nn.torch_file import load_torch_file
from elasticvit.reading import Format, shown

SAFETENSORS = ".safetensors"
AVERAGES = ("model_ema", "state_dict_ema", "ema_state_dict", "ema")
TABLES = ("state_dict", "model", "model_state_dict", "model_state", "net")
WRAPPERS = ("module.", "_orig_mod.")  # of training in parallel, and of compiled networks
LISTED = 5  # names that a message lists


@dataclass(frozen=True, kw_only=True, eq=False)
class StateFile:
    """The weights of a file.

    Attributes:
        weights: Parameters and statistics by name, without the prefixes of wrappers, in float32
            where they are of another floating type.
        place: Entry of the file that they were under; empty if they are the file itself.
    """

    weights: dict[str, Tensor]
    place: str

    @property
    def averaged(self) -> bool:
        """Whether they are the moving average of a training."""
        return self.place.split(".")[0] in AVERAGES


def read_state_file(path: Path, form: Format[Any]) -> StateFile:
    """The weights of a file of safetensors or of `torch.save`, read without running anything.

    Args:
        path: The file.
        form: What it should be.

    Raises:
        EvitError: The file is missing, truncated or damaged, holds things other than tensors and
            plain values, or no table of tensors; of the type `form.error`.
    """
    if path.suffix == SAFETENSORS:
        tensors, _ = read_safetensors(path, form)
        return StateFile(weights=_unwrapped(tensors), place="")
    data = load_torch_file(path, form)
    if not isinstance(data, Mapping):
        raise form.failure(f"{path} is not {form.what}: it holds {shown(data)}, no table")
    place, table = _table(data)
    wrong = [name for name, value in table.items() if not isinstance(value, Tensor)]
    if wrong or not table:
        entries = ", ".join(shown(str(name)) for name in list(data)[:LISTED]) or "no entry"
        raise form.failure(
            f"{path} is not {form.what}: it holds {entries}, and neither it nor "
            f"{', '.join(TABLES)} in it is a table of tensors alone"
        )
    return StateFile(weights=_unwrapped(table), place=place)


def names_in_short(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _table(data: Mapping[str, Any], place: str = "") -> tuple[str, Mapping[str, Any]]:
    """The innermost table of weights, and where it lies."""
    for name in (*AVERAGES, *TABLES):
        inner = data.get(name)
        if isinstance(inner, Mapping) and inner:
            return _table(inner, f"{place}.{name}" if place else name)
    return place, data


def _unwrapped(table: Mapping[str, Tensor]) -> dict[str, Tensor]:
    weights = {str(name): value for name, value in table.items()}
    found = True
    while found:
        found = False
        for prefix in WRAPPERS:
            if weights and all(name.startswith(prefix) for name in weights):
                weights = {name.removeprefix(prefix): value for name, value in weights.items()}
                found = True
    return {
        name: value.float() if value.is_floating_point() else value
        for name, value in weights.items()
    }
