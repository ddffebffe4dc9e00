"""Linear algebra of small matrices on one thread.

A Cholesky factor of one or two hundred rows takes a tenth of a millisecond. numpy and scipy each
bring an OpenBLAS with threads of its own, which wait for each other, and for those of torch, by
spinning: on all threads our fits take up to twice as long (`benchmarks/blas_threads.py`), and
where calls of numpy and scipy alternate quickly, 25 times.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within this, numpy and scipy multiply and factor matrices on one thread. The setting is the
    process's, and is put back at the end; torch's threads are not touched on x86-64.

    As a decorator (`@one_blas_thread()`) it holds for each call of a function.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        yield
