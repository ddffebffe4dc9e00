"""What the CPU delegate takes of a model, found out in a process of its own: a file that brings
the runtime down does not bring this program down.

    python -m export.delegated < FILE
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from elasticvit.errors import ExportError
from elasticvit.reading import Format
from export.inspect import Delegation, delegation

ROOT = Path(__file__).resolve().parents[1]  # the folder that holds the package `export`
TIMEOUT_S = 120.0
ANSWER = Format(
    kind=Delegation,
    what="an account of a model's delegation",
    error=ExportError,
    mend="try again",
)


def delegation_apart(data: bytes) -> Delegation:
    """What this machine's LiteRT hands to XNNPACK of a model.

    Raises:
        ExportError: The runtime refuses the model, crashes on it, or does not answer.
    """
    environment = dict(os.environ)
    parts = (str(ROOT), environment.get("PYTHONPATH", ""))
    environment["PYTHONPATH"] = os.pathsep.join(part for part in parts if part)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "export.delegated"],
            input=data,
            capture_output=True,
            env=environment,
            cwd=ROOT,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise ExportError(
            f"LiteRT does not answer within {TIMEOUT_S:.0f} s; convert the model again"
        ) from error
    if done.returncode:
        lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        reason = lines[-1] if lines else f"it ended with code {done.returncode}"
        raise ExportError(f"LiteRT refuses the model: {reason}")
    return ANSWER.parse_json(done.stdout, "the answer")


def main() -> None:
    """Answer about the model on standard input, as one JSON text."""
    answers = os.dup(1)
    os.dup2(2, 1)  # the runtime prints to standard output
    text = json.dumps(asdict(delegation(sys.stdin.buffer.read())))
    os.write(answers, text.encode())


if __name__ == "__main__":
    main()
