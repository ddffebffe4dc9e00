"""Exports of weights that were not searched here: out of a supernet, and of timm's networks."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from click.testing import CliRunner, Result
from export_models import randomised
from safetensors.torch import save_file
from torch import nn

from elasticvit.cli.export import main
from elasticvit.errors import ExportError, SettingError
from elasticvit.events import Event, Notice
from elasticvit.flows.export import export
from elasticvit.flows.export_settings import ExportSettings
from elasticvit.flows.export_subject import Fitting
from elasticvit.flows.export_supernet import supernet_subject
from elasticvit.nn import Supernet
from elasticvit.nn.authors import authors_name
from elasticvit.nn.blocks import AUTHORS
from elasticvit.nn.timm_network import TimmNetwork
from elasticvit.space import MOBILE, SearchSpace
from elasticvit.workspace import Workspace
from export.blame import blamed_module
from export.bundle import load_bundle
from export.conversion import for_any_network

TINY_TIMM = "test_efficientnet"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "evit"


def run(root: Path, *options: str) -> Result:
    """The command in a workspace, with the device that answers at once."""
    Workspace.open(root)
    arguments = ["--workspace", str(root), "--device", "fake", "--images", "20", *options]
    return CliRunner().invoke(main, arguments)


def said(result: Result) -> str:
    return " ".join(result.output.split())


def exported(root: Path, *options: str):
    """What the command says, its closing line and the card."""
    result = run(root, "--json", *options)
    assert result.exit_code == 0, result.output
    card = load_bundle(Workspace.open(root).latest("export"))[1]
    return said(result), json.loads(result.stdout.strip().splitlines()[-1]), card


# -- an architecture out of a supernet


def test_an_architecture_of_a_supernet_is_exported_without_a_search(root: Path) -> None:
    options = ("--supernet", "tiny-cifar10", "--arch", "smallest")
    told, closing, card = exported(root, *options)
    assert "compared with torch on at most 64 random images" in told
    assert "batch norms keep the supernet's statistics" in told
    assert card.parity.images == 20
    assert card.parity.max_rel_diff < 1e-4
    assert card.parity.torch_accuracy is closing["exported_accuracy"] is None
    assert card.labels[:2] == ("airplane", "automobile")
    assert card.sources["recalibrated"] is False
    assert closing["network"] == str(card.arch)
    assert (card.input.fit, card.input.crop) == ("crop_then_resize", 1.0)  # as it was trained
    readme = (Workspace.open(root).latest("export") / "README.md").read_text()
    assert "no accuracy is known" in readme
    assert "accuracy of torch" not in readme


def test_with_data_it_is_recalibrated_and_judged(root: Path) -> None:
    options = ("--supernet", "tiny-cifar10", "--arch", "smallest", "--data", "digits")
    told, _, card = exported(root, *options)
    assert "random images" not in told
    assert card.parity.torch_accuracy is not None
    assert card.sources["recalibrated"] is True
    assert card.labels == tuple("0123456789")


@pytest.fixture
def small_mobile(monkeypatch: pytest.MonkeyPatch) -> SearchSpace:
    """The authors' space with two resolutions, and fewer and narrower blocks."""
    choices = [(64, 128), *((c[0],) for c in MOBILE.choices[1:-1]), (2, 3)]
    small = SearchSpace("mobile", MOBILE.with_classes(7).layout, tuple(choices))
    monkeypatch.setattr("elasticvit.nn.authors_file.MOBILE", small)
    return small


@pytest.fixture
def theirs(tmp_path: Path, small_mobile: SearchSpace) -> Path:
    """A checkpoint as the authors' training writes it."""
    supernet = randomised(Supernet(small_mobile, AUTHORS))
    state = {authors_name(n): t for n, t in supernet.state_dict().items()}
    content = {
        "epoch": 9,
        "state_dict": {f"module.{name}": torch.zeros_like(t) for name, t in state.items()},
        "optimizer": {"state": {0: {"step": 3}}, "param_groups": [{"lr": 0.1}]},
        "bank": [[[[128], [16, 24]], 0.5]],
        "arch": "supernet",
        "extras": {"top1": 0},
        "model_ema": {**state, "pre_head_9.weight": torch.zeros(2)},
    }
    torch.save(content, tmp_path / "theirs.pth.tar")
    return tmp_path / "theirs.pth.tar"


