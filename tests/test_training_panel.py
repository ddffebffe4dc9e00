"""The panel: which subnets, what they are judged by, when, and that judging leaves no trace."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from training_small import DATA, MICRO, config, sampler, trainer

from elasticvit.cost import MacsCost
from elasticvit.errors import CheckpointError
from elasticvit.events import Event
from elasticvit.nn import Subnet
from elasticvit.nn.judging import accuracy
from elasticvit.training.checkpoint import Checkpoint
from elasticvit.training.diagnosis_table import diagnosis_log, read_diagnosis
from elasticvit.training.diagnosis_watch import DiagnosisWatch
from elasticvit.training.events import PanelJudged
from elasticvit.training.loop import run_training
from elasticvit.training.panel import PANEL_FILE, Panel, choose_panel, panel_of
from elasticvit.training.panel_judge import PanelJudge, TrainingSize
from elasticvit.training.panel_result import PANEL_TABLE_FILE, PanelLog, read_panel
from elasticvit.training.panel_watch import JudgingSchedule, PanelWatch
from elasticvit.training.trainer import Trainer

COST, LEVELS = MacsCost(MICRO), sampler().levels
PANEL = choose_panel(MICRO, COST, LEVELS, 0)
SIZE = TrainingSize(steps=19, images=64, subnets=4)


def watch(run: Path, every: int | None, events: list[Event], step: int = 0) -> PanelWatch:
    judge = PanelJudge(PANEL, DATA, SIZE)
    log = PanelLog(run, PANEL, step)
    return PanelWatch(judge, log, JudgingSchedule(every, 19, judge.steps_worth), events.append)


def diagnosis(run: Path, every: int, step: int = 0) -> DiagnosisWatch:
    good = [member.arch for member in PANEL.of_level(2)]
    return DiagnosisWatch(every, DATA, COST, LEVELS, diagnosis_log(run, step), lambda level: good)


def weights(run: Path) -> dict[str, torch.Tensor]:
    checkpoint = Checkpoint.load(run)
    assert checkpoint.ema is not None
    return {**checkpoint.weights, **{f"ema {k}": v for k, v in checkpoint.ema.items()}}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody looks at."""
    run = tmp_path_factory.mktemp("plain")
    run_training(trainer(), run)
    return run


def test_a_panel_has_the_ends_and_three_of_each_level() -> None:
    first, *middle, last = PANEL.members
    assert (first.name, first.arch) == ("smallest", MICRO.smallest)
    assert (last.name, last.arch) == ("largest", MICRO.largest)
    assert len({member.arch for member in PANEL.members}) == len(PANEL.members)
    assert [len(PANEL.of_level(i)) for i in range(len(LEVELS))] == [3] * len(LEVELS)
    for member in middle:
        assert member.level is not None
        low, high = LEVELS.band(member.level)
        assert low <= member.cost <= high
        assert member.name.startswith(f"{low:g} MMACs ")


def test_a_panel_is_chosen_by_the_seed_and_kept(tmp_path: Path) -> None:
    assert choose_panel(MICRO, COST, LEVELS, 0) == PANEL
    assert choose_panel(MICRO, COST, LEVELS, 1) != PANEL
    kept = panel_of(tmp_path, MICRO, COST, LEVELS, 1)
    assert Panel.load(tmp_path, MICRO) == kept
    assert panel_of(tmp_path, MICRO, COST, LEVELS, 0) == kept  # what is there stays


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"schema": 1, "unit"', '"schema": 9, "unit"', "written by a later version"),
        ('"level": 5', '"level": 6', "not among the 6 levels"),
        ('"resolution": 16', '"resolution": 17', "lies outside space micro"),
        ('"macs_m": ', '"macs_m": -', "macs_m is -"),
        ("{", "", "is not the panel of a training run"),
    ],
)
def test_a_damaged_panel_is_refused(tmp_path: Path, before: str, after: str, words: str) -> None:
    PANEL.save(tmp_path)
    path = tmp_path / PANEL_FILE
    text = path.read_text().replace("\n", "").replace('{ "schema"', '{"schema"')
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(CheckpointError, match=rf"panel\.json.*{words}"):
        panel_of(tmp_path, MICRO, COST, LEVELS, 0)


