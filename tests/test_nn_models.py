"""Models by name, and the static network's features, head and parameters."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import archs

from elasticvit.errors import ArchError, CheckpointError, ModelError, SpaceError
from elasticvit.kernels import Layout, lower
from elasticvit.nn import BlockOptions, Subnet, Supernet, create_model, list_models
from elasticvit.nn.fuse import fused
from elasticvit.nn.layers import ElasticBatchNorm
from elasticvit.published import PUBLISHED
from elasticvit.space import MOBILE, TINY

ARCH = TINY.sample(1, np.random.default_rng(3))[0]


def images(arch=ARCH, batch: int = 2, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, channels, arch.resolution, arch.resolution, generator=generator)


def model(arch=ARCH, **kwargs) -> Subnet:
    """A TINY network in evaluation mode whose residual branches do something."""
    torch.manual_seed(0)
    net = create_model(arch, space=TINY, **kwargs)
    for parameter in net.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, 0.5, 0.2)
    return net.eval()


# --- names


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_a_published_name_gives_its_architecture(name: str) -> None:
    net = create_model(name)
    assert net.arch == PUBLISHED[name]
    assert net.layout == Layout()
    assert [block.kernel for block in net.blocks] == list(lower(net.arch, MOBILE.layout))
    assert net.training


@pytest.mark.parametrize("name", ["elastic_L1.5", "l1.5", "ELASTIC_l1_5", "L1_5"])
def test_case_prefix_and_timm_spelling_do_not_matter(name: str) -> None:
    assert create_model(name).arch == PUBLISHED["elastic_L1.5"]


@pytest.mark.parametrize("space", [TINY, "tiny", "file"])
@pytest.mark.parametrize("end", ["smallest", "largest"])
def test_the_ends_of_a_space(space, end: str, tmp_path) -> None:
    if space == "file":
        space = tmp_path / "mine.toml"
        space.write_text(TINY.to_toml())
    net = create_model(end, space=space)
    assert net.arch == getattr(TINY, end)
    assert net.num_classes == TINY.layout.classes


def test_json_and_values_name_an_architecture_too() -> None:
    assert create_model(ARCH.to_json()).layout == create_model(ARCH).layout == TINY.layout


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"model": "elastic_S9"}, ArchError, "elastic_S1, elastic_S2"),
        ({"model": "smallest"}, ModelError, "add space="),
        ({"model": "elastic_S1", "space": "tiny"}, ArchError, "space tiny has 2 and 2"),
        ({"model": "elastic_S1", "space": "nowhere"}, SpaceError, "mobile, tiny"),
        ({"model": "elastic_S1", "pretrained": True}, ModelError, "train a supernet"),
        ({"model": "elastic_S1", "num_classes": -1}, ModelError, "num_classes -1"),
        ({"model": "elastic_S1", "in_chans": 0}, ModelError, "in_chans 0"),
        ({"model": "elastic_S1", "drop_rate": 1.5}, ModelError, "drop_rate 1.5"),
        ({"model": "elastic_S1", "img_size": (96, 128)}, ModelError, "square"),
        ({"model": "elastic_S1", "out_indices": (0,)}, ModelError, "features_only=True"),
        ({"model": "elastic_S1", "global_pool": ""}, ModelError, "'' with 0 classes"),
        ({"model": "elastic_S1", "global_pool": "max"}, ModelError, "'max'"),
        (
            {"model": "elastic_S1", "features_only": True, "out_indices": (7,)},
            ModelError,
            "7 stages",
        ),
    ],
)
def test_what_cannot_be_made_says_why(asked, error, message: str) -> None:
    with pytest.raises(error, match=message):
        create_model(**asked)


def test_an_architecture_of_no_preset_asks_for_its_space() -> None:
    genes = list(ARCH.genes)
    genes[0] = 56
    odd = type(ARCH).from_genes(genes, 2)
    with pytest.raises(ArchError, match="add space="):
        create_model(odd)


def test_the_list_is_all_that_can_be_made() -> None:
    assert list_models() == list(PUBLISHED)
    assert list_models("tiny") == ["smallest", "largest"]
    assert list_models(MOBILE) == [*PUBLISHED, "smallest", "largest"]
    for name in list_models("mobile"):
        MOBILE.check(create_model(name, space="mobile").arch)
    with pytest.raises(SpaceError, match="nowhere"):
        list_models("nowhere")


def test_the_list_loads_no_torch() -> None:
    code = (
        "import sys; from elasticvit.published import list_models; list_models('mobile')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_options_of_a_model() -> None:
    net = create_model(
        ARCH, num_classes=7, in_chans=1, img_size=56, drop_rate=0.25, options=BlockOptions()
    )
    assert (net.num_classes, net.in_chans, net.arch.resolution) == (7, 1, 56)
    assert net.options.head_dropout == 0.25
    assert net(torch.randn(2, 1, 56, 56)).shape == (2, 7)
    assert net.default_cfg["input_size"] == (1, 56, 56)
    assert len(net.default_cfg["mean"]) == len(net.default_cfg["std"]) == 1


def test_initial_weights_keep_the_variance_of_linear_layers() -> None:
    net = create_model("elastic_S1")
    weight = net.get_classifier().weight
    assert weight.std().item() == pytest.approx(weight.shape[1] ** -0.5, rel=0.02)


# --- features and head


def test_forward_is_the_head_behind_the_features() -> None:
    net, x = model(), images()
    with torch.no_grad():
        features = net.forward_features(x)
        hidden = net.forward_head(features, pre_logits=True)
        assert features.shape == (2, (lower(ARCH, TINY.layout)[-1].size) ** 2, net.num_features)
        assert hidden.shape == (2, net.head_hidden_size)
        assert torch.equal(net(x), net.forward_head(features))
        assert torch.equal(net(x), net.get_classifier()(hidden))


def test_weights_of_a_supernet_give_the_logits_of_its_subnet() -> None:
    torch.manual_seed(0)
    supernet = Supernet(TINY).eval()
    cut, net = Subnet.cut(supernet, ARCH), create_model(ARCH).eval()
    net.load_state_dict(cut.state_dict())
    with torch.no_grad():
        assert (net(images()) - cut(images())).abs().max() <= 1e-6
        assert (net(images()) - supernet(images(), ARCH)).abs().max() <= 1e-5


@settings(max_examples=25, deadline=None)
@given(archs(TINY), st.data())
def test_feature_maps_follow_the_feature_info(arch, data) -> None:
    net = create_model(arch, space=TINY).eval()
    x = images(arch, batch=1)
    n = len(net.feature_info)
    chosen = data.draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=n))
    with torch.no_grad():
        last, maps = net.forward_intermediates(x)
        assert torch.equal(last, net.forward_features(x))
        assert torch.equal(maps[-1].flatten(2).transpose(1, 2), last)
        some = net.forward_intermediates(x, chosen, intermediates_only=True, stop_early=True)
        tokens = net.forward_intermediates(x, output_fmt="NLC", intermediates_only=True)
    for info, one, flat in zip(net.feature_info, maps, tokens, strict=True):
        side = -(-arch.resolution // info["reduction"])
        assert one.shape == (1, info["num_chs"], side, side)
        assert torch.equal(one.flatten(2).transpose(1, 2), flat)
    assert all(
        torch.equal(one, maps[i])
        for one, i in zip(some, sorted({i % n for i in chosen}), strict=True)
    )


def test_a_map_keeps_rows_and_columns() -> None:
    """What changes in a corner of the image changes most in the same corner of each map."""
    net, x = model(TINY.largest), images(TINY.largest, batch=1)
    other = x.clone()
    other[:, :, :8, -8:] += 3  # top right
    with torch.no_grad():
        before = net.forward_intermediates(x, intermediates_only=True)
        after = net.forward_intermediates(other, intermediates_only=True)
    for a, b in zip(before, after, strict=True):
        change = (a - b).abs().mean(1)[0]
        row, column = divmod(int(change.argmax()), change.shape[1])
        assert row < change.shape[0] / 2 <= column


@pytest.mark.parametrize("resolution", [160, 176, 224])
def test_features_for_a_detector_are_one_map_a_stride(resolution: int) -> None:
    net = create_model("elastic_T1", img_size=resolution, features_only=True)
    maps = net(torch.randn(1, 3, resolution, resolution))
    assert net.feature_info.reduction() == [2, 4, 8, 16, 32, 64]
    assert net.feature_info.channels() == [16, 24, 32, 96, 176, 272]
    assert [m.shape[1] for m in maps] == net.feature_info.channels()
    assert [m.shape[2:] for m in maps] == [
        (-(-resolution // r),) * 2 for r in net.feature_info.reduction()
    ]


def test_features_train_and_hold_no_idle_parameters() -> None:
    net = create_model("smallest", space="tiny", features_only=True, out_indices=(1, 2))
    x = images(TINY.smallest)
    whole = create_model("smallest", space="tiny")
    sum(m.square().mean() for m in net(x)).backward()
    assert all(p.grad is not None for p in net.parameters())
    assert 0 < sum(p.numel() for p in net.parameters()) < sum(p.numel() for p in whole.parameters())


def test_pruning_leaves_the_kept_maps_as_they_were() -> None:
    net, x = model(), images()
    with torch.no_grad():
        expected = net.forward_intermediates(x, [1, 3], intermediates_only=True)
        assert net.prune_intermediate_layers([1, 3], prune_head=False) == [1, 3]
        tokens, maps = net.forward_intermediates(x, [1, 3])
        assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True))
        assert torch.equal(tokens, expected[1].flatten(2).transpose(1, 2))
        assert torch.equal(net(x), tokens)
    assert len(net.feature_info) == 4
    assert net.num_features == net.head_hidden_size == ARCH.attn[0].width
    assert net.num_classes == 0
    assert not net.blocks.training


def test_pruning_behind_the_last_stage_may_keep_the_head() -> None:
    net, x = model(), images()
    with torch.no_grad():
        expected = net(x)
        assert net.prune_intermediate_layers(2, prune_head=False) == [3, 4]
        assert torch.equal(net(x), expected)


# --- classifier


def test_a_new_classifier_is_saved_and_loaded(tmp_path) -> None:
    net, x = model(), images()
    with torch.no_grad():
        hidden = net.forward_head(net.forward_features(x), pre_logits=True)
    for classes, width in ((3, 3), (0, net.head_hidden_size), (12, 12)):
        net.reset_classifier(classes)
        assert net.num_classes == net.layout.classes == classes
        assert not net.training
        assert not net.get_classifier().training
        with torch.no_grad():
            logits = net(x)
        assert logits.shape == (2, width)
        net.save(tmp_path / "subnet.pt")
        again = Subnet.load(tmp_path / "subnet.pt")
        assert again.num_classes == classes
        with torch.no_grad():
            assert torch.equal(again(x), logits)
            if not classes:
                assert torch.equal(logits, hidden)


def test_without_pooling_the_output_is_the_features() -> None:
    net, x = model(num_classes=0, global_pool=""), images()
    with torch.no_grad():
        assert torch.equal(net(x), net.forward_features(x))
    with pytest.raises(ModelError, match="'' with 0 classes"):
        net.reset_classifier(5)
    net.reset_classifier(5, "avg")
    assert net(x).shape == (2, 5)


def test_a_network_without_its_head_is_not_saved(tmp_path) -> None:
    pruned, folded = model(), fused(model())
    pruned.prune_intermediate_layers(1)
    for net in (pruned, folded):
        with pytest.raises(CheckpointError, match="pruned or fused"):
            net.save(tmp_path / "subnet.pt")
    with pytest.raises(ModelError, match="pruned"):
        pruned.reset_classifier(4, "avg")
    assert not list(tmp_path.iterdir())


# --- training and copies


def test_checkpointing_changes_neither_gradients_nor_statistics() -> None:
    plain = model(drop_rate=0.3).train()
    saving = copy.deepcopy(plain)
    saving.set_grad_checkpointing()
    saved = {"plain": 0, "saving": 0}
    for name, net in (("plain", plain), ("saving", saving)):

        def count(tensor, name=name):
            saved[name] += tensor.numel()
            return tensor

        torch.manual_seed(5)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss = net(images()).square().mean()
        loss.backward()
    assert saved["saving"] < saved["plain"] / 2
    for (name, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), name
    for (name, a), b in zip(plain.named_buffers(), saving.buffers(), strict=True):
        assert torch.equal(a, b), name
    norm = next(m for m in saving.modules() if isinstance(m, ElasticBatchNorm))
    assert norm.momentum == 0.1
    assert norm.running_mean.abs().sum() > 0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_of_the_whole_model_is_its_own(copied) -> None:
    net, x = model(), images()
    other = copied(net)
    with torch.no_grad():
        expected = net(x)
        assert torch.equal(other(x), expected)
        for parameter in net.parameters():
            parameter.zero_()
        assert torch.equal(other(x), expected)
    assert other.arch == net.arch
    assert other.feature_info == net.feature_info
