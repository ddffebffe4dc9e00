"""What the repeated proof of an export ends with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticvit.errors import ExportError, NextStep

if TYPE_CHECKING:
    from export.card import Card
    from export.card_parts import DeviceCheck
    from export.fresh_run import FreshRun
    from export.parity import Parity


@dataclass(frozen=True, kw_only=True)
class VerifiedFile:
    """A file of a bundle, proven again on this computer.

    Attributes:
        card: What the export said of it.
        kept: Comparison with torch's logits of the images in the bundle; None if it has none.
        moved: Largest difference of a logit from what the file gave on the exporting computer, in
            standard deviations of torch's logits; None if that is not known.
        test: Comparison with torch's network on the test part of the data set; None if either is
            out of reach.
        fresh: What the file does in fresh processes of this computer.
        partitions: Pieces that this computer's CPU delegate takes it in; None if not TFLite.
        problems: What does not hold any more, a sentence each; empty if all does.
        device_check: Logits on a device beside those of the exporting computer; None if they were
            not compared.
    """

    card: Card
    kept: Parity | None
    moved: float | None
    test: Parity | None
    fresh: FreshRun
    partitions: int | None
    problems: tuple[str, ...]
    device_check: DeviceCheck | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "file": self.card.file,
            "format": self.card.format,
            "sha256": self.card.sha256,
            "exported": asdict(self.card.parity),
            "kept": None if self.kept is None else asdict(self.kept),
            "moved": self.moved,
            "test": None if self.test is None else asdict(self.test),
            "fresh": asdict(self.fresh),
            "partitions": self.partitions,
            "problems": list(self.problems),
            "device_check": None if self.device_check is None else asdict(self.device_check),
        }


@dataclass(frozen=True, kw_only=True)
class VerifyResult:
    """A bundle, proven again.

    Attributes:
        folder: The bundle's folder, or the model's file that was named.
        files: Its files.
        untested: Why the test part of the data set was not gone through again; None if it was.
    """

    folder: Path
    files: tuple[VerifiedFile, ...]
    untested: str | None

    @property
    def problems(self) -> tuple[str, ...]:
        """What does not hold any more, of all files."""
        return tuple(problem for one in self.files for problem in one.problems)

    def check(self) -> None:
        """Refuse a bundle that is not proven.

        Raises:
            ExportError: Something does not hold any more.
        """
        if self.problems:
            raise ExportError(
                f"{self.folder} is not proven on this computer: {'; '.join(self.problems)}; export "
                "it again here, or in another format",
                next_step=NextStep("export"),
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "command": "evit-export",
            "verified": str(self.folder),
            "proven": not self.problems,
            "untested": self.untested,
            "files": [one.to_dict() for one in self.files],
        }
