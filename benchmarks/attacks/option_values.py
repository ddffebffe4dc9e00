"""Class `options`: senseless, extreme and contradictory options."""

from __future__ import annotations

from pathlib import Path

from attacks.attack import OK, REFUSED, Attack, Site, refused
from attacks.prepared import EXPORT, PROFILE, SEARCH, SMALL, TRAIN

NUMBERS = ("nan", "inf", "-inf", "-1", "0", "1e300", "1e-300", "abc", "", "9" * 400)
WHOLE = ("-1", "0", "1.5", "1000000000", "9" * 30, "abc", "0x10")
SHARES = ("nan", "inf", "-0.1", "1.1", "abc", "")
NUMERIC = {  # options that take a number: the command, and values that are refused
    "--budget-minutes": ((PROFILE[:3], SEARCH), NUMBERS),
    "--target-ms": ((("evit-search", *SMALL),), ("nan", "inf", "-inf", "-1", "0", "abc", "")),
    "--target-mmacs": ((("evit-search", *SMALL),), ("nan", "inf", "-1", "0", "abc")),
    "--lr": ((("evit-train", "--fresh", "--epochs", "1"),), NUMBERS),
    "--epochs": ((("evit-train", "--fresh"),), WHOLE),
    "--batch-size": ((("evit-train", "--fresh", "--epochs", "1"),), ("-1", "0", "1", *WHOLE[2:])),
    "--workers": ((TRAIN,), ("-1", "1.5", "1000000000", "abc", "9" * 30)),
    "--accumulate": ((TRAIN,), WHOLE),
    "--subnets": ((TRAIN,), (*WHOLE, "65")),
    "--grow": ((TRAIN,), SHARES),
    "--level-bias": ((TRAIN,), ("nan", "inf", "-1", "2.5", "abc", "")),
    "--start-share": ((TRAIN,), SHARES),
    "--front": ((SEARCH,), (*WHOLE, "1", "65")),
    "--top": ((SEARCH,), (*WHOLE, "65")),
    "--verify": ((("evit-search", "--target-ms", "9"),), ("-1", "65", "1.5", "abc")),
    "--evaluations": ((("evit-search", "--target-ms", "9"),), ("-1", "0", "1", "1.5", "abc")),
    "--population": ((("evit-search", "--target-ms", "9"),), ("-1", "0", "1", *WHOLE[2:])),
    "--generations": ((("evit-search", "--target-ms", "9"),), WHOLE),
    "--images": ((EXPORT,), ("-1", "0", "1.5", "abc", "9" * 30)),
    "--max-accuracy-drop": ((EXPORT,), ("nan", "inf", "-1", "101", "abc", "")),
    "--proof-images": ((EXPORT,), ("-1", "65", "1.5", "abc")),
    "--goal": ((EXPORT,), ("-1", "0", "1.5", "abc")),
    "--rounds": ((PROFILE,), ("-1", "0", "1", "1000000000", "abc")),
    "--threads": ((PROFILE, TRAIN, SEARCH), ("-1", "0", "9999", "1.5", "abc")),
    "--seed": ((PROFILE, TRAIN, SEARCH), ("-1", "9" * 30, "1.5", "abc")),
}
OTHERS: dict[str, tuple[tuple[str, ...], str]] = {  # argv, and what the message must name
    "unknown option": (("evit-train", "--nonsense"), "--nonsense"),
    "unknown space": (("evit-profile", "--space", "huge"), "huge"),
    "space of a long name": (("evit-profile", "--space", "x" * 5000), "x" * 20),
    "space with a null character": (("evit-train", "--space", "a\udcffb"), "space"),
    "space file that is a folder": (("evit-profile", "--space", "folder"), "folder"),
    "endless space file": (("evit-profile", "--space", "/dev/zero"), "/dev/zero"),
    "unknown data": (("evit-train", "--data", "no-such-data"), "no-such-data"),
    "data of a long name": (("evit-train", "--data", "x" * 5000), "x" * 20),
    "endless data": (("evit-train", "--data", "/dev/zero"), "/dev/zero"),
    "data of timm without a name": (("evit-train", "--data", "timm:"), "timm:"),
    "data of timm that would download": (
        ("evit-train", "--data", "timm:torch/cifar10:nowhere"),
        "nowhere",
    ),
    "unknown device": (("evit-profile", "--device", "nokia3310"), "nokia3310"),
    "device outside": (("evit-search", "--target-ms", "9", "--device", "../../x"), "../../x"),
    "device outside, explained": (
        ("evit-profile", "--device", "../x", "--explain", "smallest"),
        "../x",
    ),
    "empty device": (("evit-profile", "--device", ""), "device"),
    "device of a long name": (
        ("evit-profile", "--device", "d" * 5000, "--explain", "smallest"),
        "d" * 20,
    ),
    "one device twice": (("evit-profile", "--device", "host", "--device", "host"), "host"),
    "address of the host": (("evit-profile", "--address", "127.0.0.1:1"), "host"),
    "a phone that is not there": (
        ("evit-profile", "--device", "pixel6", "--runner", "/bin/true", "--address", "127.0.0.1:1"),
        "127.0.0.1:1",
    ),
    "an address that is none": (
        ("evit-profile", "--device", "pixel6", "--address", "::::"),
        "::::",
    ),
    "a port out of range": (
        ("evit-profile", "--device", "pixel6", "--address", "127.0.0.1:99999"),
        "99999",
    ),
    "a runner that is not there": (
        ("evit-profile", "--device", "pixel6", "--runner", "none/here", "--address", "127.0.0.1:1"),
        "",
    ),
    "cores that are none": ((*PROFILE, "--cores", "zz"), "zz"),
    "cores that this machine lacks": ((*PROFILE, "--cores", "f" * 30), "f" * 20),
    "kernels without sources": ((*PROFILE, "--budget-kernels", "5"), "5"),
    "sources that are not known": ((*PROFILE, "--like", "nobody"), "nobody"),
    "empty sources": ((*PROFILE, "--like", ","), ""),
    "negative kernels": ((*PROFILE, "--like", "pixel4", "--budget-kernels", "-5"), "kernels"),
    "two actions": (("evit-profile", "--explain", "smallest", "--list-devices"), "--explain"),
    "resume and fresh": (("evit-train", "--resume", "--fresh"), "resume"),
    "nothing to resume": (("evit-train", "--resume", "--seed", "77"), "resume"),
    "complexity that is none": (("evit-train", "--complexity", "joules"), "joules"),
    "device with macs": (("evit-train", "--device", "host"), "device"),
    "no target": (("evit-search",), "target"),
    "target out of reach": (("evit-search", "--target-ms", "1e-9"), "1e-09"),
    "more targets than devices": (
        ("evit-search", "--target-ms", "1", "--target-ms", "2", "--target-ms", "3"),
        "3",
    ),
    "search in no run": (("evit-search", "--target-ms", "9", "--run", "folder"), "folder"),
    "search in nothing": (("evit-search", "--target-ms", "9", "--run", "nowhere"), "nowhere"),
    "torch device that is none": ((*SEARCH, "--torch-device", "quantum:7"), "quantum:7"),
    "torch device that is not here": ((*SEARCH, "--torch-device", "cuda:63"), "cuda:63"),
    "format that is none": (("evit-export", "--format", "coreml"), "coreml"),
    "export of no search": ((*EXPORT, "--search", "folder"), "folder"),
    "export of nothing": ((*EXPORT, "--search", "nowhere"), "nowhere"),
    "export into a folder": ((*EXPORT, "--out", "folder"), "folder"),
    "suffix that is no format": (("evit-export", "--out", "model.exe"), ".exe"),
    "workspace that is a file": (("evit-train", "--workspace", "micro.toml"), "micro.toml"),
    "workspace that is foreign": (("evit-train", "--workspace", "folder"), "folder"),
    "workspace without permission to exist": (("evit-train", "--workspace", "/proc/x"), "/proc/x"),
    "workspace of a long name": (("evit-train", "--workspace", "w" * 5000), "w" * 20),
    "verbose and quiet": (("evit-train", "--verbose", "--quiet"), "quiet"),
    "an architecture that is none": (("evit-profile", "--explain", "rubbish"), "rubbish"),
    "an architecture of a huge number": (
        ("evit-profile", "--explain", "r" + "9" * 400 + " 8x1e1k3 16x1e2k3 | 32x1m2v2"),
        "999",
    ),
    "an architecture of another space": (("evit-profile", "--explain", "elastic_T1"), "micro"),
    "an endless architecture": (("evit-profile", "--explain", "8x1e1k3 " * 9000), "8x1e1k3"),
    "import of nothing": (
        ("evit-profile", "--import", "nowhere.csv", "--device", "d"),
        "nowhere.csv",
    ),
    "import of an unknown ending": (
        ("evit-profile", "--import", "micro.toml", "--device", "d"),
        "micro.toml",
    ),
    "import under no name": (("evit-profile", "--import", "blocks.json"), "device"),
    "import over a measured device": (
        ("evit-profile", "--import", "blocks.json", "--device", "host"),
        "host",
    ),
    "import of a table of another device": (
        ("evit-profile", "--import", "table.csv", "--device", "pixel8"),
        "pixel8",
    ),
    "import over measurements of the same device": (
        ("evit-profile", "--import", "table.csv"),
        "host",
    ),
    "export of a table of an unknown device": (
        ("evit-profile", "--export-lut", "t.csv", "--device", "nobody"),
        "nobody",
    ),
    "export of a table with an unknown ending": (
        ("evit-profile", "--export-lut", "t.xls"),
        "t.xls",
    ),
    "export of a table into no folder": (
        ("evit-profile", "--export-lut", "no/such/folder/t.csv"),
        "no/such/folder",
    ),
    "export of a table over something else": (
        ("evit-profile", "--export-lut", "other.csv"),
        "other.csv",
    ),
    "export into no folder": ((*EXPORT, "--out", "no/such/folder/m.tflite"), "no/such/folder"),
    "export over something else": ((*EXPORT, "--out", "other.tflite"), "other.tflite"),
}
ALLOWED = {  # odd, but meant
    "help": ("evit-train", "--help"),
    "version": ("evit-search", "--version"),
    "greatest seed": ("evit-train", "--seed", str(2**31 - 1), "--epochs", "1"),
    "a target that binds nothing": ("evit-search", "--target-ms", "1e6", *SMALL),
    "two caps": ("evit-search", "--target-ms", "1000", "--target-mmacs", "1000", *SMALL),
    "a batch larger than the data": ("evit-train", "--batch-size", "4096", "--epochs", "1"),
}


def _others(site: Site) -> None:
    (site.root / "folder" / "sub").mkdir(parents=True)
    (site.root / "other.csv").write_text("precious\n")
    (site.root / "other.tflite").write_text("precious\n")


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    found = []
    for option, (commands, values) in NUMERIC.items():
        for argv in commands:
            for value in values:
                if option == "--generations" and value == "abc":
                    continue  # the same reader as --population's
                names: tuple[str, ...] = (option.strip("-").replace("-", "_"), option)
                short = len(value) < 10 and "e" not in value  # others are shown in another form
                found.append(
                    Attack(
                        kind="options",
                        name=f"{argv[0]} {option} {value[:20]!r}",
                        argv=(*argv, f"{option}={value}"),
                        names=(names, value) if short else (names,),
                        limit_s=25,
                    )
                )
    for name, (argv, named) in OTHERS.items():
        found.append(refused("options", name, argv, named, _others, limit_s=40))
    for name, argv in ALLOWED.items():
        allowed = (OK, REFUSED) if name.startswith("a batch") else (OK,)
        found.append(Attack(kind="options", name=name, argv=argv, allowed=allowed))
    return found
