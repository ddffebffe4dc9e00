"""Class `checkpoints`: damaged checkpoints, in the form of this version (a JSON file and a file of
tensors) and in that of the first ones (`checkpoint.pt`), and `subnet.pt`."""

from __future__ import annotations

import io
import math
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attacks.attack import EQUAL, REFUSED, WORKSPACE, Attack, Site
from attacks.damage import byte_attacks, document_attacks
from attacks.prepared import EPOCHS, EXPORT, HALF_TRAINED, SEARCH
from elasticvit.reading import seal

FIRST = "checkpoint.pt"  # as the first versions wrote it
DONE, HALF = f"{WORKSPACE}/runs/*", f"{HALF_TRAINED}/runs/*"
STATE, TENSORS = "checkpoints/0*.json", "checkpoints/0*.safetensors"
SUBNET = f"{WORKSPACE}/searches/*/subnet.pt"
RESUME = ("evit-train", "--workspace", HALF_TRAINED, "--epochs", str(EPOCHS))
Change = Callable[[dict[str, Any]], object]


class Booby:
    """A pickle that writes a file when it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (open, ("BOOBY-TRAP-RAN", "w"))


def _as_first_version(run: Path) -> Path:
    """Give a run its latest checkpoint in the form of the first versions alone; its file."""
    import torch

    from elasticvit.training.checkpoint import Checkpoint

    plain = Checkpoint.load(run).to_plain()
    shutil.rmtree(run / "checkpoints")
    torch.save({**plain, "schema": 1}, run / FIRST)
    return run / FIRST


def _file(site: Site, pattern: str) -> Path:
    """The file that is attacked: that of a pattern, or a run's checkpoint in its first form."""
    path = site.one(pattern)
    return _as_first_version(path) if path.is_dir() else path


def _changed(pattern: str, change: Change) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        import torch

        path = _file(site, pattern)
        state = torch.load(path, map_location="cpu", weights_only=True)
        made = change(state)
        torch.save(state if made is None else made, path)

    return spoil


def _put(key: str, value: object) -> Change:
    return lambda state: state.__setitem__(key, value)


def _first(part: str, value: Callable[[Any], Any]) -> Change:
    def change(state: dict[str, Any]) -> None:
        name = next(n for n, t in state[part].items() if t.is_floating_point())
        state[part][name] = value(state[part][name])

    return change


def _fewer(part: str) -> Change:
    def change(state: dict[str, Any]) -> None:
        del state[part][next(iter(state[part]))]

    return change


def _without(entry: str) -> Change:
    return lambda state: state.__delitem__(entry)


def _more(part: str) -> Change:
    def change(state: dict[str, Any]) -> None:
        import torch

        state[part]["no.such.weight"] = torch.zeros(3)

    return change


def _other_space(state: dict[str, Any]) -> None:
    info = state["info"]
    info["space"] = info["space"].replace('"attn1.width" = [32, 48]', '"attn1.width" = [32, 64]')


ENTRIES = ("schema", "info", "step", "weights", "ema", "optimiser", "sampler", "trainer")
VALUES: dict[str, tuple[Any, ...]] = {
    "schema": (99, "1", None),
    "info": ({}, "text", None),
    "step": ("ten", -5, 10**6, 2.5, None, math.nan, True),
    "weights": ([], {}, None, {"a": 1}),
    "ema": ([1], {"a": 1}, "text"),
    "optimiser": ({}, {"state": 5}, {"state": {}, "param_groups": []}),
    "sampler": ({}, {"rng": 5}, "text"),
    "trainer": ({}, {"x": 1}, [1]),
}


