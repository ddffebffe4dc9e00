"""This computer as a device: LiteRT on its CPU, in a worker process.

A model that hangs the worker process is rejected; one that crashes it is tried again in a new
worker and rejected if it crashes that one, too. The profile continues in either case. It runs on
x86 and arm64 Linux, so that a Raspberry Pi can profile itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from devices.clusters import choose_cores, cores_text
from devices.host import facts
from devices.host.framing import PipeClosed, PipeTimeout
from devices.host.process import WorkerProcess
from devices.order import as_sequence, interleaved
from devices.protocol import Conditions, DeviceInfo, Measurement, Rejected, TimedModel, TimingConfig
from devices.quality import Quality
from elasticvit.arrays import Float32Array
from elasticvit.errors import DeviceError, DeviceUnreachable
from elasticvit.names import HOST


class HostDevice:
    """The CPU of this computer.

    Args:
        timeout_s: Longest time of one model in one round, in seconds; a slower one is rejected.
    """

    def __init__(self, *, timeout_s: float = 120.0) -> None:
        self.timeout_s = timeout_s
        self._worker: WorkerProcess | None = None
        self._info: DeviceInfo | None = None
        self._cores: dict[tuple[str, int], tuple[int, ...]] = {}

    @property
    def info(self) -> DeviceInfo:
        """Identity and facts.

        Raises:
            DeviceUnreachable: Used outside of `with`.
        """
        if self._info is None:
            raise DeviceUnreachable("the host is not open; use `with HostDevice() as device:`")
        return self._info

    @property
    def quality(self) -> Quality | None:
        """None: every measurement holds its interrupted runs and calibration latencies instead."""
        return None

    def __enter__(self) -> HostDevice:
        worker = self._ready()
        clusters = facts.host_clusters()
        self._info = DeviceInfo(
            name=HOST,
            source=f"host:{facts.cpu_model()}",
            runtime=worker.hello["runtime"],
            runtime_hash=worker.hello["runtime_hash"],
            facts={
                "machine": os.uname().machine,
                "system": f"{os.uname().sysname} {os.uname().release}",
                "clusters": [
                    {"max_mhz": cluster.max_mhz or None, "cores": cores_text(cluster.cores)}
                    for cluster in clusters
                ],
                "governor": facts.governor(clusters[-1].cores[-1]),
                "nice": worker.hello["nice"],
                "realtime": worker.hello["realtime"],
            },
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        self._info = None

    def measure(
        self, models: Iterable[TimedModel], config: TimingConfig
    ) -> Iterator[Measurement | Rejected]:
        """Time models; see `devices.protocol.Device`."""
        info, cores = self.info, self._choose_cores(config)
        return self._rounds(info, as_sequence(models), config, cores)

    def compute(self, model: bytes, inputs: Float32Array, name: str) -> Float32Array:
        """Outputs of a model, which runs in the process that times models; see
        `devices.outputs.Computes`."""
        info = self.info
        request = {"timeout_s": self.timeout_s, "inputs": list(inputs.shape), "model": len(model)}
        try:
            answer, data = self._ready().exchange(request, model + inputs.tobytes())
        except (PipeClosed, PipeTimeout) as error:
            self._stop()
            raise DeviceError(f"{info.name} crashes or hangs on the model's inputs") from error
        except BaseException:
            self._stop()  # its answer would be read as that of the next model
            raise
        if "rejected" in answer:
            raise DeviceError(f"{info.name} refuses the model: {answer['rejected']}")
        return np.frombuffer(data, np.float32).reshape(len(inputs), -1)

    def _choose_cores(self, config: TimingConfig) -> tuple[int, ...]:
        """Cores to pin to: the same while the device is open, since equal cores of one machine are
        not always equally fast, and not the core that this program runs on."""
        wanted = (config.cores, config.threads)
        if wanted not in self._cores:
            core = facts.current_core()
            avoid = () if core is None else (core,)
            clusters = facts.host_clusters()
            self._cores[wanted] = choose_cores(clusters, *wanted, avoid=avoid)
        return self._cores[wanted]

    def _rounds(
        self,
        info: DeviceInfo,
        models: Sequence[TimedModel],
        config: TimingConfig,
        cores: tuple[int, ...],
    ) -> Iterator[Measurement | Rejected]:
        request = {
            "cores": list(cores),
            "threads": config.threads,
            "warmup_runs": config.warmup_runs,
            "min_runs": config.min_runs,
            "max_runs": config.max_runs,
            "min_ms": config.min_ms,
            "timeout_s": self.timeout_s,
            "calibration_models": [model.key for model in config.calibration_models],
        }
        rejected: set[int] = set()
        for round_, index in interleaved(len(models), config.rounds, config.seed):
            if index in rejected:
                continue
            model = models[index]
            answer = self._ask(request, model.data, config.calibration_models)
            if "rejected" in answer:
                rejected.add(index)
                yield Rejected(model.key, answer["rejected"])
                continue
            yield Measurement(
                key=model.key,
                samples_us=tuple(answer["samples_us"]),
                round=round_,
                threads=config.threads,
                cores=cores_text(cores),
                source=info.source,
                runtime=info.runtime,
                runtime_hash=info.runtime_hash,
                before=Conditions(**answer["before"]),
                after=Conditions(**answer["after"]),
                time_s=answer["time_s"],
                peak_bytes=answer["peak_bytes"],
                interrupted_runs=answer["interrupted"],
                calibration_us={key: tuple(runs) for key, runs in answer["calibration_us"].items()},
                load_us=answer["load_us"],
                first_us=answer["first_us"],
                threads_started=answer["threads_started"],
            )

    def _ready(self) -> WorkerProcess:
        if self._worker is None:
            self._worker = WorkerProcess()
        return self._worker

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def _ask(
        self, request: dict[str, Any], data: bytes, calibration: Sequence[TimedModel]
    ) -> dict[str, Any]:
        """Answer of the worker. If the worker dies or does not answer, the request is repeated once
        in a new one before the model is rejected: the cause may have been another one, such as a
        lack of memory."""
        reason = ""
        for _ in range(2):
            worker = self._ready()
            try:
                for model in calibration:
                    worker.load_calibration_model(model, request)
                return worker.ask(request, data)
            except PipeTimeout:
                reason = f"twice no answer within {self.timeout_s:g} s"
                self._stop()
            except PipeClosed:
                reason = f"the runtime crashed twice: {worker.exit_reason()}"
                self._stop()
            except BaseException:
                self._stop()  # its answer would be read as that of the next model
                raise
        return {"rejected": reason}
