"""Client side of the worker process that runs models on this computer."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from devices.host.framing import PipeClosed, PipeTimeout, read_message, write_message
from devices.protocol import TimedModel
from elasticvit.errors import DeviceError, DeviceUnreachable, RunnerMissing
from elasticvit.files import writing

MODULE = "devices.host.worker"
ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the package `devices`
START_TIMEOUT_S = 60.0
STDERR_TAIL_BYTES = 4096
PIPE_BYTES = 1 << 20  # fewer switches between the processes for a large model


class WorkerProcess:
    """A running worker process and the pipes to it.

    Attributes:
        hello: First message of the worker: name and hash of the runtime, and its priority.

    Raises:
        DeviceUnreachable: The process did not start.
        RunnerMissing: There is no TFLite runtime on this computer.
        FileError: There is no folder for temporary files that can be written to.
    """

    def __init__(self) -> None:
        with writing("the temporary file for what the timing process reports"):
            self.log = tempfile.TemporaryFile(mode="ab+")  # noqa: SIM115 - closed by `kill`
        self._loaded: dict[
            str, str
        ] = {}  # threads and cores of each loaded calibration model, by key
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(
            part for part in (str(ROOT), environment.get("PYTHONPATH", "")) if part
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
            cwd=ROOT,  # `-m` searches the current folder first, which may hold other `devices`
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
        except (PipeClosed, PipeTimeout) as error:
            reason = self.exit_reason()
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

    def ask(self, request: dict[str, Any], data: bytes) -> dict[str, Any]:
        """Answer of the worker to a request.

        Args:
            request: The request, as `devices.host.worker` reads it; answered within
                `request["timeout_s"]` seconds.
            data: TFLite flatbuffer.

        Raises:
            PipeClosed, PipeTimeout: The worker died or hangs; it must be killed.
        """
        return self.exchange(request, data)[0]

    def exchange(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """As `ask`, with the bytes of the answer."""
        self.log.truncate(0)
        write_message(self.stdin, request, data)
        return read_message(self.stdout, request["timeout_s"])

    def load_calibration_model(self, model: TimedModel, request: dict[str, Any]) -> None:
        """Load a calibration model into the worker for the threads and cores of a request, unless
        it is loaded already.

        Raises:
            DeviceError: The runtime refuses the model.
            PipeClosed, PipeTimeout: The worker died or hangs; it must be killed.
        """
        placement = f"{request['threads']} {request['cores']}"
        if self._loaded.get(model.key) == placement:
            return
        same = {key: request[key] for key in ("cores", "threads", "timeout_s")}
        answer = self.ask(same | {"calibration_model": model.key}, model.data)
        if "rejected" in answer:
            raise DeviceError(
                f"the runtime rejects calibration model {model.key}: {answer['rejected']}; profile "
                "another space, or update the runtime"
            )
        self._loaded[model.key] = placement

    def exit_reason(self) -> str:
        """Exit status of the process, and the last line that it printed."""
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
        printed = [line.strip() for line in lines if line.strip() and not line.startswith("INFO:")]
        return f"{end} ({printed[-1]})" if printed else end

    def kill(self) -> None:
        """Kill the process and wait for its end."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.log):
            assert pipe is not None
            pipe.close()
