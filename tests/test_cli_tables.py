"""Tables in terminals that are too narrow for them."""

from __future__ import annotations

import pytest
from rich.table import Table

from elasticvit.cli.report import Report

ARCH = "r40 8x1e1k3 16x1e2k5 24x1e2k3 | 48x1m2v2 64x1m2v3"


def front() -> Table:
    table = Table()
    for name in ("", "ms", "bound ms", "MMACs", "accuracy %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("architecture")
    table.add_row("*", "0.123", "0.144", "5.2", "77.45", ARCH)
    return table


def printed(
    table: Table, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    with Report(False) as report:
        report.say(table)
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [20, 40, 60, 80, 160])
def test_no_column_or_figure_is_cut_off(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = printed(front(), width, monkeypatch, capsys)
    for text in ("bound ms", "accuracy %", "architecture", "0.144", "77.45", *ARCH.split()):
        assert text in out
    assert "…" not in out


def test_what_fits_when_it_is_folded_keeps_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = printed(front(), 64, monkeypatch, capsys)
    assert max(map(len, out.splitlines())) <= 64


def test_long_names_break_where_their_column_allows_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table()
    for name in ("model-of-a-long-file-name.tflite", "another-long-file-name.onnx"):
        table.add_column(name, overflow="fold")
    table.add_row("1", "2")
    out = printed(table, 40, monkeypatch, capsys)
    assert max(map(len, out.splitlines())) <= 40
    assert "…" not in out
