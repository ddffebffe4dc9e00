"""The nine published architectures in timm's registry, as models of an outside package.

Importing this module registers them; `elasticvit.nn.timm_hook` does it as soon as both timm
and `elasticvit.nn` are imported.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from elasticvit.arch import Arch
from elasticvit.kernels import Layout
from elasticvit.nn.default_cfg import default_cfg
from elasticvit.nn.models import build, no_weights, pyramid
from elasticvit.published import PUBLISHED, timm_name

__all__: list[str] = []  # the names of the models; `register_model` adds them

default_cfgs = generate_default_cfgs(
    {timm_name(name): default_cfg(arch, Layout()) for name, arch in PUBLISHED.items()}
)


def _entry_point(name: str, arch: Arch) -> Callable[..., nn.Module]:
    """The function that `timm.create_model` calls for a name."""

    def entry_point(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        if pretrained and not (
            kwargs.get("pretrained_cfg") or kwargs.get("pretrained_cfg_overlay")
        ):
            raise no_weights(name)
        model: nn.Module = build_model_with_cfg(
            partial(build, arch, Layout()),
            name,
            pretrained,
            feature_cfg={"out_indices": pyramid(arch, Layout()), "feature_cls": "getter"},
            **kwargs,
        )
        return model

    entry_point.__name__ = entry_point.__qualname__ = name
    entry_point.__doc__ = f"{name}: {arch} (see `elasticvit.nn.create_model`)."
    return entry_point


for _name, _arch in PUBLISHED.items():
    globals()[timm_name(_name)] = register_model(_entry_point(timm_name(_name), _arch))
