"""Origin of a predictor's measurements, and remarks on how its prices differ from reality."""

from __future__ import annotations

from elasticvit.cost import space_kernels
from elasticvit.kernels import Head
from elasticvit.precisions import in_words
from elasticvit.space import SearchSpace
from lut.series import IMPORTED
from predictors.kernel_table import KernelTable
from predictors.predictor import Predictor


def origin(predictor: Predictor) -> str:
    """Where a predictor's numbers come from, with threads and cores, and their precision unless
    that is fp32."""
    source, report = predictor.source, predictor.report
    if source.startswith(IMPORTED):
        source = f"{source.removeprefix(IMPORTED)}, imported"
    if not report.recorded:
        source += ", conditions unrecorded"
    else:
        source += f", {predictor.cpu or 'threads and cores not recorded'}"
    if report.like:
        source += (
            f", {report.kernels} kernels measured and the rest learnt from {', '.join(report.like)}"
        )
    return source + in_words(predictor.precision)


def remarks(predictor: Predictor, space: SearchSpace) -> list[str]:
    """Sentences about how a predictor's prices of a space differ from the subnets that will run."""
    table = predictor.kernels
    if not isinstance(table, KernelTable):
        return []
    read = set()
    for head in space_kernels(space):
        found = list(table.stand_ins(head))
        if isinstance(head, Head) and len(found) == 1 and isinstance(found[0], Head):
            read.add((head.classes, found[0].classes))
    return [
        f"a head of {classes} classes is priced on {predictor.device} at the {known} classes of "
        "its table, which is a little too slow"
        for classes, known in sorted(read)
        if classes != known
    ]
