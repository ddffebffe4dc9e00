"""The report of a training: what it shows, of much, of little and of earlier versions."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from training_small import MICRO, config, run_info, sampler

from elasticvit.cost import MacsCost
from elasticvit.training.diagnosis_table import DiagnosisRow
from elasticvit.training.log import LogRow, TrainingLog
from elasticvit.training.panel import choose_panel
from elasticvit.training.panel_result import PanelAccuracy, PanelLog, PanelResult
from elasticvit.training.report import render, write_report
from elasticvit.training.report_data import ReportData
from elasticvit.training.report_diagnosis import by_distance
from elasticvit.training.step import StepLosses

LEVELS = sampler().levels
PANEL = choose_panel(MICRO, MacsCost(MICRO), LEVELS, 0)


def rows(steps: int, timed: bool = True) -> list[LogRow]:
    """A log of a training that learns."""
    rng = np.random.default_rng(0)
    found = []
    for step in range(1, steps + 1):
        level = int(rng.integers(len(LEVELS)))
        bank = int(rng.random() < step / steps) * 2
        more = {
            "seconds": 0.1 * (level + 1),
            "data_s": 0.01,
            "compute_s": 0.1 * (level + 1) - 0.02,
            "update_s": 0.01,
            "checkpoint_s": 0.3 if step % 20 == 0 else 0.0,
            "judging_s": 0.5 if step % 50 == 0 else 0.0,
            "images_per_s": 640 / (level + 1),
            "uniform": 2 - bank,
            "preference": 1,
            "bank": bank,
            "fixed": 0,
        }
        found.append(
            LogRow(
                step=step,
                epoch=0,
                lr=1e-3,
                level=LEVELS.values[level],
                level_unit="MMACs",
                loss=2.3 * 0.995**step + 0.1 * float(rng.random()),
                smallest_loss=0.1,
                accuracy_pct=50.0,
                **(more if timed else {}),
            )
        )
    return found


def judged(step: int) -> PanelResult:
    """A panel that gets better with the steps and with size."""
    subnets = (
        PanelAccuracy.of(member, 90 - 60 * 0.99**step - 2 / member.macs_m, 256)
        for member in PANEL.members
    )
    return PanelResult(step=step, subnets=tuple(subnets))


def pairs() -> list[DiagnosisRow]:
    """Cosines that fall with distance."""
    rng = np.random.default_rng(1)
    found = []
    for step in (100, 200):
        for _ in range(60):
            a, b = rng.uniform(0.3, 4, 2)
            found.append(pair(step, "across", None, a, b, 0.8 - 0.2 * abs(a - b)))
        for kind, cosine in (("good", 0.7), ("random", 0.5)):
            found += [pair(step, kind, 2, 0.86, 0.9, cosine) for _ in range(3)]
    return found


def pair(step: int, kind: str, level: int | None, a: float, b: float, c: float) -> DiagnosisRow:
    arch = str(MICRO.smallest)
    return DiagnosisRow(
        step=step,
        pair=kind,
        level=level,
        arch_a=arch,
        arch_b=arch,
        cost_a=a,
        cost_b=b,
        cost_unit="MMACs",
        cosine=c,
    )


def content(**changes: object) -> ReportData:
    facts = {
        "name": "20260101-120000",
        "facts": {"space": "micro", "data": "a folder & <others>"},
        "settings": {"epochs": "1", "lr": "0.005"},
        "levels": LEVELS.values,
        "panel_levels": LEVELS.values,
        "unit": "MMACs",
        "rows": rows(300),
        "panel": [judged(step) for step in range(50, 301, 50)],
        "diagnosis": pairs(),
    }
    return ReportData(**{**facts, **changes})


FULL = content()
EARLY = content(rows=rows(3), panel=(), diagnosis=())


def svgs(html: str) -> list[ET.Element]:
    return [ET.fromstring(text) for text in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]


def test_a_report_is_one_page_that_says_what_was_found() -> None:
    html = render(FULL)
    assert "<script" not in html
    assert "http" not in html
    assert "a folder &amp; &lt;others&gt;" in html
    last = judged(300)
    assert f"mean {last.mean:.1f} %" in html
    assert all(member.name in html for member in PANEL.members)
    assert "share of each way of choosing" in html
    assert "Diagnosis" in html
    labels = " ".join(svg.attrib["aria-label"] for svg in svgs(html))
    for name in ("accuracy, %", "cross entropy", "MMACs", "images a second", "cosine of gradients"):
        assert name in labels


def test_everything_drawn_lies_within_its_chart() -> None:
    for svg in svgs(render(FULL)):
        _, _, width, height = map(float, svg.attrib["viewBox"].split())
        for shape in svg.iter():
            for point in shape.attrib.get("points", "").split():
                x, y = map(float, point.split(","))
                assert -0.1 <= x <= width + 0.1
                assert -0.1 <= y <= height + 0.1


def test_long_trainings_have_short_reports() -> None:
    assert len(render(content(rows=rows(20_000)))) < 1.5 * len(render(FULL))


def test_a_front_only_rises() -> None:
    front = next(svg for svg in svgs(render(FULL)) if "over MMACs" in svg.attrib["aria-label"])
    lines = [shape for shape in front if shape.tag == "polyline"]
    assert len(lines) == 5
    for line in lines:
        heights = [-float(point.split(",")[1]) for point in line.attrib["points"].split()]
        assert heights == sorted(heights)


@pytest.mark.parametrize(
    "data",
    [
        EARLY,
        content(rows=[], panel=(), diagnosis=()),
        content(rows=rows(40, timed=False)),
        content(rows=rows(1), panel=[judged(1)], diagnosis=pairs()[:1]),
        content(panel_levels=LEVELS.values, levels=LEVELS.values[:1]),  # trained without levels
    ],
)
def test_a_report_of_little_still_renders(data: ReportData) -> None:
    html = render(data)
    assert "nan" not in html
    assert svgs(html) or not data.rows


def test_medians_go_by_distance() -> None:
    medians = by_distance([row for row in pairs() if row.pair == "across"])
    distances, cosines = zip(*medians, strict=True)
    assert list(distances) == sorted(distances)
    assert list(cosines) == sorted(cosines, reverse=True)


def test_a_report_is_made_from_the_folder(tmp_path: Path) -> None:
    log = PanelLog(tmp_path, PANEL, 0)
    log.add(judged(10))
    info = run_info(config())
    path = write_report(tmp_path, ReportData.of(tmp_path, info, PANEL, 19))
    html = path.read_text()
    assert f"mean {judged(10).mean:.1f} %" in html
    assert "0 of 19" in html


def test_levels_that_the_run_does_not_name_are_those_of_its_log(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, LEVELS, 0)
    for level in (0, 5):
        log.add(level + 1, 0, 1e-3, StepLosses(level=level, sampled=2, smallest=0, accuracy=9))
    data = ReportData.of(tmp_path, run_info(config()), PANEL, 19)
    assert list(data.levels) == [LEVELS.values[0], LEVELS.values[5]]
    assert f"{LEVELS.values[5]:g} MMACs" in render(data)


def test_a_judgement_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    log = PanelLog(tmp_path, PANEL, 0)
    log.add(judged(10))
    log.add(judged(20))
    path = tmp_path / "panel.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-3]))
    assert PanelLog(tmp_path, PANEL, 20).results == [judged(10)]
    assert path.read_text() == "".join(lines[: 1 + len(PANEL.members)])
