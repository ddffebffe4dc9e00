"""Predictions of a profiled device, as a person with a notebook asks for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import elasticvit as ev
from elasticvit.errors import ArchError, PredictorError
from elasticvit.space import TINY


@pytest.fixture(scope="module")
def latency(tmp_path_factory: pytest.TempPathFactory) -> ev.Latency:
    folder = tmp_path_factory.mktemp("latency") / "ws"
    found = ev.profile(
        device="fake", space="tiny", budget_minutes=0.2, rounds=2, workspace=folder
    ).devices["fake"]
    assert found.report is not None
    assert found.report.is_file()
    return ev.load_latency("fake", workspace=folder)


def test_one_architecture_by_every_name_it_has(latency: ev.Latency) -> None:
    arch = TINY.smallest
    first = latency.predict("smallest")
    assert isinstance(first.median_ms, float)
    for what in (arch, str(arch), arch.to_json(), f"  {arch}\n"):
        assert latency.predict(what) == first
    assert first.lower_ms is not None
    assert first.lower_ms <= first.median_ms <= first.upper_ms
    assert first.coverage == 0.95
    assert first.source == "fake:fake, 1 thread on cores auto"


def test_a_batch_is_priced_as_its_architectures(latency: ev.Latency) -> None:
    batch = TINY.sample(20, np.random.default_rng(0))
    many = latency.predict(batch)
    assert many.median_ms.shape == many.upper_ms.shape == many.lower_ms.shape == (20,)
    each = [latency.predict(arch) for arch in batch]
    assert many.median_ms == pytest.approx([p.median_ms for p in each])
    assert many.upper_ms == pytest.approx([p.upper_ms for p in each])
    assert many.lower_ms == pytest.approx([p.lower_ms for p in each])


def test_the_explanation_adds_up(latency: ev.Latency) -> None:
    frame = latency.explain("largest")
    assert list(frame.columns) == ["place", "kernel", "ms", "share"]
    assert frame["ms"].sum() == pytest.approx(latency.predict("largest").median_ms)
    assert frame["share"].sum() == pytest.approx(1.0)
    assert frame["place"].iloc[0] == "first.0.block"
    assert frame["place"].iloc[-1] == "subnet"


def test_other_numbers_of_classes_are_priced(latency: ev.Latency) -> None:
    ten = latency.predict("smallest").median_ms
    more = ev.Latency(latency.predictor, TINY.with_classes(1000)).predict("smallest").median_ms
    assert more > 0
    assert more != ten


def test_an_architecture_is_found_in_a_space_by_its_name() -> None:
    assert ev.find_arch("smallest", "mobile") == ev.find_space("mobile").smallest
    with pytest.raises(ev.EvitError, match="nowhere"):
        ev.find_arch("smallest", "nowhere")


def test_what_is_not_there_is_refused(latency: ev.Latency, tmp_path: Path) -> None:
    with pytest.raises(ArchError, match="no architecture 'elastic_S9'"):
        latency.predict("elastic_S9")
    with pytest.raises(ArchError, match="convolutional"):
        latency.predict("elastic_S1")
    with pytest.raises(PredictorError, match="no predictor of device 'pixel6'") as caught:
        ev.load_latency("pixel6", workspace=tmp_path / "ws")
    assert caught.value.next_step is not None
    assert not (tmp_path / "ws").exists()
    with pytest.raises(PredictorError, match="neither a table nor"):
        ev.load_latency(tmp_path / "nothing", workspace=tmp_path / "ws")
    with pytest.raises(PredictorError, match=r"nope\.csv is neither .*, and does not exist"):
        ev.load_latency("/nope.csv", workspace=tmp_path / "ws")
    for wrong in ([], ["smallest", "largest"], 3, None):
        with pytest.raises(ArchError, match="architecture is "):
            latency.predict(wrong)  # type: ignore[arg-type]
    with pytest.raises(PredictorError, match=r"xxx\.csv is neither a table"):
        ev.load_latency(f"{'x' * 300}.csv", workspace=tmp_path / "ws")
