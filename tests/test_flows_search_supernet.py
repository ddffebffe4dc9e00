"""Searches in a supernet that is named, on images of its classes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_search import one_thread, save_run, supernet_file

from elasticvit.errors import CheckpointError, DataError, SettingError
from elasticvit.flows.export_search import SearchedSubnet
from elasticvit.flows.named_supernet import NamedSupernet
from elasticvit.flows.search import search
from elasticvit.nn.judging import accuracy
from elasticvit.searching.result import SearchResult
from elasticvit.workspace import Workspace

pytestmark = pytest.mark.usefixtures(one_thread.__name__)
STD = (0.25, 0.25, 0.5)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "ws")


def photographs(folder: Path, *labels: str) -> Path:
    """A few grey images of each label."""
    for label in labels:
        (folder / label).mkdir(parents=True)
        for number in range(30):
            pixels = np.full((8, 8, 3), 3 * number, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


def test_a_supernet_in_a_file_is_searched_on_images_of_its_classes(
    workspace: Workspace, tmp_path: Path
) -> None:
    path = supernet_file(tmp_path / "small.safetensors")
    wanted = {"supernet": path, "target_mmacs": 0.7, "evaluations": 12, "workspace": workspace}
    result = search(data="digits", **wanted).result
    assert result.run == str(path)
    assert result.data == "digits"
    assert result.test_accuracy is not None
    with pytest.raises(SettingError, match="supernet is named without data"):
        search(**wanted)
    with pytest.raises(
        CheckpointError, match="no supernet 'x'; with the package come tiny-cifar10"
    ):
        search(data="digits", **{**wanted, "supernet": "x"})
    folder = photographs(tmp_path / "photos", "a", "b")
    with pytest.raises(DataError, match=r"has 2 classes, the weights of .* tell 10 apart"):
        search(data=str(folder), **wanted)


def test_a_training_run_that_is_named_has_its_data_set(
    workspace: Workspace, tmp_path: Path
) -> None:
    save_run(tmp_path / "run")
    wanted = {"target_mmacs": 0.7, "evaluations": 12, "workspace": workspace}
    result = search(supernet=tmp_path / "run", **wanted).result
    assert (result.run, result.data) == (str(tmp_path / "run"), "digits")


def test_images_are_normalised_as_the_supernet_asks_for(
    workspace: Workspace, tmp_path: Path
) -> None:
    """In the search, in the judgements that are kept, and in what is exported of it."""
    accuracies = []
    for mean in ((0.3, 0.3, 0.3), (0.9, 0.8, 0.7)):
        path = supernet_file(tmp_path / "small.safetensors", mean=mean, std=STD)
        wanted = {"supernet": path, "data": "digits", "workspace": workspace}
        found = search(target_mmacs=0.7, evaluations=12, **wanted)
        assert found.result.normalisation == (mean, STD)
        assert SearchResult.load(found.folder) == found.result
        images = SearchedSubnet.load(found.folder).images()
        assert (images.mean, images.std) == (mean, STD)
        side = found.result.arch.resolution
        test = images.loader("test", resolution=side, batch_size=64)
        assert accuracy(found.subnet(), test) == found.result.test_accuracy
        accuracies.append([point.accuracy for point in found.result.front])
    assert accuracies[0] != accuracies[1]


def test_classes_in_another_order_are_refused(tmp_path: Path) -> None:
    """Folders are taken by name: one that is called otherwise moves the classes beside it."""
    names = ("bird", "cat", *"defghijk")
    supernet = NamedSupernet.load(supernet_file(tmp_path / "small.safetensors", classes=names))
    folder = photographs(tmp_path / "photos", "sparrow", *names[1:])
    with pytest.raises(DataError, match=r"has class cat as number 0, and .* as number 1: the cla"):
        supernet.images(str(folder))
    (folder / "sparrow").rename(folder / "a sparrow")  # a name that it does not know
    assert supernet.images(str(folder)).class_names[:2] == ("a sparrow", "cat")
