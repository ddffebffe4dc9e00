"""Class `shared`: tables of other people, as CSV, parquet and JSON."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from mutations import MISSING

from attacks.attack import EQUAL, OK, REFUSED, Attack, Site
from attacks.damage import byte_attacks, document_attacks

CSV, PARQUET, BLOCKS = "table.csv", "table.parquet", "blocks.json"
AS = ("--device", "guest", "--force", "--space", "micro.toml")
IMPORT_CSV = ("evit-profile", "--import", CSV, *AS)
IMPORT_PARQUET = ("evit-profile", "--import", PARQUET, *AS)
IMPORT_BLOCKS = ("evit-profile", "--import", BLOCKS, *AS[:3], "--space", "mobile")
VALUES: dict[str, tuple[Any, ...]] = {  # of single cells
    "key": (
        "",
        "rubbish",
        "ffn size=-4 width=32 mlp_ratio=2",
        "ffn size=1e9",
        "x" * 50_000,
        "\x1b[31m",
    ),
    "round": ("first", "-1", "1.5", "nan", "9" * 30),
    "time_s": ("noon", "nan", "inf", "-1e300"),
    "source": ("", "fake:x", "x" * 50_000, "[red]x[/red]"),
    "runtime": ("",),
    "threads": ("-1", "two", "1.5", "9" * 30),
    "interrupted_runs": ("-1", "some", "inf"),
    "temperature_before_c": ("hot", "inf", "-1e300"),
    "frequency_after_mhz": ("fast", "-5", "inf"),
    "peak_bytes": ("-1", "much", "inf", "1e300"),
    "calibration_us": ("{", "[]", "5", '{"a": 5}', '{"a": ["x"]}', '{"a": [NaN]}', '{"a": [-1]}'),
    "samples_us": ("", "abc", "nan", "inf", "-1", "0", "1e300", "1e-300", "1 2 x"),
}
HEADERS: dict[str, Any] = {
    "format": ("other", 5, None),
    "schema": (99, 0, "3", None, -1),
    "device": (5, None, "../../x", "", "[red]x"),
    "rows": (1, -5, "all", None, 10**30),
    "split_seed": ("x", -1, 1.5, {}),
    "info": (5, "text", {"name": 5}),
}


def _cell(column: str, value: str) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        csv.field_size_limit(sys.maxsize)
        path = site.root / CSV
        header, body = path.read_text().split("\n", 1)
        rows = list(csv.reader(io.StringIO(body)))
        rows[2][rows[0].index(column)] = value
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        path.write_text(f"# {json.dumps(_unsealed(header))}\n{out.getvalue()}")

    return spoil


def _unsealed(header: str) -> dict[str, Any]:
    """The header of a table of an earlier version, which knew no checksum."""
    facts: dict[str, Any] = json.loads(header[2:])
    facts.pop("sha256", None)
    return facts


def _header(key: str, value: object) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        path = site.root / CSV
        header, body = path.read_text().split("\n", 1)
        facts = {**_unsealed(header), key: value}
        path.write_text(f"# {json.dumps(facts)}\n{body}")

    return spoil


def _first_line(text: str) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        path = site.root / CSV
        path.write_text(f"{text}\n{path.read_text().split(chr(10), 1)[1]}")

    return spoil


def _frame(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        path = site.root / PARQUET
        frame = pd.read_parquet(path)
        facts = {key: value for key, value in frame.attrs.items() if key != "sha256"}
        made = change(frame)
        made.attrs = facts
        made.to_parquet(path)

    return spoil


def _bare(site: Site) -> None:
    frame = pd.read_parquet(site.root / PARQUET)
    frame.attrs = {}
    frame.to_parquet(site.root / PARQUET)


def _put(column: str, value: Callable[[pd.DataFrame], Any]) -> Callable[[Site], None]:
    return _frame(lambda frame: frame.assign(**{column: value(frame)}))


FRAMES: dict[str, Callable[[Site], None]] = {
    "without a column": _frame(lambda f: f.drop(columns="samples_us")),
    "without rows": _frame(lambda f: f.iloc[:0]),
    "fewer rows": _frame(lambda f: f.iloc[:-1]),
    "each row twice": _frame(lambda f: pd.concat([f, f])),
    "keys that are numbers": _put("key", lambda f: range(len(f))),
    "keys that are bytes": _put("key", lambda f: [b"\xff"] * len(f)),
    "keys that are missing": _put("key", lambda f: [None] * len(f)),
    "samples that are texts": _put("samples_us", lambda f: ["a b"] * len(f)),
    "samples that are one number": _put("samples_us", lambda f: [5.0] * len(f)),
    "samples nested": _put("samples_us", lambda f: [[[1.0]]] * len(f)),
    "samples of nothing": _put("samples_us", lambda f: [None] * len(f)),
    "samples infinite": _put("samples_us", lambda f: [[float("inf")]] * len(f)),
    "rounds that are texts": _put("round", lambda f: ["x"] * len(f)),
    "rounds beyond 64 bits": _put("round", lambda f: [1e300] * len(f)),
    "times that are dates": _put("time_s", lambda f: pd.Timestamp("2026-01-01")),
    "sources that are numbers": _put("source", lambda f: 5),
    "runtimes missing": _put("runtime", lambda f: [None] * len(f)),
    "threads missing": _put("threads", lambda f: [None] * len(f)),
    "no header": _bare,
}
BLOCK_TABLES: dict[str, Any] = {
    "an empty object": {},
    "a list": [1, 2],
    "a key of another format": {"conv_x_y": 1.0},
    "a key of huge numbers": {f"transffn_{'9' * 400}_32_2_hard_swish_ln": 1.0},
    "a key of zeros": {"transffn_0_0_0_hard_swish_ln": 1.0},
    "a single row": {"transffn_4_32_2_hard_swish_ln": 1.0},
    "seconds for milliseconds": {"transffn_4_32_2_hard_swish_ln": 1e9},
    "nested": {"transffn_4_32_2_hard_swish_ln": {"ms": 1.0}},
    "keys with markup": {"[red]x[/red]": 1.0},
    "a hundred thousand bad keys": {f"k{i}": 1.0 for i in range(100_000)},
}


def _blocks(document: object) -> Callable[[Site], None]:
    return lambda site: (site.root / BLOCKS).write_text(json.dumps(document))


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    few = ("empty", "cut", "random", "zeros", "UTF-16", "not UTF-8", "text", "byte")
    found = [
        *byte_attacks("shared", prepared, CSV, IMPORT_CSV, only=few),
        *byte_attacks("shared", prepared, PARQUET, IMPORT_PARQUET, only=few),
        *byte_attacks("shared", prepared, BLOCKS, IMPORT_BLOCKS),
        *document_attacks(
            *("shared", prepared, BLOCKS, IMPORT_BLOCKS, 10),
            only=lambda m: m.name != MISSING,  # a part of a table is a table
        ),
    ]

    def add(
        name: str,
        argv: tuple[str, ...],
        spoil: Callable[[Site], object],
        *names: str | tuple[str, ...],
        allowed: tuple[str, ...] = (REFUSED,),
        carried: str | None = None,
    ) -> None:
        found.append(
            Attack(
                kind="shared",
                name=name,
                argv=argv,
                spoil=spoil,
                names=names,
                allowed=allowed,
                carried=carried,
            )
        )

    for column, values in VALUES.items():
        for value in values:
            add(
                f"table.csv: {column} = {value[:20]!r}",
                IMPORT_CSV,
                _cell(column, value),
                CSV,
                ("row 2", "line 4"),
                (column, value[:20] or column),
                allowed=(REFUSED, OK) if column in ("source", "runtime") else (REFUSED,),
                carried=value or None,
            )
    for key, values in HEADERS.items():
        for value in values:
            add(
                f"table.csv: header: {key} = {value!r:.30}",
                IMPORT_CSV,
                _header(key, value),
                CSV,
                (key, "header"),
                allowed=(REFUSED, EQUAL),
                carried=value if isinstance(value, str) and value else None,
            )
    for text in ("", "# ", "# {", "# 5", "# []", "key,round", "# " + "[" * 100_000):
        add(f"table.csv: first line {text[:12]!r}", IMPORT_CSV, _first_line(text), CSV)
    for name, spoil in FRAMES.items():
        allowed = (REFUSED, OK) if name == "runtimes missing" else (REFUSED,)
        add(f"table.parquet: {name}", IMPORT_PARQUET, spoil, PARQUET, allowed=allowed)
    for name, document in BLOCK_TABLES.items():
        single = name == "a single row"
        allowed = (REFUSED, OK) if single else (REFUSED,)
        add(
            f"blocks.json: {name}",
            IMPORT_BLOCKS,
            _blocks(document),
            (BLOCKS, "guest"),
            allowed=allowed,
        )
    add(
        "blocks.json: the same key twice",
        IMPORT_BLOCKS,
        lambda site: (site.root / BLOCKS).write_text(
            '{"transffn_4_32_2_hard_swish_ln": 1.0, "transffn_4_32_2_hard_swish_ln": 2.0}'
        ),
        BLOCKS,
    )
    for argv in (IMPORT_CSV, IMPORT_PARQUET, IMPORT_BLOCKS):
        add(f"{argv[2]}: as it is", argv, lambda site: None, allowed=(OK,))
    return found
