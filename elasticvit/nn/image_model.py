"""Static networks as timm's users know image models.

A network is a chain of static blocks, the head last. It follows timm's conventions, so that
timm's optimisers, data pipeline, weight averaging and feature extraction work on it as on a
model of timm's own.

Shapes: B batch, N tokens, C width, H and W map sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from elasticvit.arch import Arch
from elasticvit.block_options import BlockOptions
from elasticvit.errors import ModelError
from elasticvit.kernels import Layout
from elasticvit.nn.blocks import Head
from elasticvit.nn.checkpointing import checkpointed
from elasticvit.nn.default_cfg import default_cfg
from elasticvit.nn.features import (
    FeatureStage,
    chosen_indices,
    feature_info,
    feature_stages,
    formatted,
)
from elasticvit.nn.fuse import fused
from elasticvit.nn.initial import initialise
from elasticvit.nn.layers import ElasticLinear, resize


class Chain(nn.Sequential):
    """The blocks of a static network, input to output."""

    def fuse(self) -> nn.Module:
        """Deployment form of all blocks; `timm.utils.reparameterize_model` puts it in place."""
        return fused(self)


class ImageModel(nn.Module):
    """Static network of one architecture with timm's conventions.

    Args:
        arch: the architecture.
        layout: what its space fixes.
        options: block variants.
        blocks: the static blocks of the architecture's kernels, input to output.

    Attributes:
        arch, layout, options: as given; `layout.classes` follows `reset_classifier`.
        blocks: the static blocks, the head last.
        feature_info: width (`num_chs`), `reduction` and `module` of the feature map of each
            stage: the stem, the MBConv stages, the transformer stages.
        default_cfg, pretrained_cfg: input size, normalisation and layer names for timm.
        global_pool: `avg`, or empty when `forward_head` returns its input unchanged.
        grad_checkpointing: see `set_grad_checkpointing`.
    """

    def __init__(
        self, arch: Arch, layout: Layout, options: BlockOptions, blocks: Iterable[nn.Module]
    ) -> None:
        super().__init__()
        self.arch, self.layout, self.options = arch, layout, options
        self.blocks: nn.Sequential = Chain(*blocks)
        self.feature_info = feature_info(feature_stages(arch, layout))
        self.default_cfg = self.pretrained_cfg = default_cfg(arch, layout)
        self.global_pool = "avg"
        self.grad_checkpointing = False

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 when there is no classifier."""
        return self.layout.classes

    @property
    def resolution(self) -> int:
        """Side of the images in pixels that the network works at."""
        return self.arch.resolution

    @property
    def in_chans(self) -> int:
        """Channels of the input images."""
        return self.layout.in_channels

    @property
    def num_features(self) -> int:
        """Channels of the output of `forward_features`."""
        return self._stages[-1].width

    @property
    def head_hidden_size(self) -> int:
        """Channels of the classifier's input, as `forward_head(x, pre_logits=True)` gives it."""
        return self.num_features if self._head is None else self.layout.head_hidden

    @property
    def _stages(self) -> tuple[FeatureStage, ...]:
        """The stages that are there; fewer than the architecture's after pruning."""
        return feature_stages(self.arch, self.layout)[: len(self.feature_info)]

    @property
    def _head(self) -> Head | None:
        """The head; None after pruning."""
        last = self.blocks[-1]
        return last if isinstance(last, Head) else None

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, channels, H, W), resized where they do not fit."""
        return self.forward_head(self.forward_features(images))

    def forward_features(self, images: Tensor) -> Tensor:
        """Everything before the head.

        Args:
            images: (B, channels, H, W), resized to the architecture's resolution where they
                differ from it.

        Returns:
            Tokens (B, N, C) of the last transformer stage, C being `num_features`, in rows from
            the top left. A network pruned to its convolutional stages gives a map (B, C, H, W).
        """
        x = resize(images, self.arch.resolution)
        for block in list(self.blocks)[: self._stages[-1].blocks.stop]:
            x = self._run(block, x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits (B, classes) of the output of `forward_features`.

        Args:
            x: tokens (B, N, C).
            pre_logits: give the classifier's input (B, head_hidden_size) instead.

        Returns:
            The logits; the classifier's input when there are 0 classes; `x` itself when
            `global_pool` is empty.
        """
        head = self._head
        if head is None or not self.global_pool:
            return x
        result: Tensor = head.pre_logits(x) if pre_logits else head(x)
        return result

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The feature maps of the stages, in the order of `feature_info`.

        Args:
            x: images (B, channels, H, W), resized where they do not fit.
            indices: stages: the last n for a number n, all for None, otherwise these.
            norm: without effect; there is no final norm before the head.
            stop_early: do not run the blocks behind the last of these stages.
            output_fmt: `NCHW` for maps (B, C, H, W) or `NLC` for tokens (B, H * W, C).
            intermediates_only: leave out the output of `forward_features`.

        Returns:
            The maps, or with the output of `forward_features` (of the last stage that ran)
            before them.

        Raises:
            ModelError: an index that does not exist, or another format.
        """
        stages = self._stages
        chosen = chosen_indices(len(stages), indices)
        x = resize(x, self.arch.resolution)
        blocks, maps = list(self.blocks), []
        for number, stage in enumerate(stages[: max(chosen) + 1] if stop_early else stages):
            for index in stage.blocks:
                x = self._run(blocks[index], x)
            if number in chosen:
                maps.append(formatted(x, stage.side, output_fmt))
        return maps if intermediates_only else (x, maps)

    def prune_intermediate_layers(
        self,
        indices: int | Sequence[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Remove, in place, what these stages' feature maps do not need.

        A pruned network cannot be saved.

        Args:
            indices: as for `forward_intermediates`.
            prune_norm: without effect; there is no final norm before the head.
            prune_head: remove the head even where all stages are kept.

        Returns:
            Indices of the stages from 0.
        """
        stages = self._stages
        chosen = chosen_indices(len(stages), indices)
        kept = stages[: max(chosen) + 1]
        if prune_head or len(kept) < len(stages):
            del self.blocks[kept[-1].blocks.stop :]
            self.layout = replace(self.layout, classes=0)
            self.global_pool = ""
        self.feature_info = self.feature_info[: len(kept)]
        return chosen

    def get_classifier(self) -> nn.Module:
        """The last linear layer; the identity when there are 0 classes."""
        head = self._head
        return nn.Identity() if head is None else head.classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the last linear layer by a new one with initial weights.

        Args:
            num_classes: number of classes; 0 for none, so that the output is the classifier's
                input (B, head_hidden_size).
            global_pool: `avg`; or empty, which needs 0 classes and makes the output that of
                `forward_features`; as it is if None.

        Raises:
            ModelError: a negative number of classes, another pooling, classes without pooling,
                or a network whose head was pruned.
        """
        pool = self.global_pool if global_pool is None else global_pool
        if pool not in ("avg", "") or num_classes < 0 or (num_classes and not pool):
            raise ModelError(
                f"num_classes {num_classes!r} with global_pool {pool!r}; give 'avg' with any "
                "number of classes from 0, or '' with 0 classes"
            )
        head = self._head
        if head is None:
            if num_classes or pool:
                raise ModelError("the head of this network was pruned; make the network anew")
            return
        self.global_pool = pool
        self.layout = replace(self.layout, classes=num_classes)
        head.kernel = replace(head.kernel, classes=num_classes)
        weight = head.hidden.weight
        classifier = (
            initialise(ElasticLinear(self.head_hidden_size, num_classes))
            if num_classes
            else nn.Identity()
        )
        head.classifier = classifier.to(weight.device, weight.dtype).train(self.training)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters with several dimensions that must not decay: position biases."""
        return {name for name, _ in self.named_parameters() if name.endswith("position_bias")}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """timm's rule for the layer of each parameter, for example for layer-wise decay of the
        learning rate: one layer a block, or with `coarse` one a stage and one for the head."""
        if not coarse:
            return {"blocks": [(r"^blocks\.(\d+)\.", None)]}
        return {
            "stages": [
                (rf"^blocks\.(?:{'|'.join(map(str, stage.blocks))})\.", (number,))
                for number, stage in enumerate(self._stages)
            ]
        }

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the blocks' inputs in training, and calculate the rest again in the
        backward pass; outputs, gradients and running statistics stay the same."""
        self.grad_checkpointing = enable

    def _run(self, block: nn.Module, x: Tensor) -> Tensor:
        if self.grad_checkpointing and self.training and torch.is_grad_enabled():
            return checkpointed(block, x)
        result: Tensor = block(x)
        return result