def _bomb(site: Site) -> None:
    """A file of torch's form whose one record unpacks to many gigabytes."""
    path = _file(site, DONE)
    with zipfile.ZipFile(path) as old:
        names = {info.filename: old.read(info) for info in old.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in names.items():
            if name.endswith("data/0"):
                with new.open(name, "w", force_zip64=True) as record:
                    for _ in range(400):
                        record.write(bytes(10_000_000))
            else:
                new.writestr(name, data)


def _pickled(pattern: str) -> Callable[[Site], None]:
    return lambda site: _file(site, pattern).write_bytes(pickle.dumps(Booby()))


def _booby(pattern: str) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        import torch

        buffer = io.BytesIO()
        torch.save({"schema": 1, "weights": Booby()}, buffer)
        _file(site, pattern).write_bytes(buffer.getvalue())

    return spoil


def _sealed(document: Any) -> Any:
    """A document with its checksum made right again, where it can have one."""
    return seal(document) if isinstance(document, dict) and "sha256" in document else document


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    found: list[Attack] = []

    def add(
        name: str,
        argv: tuple[str, ...],
        spoil: Callable[[Site], None],
        *names: str | tuple[str, ...],
    ) -> None:
        found.append(
            Attack(
                kind="checkpoints",
                name=f"{name} ({argv[0]})",
                argv=argv,
                spoil=spoil,
                names=names,
                allowed=(REFUSED, EQUAL),
            )
        )

    for entry in ENTRIES:
        add(
            f"checkpoint.pt without {entry}",
            RESUME,
            _changed(HALF, _without(entry)),
            FIRST,
            entry,
        )
        for number, value in enumerate(VALUES[entry]):
            argv, pattern = ((RESUME, HALF), (SEARCH, DONE))[number % 2]
            name = f"checkpoint.pt: {entry} = {value!r}"
            add(name, argv, _changed(pattern, _put(entry, value)), FIRST, entry)
    for part, argv, pattern in (("weights", RESUME, HALF), ("ema", SEARCH, DONE)):
        for name, change in {
            "not a number": _first(part, lambda t: t * math.nan),
            "infinite": _first(part, lambda t: t + math.inf),
            "another shape": _first(part, lambda t: t.flatten()[:1]),
            "another type": _first(part, lambda t: t.long()),
            "a text": _first(part, lambda t: "text"),
            "one is missing": _fewer(part),
            "one too many": _more(part),
        }.items():
            add(f"checkpoint.pt: {part}: {name}", argv, _changed(pattern, change), FIRST)
    add("checkpoint.pt of another space", SEARCH, _changed(DONE, _other_space), FIRST)
    add("checkpoint.pt that unpacks to 4 GB", SEARCH, _bomb, FIRST)
    for pattern, argv in ((DONE, SEARCH), (SUBNET, EXPORT)):
        name = FIRST if pattern == DONE else Path(pattern).name
        add(f"{name}: a pickle", argv, _pickled(pattern), name)
        add(f"{name}: a pickle inside", argv, _booby(pattern), name)
        add(f"{name}: a list", argv, _changed(pattern, lambda state: [1, 2]), name)
        add(f"{name}: a number", argv, _changed(pattern, lambda state: 5), name)
    for key, value in (("arch", 5), ("arch", {}), ("layout", "x"), ("layout", {}), ("schema", 99)):
        add(
            f"subnet.pt: {key} = {value!r}",
            EXPORT,
            _changed(SUBNET, _put(key, value)),
            "subnet.pt",
            (key, "space"),
        )
    few = ("empty", "cut", "random", "zeros", "text", "byte")
    options = {"only": few, "special": True}
    for run, argv in ((DONE, SEARCH), (HALF, RESUME)):
        for part in (STATE, TENSORS):
            pattern = f"{run}/{part}"
            found += byte_attacks("checkpoints", prepared, pattern, argv, **options)  # type: ignore[arg-type]
    for number, (run, argv) in enumerate(((DONE, SEARCH), (HALF, RESUME))):
        found += document_attacks(
            "checkpoints", prepared, f"{run}/{STATE}", argv, 20, seed=number, seal=_sealed
        )
    found += byte_attacks("checkpoints", prepared, SUBNET, EXPORT, only=few)
    return found
