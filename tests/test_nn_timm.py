"""The published architectures in timm's registry, used with timm as by somebody who knows only
timm."""

import subprocess
import sys

import pytest
import timm
import torch
from timm.data import create_transform, resolve_model_data_config
from timm.models import group_parameters
from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3, freeze, reparameterize_model, unfreeze

import elasticvit.nn
from elasticvit.errors import ModelError
from elasticvit.nn import Subnet, create_model
from elasticvit.published import PUBLISHED, timm_name

NAMES = sorted(map(timm_name, PUBLISHED))
SMALL = "elastic_t1"


def images(side: int = 128, channels: int = 3, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def net() -> Subnet:
    torch.manual_seed(0)
    return timm.create_model(SMALL, num_classes=10)


def test_all_nine_are_listed() -> None:
    assert timm.list_models("elastic_*") == NAMES
    assert "elastic_l1_5" in NAMES
    assert len(NAMES) == 9
    assert all(timm.is_model(name) for name in NAMES)
    assert timm.list_models("elastic_*", pretrained=True) == []


@pytest.mark.parametrize("order", ["timm, elasticvit.nn", "elasticvit.nn, timm"])
def test_either_package_may_be_imported_first(order: str) -> None:
    first, second = order.split(", ")
    code = (
        f"import {first}, sys\n"
        f"assert {first == 'timm'} or not any(m.startswith('timm') for m in sys.modules)\n"
        f"import {second}, importlib.resources, inspect, timm, timm.models\n"
        f"assert timm.list_models('elastic_*') == {NAMES}\n"
        "assert 'create_model' in inspect.getsource(timm.models)\n"  # its loader is intact
        "import elasticvit.nn.timm_hook\n"
        "elasticvit.nn.timm_hook.register_in_timm()\n"
        f"assert timm.list_models('elastic_*') == {NAMES}"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", NAMES)
def test_each_is_created_by_its_name(name: str) -> None:
    net = timm.create_model(name, num_classes=10).eval()
    arch = next(arch for known, arch in PUBLISHED.items() if timm_name(known) == name)
    assert isinstance(net, Subnet)
    assert net.arch == arch
    assert net.pretrained_cfg["architecture"] == name
    with torch.no_grad():
        assert net(images(arch.resolution, batch=1)).shape == (1, 10)
    for key in ("classifier", "first_conv"):
        assert net.get_submodule(net.pretrained_cfg[key]).weight.shape[0] in (10, arch.stem.width)


def test_channels_classes_pooling_size_and_dropout() -> None:
    assert timm.create_model(SMALL, in_chans=1)(images(channels=1)).shape == (2, 1000)
    hidden = timm.create_model(SMALL, num_classes=0)
    assert hidden(images()).shape == (2, hidden.head_hidden_size)
    tokens = timm.create_model(SMALL, num_classes=0, global_pool="")
    assert tokens(images()).shape == (2, 4, tokens.num_features)
    larger = timm.create_model(SMALL, img_size=192, drop_rate=0.2)
    assert larger.arch.resolution == 192
    assert larger.options.head_dropout == 0.2


def test_stochastic_depth_is_refused_unless_it_is_none() -> None:
    assert timm.create_model("elastic_t1", drop_path_rate=0.0).num_classes == 1000
    with pytest.raises(ModelError, match=r"drop_path_rate is 0\.1; it must be 0"):
        timm.create_model("elastic_t1", drop_path_rate=0.1)
    with pytest.raises(ModelError, match=r"drop_path_rate is 0\.1; it must be 0"):
        create_model("elastic_t1", drop_path_rate=0.1)


def test_pretrained_weights_are_refused_with_a_way_out() -> None:
    with pytest.raises(ModelError, match="train a supernet"):
        timm.create_model(SMALL, pretrained=True)


def test_own_weights_are_adapted_as_timm_does(net: Subnet, tmp_path) -> None:
    path = tmp_path / "mine.pth"
    torch.save(net.state_dict(), path)
    source = {"file": str(path), "num_classes": 10}
    same = timm.create_model(SMALL, pretrained=True, num_classes=10, pretrained_cfg_overlay=source)
    with torch.no_grad():
        assert torch.equal(same.eval()(images()), net.eval()(images()))
    other = timm.create_model(
        SMALL, pretrained=True, num_classes=3, in_chans=1, pretrained_cfg_overlay=source
    )
    first = net.blocks[0].conv.weight.sum(1, keepdim=True)
    assert torch.allclose(other.blocks[0].conv.weight, first)
    assert torch.equal(other.blocks[3].project.weight, net.blocks[3].project.weight)
    assert other.get_classifier().weight.shape[0] == 3
    again = timm.create_model(SMALL, num_classes=10, checkpoint_path=str(path)).eval()
    with torch.no_grad():
        assert torch.equal(again(images()), net(images()))


@pytest.mark.parametrize(
    ("indices", "reductions"),
    [
        (None, [2, 4, 8, 16, 32, 64]),
        ((1, 2, 4, 5), [4, 8, 16, 32]),
        (3, [16, 32, 64]),
        ((-1,), [64]),
    ],
)
def test_features_only(indices, reductions: list[int]) -> None:
    net = timm.create_model("elastic_t2", features_only=True, out_indices=indices)
    maps = net(images(160, batch=1))
    assert net.feature_info.reduction() == reductions
    assert [m.shape[1] for m in maps] == net.feature_info.channels()
    assert [m.shape[-1] for m in maps] == [-(-160 // r) for r in net.feature_info.reduction()]
    sum(m.mean() for m in maps).backward()
    assert all(p.grad is not None for p in net.parameters())
    assert resolve_model_data_config(net)["input_size"] == (3, 160, 160)


def test_the_data_pipeline_is_configured_by_the_model(net: Subnet) -> None:
    config = resolve_model_data_config(net)
    assert config["input_size"] == (3, 128, 128)
    assert config["mean"] == (0.485, 0.456, 0.406)
    assert config["interpolation"] == "bicubic"
    from PIL import Image

    image = Image.new("RGB", (200, 150), (124, 116, 104))  # ImageNet's mean colour
    tensor = create_transform(**config, is_training=False)(image)
    assert tensor.shape == (3, 128, 128)
    assert tensor.abs().max() < 0.02
    assert net(tensor[None].expand(2, -1, -1, -1)).shape == (2, 10)


def test_layer_decay_follows_the_blocks(net: Subnet) -> None:
    optimizer = create_optimizer_v2(net, "adamw", lr=1e-3, weight_decay=0.05, layer_decay=0.75)
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert set(group_of) == {id(p) for p in net.parameters()}
    n = len(net.blocks)
    for name, parameter in net.named_parameters():
        group, block = group_of[id(parameter)], int(name.split(".")[1])
        assert group["lr_scale"] == pytest.approx(0.75 ** (n - 1 - block)), name
        free = parameter.ndim <= 1 or name.endswith("position_bias")
        assert group["weight_decay"] == (0 if free else 0.05), name
    assert any(name.endswith("position_bias") for name in net.no_weight_decay())
    net(images()).sum().backward()
    optimizer.step()


def test_coarse_groups_are_the_stages_and_the_head(net: Subnet) -> None:
    groups = group_parameters(net, net.group_matcher(coarse=True), reverse=True)
    assert set(groups) == {name for name, _ in net.named_parameters()}
    ends = [int(info["module"].split(".")[1]) for info in net.feature_info]
    for name, group in groups.items():
        assert group == sum(int(name.split(".")[1]) > end for end in ends), name


def test_averaged_weights(net: Subnet) -> None:
    ema = ModelEmaV3(net, decay=0.5)
    before = net.get_classifier().weight.detach().clone()
    with torch.no_grad():
        net.get_classifier().weight.add_(1.0)
    ema.update(net)
    assert torch.allclose(ema.module.get_classifier().weight, before + 0.5, atol=1e-6)


def test_the_deployment_form_has_the_same_outputs(net: Subnet) -> None:
    for _ in range(3):
        net(images(batch=8))  # statistics that are not neutral
    net.eval()
    deployed = reparameterize_model(net)
    with torch.no_grad():
        expected = net(images())
        assert (deployed(images()) - expected).abs().max() < 1e-4 * expected.std()
        assert torch.equal(net(images()), expected)
        assert torch.allclose(reparameterize_model(deployed)(images()), expected, atol=1e-4)
    assert len(deployed.state_dict()) < len(net.state_dict())
    assert not any("running_mean" in name for name in deployed.state_dict())


def test_freezing_and_its_undoing(net: Subnet) -> None:
    first = ["blocks.0", "blocks.1"]
    freeze(net, first)
    net(images()).sum().backward()
    for name, parameter in net.named_parameters():
        assert (parameter.grad is None) == name.startswith(("blocks.0.", "blocks.1.")), name
    unfreeze(net, first)
    assert all(p.requires_grad for p in net.parameters())


def test_a_state_dict_goes_round(net: Subnet) -> None:
    other = timm.create_model(SMALL, num_classes=10)
    other.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(other.eval()(images()), net.eval()(images()))
    ours = elasticvit.nn.create_model(SMALL, num_classes=10)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in net.state_dict().items()
    }
