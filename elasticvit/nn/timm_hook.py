"""Registration in timm at whichever of timm and `elasticvit.nn` is imported last.

timm takes several seconds to load, and most uses of `elasticvit.nn` need none of it. So
`elasticvit.nn` does not import timm; it hooks the import of `timm.models` instead.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

REGISTRY = "timm.models"
MODELS = "elasticvit.nn.timm_models"


def register_in_timm() -> None:
    """Register the published architectures in timm: now if timm is loaded, otherwise right
    after its models have been. A second call has no effect."""
    if REGISTRY in sys.modules:
        import_module(MODELS)
    elif not any(isinstance(finder, _TimmFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TimmFinder())


class _TimmFinder(MetaPathFinder):
    """Finds `timm.models` as the other finders do, and has `elasticvit.nn.timm_models` imported
    right after it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != REGISTRY:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((found for found in specs if found is not None), None)
        if spec is not None and spec.loader is not None:
            loader = spec.loader
            load = loader.exec_module

            def load_both(module: ModuleType) -> None:
                delattr(loader, "exec_module")  # the method of the loader's class is back
                sys.meta_path.remove(self)
                load(module)
                import_module(MODELS)

            setattr(loader, "exec_module", load_both)  # noqa: B010 - a method of this one loader
        return spec
