"""This computer as a device: LiteRT on its CPU, in a process of its own.

A model that crashes or hangs the worker process is rejected after a second try in a fresh
worker; the profile goes on. x86 and arm64 Linux alike, so a Raspberry Pi profiles itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from devices import host_facts
from devices.clusters import choose_cores, cores_text
from devices.framing import LinkClosed, LinkTimeout, read_message, write_message
from devices.order import as_sequence, interleaved
from devices.protocol import Conditions, DeviceInfo, Measurement, Rejected, TimedModel, TimingConfig
from elasticvit.errors import DeviceError, DeviceUnreachable, RunnerMissing

START_TIMEOUT_S = 60.0
STDERR_TAIL_BYTES = 4096
PIPE_BYTES = 1 << 20  # fewer switches between the processes for a large model


class _Worker:
    """A running worker process and the pipes to it."""

    def __init__(self) -> None:
        self.log = tempfile.TemporaryFile(mode="ab+")  # noqa: SIM115 - closed by `kill`
        self.gauges: dict[str, str] = {}  # that it holds, each as it was loaded
        root = str(Path(__file__).resolve().parent.parent)
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(
            part for part in (root, environment.get("PYTHONPATH", "")) if part
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "devices.host_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
            bufsize=0,
            start_new_session=True,  # Ctrl-C in the terminal reaches the parent alone
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin.fileno(), self.process.stdout.fileno()
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(self.stdin, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        try:
            self.hello, _ = read_message(self.stdout, START_TIMEOUT_S)
        except (LinkClosed, LinkTimeout) as error:
            reason = self.last_words()
            self.kill()
            raise DeviceUnreachable(f"the host's worker did not start: {reason}") from error
        except BaseException:
            self.kill()
            raise
        if "error" in self.hello:
            self.kill()
            raise RunnerMissing(
                f"no TFLite runtime on this computer: {self.hello['error']}; "
                "run `pip install ai-edge-litert`"
            )

    def ask(self, job: dict[str, Any], data: bytes) -> dict[str, Any]:
        """One job's answer; raises `LinkClosed` or `LinkTimeout`, after which it must go."""
        self.log.truncate(0)
        write_message(self.stdin, job, data)
        answer, _ = read_message(self.stdout, job["timeout_s"])
        return answer

    def hold(self, gauge: TimedModel, job: dict[str, Any]) -> None:
        """Have it keep a gauge for jobs like this one.

        Raises:
            DeviceError: the runtime refuses the gauge.
        """
        name = f"{gauge.key} {job['threads']} {job['cores']}"
        if self.gauges.get(gauge.key) != name:
            same = {key: job[key] for key in ("cores", "threads", "timeout_s")}
            answer = self.ask(same | {"gauge": gauge.key}, gauge.data)
            if "rejected" in answer:
                raise DeviceError(f"gauge {gauge.key} does not run: {answer['rejected']}")
            self.gauges[gauge.key] = name

    def last_words(self) -> str:
        """How the process ended, and the last line that it wrote."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=1)
        code = self.process.poll()
        if code is None:
            end = "still running"
        elif code < 0:
            end = f"killed by {signal.Signals(-code).name}"
        else:
            end = f"exit code {code}"
        size = self.log.seek(0, os.SEEK_END)
        self.log.seek(max(0, size - STDERR_TAIL_BYTES))
        lines = self.log.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip() and not line.startswith("INFO:")]
        return f"{end} ({said[-1]})" if said else end

    def kill(self) -> None:
        """End the process and reap it."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.log):
            assert pipe is not None
            pipe.close()


class HostDevice:
    """The CPU of this computer.

    Args:
        timeout_s: longest that one model may take in one round; then it is rejected.
    """

    def __init__(self, *, timeout_s: float = 120.0) -> None:
        self.timeout_s = timeout_s
        self._worker: _Worker | None = None
        self._info: DeviceInfo | None = None
        self._cores: dict[tuple[str, int], tuple[int, ...]] = {}

    @property
    def info(self) -> DeviceInfo:
        """Identity and facts.

        Raises:
            DeviceUnreachable: used outside of `with`.
        """
        if self._info is None:
            raise DeviceUnreachable("the host is not open; use `with HostDevice() as device:`")
        return self._info

    def __enter__(self) -> HostDevice:
        worker = self._ready()
        clusters = host_facts.host_clusters()
        self._info = DeviceInfo(
            name="host",
            source=f"host:{host_facts.cpu_model()}",
            runtime=worker.hello["runtime"],
            runtime_hash=worker.hello["runtime_hash"],
            facts={
                "machine": os.uname().machine,
                "system": f"{os.uname().sysname} {os.uname().release}",
                "clusters": [
                    {"max_mhz": cluster.max_mhz or None, "cores": cores_text(cluster.cores)}
                    for cluster in clusters
                ],
                "governor": host_facts.governor(clusters[-1].cores[-1]),
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

    def _choose_cores(self, config: TimingConfig) -> tuple[int, ...]:
        """The same cores for the whole session, away from where this program runs now: equal
        cores of one machine are not always equally fast."""
        wanted = (config.cores, config.threads)
        if wanted not in self._cores:
            core = host_facts.current_core()
            avoid = () if core is None else (core,)
            clusters = host_facts.host_clusters()
            self._cores[wanted] = choose_cores(clusters, *wanted, avoid=avoid)
        return self._cores[wanted]

    def _rounds(
        self,
        info: DeviceInfo,
        models: Sequence[TimedModel],
        config: TimingConfig,
        cores: tuple[int, ...],
    ) -> Iterator[Measurement | Rejected]:
        job = {
            "cores": list(cores),
            "threads": config.threads,
            "warmup_runs": config.warmup_runs,
            "min_runs": config.min_runs,
            "max_runs": config.max_runs,
            "min_ms": config.min_ms,
            "timeout_s": self.timeout_s,
            "gauges": [gauge.key for gauge in config.gauges],
        }
        rejected: set[int] = set()
        for round_, index in interleaved(len(models), config.rounds, config.seed):
            if index in rejected:
                continue
            model = models[index]
            answer = self._ask(job, model.data, config.gauges)
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
                gauges_us={key: tuple(runs) for key, runs in answer["gauges_us"].items()},
            )

    def _ready(self) -> _Worker:
        if self._worker is None:
            self._worker = _Worker()
        return self._worker

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def _ask(
        self, job: dict[str, Any], data: bytes, gauges: Sequence[TimedModel]
    ) -> dict[str, Any]:
        """The worker's answer. A worker that dies is tried once more before the model is blamed:
        it may have fallen to something else, such as a shortage of memory."""
        reason = ""
        for _ in range(2):
            worker = self._ready()
            try:
                for gauge in gauges:
                    worker.hold(gauge, job)
                return worker.ask(job, data)
            except LinkTimeout:
                self._stop()
                return {"rejected": f"no answer within {self.timeout_s:g} s"}
            except LinkClosed:
                reason = f"the runtime crashed twice: {worker.last_words()}"
                self._stop()
            except BaseException:
                self._stop()  # its answer would be taken for the next model's
                raise
        return {"rejected": reason}