def test_the_authors_checkpoint_gives_a_subnet(root: Path, theirs: Path) -> None:
    options = ("--official-checkpoint", str(theirs), "--arch", "smallest")
    told, _, card = exported(root, *options)
    assert "the weights are the moving average of the training (model_ema)" in told
    assert "unknown names: pre_head_9.weight" in told
    assert card.parity.max_rel_diff < 1e-4
    assert card.labels == tuple("0123456")
    assert card.input.mean == (0.485, 0.456, 0.406)
    assert (card.input.fit, card.input.crop) == ("resize_then_crop", 1.0)
    same = supernet_subject(ExportSettings(supernet=theirs, arch="smallest"), None)
    assert same.images().class_names == card.labels
    large = supernet_subject(ExportSettings(supernet=theirs, arch="largest"), None)
    assert large.fitting == Fitting(fit="resize_then_crop", crop=0.9)


def test_what_an_authors_checkpoint_lacks_is_listed(root: Path, theirs: Path) -> None:
    content = torch.load(theirs)
    content["model_ema"].pop("first_conv.weight")
    torch.save(content, theirs)
    result = run(root, "--official-checkpoint", str(theirs), "--arch", "smallest")
    assert result.exit_code == 2
    assert "lacks first_conv.weight, and has the unknown pre_head_9.weight" in said(result)
    assert "--official-checkpoint:" in result.output


def test_data_of_other_classes_is_refused(root: Path, theirs: Path) -> None:
    options = ("--official-checkpoint", str(theirs), "--arch", "smallest", "--data", "digits")
    result = run(root, *options)
    assert result.exit_code == 2
    assert "digits has 10 classes, the weights of" in said(result)


def test_an_architecture_outside_the_space_is_refused(root: Path) -> None:
    result = run(root, "--supernet", "tiny-cifar10", "--arch", "elastic_T1")
    assert result.exit_code == 2
    assert "the space of tiny-cifar10" in said(result)
    assert "--arch:" in result.output


def test_eight_bit_ranges_are_not_taken_from_random_images(root: Path) -> None:
    options = ("--supernet", "tiny-cifar10", "--arch", "smallest", "--precision", "int8-full")
    result = run(root, *options)
    assert result.exit_code == 2
    assert "there is no data set: random images would give wrong ones" in said(result)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arch": "smallest"}, "arch is given without supernet or official_checkpoint"),
        ({"supernet": "tiny-cifar10"}, "supernet is given without arch"),
        ({"weights": "a.pth"}, "weights is given without timm"),
        ({"data": "digits"}, "data is given without"),
        ({"resolution": 64}, "resolution is given without timm"),
        (
            {"timm": "resnet18", "resolution": 4},
            "resolution is 4; it must be a whole number from 8 to",
        ),
        ({"timm": "resnet18", "search": "a"}, "search and timm each name a network"),
        ({"timm": ""}, "timm is ''; it must be the name"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        ExportSettings(**settings)


# -- networks of timm's


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small network of timm's for ten classes."""
    torch.manual_seed(0)
    network = randomised(timm.create_model(TINY_TIMM, num_classes=10))
    path = tmp_path_factory.mktemp("timm") / "weights.safetensors"
    save_file(network.state_dict(), path)
    return path


def test_a_network_of_timms_is_exported_with_its_weights(root: Path, weights: Path) -> None:
    options = ("--timm", TINY_TIMM, "--weights", str(weights), "--data", "digits")
    told, closing, card = exported(root, *options, "--format", "onnx")
    assert "random" not in told
    assert (card.arch, card.layout, card.model) == (None, None, TINY_TIMM)
    assert closing["network"] == card.title == TINY_TIMM
    assert card.input.shape == (1, 160, 160, 3)
    assert card.input.std == (0.229, 0.224, 0.225)
    assert (card.classes, card.labels) == (10, tuple("0123456789"))
    assert card.parity.torch_accuracy is not None
    assert card.parity.max_rel_diff < 1e-4
    assert card.macs_m > 1
    readme = (Workspace.open(root).latest("export") / "README.md").read_text()
    assert f"`{TINY_TIMM}` of timm" in readme


def test_a_network_of_timms_takes_images_of_another_size(root: Path, weights: Path) -> None:
    options = ("--timm", TINY_TIMM, "--weights", str(weights), "--format", "onnx")
    _, _, own = exported(root, *options)
    _, _, card = exported(root, *options, "--resolution", "96")
    assert card.input.shape == (1, 96, 96, 3)
    assert card.macs_m == pytest.approx(own.macs_m * (96 / 160) ** 2, rel=0.02)
    assert (own.input.fit, own.input.crop) == ("resize_then_crop", 0.95)
    assert card.parity.max_rel_diff < 1e-4


@pytest.mark.slow
def test_without_weights_random_ones_keep_every_branch(tmp_path: Path) -> None:
    events: list[Event] = []
    result = export(
        timm="mobilenetv3_small_050",
        out=tmp_path / "model.tflite",
        device="fake",
        images=4,
        events=events.append,
    )
    card = result.card
    told = "format tflite writes subnets of this project; tflite-litert-torch converts mobilenetv3"
    assert isinstance(events[0], Notice)
    assert events[0].text.startswith(told)
    assert card.format == "tflite-litert-torch"
    assert card.labels[0] == "tench, Tinca tinca"
    assert card.operators["DEPTHWISE_CONV_2D"] == 11
    assert (card.partitions, card.undelegated) == (1, {})
    assert card.parity.max_rel_diff < 1e-3
    assert card.sources["weights"] is None


def test_a_timm_network_is_refused_by_formats_that_write_subnets(root: Path) -> None:
    result = run(root, "--timm", TINY_TIMM, "--format", "tflite-onnx2tf")
    assert result.exit_code == 2
    assert "takes subnets of this project alone, test_efficientnet is none" in said(result)
    assert "the weights are random" not in said(result)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--timm", "test_efficientnett"), "timm has no network 'test_efficientnett'"),
        (("--timm", TINY_TIMM, "--weights", "gone.pth"), "gone.pth does not exist"),
        (("--timm", "test_resnet", "--weights", "{weights}"), "is of another network"),
        (
            ("--timm", "test_vit", "--resolution", "100"),
            "test_vit cannot be made or run on images of 100x100 pixels",
        ),
        (("--timm", TINY_TIMM, "--data", "digits"), "digits has 10 classes, test_efficientnet"),
    ],
)
def test_bad_input_for_timm_is_one_message(
    root: Path, weights: Path, options: tuple[str, ...], message: str
) -> None:
    filled = [option.format(weights=weights) for option in options]
    result = run(root, *filled, "--format", "onnx")
    assert result.exit_code == 2
    assert message in said(result)
    assert "Traceback" not in result.output


