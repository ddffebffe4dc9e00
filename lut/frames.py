"""The measurements of a series as data frames: one row a measurement, or one row a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import astuple

from lut.database import Database
from lut.estimate import latency_ms
from lut.row_types import COLUMNS, MeasurementRow, check_measurements
from lut.samples import check_samples
from lut.series import Series
from lut.steady import Rounds, steady_ms

if TYPE_CHECKING:
    import pandas as pd

DRIFT_ROUND = 1000  # from here on, rounds show drift and do not count for a model's latency


def measurement_frame(db: Database, series: Series) -> pd.DataFrame:
    """One row a measurement; see `lut.store.Store.measurements`.

    Raises:
        StoreError: A row is damaged.
    """
    import pandas as pd

    query = f"SELECT {', '.join(COLUMNS)} FROM measurements WHERE series = ? ORDER BY id"
    rows = db.records(MeasurementRow, "measurements", query, series.id)
    check_measurements(rows, db.where)
    runs = db.rows(
        "SELECT samples_us FROM measurements WHERE series = ? AND id <= ? ORDER BY id",
        *(series.id, rows[-1].id if rows else 0),
    )
    check_samples([blob for (blob,) in runs], rows, db.where)
    frame: pd.DataFrame = pd.DataFrame(map(astuple, rows), columns=COLUMNS)
    frame["steady_ms"] = steady_ms(Rounds.of_table(frame))
    frame["source"], frame["threads"] = series.source, series.threads
    return frame


def latency_frame(measurements: pd.DataFrame) -> pd.DataFrame:
    """One row a key; see `lut.store.Store.latencies`.

    Args:
        measurements: One row a measurement.
    """
    import pandas as pd

    by_key = measurements[measurements["round"] < DRIFT_ROUND].groupby("key", sort=True)
    rounds = by_key["steady_ms"]
    found = pd.DataFrame(
        {
            "kind": by_key["kind"].first(),
            "latency_ms": rounds.agg(latency_ms),
            "spread": rounds.max() / rounds.min() - 1,
            "rounds": rounds.size(),
            "runs": by_key["runs"].sum(),
            "source": by_key["source"].first(),
        }
    )
    whole: pd.DataFrame = found.reset_index()
    return whole
