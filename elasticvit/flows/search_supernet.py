"""The trained supernet that a search looks in: that of a training run, or one by name or file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.errors import SettingError
from elasticvit.flows.named_supernet import NamedSupernet
from elasticvit.flows.places import path_text
from elasticvit.flows.run_data import open_run_data
from elasticvit.flows.search_place import run_folder
from elasticvit.flows.search_settings import SearchSettings
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.nn.supernet import Supernet
    from elasticvit.training.data import ImageData


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedSupernet:
    """A trained supernet and the images that it is judged on.

    Attributes:
        name: Where it comes from, for the record.
        space: Its space.
        data: Spec of the data set.
        run: Folder of the training run; None if it is not of one.
        best: Whether its best checkpoint is taken instead of the latest.
        given: The supernet with what its file says of it, if it is not of the workspace's run.
    """

    name: str
    space: SearchSpace
    data: str
    run: Path | None = None
    best: bool = False
    given: NamedSupernet | None = None

    @classmethod
    def of(cls, settings: SearchSettings, workspace: Workspace) -> TrainedSupernet:
        """The supernet that the settings name, or that of the workspace's latest run.

        Raises:
            CheckpointError: It is missing or damaged.
            WorkspaceError: None is named, and there is no training run.
            SettingError: A supernet is named that says nothing of its data set, and no data set.
        """
        from elasticvit.training.run_info import RunInfo

        if settings.supernet is None:
            run = run_folder(settings, workspace)
            info = RunInfo.load(run)
            best = settings.checkpoint == "best"
            return cls(name=path_text(run), space=info.space, data=info.data, run=run, best=best)
        given = NamedSupernet.load(settings.supernet)
        data = settings.data or given.data
        if data is None:
            raise SettingError(
                "supernet is named without data; name the images to judge it on, such as a folder "
                "with CLASS/IMAGE",
                settings=["data"],
            )
        return cls(name=given.name, space=given.supernet.space, data=data, given=given)

    def images(self) -> ImageData:
        """The data set.

        Raises:
            DataError: It is gone or unreadable, or has other classes than the supernet.
        """
        if self.given is not None:
            return self.given.images(self.data)
        return open_run_data(self.data, self.space.layout.classes)

    def load(self) -> Supernet:
        """The supernet, on the CPU in evaluation mode.

        Raises:
            CheckpointError: Its checkpoint is missing or damaged.
        """
        if self.given is not None:
            return self.given.supernet
        from elasticvit.training.checkpoint import load_supernet

        assert self.run is not None
        return load_supernet(self.run, best=self.best)
