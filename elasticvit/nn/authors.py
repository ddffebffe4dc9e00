"""Loading the authors' published supernet: their parameter names for each of this project.

The authors make a block at the width of its stage even where a narrower stage feeds it, so a
parameter in their checkpoint may be larger than the one here; its first rows and columns are
the ones in use. Build the network with `elasticvit.nn.blocks.AUTHORS`, the options with the
authors' norm and qkv view.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from elasticvit.errors import CheckpointError
from elasticvit.nn.state_file import names_in_short
from elasticvit.nn.supernet import Supernet

_MBCONV = {
    "expand": "pw_conv",
    "expand_bn": "pw_bn",
    "depthwise": "dw_conv",
    "depthwise_bn": "dw_bn",
    "squeeze": "se_conv1",
    "excite": "se_conv2",
    "project": "pwl_conv",
    "project_bn": "pwl_bn",
    "shortcut": "shortcut_conv",
}
_ATTENTION = {
    "norm": "norm1",
    "core.qkv": "qkv",
    "core.value_conv": "dw_v_conv",
    "core.project": "proj",
    "core.position_bias": "attention_bias",
}
_FFN = {"norm": "norm1", "fc1": "fc1", "fc2": "fc2"}
CLASSIFIER = "classifer.weight"  # as the authors spell it; its rows are the classes
_HEAD = {
    "expand": "pre_head_0",
    "bn": "pre_head_norm_0",
    "hidden": "pre_head_1",
    "classifier": "classifer",
}


def authors_name(name: str, n_conv: int = 2) -> str:
    """The authors' name of a parameter or statistic of `Supernet`.

    Args:
        name: name in `Supernet`, such as `blocks.attn1_0_attention.core.qkv.weight`.
        n_conv: number of MBConv stages.
    """
    match = re.fullmatch(r"blocks\.([a-z]+)(\d*)_(\d+)_([a-z]+)\.(.+)", name)
    if match is None:
        raise CheckpointError(f"{name!r} is not a parameter of a supernet")
    stage, number, block, part, rest = match.groups()
    owner, _, leaf = rest.rpartition(".")
    if rest == "core.position_bias":
        owner, leaf = rest, ""
    index, depth = int(number or 0), int(block)
    if stage == "first":
        theirs = {"conv": "first_conv", "bn": "first_conv_bn"}[owner]
    elif stage == "stem":
        theirs = f"conv_stem.layers.{depth}.0.{_MBCONV[owner]}"
    elif stage == "conv":
        theirs = f"feature_exactor.{index - 1}.layers.{depth}.0.{_MBCONV[owner]}"
    elif stage == "head":
        theirs = _HEAD[owner]
    else:
        prefix = f"feature_exactor.{index - 1 + n_conv}.layers"
        if part == "downsample":
            theirs = f"{prefix}.0.reduction.{_MBCONV[owner.removeprefix('block.')]}"
        elif part == "attention":
            theirs = f"{prefix}.{2 * depth}.{_ATTENTION[owner]}"
        else:
            theirs = f"{prefix}.{2 * depth + 1}.{_FFN[owner]}"
    return f"{theirs}.{leaf}" if leaf else theirs


def load_authors(supernet: Supernet, state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Fill a supernet of the `mobile` form with the authors' weights.

    Returns:
        The authors' names that the network has no use for.

    Raises:
        CheckpointError: weights are missing, or one is smaller than needed; they are named.
    """
    own = supernet.state_dict()
    names = {name: authors_name(name, supernet.space.layout.n_conv) for name in own}
    missing = [theirs for theirs in names.values() if theirs not in state]
    unexpected = sorted(set(state) - set(names.values()))
    if missing:
        raise CheckpointError(
            f"the authors' checkpoint lacks {names_in_short(missing)}"
            + (f", and has the unknown {names_in_short(unexpected)}" if unexpected else "")
        )
    filled = {}
    for name, tensor in own.items():
        value = state[names[name]]
        if value.dim() != tensor.dim() or any(
            a < b for a, b in zip(value.shape, tensor.shape, strict=True)
        ):
            raise CheckpointError(
                f"{names[name]} has shape {tuple(value.shape)}; {name} needs {tuple(tensor.shape)}"
            )
        filled[name] = value[tuple(slice(n) for n in tensor.shape)]
    supernet.load_state_dict(filled)
    return tuple(unexpected)
