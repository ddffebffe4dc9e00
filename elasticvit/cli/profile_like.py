"""`evit-profile --like`: a new device from known ones and a few chosen kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from elasticvit.cli.profile_fit import SUBNETS, Errors
from elasticvit.cli.sources import origin
from elasticvit.errors import EvitError, PredictorError
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.space import SearchSpace
    from lut.dataset import Dataset
    from lut.plan import PlanConfig
    from lut.store import Store
    from predictors.predictor import Predictor
    from predictors.relatives import Relatives

DEFAULT_KERNELS = 50
FEW_SUBNETS = 12  # timed besides: they show what a sum of kernels misses
MIN_KERNELS = 3


def like_names(
    like: str | None, budget_kernels: int | None, devices: Sequence[str]
) -> tuple[str, ...]:
    """The known devices that `--like` names; none without it.

    Raises:
        EvitError: a list that is empty or repeats itself or the device, or too few kernels.
    """
    if like is None:
        if budget_kernels is not None:
            raise EvitError(
                f"--budget-kernels {budget_kernels} is for a device learnt from known ones; name "
                "them with --like, or limit a profile of its own with --budget-minutes"
            )
        return ()
    names = tuple(name.strip() for name in like.split(","))
    if not all(names):
        raise EvitError(f"--like {like!r} has an empty name; write it as --like pixel4,xiaomi11")
    if len(set(names)) < len(names):
        raise EvitError(f"--like {like}: one is named twice; name each once")
    for name in devices:
        if name in names:
            raise EvitError(
                f"{name} cannot be learnt from itself; name other devices with --like, or leave it "
                "out"
            )
    if budget_kernels is not None and budget_kernels < MIN_KERNELS:
        raise EvitError(
            f"--budget-kernels {budget_kernels}: at least {MIN_KERNELS} kernels have to be timed "
            f"to learn a device from others; {DEFAULT_KERNELS} is a good number"
        )
    return names


@dataclass(frozen=True)
class FewShot:
    """How new devices are learnt.

    Attributes:
        space: what they are measured on.
        origins: where each known device's numbers come from, by its name.
        relatives: the known devices.
        count: kernels to choose for measuring.
    """

    space: SearchSpace
    origins: Mapping[str, str]
    relatives: Relatives
    count: int

    @classmethod
    def of(
        cls, folder: Workspace, names: Sequence[str], space: SearchSpace, count: int | None
    ) -> FewShot:
        """Learn from the devices of these names.

        Raises:
            PredictorError: one has no predictor in the workspace, or lacks kernels of the space.
        """
        from lut.sample import reachable_kernels
        from predictors.predictor import load_device
        from predictors.relatives import Relatives

        kernels = reachable_kernels(space)
        known = {name: load_device(folder, name) for name in names}
        for name, predictor in known.items():
            outside = predictor.outside(kernels)
            if outside:
                raise PredictorError(
                    f"{name} is no help here: {outside[0].key} and {len(outside) - 1} more kernels "
                    f"of space {space.name} lie outside what is known of it; profile it longer, or "
                    "name another device with --like"
                )
        origins = {name: origin(predictor) for name, predictor in known.items()}
        relatives = Relatives.of({name: p.kernels for name, p in known.items()}, space)
        return cls(space, origins, relatives, count or DEFAULT_KERNELS)

    def plan(self, store: Store, device: str, config: PlanConfig) -> PlanConfig:
        """What to measure of a device: the most informative kernels, none of them held out, and a
        few whole subnets.

        The choice is the same in every run, and a larger number of kernels begins with the same
        ones.

        Raises:
            EvitError: more kernels than there are.
        """
        import numpy as np

        from lut.dataset import split_of
        from lut.sample import Split
        from predictors.transfer import Transfer

        noted = store.noted(device, "split_seed")
        split = split_of(store, device) if noted else Split(seed=config.seed)
        free = [k for k in self.relatives.kernels if not split.held_out(k.key)]
        if self.count > len(free):
            raise EvitError(
                f"--budget-kernels {self.count}: space {self.space.name} has {len(free)} kernels "
                f"that may be chosen; name fewer, or leave --like out to profile {device} whole"
            )
        rng = np.random.default_rng(split.seed)
        chosen = Transfer(self.relatives).choose(self.count, rng, candidates=free)
        return replace(config, chosen=tuple(chosen), max_subnets=FEW_SUBNETS)

    def within(self, data: Dataset) -> Dataset:
        """The data without kernels of other spaces."""
        known = set(self.relatives.kernels)
        return replace(
            data,
            fit_kernels={k: ms for k, ms in data.fit_kernels.items() if k in known},
            held_kernels={k: ms for k, ms in data.held_kernels.items() if k in known},
        )

    def fit(self, device: str, data: Dataset) -> Predictor:
        """The predictor of a device from everything that was measured to fit with.

        Raises:
            PredictorError: too little was measured.
        """
        import numpy as np

        from predictors.fit import with_subnets
        from predictors.transfer import transfer_predictor

        learnt = transfer_predictor(
            data.fit_kernels,
            self.relatives,
            self.space,
            device=device,
            source=data.series.source,
            rng=np.random.default_rng(0),
        )
        return with_subnets(learnt, data.fit_subnets, self.space)

    def told(self, predictor: Predictor, data: Dataset, errors: Errors) -> list[str]:
        """What was learnt from what, and how sure it is: sentences for people."""
        sentences = [
            "known before: " + "; ".join(f"{name} ({o})" for name, o in self.origins.items()),
            f"{predictor.device} learnt from them, from {len(data.fit_kernels)} of its own kernels "
            f"of the {len(self.relatives.kernels)} in space {self.space.name}, and from "
            f"{len(data.fit_subnets)} whole subnets",
        ]
        i = predictor.interval
        if i.coverage is not None:
            checked = "" if SUBNETS in errors else "; no whole subnet was held out to check it"
            sentences.append(
                f"a whole subnet should take {100 * (i.lower - 1):+.1f} % to "
                f"{100 * (i.upper - 1):+.1f} % of its prediction, each bound with a chance of "
                f"{i.coverage:.0%}{checked}"
            )
        return sentences

    def result(self, predictor: Predictor, data: Dataset) -> dict[str, Any]:
        """What `told` tells, for JSON."""
        return {
            "like": dict(self.origins),
            "budget_kernels": self.count,
            "kernels": len(data.fit_kernels),
            "subnets": len(data.fit_subnets),
            "interval": predictor.interval.to_dict(),
        }
