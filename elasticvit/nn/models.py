"""Models by name: a network of any architecture with fresh weights, or its feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, overload

from torch import nn

from elasticvit.arch import Arch, ArchBatch
from elasticvit.block_options import BlockOptions
from elasticvit.errors import ArchError, ModelError, NextStep
from elasticvit.find import ENDS, find_arch, read_arch
from elasticvit.kernels import Layout
from elasticvit.nn.features import feature_stages, pyramid_indices
from elasticvit.nn.initial import initialise
from elasticvit.nn.subnet import Subnet
from elasticvit.space import PRESETS, SearchSpace, find_space

Space = SearchSpace | str | Path
ImageSize = int | tuple[int, int]


@overload
def create_model(
    model: str | Arch,
    *,
    space: Space | None = ...,
    pretrained: bool = ...,
    num_classes: int | None = ...,
    in_chans: int | None = ...,
    img_size: ImageSize | None = ...,
    drop_rate: float | None = ...,
    global_pool: str | None = ...,
    options: BlockOptions | None = ...,
    features_only: Literal[False] = ...,
    out_indices: int | Sequence[int] | None = ...,
    drop_path_rate: float | None = ...,
) -> Subnet: ...


@overload
def create_model(
    model: str | Arch,
    *,
    space: Space | None = ...,
    pretrained: bool = ...,
    num_classes: int | None = ...,
    in_chans: int | None = ...,
    img_size: ImageSize | None = ...,
    drop_rate: float | None = ...,
    global_pool: str | None = ...,
    options: BlockOptions | None = ...,
    features_only: bool,
    out_indices: int | Sequence[int] | None = ...,
    drop_path_rate: float | None = ...,
) -> nn.Module: ...


def create_model(
    model: str | Arch,
    *,
    space: Space | None = None,
    pretrained: bool = False,
    num_classes: int | None = None,
    in_chans: int | None = None,
    img_size: ImageSize | None = None,
    drop_rate: float | None = None,
    global_pool: str | None = None,
    options: BlockOptions | None = None,
    features_only: bool = False,
    out_indices: int | Sequence[int] | None = None,
    drop_path_rate: float | None = None,
) -> nn.Module:
    """A network with initial weights for training from scratch.

    Args:
        model: a published name such as `elastic_S1` (case and prefix do not matter), `smallest`
            or `largest` of the space, an architecture, its text as tables print it, or its JSON.
        space: space of the architecture: itself, the name of a preset, or the path of a TOML
            file. Without it, the first preset that contains the architecture.
        pretrained: must be false; no weights are published.
        num_classes: number of classes, 0 for no classifier; the space's if None.
        in_chans: channels of the images; the space's if None.
        img_size: side of the square images in pixels, in place of the architecture's
            resolution.
        drop_rate: dropout before the classifier, in training; that of `options` if None.
        global_pool: see `ImageModel.reset_classifier`.
        options: block variants.
        features_only: instead of logits, give a list of maps (B, C, H, W). The network's
            `feature_info.channels()` and `.reduction()` describe them; a map of reduction r has
            the side resolution / r, rounded up. Images are resized to the resolution.
        out_indices: stages of these maps, counted from the stem at 0; the last n for a number
            n. Without them, one map for each distinct reduction: the output of the last stage
            before each further downsampling.
        drop_path_rate: must be 0: there is no stochastic depth.

    Returns:
        The network, a `Subnet`, in training mode; with `features_only` timm's
        `FeatureGetterNet` of it, without the parameters that the maps do not need.

    Raises:
        ModelError: pretrained weights, or a number that makes no sense.
        ArchError: no such architecture, or it lies outside the space.
        SpaceError: no such space.
    """
    if pretrained:
        raise no_weights(str(model))
    if out_indices is not None and not features_only:
        raise ModelError("out_indices chooses feature maps; it needs features_only=True")
    arch, layout = _resolve(model, space)
    subnet = build(
        arch,
        layout,
        num_classes=num_classes,
        in_chans=in_chans,
        img_size=img_size,
        drop_rate=drop_rate,
        global_pool=global_pool,
        options=options,
        drop_path_rate=drop_path_rate,
    )
    return _feature_network(subnet, out_indices) if features_only else subnet


def build(
    arch: Arch,
    layout: Layout,
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    img_size: ImageSize | None = None,
    drop_rate: float | None = None,
    global_pool: str | None = None,
    options: BlockOptions | None = None,
    drop_path_rate: float | None = None,
) -> Subnet:
    """The network of an architecture and layout with these changes (see `create_model`).

    Raises:
        ModelError: a number that makes no sense.
    """
    classes = layout.classes if num_classes is None else num_classes
    channels = layout.in_channels if in_chans is None else in_chans
    options = options or BlockOptions()
    if drop_path_rate:
        raise ModelError(
            f"drop_path_rate is {drop_path_rate}; it must be 0: these networks have no stochastic "
            "depth, leave it out, or use drop_rate, the dropout before the classifier"
        )
    if drop_rate is not None:
        options = replace(options, head_dropout=drop_rate)
    if classes < 0 or channels < 1 or not 0 <= options.head_dropout < 1:
        raise ModelError(
            f"num_classes {classes}, in_chans {channels}, drop_rate {options.head_dropout}; they "
            "must be at least 0, at least 1, and from 0 to below 1"
        )
    if img_size is not None:
        arch = replace(arch, resolution=_side(img_size))
    layout = replace(layout, classes=classes, in_channels=channels)
    subnet = initialise(Subnet(arch, layout, options))
    if global_pool is not None:
        subnet.reset_classifier(classes, global_pool)
    return subnet


def pyramid(arch: Arch, layout: Layout) -> tuple[int, ...]:
    """Default `out_indices`: the last stage of each distinct reduction."""
    return pyramid_indices(feature_stages(arch, layout))


def no_weights(model: str) -> ModelError:
    """The error of a request for pretrained weights."""
    return ModelError(
        f"pretrained weights of {model}: this project publishes none; train a supernet and cut "
        "the architecture out of it (elasticvit.nn.Subnet.cut), or fill a supernet with the "
        "authors' checkpoint (elasticvit.nn.authors.load_authors)",
        next_step=NextStep("train"),
    )


def _resolve(model: str | Arch, space: Space | None) -> tuple[Arch, Layout]:
    """The architecture of a model's name, and the layout of its space."""
    if space is not None and not isinstance(space, SearchSpace):
        space = find_space(str(space))
    if space is not None:
        return find_arch(model, space), space.layout
    if model in ENDS:
        raise ModelError(
            f"{model!r} of no space; add space=, a preset ({', '.join(PRESETS)}) or a TOML file"
        )
    arch = read_arch(model)
    space = next((s for s in PRESETS.values() if s.valid(ArchBatch.of([arch]))[0]), None)
    if space is None:
        raise ArchError(
            f"architecture {arch} lies in no preset space ({', '.join(PRESETS)}); add space=, "
            "a search space or the path of its TOML file"
        )
    return arch, space.layout


def _side(img_size: ImageSize) -> int:
    """The side of a square image size, as a number or (height, width)."""
    height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
    if height != width or height < 1:
        raise ModelError(f"img_size {img_size}; images are square, with a side of 1 or more pixels")
    return height


def _feature_network(subnet: Subnet, out_indices: int | Sequence[int] | None) -> nn.Module:
    from timm.models._features import FeatureGetterNet  # timm takes seconds to load

    if out_indices is None:
        out_indices = pyramid(subnet.arch, subnet.layout)
    network = FeatureGetterNet(subnet, out_indices)
    dropped = ("num_classes", "classifier")
    cfg = {name: value for name, value in subnet.default_cfg.items() if name not in dropped}
    network.default_cfg = network.pretrained_cfg = cfg
    result: nn.Module = network
    return result
