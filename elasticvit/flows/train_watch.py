"""What is looked at while a run trains: its panel, its diagnosis and the report of both."""

from __future__ import annotations

from pathlib import Path

from elasticvit.arch import Arch
from elasticvit.cost import CostModel
from elasticvit.errors import EvitError
from elasticvit.events import Event, EventHandler, Notice
from elasticvit.flows.train_events import PanelJudged, TrainProgress
from elasticvit.flows.train_settings import TrainSettings
from elasticvit.nn import Supernet
from elasticvit.nn.side_by_side import side_by_side_on
from elasticvit.training.data import ImageData
from elasticvit.training.diagnosis_table import diagnosis_log
from elasticvit.training.diagnosis_watch import DiagnosisWatch
from elasticvit.training.levels import Levels
from elasticvit.training.loop import Observer
from elasticvit.training.panel import panel_of
from elasticvit.training.panel_judge import PanelJudge, TrainingSize
from elasticvit.training.panel_result import PanelLog, PanelResult
from elasticvit.training.panel_watch import JudgingSchedule, PanelWatch
from elasticvit.training.report import write_report
from elasticvit.training.report_data import ReportData
from elasticvit.training.tensorboard import open_board
from elasticvit.training.trainer import Trainer


class TrainWatch:
    """Everything that is looked at in one run; only the rank that writes has one.

    Args:
        run: Folder of the run.
        trainer: The trainer, at the step that it goes on from.
        cost: Cost that the complexity levels are measured in.
        levels: The complexity levels.
        settings: Settings of the flow.
        events: Handler of training events.

    Raises:
        CheckpointError: A file of the panel or of the diagnosis is damaged.
        FileError: A file of theirs cannot be written.
    """

    def __init__(
        self,
        run: Path,
        trainer: Trainer,
        cost: CostModel,
        levels: Levels,
        settings: TrainSettings,
        events: EventHandler,
    ) -> None:
        self.run, self.trainer, self.settings, self.handler = run, trainer, settings, events
        self.cost, self.levels = cost, levels
        info, ranks = trainer.info, trainer.ranks
        self.size = TrainingSize(
            steps=trainer.steps,
            images=-(-trainer.config.batch_size // ranks.count),
            subnets=trainer.config.subnets + 1,
        )
        self.panel = panel_of(run, info.space, cost, levels, info.seed)
        self.log = PanelLog(run, self.panel, trainer.step)
        self.diagnoses = diagnosis_log(run, trainer.step)
        self.board = open_board(run, levels, trainer.step)

    @property
    def data(self) -> ImageData:
        return self.trainer.data

    def observers(self) -> list[Observer]:
        """Observers of the trainer."""
        judge = PanelJudge(self.panel, self.data, self.size, torch_device=self.trainer.ranks.device)
        every = self.settings.panel_every
        schedule = JudgingSchedule(every, self.trainer.steps, judge.steps_worth)
        observers: list[Observer] = [PanelWatch(judge, self.log, schedule, self.events)]
        if self.settings.diagnose_every:
            observers.append(
                DiagnosisWatch(
                    self.settings.diagnose_every,
                    self.data,
                    self.cost,
                    self.levels,
                    self.diagnoses,
                    self._good,
                )
            )
        if self.board is not None:
            observers.append(self.board)
        return observers

    def events(self, event: Event) -> None:
        """The handler of the flow's caller, after whom report and TensorBoard are written."""
        self.handler(event)
        if isinstance(event, PanelJudged):
            self.trainer.judged(self.run, event.result.mean)
            self.report()
            if self.board is not None:
                self.board.panel(event.result)
        elif isinstance(event, TrainProgress) and self.board is not None:
            self.board.losses(event)

    def final(self, supernet: Supernet) -> PanelResult:
        """The panel judged at the end of the training; not again if that was done before."""
        device = self.trainer.ranks.device
        judge = PanelJudge(self.panel, self.data, self.size, final=True, torch_device=device)
        last = self.log.results[-1:]
        if last and last[0].step == self.trainer.steps:
            return last[0]
        with side_by_side_on(device) as threads:
            result = judge(supernet.to(device), self.trainer.steps, threads)
        self.log.add(result)
        self.events(PanelJudged(result=result, total=self.trainer.steps))
        return result

    def close(self) -> None:
        """Write what TensorBoard's writer has not written yet, and let go of its file; that it
        cannot be written is a warning."""
        if self.board is not None:
            try:
                self.board.close()
            except EvitError as error:
                self.handler(Notice(text=f"TensorBoard's curves end early: {error}", warning=True))

    def report(self) -> None:
        """Write the report of the run as it is now; that it cannot be written is a warning, which
        ends no training."""
        try:
            info, steps = self.trainer.info, self.trainer.steps
            write_report(self.run, ReportData.of(self.run, info, self.panel, steps))
        except EvitError as error:
            self.handler(Notice(text=f"the report was not written: {error}", warning=True))

    def _good(self, level: int) -> list[Arch]:
        """The best subnets that are known of a level: those of its memory bank, otherwise the
        better half of the panel's, as they were judged last."""
        banks = self.trainer.sampler.banks
        if banks is not None and len(banks) == len(self.levels) and len(banks[level]) > 1:
            return [entry.arch for entry in sorted(banks[level], key=lambda entry: entry.loss)]
        judged = self.log.results[-1].subnets if self.log.results else ()
        found = sorted((s for s in judged if s.level == level), key=lambda s: -s.accuracy)
        return [subnet.arch for subnet in found[: (len(found) + 1) // 2]]
