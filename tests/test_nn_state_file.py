"""Weights in files of others, wherever their training scripts put them."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from elasticvit.errors import CheckpointError
from elasticvit.nn.state_file import read_state_file
from elasticvit.nn.timm_weights import timm_weights_format

FORM = timm_weights_format("weights")
WEIGHTS = {"a.weight": torch.ones(2, 3), "a.count": torch.tensor(7)}
AVERAGE = {name: value * 2 for name, value in WEIGHTS.items()}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (WEIGHTS, ""),
        ({"state_dict": WEIGHTS, "epoch": 3, "optimizer": {"state": {}}}, "state_dict"),
        ({"model": WEIGHTS, "model_ema": None}, "model"),
        ({"model": {"state_dict": WEIGHTS}}, "model.state_dict"),
        ({"state_dict": {f"module.{k}": v for k, v in WEIGHTS.items()}}, "state_dict"),
        ({f"module._orig_mod.{k}": v for k, v in WEIGHTS.items()}, ""),
        ({k: v.half() if v.is_floating_point() else v for k, v in WEIGHTS.items()}, ""),
    ],
)
def test_the_table_of_weights_is_found(tmp_path: Path, content, place: str) -> None:
    torch.save(content, tmp_path / "theirs.pth")
    found = read_state_file(tmp_path / "theirs.pth", FORM)
    assert found.place == place
    assert not found.averaged
    assert found.weights.keys() == WEIGHTS.keys()
    assert all(torch.equal(found.weights[name], value) for name, value in WEIGHTS.items())
    assert found.weights["a.weight"].dtype == torch.float32


def test_the_moving_average_is_taken_where_there_is_one(tmp_path: Path) -> None:
    torch.save({"state_dict": WEIGHTS, "model_ema": AVERAGE}, tmp_path / "theirs.pth")
    found = read_state_file(tmp_path / "theirs.pth", FORM)
    assert (found.place, found.averaged) == ("model_ema", True)
    assert torch.equal(found.weights["a.weight"], AVERAGE["a.weight"])


def test_safetensors_are_read_as_well(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "theirs.safetensors")
    assert read_state_file(tmp_path / "theirs.safetensors", FORM).weights.keys() == WEIGHTS.keys()


@pytest.mark.parametrize(
    "content",
    [{"epoch": 3, "arch": "vit"}, {"state_dict": {"a": 1.0}}, [1, 2], torch.ones(2), {}],
)
def test_a_file_without_weights_is_refused(tmp_path: Path, content) -> None:
    torch.save(content, tmp_path / "theirs.pth")
    with pytest.raises(CheckpointError, match=r"theirs\.pth is not weights of a network"):
        read_state_file(tmp_path / "theirs.pth", FORM)


def test_what_training_scripts_keep_beside_the_weights_is_no_obstacle(tmp_path: Path) -> None:
    beside = {"args": argparse.Namespace(lr=0.1, widths=[1, 2]), "metric": np.float64(77.5)}
    torch.save({"state_dict": WEIGHTS, "epoch": 3, **beside}, tmp_path / "theirs.pth.tar")
    found = read_state_file(tmp_path / "theirs.pth.tar", FORM)
    assert found.weights.keys() == WEIGHTS.keys()


def test_the_form_of_old_is_named(tmp_path: Path) -> None:
    path = tmp_path / "theirs.pth"
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"the form that torch had before 1\.6"):
        read_state_file(path, FORM)
