"""A device for tests and dry runs: latencies are computed, never measured.

Its source starts with `fake:` in every row, so that its numbers cannot pass for timings.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType

import numpy as np

from devices.order import as_sequence, interleaved
from devices.protocol import DeviceInfo, Measurement, Rejected, TimedModel, TimingConfig
from devices.quality import Quality
from elasticvit.errors import DeviceUnreachable


def latency_of_bytes_us(model: TimedModel) -> float:
    """Latency in microseconds, computed from the size and the checksum of the model's bytes."""
    return (20.0 + len(model.data) / 1e3) * (1.0 + zlib.crc32(model.data) / 2**32)


class FakeDevice:
    """Yields computed latencies.

    Args:
        latency_us: Pure function from a model to its latency in microseconds; by default
            `latency_of_bytes_us`.
        name: Name of the device; its source is `fake:NAME`.
        noise: Relative standard deviation of a run (log-normal, from the configuration's seed,
            the key and the round: the same call gives the same samples).
        reject: Reasons by key, for models that the device refuses.
        unreachable_after: Number of results after which the device disappears, once; opening it
            again brings it back.
        crash_after: Number of results after which the profiling program itself fails with a
            RuntimeError.
        unreachable: Whether the device cannot be opened at all.
    """

    def __init__(
        self,
        latency_us: Callable[[TimedModel], float] = latency_of_bytes_us,
        *,
        name: str = "fake",
        noise: float = 0.0,
        reject: Mapping[str, str] | None = None,
        unreachable_after: int | None = None,
        crash_after: int | None = None,
        unreachable: bool = False,
    ) -> None:
        self.latency_us = latency_us
        self.name = name
        self.noise = noise
        self.reject = dict(reject or {})
        self.unreachable_after = unreachable_after
        self.crash_after = crash_after
        self.unreachable = unreachable
        self._open = False

    @property
    def info(self) -> DeviceInfo:
        """Identity and facts.

        Raises:
            DeviceUnreachable: Used outside of `with`.
        """
        if not self._open:
            raise DeviceUnreachable(
                f"device {self.name!r} is not open; use `with FakeDevice() as device:`"
            )
        return DeviceInfo(
            name=self.name,
            source=f"fake:{self.name}",
            runtime="fake",
            runtime_hash="",
            facts={"fake": True},
        )

    @property
    def quality(self) -> Quality | None:
        """None: nothing is measured."""
        return None

    def __enter__(self) -> FakeDevice:
        if self.unreachable:
            raise DeviceUnreachable(
                f"device {self.name!r} does not answer (it was created with unreachable=True)"
            )
        self._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open = False

    def measure(
        self, models: Iterable[TimedModel], config: TimingConfig
    ) -> Iterator[Measurement | Rejected]:
        """Compute latencies; see `devices.protocol.Device`."""
        return self._rounds(self.info, as_sequence(models), config)

    def _rounds(
        self, info: DeviceInfo, models: Sequence[TimedModel], config: TimingConfig
    ) -> Iterator[Measurement | Rejected]:
        rejected: set[int] = set()
        for done, (round_, index) in enumerate(
            interleaved(len(models), config.rounds, config.seed)
        ):
            if done == self.crash_after:
                raise RuntimeError(f"fake crash after {done} results")
            if done == self.unreachable_after:
                self.unreachable_after = None
                raise DeviceUnreachable(f"device {self.name!r} went away after {done} results")
            model = models[index]
            if index in rejected:
                continue
            if model.key in self.reject:
                rejected.add(index)
                yield Rejected(model.key, self.reject[model.key])
                continue
            yield Measurement(
                key=model.key,
                samples_us=self._samples_us(model, round_, config),
                round=round_,
                threads=config.threads,
                cores=config.cores,
                source=info.source,
                runtime=info.runtime,
                runtime_hash=info.runtime_hash,
                time_s=time.time(),
            )

    def _samples_us(
        self, model: TimedModel, round_: int, config: TimingConfig
    ) -> tuple[float, ...]:
        latency = float(self.latency_us(model))
        runs = max(config.min_runs, int(np.ceil(config.min_ms * 1e3 / latency)))
        runs = min(runs, config.max_runs)
        rng = np.random.default_rng((config.seed, round_, zlib.crc32(model.key.encode())))
        return tuple(latency * np.exp(self.noise * rng.standard_normal(runs)))