def test_pictures_that_timm_fits_otherwise_have_no_snippet(
    root: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = timm.create_model(
        TINY_TIMM, num_classes=10, pretrained_cfg_overlay={"interpolation": "bilinear"}
    )
    monkeypatch.setattr("elasticvit.flows.export_timm.timm_network_of_file", lambda *_: network)
    options = ("--timm", TINY_TIMM, "--weights", str(weights), "--format", "onnx")
    _, _, card = exported(root, *options)
    assert (card.input.fit, card.input.crop) == (None, None)
    assert not (Workspace.open(root).latest("export") / "run_model.py").exists()


# -- what a converter refuses


class Odd(nn.Module):
    """An operation that converters do not know, or cannot trace."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.how == "inverse":
            return torch.linalg.inv(x + 9 * torch.eye(8))
        return x if x.mean() > 0 else -x


def odd_network(how: str) -> TimmNetwork:
    network = nn.Sequential(
        nn.Conv2d(3, 3, 1), nn.Sequential(nn.Tanh(), Odd(how)), nn.Flatten(), nn.Linear(192, 5)
    )
    network.pretrained_cfg = {"input_size": (3, 8, 8), "mean": (0.5,) * 3, "std": (0.5,) * 3}
    return TimmNetwork("odd", randomised(network))


def test_the_module_that_cannot_be_traced_is_named() -> None:
    network = odd_network("branch")
    assert blamed_module(network.deployed(), network.example(), None) == "in module 1.1 (Odd)"


def test_the_module_of_an_unknown_operator_is_named() -> None:
    network = odd_network("inverse")
    raised = RuntimeError(
        "Lowering not found: aten.linalg_inv_ex.default\n\nWhile executing %linalg_inv_ex : "
        "[num_users=1] = call_function[target=torch.ops.aten.linalg_inv_ex.default](args = ())"
    )
    where = blamed_module(network.deployed(), network.example(), raised)
    assert where == "at operator aten.linalg_inv_ex.default in module 1.1 (Odd)"
    assert np.isfinite(network(network.example()).numpy()).all()  # its modules are as they were


def test_only_formats_for_any_network_take_one() -> None:
    named = ("onnx", "tflite")
    assert for_any_network(named, "odd") == ("onnx", "tflite-litert-torch")
    with pytest.raises(ExportError, match=r"odd is none; use format tflite or onnx"):
        for_any_network(("tflite-onnx2tf",), "odd")
    with pytest.raises(ExportError, match=r"of odd, .* two of these are the same file"):
        for_any_network(("tflite", "tflite-litert-torch"), "odd")
