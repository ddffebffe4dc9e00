"""State of the optimiser in a checkpoint, checked against the optimiser that goes on from it."""

from __future__ import annotations

from typing import Any

import msgspec
import torch
from torch import Tensor

from elasticvit.nn.weights import check_tensor
from elasticvit.reading import Format

MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW, in the shape of the parameter
STEP = "step"  # number of steps that a parameter took part in


class OptimiserState(msgspec.Struct, frozen=True, kw_only=True):
    """State of an AdamW optimiser, in the form of its `state_dict`.

    Attributes:
        state: Moments and number of steps of each parameter that was ever used, by its index.
        param_groups: Settings and parameter indices of each group.
    """

    state: dict[int, dict[str, Tensor]]
    param_groups: list[dict[str, Any]]

    @classmethod
    def of(cls, optimiser: torch.optim.Optimizer) -> OptimiserState:
        """The state of an optimiser; its tensors are shared."""
        return cls(**optimiser.state_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""
        return msgspec.structs.asdict(self)

    def restore(
        self, optimiser: torch.optim.Optimizer, step: int, where: str, form: Format[Any]
    ) -> None:
        """Give an optimiser this state. Its settings stay as they are, since they follow from
        the settings of the run and from the schedule.

        Args:
            optimiser: A new optimiser of the same run.
            step: Number of steps that the run has done.
            where: What a message calls the state: the file and its field.
            form: What the file should be.

        Raises:
            EvitError: The state is of another network, or holds numbers that cannot be; of the
                type `form.error`.
        """
        own = optimiser.state_dict()["param_groups"]
        for name in ("params", "weight_decay"):
            if [g.get(name) for g in self.param_groups] != [g[name] for g in own]:
                raise form.failure(
                    f"{where}.param_groups are of another network: their {name} differ"
                )
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        for index, found in self.state.items():
            place = f"{where}.state[{index}]"
            if not 0 <= index < len(parameters):
                raise form.failure(f"{place} is of no parameter; there are {len(parameters)}")
            if set(found) != {STEP, *MOMENTS}:
                raise form.failure(
                    f"{place} holds {', '.join(map(repr, found)) or 'nothing'}; it must hold "
                    f"{', '.join((STEP, *MOMENTS))}"
                )
            for name in MOMENTS:
                check_tensor(found[name], parameters[index], f"{place}.{name}", form)
            check_tensor(found[STEP], torch.tensor(0.0), f"{place}.{STEP}", form)
            taken = float(found[STEP])
            if not 0 <= taken <= step or not taken.is_integer():
                raise form.failure(
                    f"{place}.{STEP} is {taken:g}; it must be a whole number from 0 to {step}, "
                    "the steps of the run"
                )
            if (found["exp_avg_sq"] < 0).any():
                raise form.failure(f"{place}.exp_avg_sq holds negative numbers")
        # the fused step goes through parameter and moments in the order of their memory
        state = {
            index: {**found, **{n: _laid_out_like(found[n], parameters[index]) for n in MOMENTS}}
            for index, found in self.state.items()
        }
        optimiser.load_state_dict({"state": state, "param_groups": own})


def _laid_out_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A copy of a tensor in the memory format of a parameter."""
    return torch.empty_like(parameter, requires_grad=False).copy_(tensor)
