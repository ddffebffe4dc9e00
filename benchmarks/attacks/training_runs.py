"""Class `runs`: damaged files of training runs (`run.json`, `result.json`, `log.csv`)."""

from __future__ import annotations

from pathlib import Path

from attacks.attack import EQUAL, OK, REFUSED, WORKSPACE, Attack, Site
from attacks.damage import byte_attacks, document_attacks, remove
from attacks.prepared import EPOCHS, HALF_TRAINED, SEARCH

RUN, RESULT = f"{WORKSPACE}/runs/*/run.json", f"{WORKSPACE}/runs/*/result.json"
AGAIN = ("evit-train", "--epochs", str(EPOCHS))
RESUME = ("evit-train", "--workspace", HALF_TRAINED, "--epochs", str(EPOCHS))
HALF_RUN, LOG = f"{HALF_TRAINED}/runs/*/run.json", f"{HALF_TRAINED}/runs/*/log.csv"
LOGS = {
    "no header": "1,2,3\n",
    "other columns": "a,b\n1,2\n",
    "texts for numbers": None,
    "a line of a thousand fields": ",".join(["1"] * 1000) + "\n",
}


def _texts(site: Site) -> None:
    path = site.one(LOG)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *(",".join("abc" for _ in lines[0].split(",")),)]) + "\n")


def _log(text: str | None) -> object:
    if text is None:
        return _texts
    return lambda site: site.one(LOG).write_text(text)


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    few = ("empty", "cut after", "random", "nested", "not UTF-8")
    found = [
        *document_attacks("runs", prepared, RUN, SEARCH, 16, seed=1),
        *document_attacks("runs", prepared, RESULT, AGAIN, 18, seed=2),
        *document_attacks("runs", prepared, HALF_RUN, RESUME, 12, seed=3),
        *byte_attacks("runs", prepared, RUN, SEARCH, only=few, names=(("run.json", "runs/"),)),
        *byte_attacks("runs", prepared, RESULT, AGAIN, only=few),
        *byte_attacks("runs", prepared, HALF_RUN, RESUME, only=few[:2], special=False),
        *byte_attacks("runs", prepared, LOG, RESUME, only=("empty", "cut", "random", "zeros")),
    ]
    for name, text in LOGS.items():
        found.append(
            Attack(
                kind="runs",
                name=f"log.csv: {name}",
                argv=RESUME,
                spoil=_log(text),  # type: ignore[arg-type]
                names=("log.csv",),
                allowed=(REFUSED, EQUAL),
            )
        )
    gone = {
        "run.json is gone": (SEARCH, "runs/*/run.json", ("run.json",), (REFUSED,)),
        "the checkpoints are gone": (SEARCH, "runs/*/checkpoints", ("no checkpoint",), (REFUSED,)),
        "the tensors are gone": (
            SEARCH,
            "runs/*/checkpoints/*.safetensors",
            (".safetensors",),
            (REFUSED,),
        ),
        "the run's folder is empty": (SEARCH, "runs/*/*", (("run.json", "runs/"),), (REFUSED,)),
        "all runs are gone": (SEARCH, "runs", ("runs/",), (REFUSED,)),
        "the result is gone": (AGAIN, "runs/*/result.json", (), (EQUAL,)),
        "the log is gone": (AGAIN, "runs/*/log.csv", (), (EQUAL, OK)),
    }
    for name, (argv, pattern, names, allowed) in gone.items():
        found.append(
            Attack(
                kind="runs",
                name=name,
                argv=argv,
                spoil=lambda site, pattern=pattern: remove(site, f"{WORKSPACE}/{pattern}"),
                names=names,
                allowed=allowed,
            )
        )
    return found