def test_judging_and_diagnosing_do_not_change_the_training(plain: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    observers = [watch(tmp_path, 4, events), diagnosis(tmp_path, 5)]
    state = (random.getstate(), repr(np.random.get_state()))  # noqa: NPY002
    run_training(trainer(), tmp_path, observers=observers)
    assert (random.getstate(), repr(np.random.get_state())) == state  # noqa: NPY002
    assert same(weights(plain), weights(tmp_path))
    one, other = Checkpoint.load(plain), Checkpoint.load(tmp_path)
    assert one.trainer is not None
    assert other.trainer is not None
    assert torch.equal(one.trainer.torch_rng, other.trainer.torch_rng)
    assert one.sampler == other.sampler
    judged = [event for event in events if isinstance(event, PanelJudged)]
    assert [event.result.step for event in judged] == [4, 8, 12, 16]
    assert read_panel(tmp_path) == [event.result for event in judged]


def test_a_killed_run_judges_again_what_it_does_again(plain: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    class Stop:
        def after_step(self, job: Trainer, times: object) -> None:
            if job.step == 10:
                raise Killed

    with pytest.raises(Killed):
        run_training(
            trainer(), tmp_path, observers=[watch(tmp_path, 4, []), diagnosis(tmp_path, 5), Stop()]
        )
    for name in (PANEL_TABLE_FILE, "diagnosis.csv"):  # rows behind the checkpoint, and a half one
        path = tmp_path / name
        rows = path.read_text().splitlines()
        path.write_text("\n".join([*rows, "12" + rows[-1][rows[-1].index(",") :], "12,sm"]))
    whole = {result.step for result in read_panel(tmp_path)}
    assert whole == {4, 8, 12}
    run_training(
        trainer(), tmp_path, observers=[watch(tmp_path, 4, [], 10), diagnosis(tmp_path, 5, 10)]
    )
    assert same(weights(plain), weights(tmp_path))
    assert [result.step for result in read_panel(tmp_path)] == [4, 8, 12, 16]
    assert {row.step for row in read_diagnosis(tmp_path)} == {5, 10, 15}


def test_accuracies_are_those_of_recalibrated_subnets_with_their_errors() -> None:
    job = trainer()
    result = PanelJudge(PANEL, DATA, SIZE)(job.averaged, 7)
    assert result.step == 7
    assert [subnet.name for subnet in result.subnets] == [m.name for m in PANEL.members]
    assert result.mean == pytest.approx(np.mean([s.accuracy for s in result.subnets]))
    assert set(result.by_level()) == set(range(len(LEVELS)))
    share = result.largest.accuracy / 100
    assert result.largest.standard_error == pytest.approx(
        100 * (share * (1 - share) / result.images) ** 0.5
    )
    assert result.images == min(256, DATA.info.search_images)
    assert 0 <= accuracy(Subnet.cut(job.averaged, MICRO.largest), [next(iter(job.loader))]) <= 100


def test_the_end_is_judged_by_as_many_images_as_the_training_is_worth() -> None:
    def images(steps: int) -> int:
        size = TrainingSize(steps=steps, images=64, subnets=4)
        judge = PanelJudge(PANEL, DATA, size, final=True)
        return judge.images.recalibration_images

    assert images(1) == 128
    assert images(700) > 128
    assert images(10**6) == 512


def test_judging_keeps_to_its_share_of_the_time() -> None:
    schedule, spent = JudgingSchedule(None, 1000, 10.0), 0.0
    at = []
    for step in range(1, 1001):
        if schedule.due(step, 1.0):
            at.append(step)
            schedule.judged(8.0)
            spent += 8.0
    assert at[0] == 300  # 1.5 * 10 s are a twentieth of it
    assert spent <= 0.05 * 1000
    assert len(at) == 6
    cheap = JudgingSchedule(None, 1000, 0.01)
    due = [step for step in range(1, 1001) if cheap.due(step, 1.0) and not cheap.judged(0.001)]
    assert 50 <= len(due) <= 60


@pytest.mark.parametrize(("every", "steps"), [(0, []), (3, [3, 6, 9]), (10, [])])
def test_a_number_of_steps_is_kept_to(every: int, steps: list[int]) -> None:
    schedule = JudgingSchedule(every, 10, 1e9)
    assert [step for step in range(1, 11) if schedule.due(step, 1.0)] == steps


def test_a_diagnosis_has_pairs_over_all_levels_and_within_one(tmp_path: Path) -> None:
    job = trainer(config(batch_size=64))
    job.step = 12
    diagnosis(tmp_path, 6).after_step(job, None)  # type: ignore[arg-type]
    diagnosis(tmp_path, 7, 12).after_step(job, None)  # type: ignore[arg-type]
    rows = read_diagnosis(tmp_path)
    kinds = {
        kind: [row for row in rows if row.pair == kind] for kind in ("across", "good", "random")
    }
    assert [len(kinds["good"]), len(kinds["random"])] == [3, 3]
    assert {row.level for row in kinds["good"] + kinds["random"]} == {2}
    distances = [row.distance for row in kinds["across"]]
    assert max(distances) == pytest.approx(PANEL.members[-1].cost - PANEL.members[0].cost)
    assert all(row.distance <= 2 * LEVELS.bound for row in kinds["random"])
    assert all(-1 <= row.cosine <= 1 for row in rows)
