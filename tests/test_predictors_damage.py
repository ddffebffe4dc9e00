"""Saved predictors that were damaged: one error that names the file, or the same prices."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutations import byte_mutations, mutations
from test_predictors_latency import tiny_predictor, tiny_table

from elasticvit.errors import PredictorError
from elasticvit.reading import SEAL, seal
from elasticvit.space import TINY
from predictors.predictor import Predictor, load_predictor
from predictors.saved import MANIFEST

__all__ = ["tiny_predictor", "tiny_table"]  # the fixtures of another file
BATCH = TINY.sample(20, np.random.default_rng(3))


def prices(predictor: Predictor) -> Any:
    return predictor.cost(TINY).price(BATCH)


@pytest.fixture(params=["tiny_predictor", "tiny_table"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    request.getfixturevalue(request.param).save(tmp_path)
    return tmp_path


def refused_or_equal(folder: Path, before: Any) -> str | None:
    """The message, which names the folder; None if the prices are those of before."""
    try:
        after = prices(load_predictor(folder))
    except PredictorError as error:
        assert str(folder) in str(error) or "profile the device again" in str(error)  # noqa: PT017
        assert error.next_step is not None or "update elasticvit" in str(error)  # noqa: PT017
        return str(error)
    np.testing.assert_array_equal(after, before)
    return None


def test_every_field_is_checked(saved: Path) -> None:
    path = saved / MANIFEST
    whole, before = json.loads(path.read_text()), prices(load_predictor(saved))
    for mutation in mutations(whole):
        path.write_text(json.dumps(mutation.document))
        message = refused_or_equal(saved, before)
        same = mutation.document == whole or mutation.field == SEAL
        assert message or same, f"{mutation.name} of {mutation.field}"


def test_every_field_has_a_rule_of_its_own(saved: Path) -> None:
    """Also where the checksum was made anew: wrong types and missing fields are named."""
    path = saved / MANIFEST
    whole = json.loads(path.read_text())
    named = 0
    for mutation in mutations(whole):
        if not mutation.broken or not isinstance(mutation.document, dict):
            continue
        if mutation.name in ("not a number", "infinite"):
            continue  # strict JSON has none
        optional = mutation.field.startswith(("report", "elasticvit", SEAL, "interval"))
        # which earlier versions left out
        optional |= mutation.field in ("precision", "cpu") and mutation.name == "missing"
        optional |= mutation.field.startswith("cpu.") and mutation.name == "missing"
        path.write_text(json.dumps(seal(mutation.document)))
        try:
            load_predictor(saved)
        except PredictorError as error:
            named += mutation.field.rpartition(".")[2].split("[")[0] in str(error)
        else:
            assert optional, f"{mutation.name} of {mutation.field}"
    assert named > 30


def test_every_byte_counts(saved: Path) -> None:
    before = prices(load_predictor(saved))
    for path in list(saved.iterdir()):
        whole = path.read_bytes()
        for _, data in byte_mutations(whole):
            path.write_bytes(data)
            refused_or_equal(saved, before)
        path.write_bytes(whole)
    assert refused_or_equal(saved, before) is None


def test_arrays_are_checked_even_if_their_checksum_is_right(saved: Path) -> None:
    whole = json.loads((saved / MANIFEST).read_text())
    with np.load(saved / whole["arrays"]["file"]) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for name, array in arrays.items():
        if not array.size:
            continue
        others: dict[str, Any] = {
            "missing": None,
            "other type": np.array(["abc"] * 3) if array.dtype.kind == "f" else np.ones(3),
            "other shape": array[None],
            "longer": np.concatenate([array, array]) if array.ndim else np.ones(2),
        }
        if array.dtype.kind == "f":
            others |= {"nan": array * np.nan, "infinite": array + np.inf}
        for what, other in others.items():
            buffer = io.BytesIO()
            rest = {k: v for k, v in arrays.items() if k != name}
            np.savez(buffer, **rest, **({} if other is None else {name: other}))
            data = buffer.getvalue()
            (saved / "other.npz").write_bytes(data)
            entry = {"file": "other.npz", "sha256": hashlib.sha256(data).hexdigest()}
            (saved / MANIFEST).write_text(json.dumps(seal({**whole, "arrays": entry})))
            lonely = name.endswith(("scales", "held_out")) and what == "longer"
            if lonely:  # their number does not matter
                continue
            with pytest.raises(PredictorError) as caught:
                load_predictor(saved)
            assert "other.npz" in str(caught.value), f"{name}: {what}"


def test_a_price_that_cannot_be_is_refused(tiny_table: Predictor, tmp_path: Path) -> None:
    tiny_table.save(tmp_path)
    whole = json.loads((tmp_path / MANIFEST).read_text())
    for constant in (1e300, -1e9):
        network = {**whole["network"], "subnet_ms": constant}
        (tmp_path / MANIFEST).write_text(json.dumps(seal({**whole, "network": network})))
        predictor = load_predictor(tmp_path)
        with pytest.raises(PredictorError, match="for a subnet, which cannot be"):
            predictor.cost(TINY)


def test_files_of_earlier_versions_have_no_checksum(saved: Path) -> None:
    path = saved / MANIFEST
    before = prices(load_predictor(saved))
    data = json.loads(path.read_text())
    del data[SEAL]
    path.write_text(json.dumps(data))
    np.testing.assert_array_equal(prices(load_predictor(saved)), before)
