"""Accuracies of architectures from a file, and a regression fitted to them for all others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kendalltau  # type: ignore[import-untyped]

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray, IndexArray
from elasticvit.errors import ArchError, DataError
from elasticvit.reading import MOST_BYTES, shown
from elasticvit.searching.accuracy_predictor import AccuracyPredictor, ArchFeatures
from elasticvit.searching.proxy import Score
from elasticvit.space import SearchSpace

COLUMNS = ("architecture", "accuracy")
ERROR = "error"  # column of the standard errors, if there is one
FEWEST = 10
MOST = 20_000  # fitted to; the fit takes the third power of it
FOLDS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class AccuracyTable:
    """Architectures with accuracies.

    Attributes:
        path: The file.
        space: The space.
        archs: The architectures, n of them, all distinct.
        accuracy: Their accuracies in percent, shape (n,).
        error: Standard errors of these, shape (n,); 0 where the file has none.
    """

    path: Path
    space: SearchSpace
    archs: ArchBatch
    accuracy: FloatArray
    error: FloatArray

    @classmethod
    def read(cls, path: Path, space: SearchSpace) -> AccuracyTable:
        """Read a CSV or parquet file with the columns `architecture` (text form), `accuracy`
        (percent) and, if known, `error` (standard error, in points).

        Raises:
            DataError: The file cannot be read, a column is missing, or a row breaks a rule; the row
                is named.
        """
        table = _read(path)
        missing = [name for name in COLUMNS if name not in table.columns]
        if missing:
            raise _refused(
                path,
                f"column {missing[0]} is missing; it has {shown(', '.join(table.columns))}",
            )
        if not FEWEST <= len(table) <= MOST:
            raise _refused(
                path, f"it has {len(table):,} rows; from {FEWEST} to {MOST:,} are needed"
            )
        archs = [
            _arch(path, number, text, space) for number, text in enumerate(table["architecture"], 1)
        ]
        accuracy = _numbers(path, table, "accuracy", 100.0)
        error = np.zeros(len(table))
        if ERROR in table.columns:
            error = _numbers(path, table, ERROR, 50.0)
        seen: dict[Arch, int] = {}
        for number, arch in enumerate(archs, 1):
            if arch in seen:
                raise _refused(
                    path, f"rows {seen[arch]} and {number} are both of {arch}; each is named once"
                )
            seen[arch] = number
        return cls(
            path=path, space=space, archs=ArchBatch.of(archs), accuracy=accuracy, error=error
        )

    def score(self, seed: int = 0) -> Score:
        """Expected accuracy of any architecture of the space, in percent."""
        predictor = self._fit(np.arange(len(self.archs)), seed)
        return lambda batch: np.clip(predictor.predict(batch)[0], 0, 100)

    @cached_property
    def about(self) -> str:
        """What the regression is worth, by cross-validation."""
        rng = np.random.default_rng(0)
        fold = rng.permutation(len(self.archs)) % FOLDS
        guess = np.empty(len(self.archs))
        for number in range(FOLDS):
            held = np.flatnonzero(fold == number)
            fitted = self._fit(np.flatnonzero(fold != number), number)
            guess[held] = fitted.predict(self.archs.take(held))[0]
        tau = float(kendalltau(guess, self.accuracy).statistic)
        rmse = float(np.sqrt(np.mean((guess - self.accuracy) ** 2)))
        return (
            f"a regression on {len(self.archs)} accuracies of {self.path}: on those that it was "
            f"not fitted to its error is {rmse:.2f} points and its rank correlation (Kendall's "
            f"tau) {tau:.2f}"
        )

    def _fit(self, rows: IndexArray, seed: int) -> AccuracyPredictor:
        return AccuracyPredictor.fit(
            ArchFeatures(self.space),
            self.archs.take(rows),
            self.accuracy[rows],
            self.error[rows],
            rng=np.random.default_rng(seed),
        )


def _read(path: Path) -> pd.DataFrame:
    if path.exists() and not path.is_file():
        raise _refused(path, "it is no file")
    if path.is_file() and (size := path.stat().st_size) > MOST_BYTES:
        raise _refused(path, f"it has {size:,} bytes, and at most {MOST_BYTES:,} are read")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path)
    except OSError as error:
        raise _refused(path, f"it cannot be read: {error.strerror or error}") from error
    except Exception as error:  # pandas and pyarrow raise many kinds for damaged files
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise _refused(path, f"it is no CSV or parquet table: {reason}") from error


def _arch(path: Path, number: int, text: object, space: SearchSpace) -> Arch:
    try:
        return space.check(Arch.parse(str(text)))
    except ArchError as error:
        raise _refused(path, f"row {number}, architecture {shown(text)}: {error}") from error


def _numbers(path: Path, table: pd.DataFrame, column: str, most: float) -> FloatArray:
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~((values >= 0) & (values <= most)))
    if len(bad):
        row = int(bad[0])
        raise _refused(
            path,
            f"row {row + 1}, {column} is {shown(table[column].iloc[row])}; it must be a number "
            f"from 0 to {most:g}",
        )
    return values


def _refused(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} is no table of accuracies: {why}. It needs the columns {' and '.join(COLUMNS)}, "
        f"and may have {ERROR}",
        settings=["accuracies"],
    )
