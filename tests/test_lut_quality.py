"""How far a table can be trusted: its noise floor and its drift."""

from dataclasses import replace

import pytest

from devices.protocol import Measurement
from lut.quality import drift, timed_twice
from lut.store import Store


def test_the_noise_floor_compares_independent_rounds(tmp_path) -> None:
    key = "subnet 1 a 1"
    row = Measurement(
        key=key,
        samples_us=(100.0,),
        round=0,
        threads=1,
        cores="0",
        source="fake:x",
        runtime="",
        runtime_hash="",
        time_s=0.0,
    )
    with Store(tmp_path / "lut.sqlite") as store:
        for number, level in enumerate((100.0, 110.0, 104.0, 121.0, 5.0)):
            store.add("fake", replace(row, round=number, samples_us=(level,)))
        store.add("fake", replace(row, key="subnet 1 a 2"))
        frame = store.measurements("fake")
    first, second = timed_twice(frame, {key, "subnet 1 a 2"})
    assert first.tolist() == pytest.approx([0.102])  # rounds 0 and 2; the odd one out is dropped
    assert second.tolist() == pytest.approx([0.1155])
    found = drift(frame, key)
    assert found is not None
    assert found.count == 5
    assert found.median_ms == pytest.approx(0.104)
    assert drift(frame, "no such key") is None
