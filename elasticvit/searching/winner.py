"""What a search found for one goal: the architecture, how sure the choice is, and what it was
measured at."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from elasticvit.arch import Arch
from elasticvit.cpu_setting import CpuSetting
from elasticvit.precisions import FP32, Precision, in_words
from elasticvit.reading import Count, NotNegative, Percent, Positive, Whole

POOR_TAU = 0.2  # agreement below which an accuracy predictor is of little use


@dataclass(frozen=True, kw_only=True)
class CapResult:
    """A cap, and how much of it the chosen architecture uses.

    Attributes:
        device: Name of the device whose latency is capped; None for other costs.
        source: Where the latencies of that device come from, such as `host:CPU model`; None if
            not reported.
        precision: Precision of the model whose cost it is.
        threads, cores: Threads and cores that a latency is of; None if nobody recorded them.
        unit: Unit of the cost, such as `ms` or `MMACs`.
        target: Largest value allowed.
        predicted: Predicted cost of the chosen architecture.
        upper: Upper bound of that cost; None if the cost has none.
    """

    device: str | None
    source: str | None = None
    precision: Precision = FP32
    threads: Count | None = None
    cores: str | None = None
    unit: str
    target: Positive
    predicted: NotNegative
    upper: NotNegative | None

    @property
    def place(self) -> str | None:
        """The device, and the precision unless that is fp32, for people; None for other costs."""
        return None if self.device is None else self.device + in_words(self.precision)

    @property
    def cpu(self) -> CpuSetting | None:
        """Threads and cores that a latency is of; None if they are not known."""
        if self.threads is None or self.cores is None:
            return None
        return CpuSetting(self.threads, self.cores)

    @property
    def column(self) -> str:
        """Name of a table's column with the cost, such as `pixel4_ms` or `mb_of_activations`."""
        words = self.unit if self.place is None else f"{self.place}_{self.unit}"
        return re.sub(r"\W+", "_", words).lower()


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A candidate that was timed on a device before the winner was named.

    Attributes:
        arch: The architecture.
        device, source: The device, and where its figures come from, such as `host:CPU model`.
        precision: Precision that it was timed in.
        threads, cores: Threads and cores that it was timed with; None in results of earlier
            versions.
        target_ms: Latency that is allowed there.
        predicted_ms: Latency that was predicted before it was timed.
        measured_ms: Latency by the estimator of the device's latency table, at its speed: the
            median over the rounds.
        low_ms, high_ms: Bounds of its 95 % confidence interval, from how the rounds differ.
        rounds: Number of rounds.
        kept: Whether `measured_ms` is at most `target_ms`.
    """

    arch: Arch
    device: str
    source: str
    precision: Precision = FP32
    threads: Count | None = None
    cores: str | None = None
    target_ms: Positive
    predicted_ms: Positive
    measured_ms: Positive
    low_ms: Positive
    high_ms: Positive
    rounds: Whole
    kept: bool

    @property
    def place(self) -> str:
        """The device, and the precision unless that is fp32, for people."""
        return self.device + in_words(self.precision)


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The chosen architecture of one goal.

    Attributes:
        arch: The architecture.
        caps: The caps of the goal, at least one.
        macs_m: Its multiply-accumulates in millions.
        predicted_ms, upper_ms: Its predicted latency on the first device, and the upper bound;
            None if unknown.
        accuracy: Accuracy on the images that it was chosen by, in percent; the score of a proxy
            where there is no supernet.
        error: Standard error of `accuracy`.
        runner_up: The next best architecture of the goal; None if there is no other.
        confidence: Probability that the winner is truly better than the runner-up, from the images
            that both were judged on; None where it is unknown.
        test_accuracy: Accuracy on the test part in percent; None if it was not tested.
        measured: What was timed on devices for this goal, in order; empty without `verify`.
        untimed: Why nothing, or not everything, was timed on a capped device, by its name.
    """

    arch: Arch
    caps: tuple[CapResult, ...]
    macs_m: Positive
    predicted_ms: Positive | None
    upper_ms: Positive | None
    accuracy: float
    error: NotNegative
    runner_up: Arch | None = None
    confidence: float | None = None
    test_accuracy: Percent | None = None
    measured: tuple[Measured, ...] = ()
    untimed: dict[str, str] = field(default_factory=dict, compare=False)  # not what was found

    @property
    def kept(self) -> bool | None:
        """Whether it keeps its caps as measured; None if it was not timed on a device."""
        own = [one.kept for one in self.measured if one.arch == self.arch]
        return all(own) if own else None


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well the accuracy predictor ranked architectures before they were judged.

    Attributes:
        tau: Kendall's rank correlation of what was predicted and what was judged then.
        archs: Number of architectures that it was computed from.
    """

    tau: float
    archs: Count

    @property
    def doubt(self) -> str | None:
        """What is said of a predictor that ranks badly; None of a better one."""
        if self.tau >= POOR_TAU:
            return None
        return (
            f"the accuracy predictor ranked the {self.archs} architectures that it chose hardly "
            f"better than chance (Kendall's tau {self.tau:.2f}): their accuracies differ less than "
            "the images at hand can tell, or more evaluations are needed"
        )
