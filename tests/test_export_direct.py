"""TFLite files written directly: those of the converter, for whole networks."""

import numpy as np
import pytest

from elasticvit.nn import Subnet
from elasticvit.space import TINY
from elasticvit.testing.export_format import randomised
from export.backend import find_backend
from export.inspect import operators

IMAGES = 3


@pytest.mark.slow
def test_the_converters_file_of_a_random_subnet_is_the_same() -> None:
    (arch,) = TINY.sample(1, np.random.default_rng(4))
    subnet = randomised(Subnet(arch, TINY.layout))
    assert isinstance(subnet, Subnet)
    backends = [find_backend(name) for name in ("tflite", "tflite-litert-torch")]
    direct, converted = (backend.convert(subnet) for backend in backends)
    assert operators(direct) == operators(converted)
    models = [backends[0].load(data) for data in (direct, converted)]
    side = arch.resolution
    images = np.random.default_rng(5).standard_normal((IMAGES, 1, side, side, 3), np.float32)
    for image in images:
        np.testing.assert_array_equal(models[0](image), models[1](image))
