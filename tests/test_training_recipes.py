"""Recipes, and which space and recipe suit a data set and a machine."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from training_small import DATA, MICRO

from elasticvit.nn import Supernet
from elasticvit.nn.blocks import FFN, Attention, Head
from elasticvit.space import MOBILE, TINY
from elasticvit.training.choice import choose, choose_recipe, few_photographs, typical_side
from elasticvit.training.config import TrainConfig, default_config
from elasticvit.training.data import ImageData, open_data
from elasticvit.training.recipes import CPU_MINUTES, ONE_GPU, PAPER, RECIPES
from elasticvit.training.start import make_schedule, parameter_groups


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> ImageData:
    """Three classes of images of 80 x 60 pixels."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "emu"):
        (root / name).mkdir()
        for i in range(12):
            pixels = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return open_data(str(root))


def sized(data: ImageData, images: int) -> ImageData:
    return replace(data, info=replace(data.info, train_images=images))


def test_settings_follow_the_size_of_the_data_set() -> None:
    sizes = [replace(DATA.info, train_images=n) for n in (1_221, 3_500, 50_000, 1_200_000)]
    small, some, many, _ = (default_config(size, MICRO) for size in sizes)
    assert (small.epochs, small.batch_size, small.lr, small.mixup) == (25, 32, 4e-3, 0.0)
    assert (some.epochs, many.epochs) == (25, 3)
    assert many.recipe == "cpu-minutes"
    gpu = default_config(sizes[2], MICRO, ONE_GPU)
    assert 10 < gpu.epochs < 100
    assert default_config(sizes[2], MICRO, epochs=3, lr=None).epochs == 3
    assert default_config(sizes[0], MOBILE).lr < default_config(sizes[0], TINY).lr
    assert default_config(sizes[1], MICRO, tuned=True).lr == some.lr
    assert default_config(sizes[2], MICRO, ONE_GPU, tuned=True).lr == pytest.approx(gpu.lr / 4)
    assert default_config(sizes[1], MICRO, tuned=True, lr=1e-3).lr == 1e-3
    twice = default_config(sizes[2], MICRO, batch_size=64)
    assert twice.epochs == 6


def test_the_papers_recipe_scales_its_rates_with_the_batch() -> None:
    info = replace(DATA.info, train_images=1_281_167)
    config = default_config(info, MOBILE, PAPER)
    assert (config.epochs, config.batch_size) == (610, 768)
    assert config.lr == pytest.approx(7.5e-4)
    assert config.min_lr == pytest.approx(7.5e-6)
    assert config.warmup_start * config.lr == pytest.approx(1.5e-6)
    assert config.warmup_share * config.epochs == pytest.approx(5)
    assert (config.mixup, config.cutmix, config.erasing) == (0.01, 0.01, 0.01)
    double = default_config(info, MOBILE, PAPER, batch_size=1536)
    assert double.lr == pytest.approx(2 * config.lr)
    assert default_config(info, MOBILE, PAPER, lr=1e-3).lr == 1e-3


def test_settings_of_an_earlier_version_mean_what_they_meant() -> None:
    config = TrainConfig(epochs=1, batch_size=32, lr=1e-3)
    assert (config.cutmix, config.erasing, config.start, config.start_share) == (0.0, 0.0, "", 0.0)
    assert config.decay_convs
    assert not config.decay_position_bias
    assert config.warmup_start == 0.01
    info = replace(DATA.info, train_images=1_000)
    # what it had without a choice
    chosen = {"subnets": 3, "level_bias": 0.0, "grow": 0.0, "epochs": 10, "lr": 8e-3}
    now = default_config(info, MICRO, bank=False, preference=False, **chosen)
    earlier = TrainConfig(epochs=10, batch_size=32, lr=8e-3)
    assert now == earlier  # an interrupted run of that version is resumed
    assert config.rand_augment == CPU_MINUTES.rand_augment == "rand-m5-n1-mstd0.5-inc1"


def test_the_papers_weight_decay_spares_convolutions_and_not_position_biases() -> None:
    supernet = Supernet(MICRO)
    decayed, free = parameter_groups(supernet, 0.05, decay_convs=False, decay_position_bias=True)
    names = {id(p): name for name, p in supernet.named_parameters()}
    assert len(decayed["params"]) + len(free["params"]) == len(names)
    transformer = [
        f"blocks.{name}."
        for name, block in supernet.blocks.items()
        if isinstance(block, Attention | FFN | Head)
    ]
    kept = [names[id(p)] for p in decayed["params"]]
    assert all(name.startswith(tuple(transformer)) for name in kept)
    assert [name for name in kept if name.endswith("position_bias")]
    assert not [name for name in kept if name.endswith(".bias")]


def test_the_space_follows_size_number_and_machine(photos: ImageData) -> None:
    assert (typical_side(DATA), typical_side(photos)) == (8, 60)
    assert choose(DATA, 0).space.name == "tiny"
    assert choose(sized(DATA, 60_000), 1).space.name == "tiny"
    few = choose(sized(photos, 3_400), 0)
    assert (few.space.name, few.recipe) == ("photo", CPU_MINUTES)
    assert few.space_reason.startswith("3,400 images of 60 pixels in 3 classes, on one machine")
    assert choose(sized(photos, 50_000), 1).recipe == ONE_GPU
    assert choose(sized(photos, 1_200_000), 0).space.name == "photo"
    large = choose(sized(photos, 1_200_000), 8)
    assert (large.space.name, large.recipe) == ("mobile", PAPER)
    assert choose(sized(photos, 1_200_000), 1).recipe == ONE_GPU
    assert choose_recipe(DATA.info, 1)[0] == CPU_MINUTES


def test_few_photographs_are_better_fine_tuned(photos: ImageData) -> None:
    advice = few_photographs(sized(photos, 600))
    assert advice is not None
    assert "600 photographs are few" in advice
    assert "fine-tune" in advice
    assert "--" not in advice
    assert few_photographs(sized(photos, 50_000)) is None
    assert few_photographs(DATA) is None


def test_recipes_are_found_by_their_names() -> None:
    assert list(RECIPES) == ["cpu-minutes", "one-gpu", "paper"]
    for recipe in RECIPES.values():
        assert default_config(DATA.info, TINY, recipe).recipe == recipe.name


def test_settings_do_not_depend_on_where_the_data_lie(photos: ImageData, tmp_path: Path) -> None:
    assert default_config(photos.info, MICRO) == default_config(
        replace(photos.info, spec=str(tmp_path)), MICRO
    )


def test_the_paper_ends_with_ten_epochs_at_the_lowest_rate() -> None:
    settings = PAPER.settings(images=100 * 768, width=320)
    config = TrainConfig(**settings)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([weight], lr=config.lr)
    steps = 100 * config.epochs
    schedule = make_schedule(optimiser, config, steps)

    def rate(step: int) -> float:
        schedule.step_update(step)
        return float(optimiser.param_groups[0]["lr"])

    last = steps - 10 * 100
    assert rate(500) == pytest.approx(config.lr, rel=1e-2)
    assert rate(last - 100) > config.min_lr
    assert rate(last) == rate(steps - 1) == config.min_lr
