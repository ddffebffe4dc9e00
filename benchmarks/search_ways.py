"""The searches that `search.py` compares. Each gives what it evaluated, in order, and the
accuracies that it then holds these for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from search_truth import Images

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.evolution import evolve
from elasticvit.searching.front_guide import guide_of
from elasticvit.searching.goal import Goals
from elasticvit.space import SearchSpace

Known = tuple[ArchBatch, FloatArray]


def guided(space: SearchSpace, goals: Goals, seen: Images, evaluations: int, seed: int) -> Known:
    """The guided search, with what its predictor makes of all that it saw."""
    config = EvolutionConfig.guided_by(evaluations, at_once=10_000)
    guide = guide_of(space=space, goals=goals, config=config, errors=seen.errors)
    rng = np.random.default_rng(seed)
    archive = evolve(space, goals, seen, config, rng=rng, propose=guide)
    return archive.archs, guide.fit(archive, rng).predict(archive.archs)[0]


def bred(space: SearchSpace, goals: Goals, seen: Images, evaluations: int, seed: int) -> Known:
    """The paper's evolution."""
    config = replace(EvolutionConfig.within(evaluations + 10), at_once=10_000)
    archive = evolve(space, goals, seen, config, rng=np.random.default_rng(seed))
    return archive.archs, archive.accuracy


def drawn(space: SearchSpace, goals: Goals, seen: Images, evaluations: int, seed: int) -> Known:
    """Random search."""
    rng = np.random.default_rng(seed)
    found = space.sample(0, rng)
    while len(found) < evaluations:
        more = space.sample(20_000, rng)
        found = found.concat(more.take(goals.loads(more) <= 1)).unique()
    found = found.take(rng.permutation(len(found))[:evaluations])
    return found, seen(found)


def sorted_out(
    space: SearchSpace, goals: Goals, seen: Images, evaluations: int, seed: int
) -> Known:
    """pymoo's NSGA-II over positions of the genes: accuracy and cost, the cap as a constraint."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling

    columns = [np.array(options) for options in space.choices]
    archs: dict[Arch, float] = {}

    class Genes(Problem):
        def __init__(self) -> None:
            most = np.array([len(options) - 1 for options in columns])
            super().__init__(n_var=len(columns), n_obj=2, n_ieq_constr=1, xl=0, xu=most, vtype=int)

        def _evaluate(self, x: Any, out: dict[str, Any], *_: Any, **__: Any) -> None:
            genes = np.stack([options[x[:, i]] for i, options in enumerate(columns)], axis=1)
            batch = space.repaired(genes)
            load = goals.loads(batch)
            values = np.zeros(len(batch))
            for row in np.flatnonzero(load <= 1):  # as with ours, pricing costs nothing
                arch = batch[int(row)]
                if arch not in archs and len(archs) < evaluations:
                    archs[arch] = float(seen(batch.take(slice(row, row + 1)))[0])
                values[row] = archs.get(arch, 0.0)
            out["F"] = np.stack([-values, load], axis=1)
            out["G"] = (load - 1)[:, None]

    algorithm = NSGA2(
        pop_size=min(64, max(12, evaluations // 5)),
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=0.9, eta=3, vtype=float, repair=RoundingRepair()),
        mutation=PM(eta=3, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    algorithm.setup(Genes(), termination=("n_gen", 10_000), seed=seed + 1, verbose=False)
    for _ in range(3000):
        if len(archs) >= evaluations or not algorithm.has_next():
            break
        algorithm.next()
    return ArchBatch.of(list(archs)), np.array(list(archs.values()))


WAYS: dict[str, Callable[[SearchSpace, Goals, Images, int, int], Known]] = {
    "guided": guided,
    "evolution": bred,
    "random": drawn,
    "nsga2": sorted_out,
}
