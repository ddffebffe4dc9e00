"""A trained supernet that is named, with what its file says of the images that it takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.errors import DataError, NextStep
from elasticvit.flows.imagenet_labels import class_numbers, imagenet_labels
from elasticvit.flows.supernet import is_authors, load_supernet

if TYPE_CHECKING:
    from elasticvit.nn.authors_file import AuthorsFile
    from elasticvit.nn.supernet import Supernet
    from elasticvit.training.data import ImageData, Normalisation

MOST_NAMES = 12  # of classes in a message


@dataclass(frozen=True, eq=False)
class NamedSupernet:
    """A supernet of this project or of the authors.

    Attributes:
        supernet: The supernet, on the CPU in evaluation mode.
        name: Name, file or folder.
        labels: Names of its classes, by label; numbers where it does not know them.
        normalisation: Mean and standard deviation of each channel that its images are normalised
            by, for pixels in 0..1.
        data: Spec of the data set that it was trained on; None if its file does not say.
        authors: What the authors' checkpoint is, if it is one.
    """

    supernet: Supernet
    name: str
    labels: tuple[str, ...]
    normalisation: Normalisation
    data: str | None = None
    authors: AuthorsFile | None = None

    @classmethod
    def load(cls, name: Path | str) -> NamedSupernet:
        """A supernet as `flows.supernet.load_supernet` finds it, or the authors', from their
        checkpoint.

        Args:
            name: Name, file or folder.

        Raises:
            CheckpointError: It is no supernet, or damaged.
        """
        if is_authors(name):
            return cls.of_authors(Path(name), "supernet")
        if Path(name).is_dir():
            from elasticvit.training.run_info import RunInfo

            supernet, info = load_supernet(name), RunInfo.load(Path(name))
            labels = class_numbers(supernet.space.layout.classes)
            return cls(supernet, str(name), labels, (info.mean, info.std), data=info.data)
        from elasticvit.nn.shipped import read_described

        supernet, card = read_described(name)
        return cls(supernet, str(name), card.classes, (card.mean, card.std))

    @classmethod
    def of_authors(cls, path: Path, setting: str) -> NamedSupernet:
        """The authors' supernet.

        Args:
            path: Their checkpoint.
            setting: Setting of the flow that names it.

        Raises:
            CheckpointError: It is missing, damaged or incomplete.
        """
        from elasticvit.nn.authors_file import read_authors_file
        from elasticvit.nn.default_cfg import IMAGENET_MEAN, IMAGENET_STD

        found = read_authors_file(path, setting)
        labels = imagenet_labels(found.supernet.space.layout.classes)
        return cls(found.supernet, str(path), labels, (IMAGENET_MEAN, IMAGENET_STD), authors=found)

    def images(self, spec: str) -> ImageData:
        """A data set of its classes, normalised as it asks for.

        Args:
            spec: Spec of the data set.

        Raises:
            DataError: The data set is unreadable, or has other classes, or in another order.
        """
        from elasticvit.training.data import open_data

        data = open_data(spec)
        problem = self.misfit(data)
        if problem is not None:
            raise DataError(
                f"{problem}, or train a supernet on yours",
                settings=["data"],
                next_step=NextStep("train", {"data": spec}),
            )
        return replace(data, given_normalisation=self.normalisation)

    def misfit(self, data: ImageData) -> str | None:
        """What about a data set's classes is not as the supernet has them, and what to do about it;
        None if they are its classes."""
        classes, spec = self.supernet.space.layout.classes, data.info.spec
        if data.info.classes != classes:
            return (
                f"data set {spec} has {data.info.classes:,} classes, the weights of {self.name} "
                f"tell {classes:,} apart; name images of the same classes, in the same order of "
                "names"
            )
        counts = Counter(self.labels)
        place = {
            label: i
            for i, label in enumerate(self.labels)
            if not label.isdigit() and counts[label] == 1
        }
        for number, name in enumerate(data.class_names):
            if place.get(name, number) != number:
                return (
                    f"data set {spec} has class {name} as number {number}, and {self.name} as "
                    f"number {place[name]}: the classes of {self.name} are "
                    f"{_listed(self.labels)}, in this order, and folders are taken by "
                    "name; call the folders as these"
                )
        return None


def _listed(names: tuple[str, ...]) -> str:
    more = "" if len(names) <= MOST_NAMES else f" and {len(names) - MOST_NAMES} more"
    return ", ".join(names[:MOST_NAMES]) + more
