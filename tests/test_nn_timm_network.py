"""What an export takes from a network of timm's."""

import pytest
import timm

from elasticvit.errors import ModelError
from elasticvit.nn.timm_network import TimmNetwork

SMALL = "test_efficientnet"


@pytest.mark.parametrize(
    ("changed", "crop"),
    [
        ({}, 0.8),
        ({"crop_pct": 1.0}, 1.0),
        ({"interpolation": "bilinear"}, None),
        ({"crop_mode": "squash"}, None),
    ],
)
def test_the_card_says_how_timm_fits_pictures(changed: dict[str, object], crop: float) -> None:
    network = timm.create_model(SMALL, pretrained_cfg_overlay={"crop_pct": 0.8} | changed)
    assert TimmNetwork(SMALL, network).input.crop == crop


def test_attention_is_counted() -> None:
    network = TimmNetwork("test_vit", timm.create_model("test_vit"))
    blocks, tokens, width = len(network.network.blocks), 10 * 10 + 1, 64
    embedding, head = 100 * 3 * 16**2 * width, width * 1000
    linear = tokens * width * (3 * width + width + 2 * 3 * width)
    attention = 2 * tokens**2 * width
    assert network.macs() == embedding + head + blocks * (linear + attention)


def test_a_network_that_gives_features_is_refused() -> None:
    features = timm.create_model(SMALL, num_classes=0)
    with pytest.raises(ModelError, match=r"timm's dino has no classes .*name a network that"):
        TimmNetwork("dino", features)
