"""Class `goals`: caps, goals, kept genes and tables of accuracies of a search."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from attacks.attack import OK, Attack, Site, refused
from attacks.damage import byte_attacks
from attacks.prepared import SMALL

PLAIN = ("evit-search", *SMALL)
TABLE = ("evit-search", "--target-ms", "1000", "--accuracies", "accuracies.csv", "--verify", "0")
PROXY = ("evit-search", "--target-ms", "1000", "--proxy", "macs", "--space", "micro.toml")
_refused = partial(refused, "goals", limit_s=40)
SUPERNET = ("evit-search", "--target-mmacs", "9", "--data", "digits", "--supernet")
HEADER, ROW = "architecture,accuracy\n", "r16 8x1e1k3 16x1e2k3 | 32x1m2v2"
TARGETS = {  # value of --target, and what the message must name
    "host": "host",
    "=5": "=5",
    "host=": "host=",
    "host=nan": "nan",
    "host=inf": "inf",
    "host=-1": "-1",
    "host=0": "0",
    "host=abc": "abc",
    "nobody=4": "nobody",
    "../../x=4": "../../x",
    "params=-1": "-1",
    "size=0": "0",
    "memory=1e-9": "memory",
    "mmacs=1e-9": "1e-09",
    "watts=5": "watts",
}
KEPT = {  # value of --keep, and what the message must name
    "resolution": "resolution",
    "resolution=": "resolution",
    "=5": "=5",
    "resolution=77": "77",
    "resolution=abc": "abc",
    "resolution=nan": "nan",
    "resolution=1.5": "1.5",
    "attn9.width=32": "attn9.width",
    "resolution=" + "9" * 60: "999",
}
OTHERS: dict[str, tuple[tuple[str, ...], str]] = {  # argv, and what the message must name
    "goals of which one is out of reach": ((*PLAIN, "--target-ms", "1000,1e-9"), "1e-09"),
    "goals of which one is no number": ((*PLAIN, "--target-ms", "1000,x"), "x"),
    "empty goals": ((*PLAIN, "--target-ms", ","), "target"),
    "one goal twice": ((*PLAIN, "--target-ms", "1000,1000"), "1000"),
    "a thousand goals": ((*PLAIN, "--target-ms", ",".join(map(str, range(1, 1001)))), "1000"),
    "caps that nothing keeps at once": (
        (*PLAIN, "--target-ms", "1000", "--target", "params=1e-6"),
        "params",
    ),
    "one device capped twice": ((*PLAIN, "--target", "host=5", "--target", "host=6"), "host"),
    "a front of several goals": ((*PLAIN, "--front", "4", "--target-ms", "10,20"), "front"),
    "one gene kept twice": (
        (*PLAIN, "--target-ms", "9", "--keep", "resolution=16", "--keep", "resolution=24"),
        "resolution",
    ),
    "a proxy that is none": ((*PROXY[:3], "--proxy", "luck"), "luck"),
    "a proxy beside accuracies": ((*TABLE, "--proxy", "macs"), "proxy"),
    "accuracies beside a run": ((*TABLE, "--run", "folder"), "accuracies"),
    "precision without a profile": (
        (*PLAIN, "--target-ms", "9", "--precision", "int8"),
        "int8",
    ),
    "starts that are none": ((*PLAIN, "--target-ms", "9", "--start", "luck"), "luck"),
    "no supernet": ((*SUPERNET, "nowhere.safetensors"), "nowhere.safetensors"),
    "an endless supernet": ((*SUPERNET, "/dev/zero"), "/dev/zero"),
    "a supernet without images": (
        ("evit-search", "--target-mmacs", "9", "--supernet", "tiny-cifar10"),
        "data",
    ),
    "a supernet beside a run": ((*SUPERNET, "tiny-cifar10", "--run", "folder"), "run"),
    "images without a supernet": ((*PLAIN, "--target-ms", "9", "--data", "digits"), "data"),
}
TABLES: dict[str, tuple[str, str]] = {  # content of a table of accuracies, and what is named
    "of nothing": ("", "accuracies.csv"),
    "of a header alone": (HEADER, "accuracies.csv"),
    "of other columns": (f"arch,score\n{ROW},50\n", "accuracies.csv"),
    "of one row": (f"{HEADER}{ROW},50\n", "accuracies.csv"),
    "of NaN": (f"{HEADER}" + f"{ROW},nan\n" * 40, "accuracies.csv"),
    "of words": (f"{HEADER}" + f"{ROW},good\n" * 40, "good"),
    "of 900 percent": (f"{HEADER}" + f"{ROW},900\n" * 40, "900"),
    "of negative accuracies": (f"{HEADER}" + f"{ROW},-3\n" * 40, "-3"),
    "of architectures that are none": (HEADER + "rubbish,50\n" * 40, "rubbish"),
    "of another space": (
        f"{HEADER}" + "r224 64x9e9k9 128x9e9k9 | 512x9m9v9,50\n" * 40,
        "r224",
    ),
    "with a column too many in a row": (f"{HEADER}{ROW},50\n{ROW},50,60,70\n", "accuracies.csv"),
}


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    found = [_refused(f"target {v}", (*PLAIN, f"--target={v}"), n) for v, n in TARGETS.items()]
    found += [
        _refused(f"keep {v[:20]}", (*PLAIN, "--target-ms", "1000", f"--keep={v}"), n)
        for v, n in KEPT.items()
    ]
    found += [_refused(name, argv, named, _folder) for name, (argv, named) in OTHERS.items()]
    found += [
        _refused(f"accuracies {name}", TABLE, named, _table(text))
        for name, (text, named) in TABLES.items()
    ]
    found += [
        _refused("accuracies of a folder", (*TABLE[:4], "folder"), "folder", _folder),
        _refused("accuracies of nowhere", (*TABLE[:4], "nowhere.csv"), "nowhere.csv"),
        _refused("accuracies of an unknown ending", (*TABLE[:4], "micro.toml"), "micro.toml"),
        _refused("accuracies without an end", (*TABLE[:4], "/dev/zero"), "/dev/zero"),
        Attack(kind="goals", name="a front", argv=(*PLAIN, "--front", "4"), allowed=(OK,)),
        Attack(kind="goals", name="a proxy", argv=(*PROXY, "--verify", "0"), allowed=(OK,)),
        *byte_attacks("goals", prepared, "table.parquet", (*TABLE[:4], "table.parquet")),
    ]
    return found


def _folder(site: Site) -> None:
    (site.root / "folder" / "sub").mkdir(parents=True)


def _table(text: str) -> Callable[[Site], object]:
    return lambda site: (site.root / "accuracies.csv").write_text(text)
