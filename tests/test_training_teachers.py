"""Teachers: what they say of images, what is learned from them, and soft labels on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from training_small import DATA, MICRO, config, run_info, sampler

from elasticvit.cost import MacsCost
from elasticvit.errors import CheckpointError, DataError, ModelError, SettingError
from elasticvit.nn.side_by_side import side_by_side
from elasticvit.training.batch import Batch
from elasticvit.training.config import TrainConfig
from elasticvit.training.data import ImageData, open_data
from elasticvit.training.distillation import Distillation, TeacherInfo
from elasticvit.training.loader import fitted
from elasticvit.training.loop import run_training
from elasticvit.training.mixing import blended_labels
from elasticvit.training.parts import DataPart
from elasticvit.training.run_info import RunInfo
from elasticvit.training.sampling.adjacent import LevelSampler
from elasticvit.training.soft_label_maker import made_soft_labels
from elasticvit.training.soft_labels import SoftLabels, compressed, content_hash
from elasticvit.training.targets import TargetMaker, Targets
from elasticvit.training.teacher import TeacherNetwork, Teachers, weights_of
from elasticvit.training.timm_teacher import timm_teacher
from elasticvit.training.trainer import Trainer

CPU = torch.device("cpu")
NAME = "test_vit"  # of timm's; made for tests, 0.4 million weights


class Linear(nn.Module):
    """Logits that are linear in the pixels, with dropout that a teacher must not use."""

    def __init__(self, side: int, seed: int, classes: int = 10) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(3 * side**2, classes, generator=generator))
        self.drop = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(x.flatten(1)) @ self.weight


def linear(seed: int, side: int = 12, mean: float = 0.5, std: float = 0.25) -> TeacherNetwork:
    network = Linear(side, seed)
    return TeacherNetwork(
        info=TeacherInfo(name=f"linear {seed}", weights=weights_of(network)),
        network=network,
        side=side,
        mean=(mean,) * 3,
        std=(std,) * 3,
    )


def teachers(*networks: TeacherNetwork) -> Teachers:
    return Teachers(networks, mean=DATA.mean, std=DATA.std, device=CPU)


def distillation(*networks: TeacherNetwork) -> Distillation:
    return Distillation(teachers=tuple(teacher.info for teacher in networks))


def batch(count: int = 6) -> Batch:
    loader = DATA.loader("train", resolution=16, batch_size=count, shuffle=True)
    return next(loader.batches(0))


def test_teachers_see_pixels_resized_and_normalised_as_their_own() -> None:
    one, two = linear(0), linear(1, side=16, mean=0.3, std=0.2)
    images = batch().images
    pixels = images * torch.tensor(DATA.std).view(3, 1, 1) + torch.tensor(DATA.mean).view(3, 1, 1)
    with torch.no_grad():
        first = one.network.eval()((fitted(pixels, 12) - 0.5) / 0.25)
        second = two.network.eval()((pixels - 0.3) / 0.2)
    alone = teachers(one).probabilities(images)
    assert torch.allclose(alone, first.softmax(dim=1), atol=1e-6)
    together = teachers(one, two).probabilities(images)
    expected = ((first / 0.2).softmax(dim=1) + (second / 0.2).softmax(dim=1)) / 2
    assert torch.allclose(together, expected, atol=1e-5)
    assert not together.requires_grad
    assert not one.network.training
    assert not any(p.requires_grad for p in one.network.parameters())


def test_the_loss_is_that_of_the_method() -> None:
    logits, labels = torch.randn(6, 10, requires_grad=True), torch.arange(6)
    taught = torch.rand(6, 10).softmax(dim=1)
    hard = F.cross_entropy(logits, labels, label_smoothing=0.1)
    soft = -(taught * logits.log_softmax(dim=1)).sum(dim=1).mean()
    plain = Targets(labels=labels, smoothing=0.1)
    assert torch.equal(plain.loss(logits), hard)
    for count, expected in ((1, (hard + soft) / 2), (2, soft), (3, soft)):
        share = distillation(*(linear(seed) for seed in range(count))).share
        targets = Targets(labels=labels, smoothing=0.1, taught=taught, share=share)
        assert torch.allclose(targets.loss(logits), expected)
        targets.loss(logits).backward()


def soft_labels(*networks: TeacherNetwork, data: ImageData = DATA) -> SoftLabels:
    made, agreement = made_soft_labels(
        teachers(*networks),
        data,
        distillation(*networks),
        resolution=24,
        batch_size=256,
        device=CPU,
        progress=lambda done: None,
    )
    assert 0 <= agreement <= 100
    return made


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("soft") / "digits.safetensors"
    soft_labels(linear(0), linear(1)).save(path)
    return path


def test_soft_labels_are_what_the_teachers_say_of_each_row(written: Path) -> None:
    found = SoftLabels.load(written)
    found.check(DATA)
    rows = torch.tensor([5, 0, 1220])
    images = next(DATA.loader("train", resolution=24, batch_size=1221).batches(0)).images[rows]
    expected = teachers(linear(0), linear(1)).probabilities(images)
    assert torch.allclose(found.probabilities(rows), expected, atol=2e-3)
    assert found.info.temperature == 0.2
    assert [t.name for t in found.info.teachers] == ["linear 0", "linear 1"]


def test_of_many_classes_the_most_probable_are_kept_and_the_rest_is_spread() -> None:
    whole = (3 * torch.randn(8, 50, generator=torch.Generator().manual_seed(0))).softmax(dim=1)
    values, kept = compressed(whole, 16)
    info = soft_labels(linear(0)).info
    info = type(info)(
        **{
            **{name: getattr(info, name) for name in info.__struct_fields__},
            "classes": 50,
            "kept": 16,
            "content": content_hash(values, kept),
        }
    )
    again = SoftLabels(info=info, values=values, kept=kept).probabilities(torch.arange(8))
    assert torch.allclose(again.sum(dim=1), torch.ones(8))
    top = whole.topk(16, dim=1)
    assert torch.allclose(again.gather(1, top.indices), top.values, atol=2e-3)
    least = again.topk(34, dim=1, largest=False).values
    assert torch.allclose(least, least[:, :1].expand_as(least))


def test_soft_labels_are_mixed_as_the_images_are(written: Path) -> None:
    source = SoftLabels.load(written)
    maker = TargetMaker(
        classes=10,
        smoothing=0.0,
        distillation=Distillation(teachers=source.info.teachers),
        source=source,
    )
    whole = batch()
    targets = maker(replace(whole, images=blended_labels(whole.images, 0.3)), 0.3)
    plain = source.probabilities(whole.rows)
    assert targets.taught is not None
    assert torch.allclose(targets.taught, 0.3 * plain + 0.7 * plain.flip(0))


def test_teachers_say_the_same_of_a_batch_whose_parts_run_at_the_same_time() -> None:
    source = teachers(linear(0), linear(1, side=8))
    maker = TargetMaker(
        classes=10,
        smoothing=0.0,
        distillation=Distillation(teachers=(linear(0).info, linear(1, side=8).info)),
        source=source,
    )
    whole = maker(batch(), None).taught
    with side_by_side(2) as threads:
        parts = maker(batch(), None, threads).taught
    assert whole is not None
    torch.testing.assert_close(parts, whole)


def shapes(folder: Path, classes: int, seed: int = 0) -> ImageData:
    rng = np.random.default_rng(seed)
    for label in range(classes):
        (folder / f"c{label}").mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 255, (10, 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"c{label}" / f"{i}.png")
    return open_data(str(folder))


def test_soft_labels_belong_to_their_data_set_wherever_it_lies(
    tmp_path: Path, written: Path
) -> None:
    two, three = shapes(tmp_path / "a", 2), shapes(tmp_path / "b", 3)
    with pytest.raises(DataError, match=r"of digits, with 10 classes and 1,221 .* has 3 and") as no:
        SoftLabels.load(written).check(three)
    assert no.value.settings == ("soft_labels", "data")
    network = Linear(12, 0, classes=2)
    info = TeacherInfo(name="two", weights=weights_of(network))
    teacher = TeacherNetwork(info=info, network=network, side=12, mean=(0.5,) * 3, std=(0.5,) * 3)
    made = soft_labels(teacher, data=two)
    with pytest.raises(DataError, match="training images or labels differ"):
        made.check(shapes(tmp_path / "other", 2, seed=1))
    (tmp_path / "a").rename(tmp_path / "moved")
    made.check(open_data(str(tmp_path / "moved")))


def test_damaged_soft_labels_are_refused_in_one_message(tmp_path: Path, written: Path) -> None:
    whole, path = written.read_bytes(), tmp_path / "soft.safetensors"
    damages = {
        "truncated": whole[:-100],
        "cut in the table": whole[:40],
        "empty": b"",
        "changed": whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:],
        "another temperature": whole.replace(b'temperature\\": 0.2', b'temperature\\": 0.3'),
        "other rows": whole.replace(b'rows\\": 1221', b'rows\\": 1222'),
    }
    for what, data in damages.items():
        assert data != whole, what
        path.write_bytes(data)
        with pytest.raises(
            DataError, match=r"soft\.safetensors.*write the soft labels again"
        ) as no:
            SoftLabels.load(path)
        assert no.value.settings == ("soft_labels",), what
        assert "\n" not in str(no.value)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(DataError, match="does not say what it is of"):
        SoftLabels.load(path)
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(DataError, match=r"does not exist|is not a file"):
            SoftLabels.load(missing)


# -- networks of timm's


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small network of timm's with ten classes."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("vit")
    state = timm.create_model(NAME, num_classes=10).state_dict()
    save_file(state, folder / "vit.safetensors")
    torch.save(state, folder / "vit.pth")
    save_file({k: v.half() for k, v in state.items()}, folder / "half.safetensors")
    return folder


def test_a_network_of_timms_teaches_with_weights_from_a_file(vit: Path) -> None:
    one = timm_teacher(NAME, vit / "vit.safetensors", 10)
    assert one.info == timm_teacher(NAME, vit / "vit.pth", 10).info
    assert one.info.name == NAME
    assert (one.side, one.std) == (160, (0.5, 0.5, 0.5))
    half = timm_teacher(NAME, vit / "half.safetensors", 10)
    assert half.info != one.info
    said = teachers(one).probabilities(batch(2).images)
    assert said.shape == (2, 10)
    assert torch.allclose(said, teachers(half).probabilities(batch(2).images), atol=1e-2)


def test_what_is_no_teacher_is_refused_in_one_message(
    vit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingError, match=r"no network 'resnet81'; close names are .*resnet"):
        timm_teacher("resnet81", None, 10)
    with pytest.raises(SettingError, match=r"no network 'resnet18\.none'; close names"):
        timm_teacher("resnet18.none", None, 10)
    with pytest.raises(ModelError, match="resnet18 tells 1,000 classes apart, the data set has 10"):
        timm_teacher("resnet18", None, 10)
    with pytest.raises(ModelError, match="tells 10 classes apart, the data set has 3"):
        timm_teacher(NAME, vit / "vit.pth", 3)
    with pytest.raises(CheckpointError, match=r"none\.pth does not exist.*give a file"):
        timm_teacher(NAME, tmp_path / "none.pth", 10)
    with pytest.raises(CheckpointError, match=r"is of another network: .* is missing"):
        timm_teacher("test_resnet", vit / "vit.pth", 10)
    for name in ("vit.pth", "vit.safetensors"):
        cut = tmp_path / name
        cut.write_bytes((vit / name).read_bytes()[:-5000])
        with pytest.raises(CheckpointError, match="is truncated or not weights of a network"):
            timm_teacher(NAME, cut, 10)
    state = load_file(vit / "vit.safetensors")
    state["head.bias"][0] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(CheckpointError, match=r"head\.bias holds numbers that are not finite"):
        timm_teacher(NAME, tmp_path / "nan.safetensors", 10)

    def offline(*_: object, **__: object) -> None:
        raise OSError("We couldn't connect to the hub.\nMore lines.")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ModelError, match=r"cannot be had: We couldn't connect.*give a file"):
        timm_teacher("resnet18", None, 1000)
    with pytest.raises(ModelError, match="cannot be had"):  # the authors' teacher, by its old name
        timm_teacher("swsl_resnext101_32x4d", None, 1000)


# -- in the loop


LEVELS = sampler().levels
FEW = replace(DATA, train=DataPart(DATA.train.pool, DATA.train.rows[:48]))


def taught(settings: TrainConfig, source: Teachers | SoftLabels | None) -> Trainer:
    draws = LevelSampler(MICRO, MacsCost(MICRO), LEVELS, seed=0)
    return Trainer(run_info(settings), FEW, draws, teaching=source)


@pytest.mark.parametrize("by_file", [False, True])
def test_a_run_with_teachers_that_is_interrupted_ends_with_the_same_weights(
    tmp_path: Path, written: Path, by_file: bool
) -> None:
    labels, two = SoftLabels.load(written), (linear(0), linear(1))
    by = distillation(*two)
    if by_file:
        by = Distillation(teachers=labels.info.teachers, soft_labels=labels.info.content)
    settings = config(batch_size=24, mixup=0.3, distillation=by)
    jobs = [taught(settings, labels if by_file else teachers(*two)) for _ in range(3)]
    whole, half, again = jobs
    plain = taught(config(batch_size=24, mixup=0.3), None)
    assert whole.steps == 2
    for job in (whole, plain):
        run_training(job, tmp_path / str(len(job.config.distillation.teachers)))
    run = tmp_path / "half"
    half.step_at(next(half.loader.batches(0)), half.sampler.draw())
    half.step = 1
    half.save(run)
    with pytest.raises(CheckpointError, match="another space, data set, seed or settings"):
        plain.resume(run)
    run_training(again, run)
    end, name = again.supernet.state_dict(), "blocks.head_0_block.classifier.weight"
    assert all(torch.equal(end[k], v) for k, v in whole.supernet.state_dict().items())
    assert not torch.equal(end[name], plain.supernet.state_dict()[name])


def test_runs_of_earlier_versions_have_no_teachers() -> None:
    info = run_info(config())
    plain = info.to_dict()
    del plain["settings"]["distillation"], plain["settings"]["start"]
    assert RunInfo.parse(plain, "run.json") == info
    plain["settings"]["distillation"] = {"soft_labels": 64 * "a"}
    with pytest.raises(CheckpointError, match="soft_labels name no teacher"):
        RunInfo.parse(plain, "run.json")
