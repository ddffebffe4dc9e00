"""What a person should know about the numbers behind a price before trusting it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elasticvit.space import SearchSpace
    from predictors.predictor import Predictor


def origin(predictor: Predictor) -> str:
    """Where a predictor's numbers come from."""
    from lut.store import IMPORTED

    source = predictor.source
    if source.startswith(IMPORTED):
        source = f"{source.removeprefix(IMPORTED)}, imported"
        if not predictor.report.get("recorded", True):
            source += ", conditions unrecorded"
    like = predictor.report.get("like")
    if like:
        count = predictor.report.get("kernels", 0)
        source += f", {count} kernels measured and the rest learnt from {', '.join(like)}"
    return source


def remarks(predictor: Predictor, space: SearchSpace) -> list[str]:
    """In what a predictor's prices of a space differ from what will run."""
    from elasticvit.cost import space_kernels
    from elasticvit.kernels import Head
    from predictors.kernel_table import KernelTable

    table = predictor.kernels
    if not isinstance(table, KernelTable):
        return []
    read = {
        (kernel.classes, found.classes)
        for kernel in space_kernels(space)
        if isinstance(kernel, Head) and isinstance(found := table.find(kernel), Head)
    }
    return [
        f"a head of {classes} classes is priced on {predictor.device} at the {known} classes of "
        "its table, which is a little too slow"
        for classes, known in sorted(read)
        if classes != known
    ]
