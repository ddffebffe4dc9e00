"""The rounds of one set of models on a phone: groups, further attempts and rejections."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from devices.order import round_order
from devices.phone.group import Group, QueuedModel
from devices.phone.session import PhoneSession
from devices.protocol import Measurement, Rejected, TimedModel, TimingConfig
from elasticvit.errors import RunnerMissing

BROKEN_RUNNER = 5  # rejected models without any success that prove the runner to be broken
GROUP_BYTES = 64 * 2**20  # size of a group beyond which no model is added to it


class RoundLoop:
    """Times one set of models in all rounds.

    Args:
        session: The open phone.
        models: Models to time.
        config: How to time them.
        cores: Numbers of the cores to run on.
    """

    def __init__(
        self,
        session: PhoneSession,
        models: Sequence[TimedModel],
        config: TimingConfig,
        cores: tuple[int, ...],
    ) -> None:
        self._session, self._models, self._config = session, models, config
        self._group = Group(session, config, cores)
        self._rejected: dict[int, Rejected] = {}
        self._handed_out: set[int] = set()

    def run(self) -> Iterator[Measurement | Rejected]:
        """Time all models in all rounds; results are yielded group by group.

        Raises:
            RunnerMissing: The runner fails on every model.
            DeviceError: As in `devices.phone.group.Group.time`.
        """
        session, quality = self._session, self._session.quality
        session.findings.begin_profile()
        for round_ in range(self._config.rounds):
            order = deque(
                i
                for i in round_order(len(self._models), round_, self._config.seed)
                if i not in self._rejected
            )
            again: deque[QueuedModel] = deque()
            while order or again:
                timed = self._group.time(self._next(order, again), round_)
                quality.reconnects = session.link.connection.reconnects
                for queued, measurement in timed:
                    if measurement is not None:
                        quality.accepted += 1
                        yield measurement
                    elif queued.attempts < session.rules.attempts:
                        again.append(queued)
                    else:
                        self._rejected[queued.index] = Rejected(queued.model.key, queued.reason)
                yield from self._rejections(last=False)
        yield from self._rejections(last=True)

    def _next(self, order: deque[int], again: deque[QueuedModel]) -> list[QueuedModel]:
        """The next group, limited by number and by bytes."""
        size = self._session.rules.group_size
        queue = [again.popleft() for _ in range(min(len(again), size))]
        group_bytes = sum(len(queued.model.data) for queued in queue)
        while order and len(queue) < size and group_bytes < GROUP_BYTES:
            index = order.popleft()
            queue.append(QueuedModel(index, self._models[index]))
            group_bytes += len(queue[-1].model.data)
        return queue

    def _rejections(self, *, last: bool) -> Iterator[Rejected]:
        """Yield rejections once it is certain that the models are at fault and not the runner.

        Args:
            last: Whether nothing more will be timed.
        """
        works = self._session.findings.runner_works
        if not works and len(self._rejected) >= BROKEN_RUNNER:
            reasons = "; ".join(sorted({r.reason for r in self._rejected.values()})[:2])
            raise RunnerMissing(
                f"the runner fails on every model ({reasons}); try another benchmark_model",
                settings=("runner",),
            )
        if works or last:
            for index in [i for i in self._rejected if i not in self._handed_out]:
                self._handed_out.add(index)
                yield self._rejected[index]
