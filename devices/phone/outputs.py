"""What a model computes on a phone from inputs that are given, by the phone's runner.

TensorFlow's benchmark_model reads an input from a file and writes its outputs to one; evit's own
runner takes all inputs at once. Neither is timed.
"""

from __future__ import annotations

import shlex

import numpy as np

from devices.clusters import cores_mask
from devices.phone.folder import FOLDER
from devices.phone.runner import OFFICIAL_URL
from devices.phone.session import PhoneSession
from elasticvit.arrays import Float32Array
from elasticvit.errors import DeviceError

PLACE = f"{FOLDER}/outputs"
CLASSIC = frozenset(
    {"input_layer", "input_layer_shape", "input_layer_value_files", "output_filepath"}
)


def compute_on_phone(
    session: PhoneSession, model: bytes, inputs: Float32Array, name: str, cores: tuple[int, ...]
) -> Float32Array:
    """Outputs of a model, (n, values); see `devices.outputs.Computes.compute`.

    Args:
        session: The open phone.
        model: TFLite flatbuffer.
        inputs: The input of each run, float32 (n, *shape).
        name: Name of the input in the model.
        cores: Numbers of the cores to run on.

    Raises:
        DeviceError: The runner takes no inputs, or the model fails.
        DeviceUnreachable: The phone went away.
    """
    own = session.runner.tool == "evit"
    if not (own and "inputs" in session.runner.flags) and not session.runner.flags >= CLASSIC:
        raise DeviceError(
            f"the runner on {session.link.name} takes no inputs (its help does not list "
            f"{', '.join(sorted(CLASSIC - session.runner.flags))}); download {OFFICIAL_URL} and "
            "name it as the runner",
            settings=("runner",),
        )
    session.folder.send([model])
    graph = session.folder.path(model)
    session.link.run(f"rm -rf {PLACE} && mkdir -p {PLACE}")
    try:
        if own:
            return _by_own(session, graph, inputs, cores)
        rows = [_by_classic(session, graph, one, name, cores) for one in inputs]
        return np.stack(rows)
    finally:
        session.link.shell(f"rm -rf {PLACE}")


def _by_own(
    session: PhoneSession, graph: str, inputs: Float32Array, cores: tuple[int, ...]
) -> Float32Array:
    session.link.push(inputs.tobytes(), f"{PLACE}/inputs")
    flags = [f"--inputs={PLACE}/inputs", f"--outputs={PLACE}", "--num_threads=1"]
    said = _run(session, [f"--graph={graph}", *flags], cores, len(inputs))
    if f"evit_outputs {len(inputs)}\n" not in said:
        raise _failed(session, said)
    return _read(session, f"{PLACE}/0.bin", len(inputs))


def _by_classic(
    session: PhoneSession, graph: str, one: Float32Array, name: str, cores: tuple[int, ...]
) -> Float32Array:
    session.link.push(one[None].tobytes(), f"{PLACE}/input")
    shape = ",".join(str(n) for n in (1, *one.shape))
    escaped = name.replace(":", "::")  # as benchmark_model takes names apart
    wanted = {
        "graph": graph,
        "input_layer": name,
        "input_layer_shape": shape,
        "input_layer_value_files": f"{escaped}:{PLACE}/input",
        "output_filepath": f"{PLACE}/output",
        "num_runs": 1,
        "warmup_runs": 1,
        "min_secs": 0,
        "warmup_min_secs": 0,
        "num_threads": 1,
        "use_xnnpack": "true",
    }
    given = session.runner.flags | {"graph"}
    _run(session, [f"--{key}={value}" for key, value in wanted.items() if key in given], cores, 1)
    output: Float32Array = _read(session, f"{PLACE}/output", 1)[0]
    return output


def _run(session: PhoneSession, arguments: list[str], cores: tuple[int, ...], count: int) -> str:
    """What the runner says about `count` runs of a model.

    Raises:
        DeviceError: It fails.
    """
    command = shlex.join([*session.launch, *arguments])
    if "taskset" in session.facts.tools:
        command = f"taskset {cores_mask(cores)} {command}"
    patience_s = session.rules.runner_timeout_s * (1 + count / 10)
    done = session.link.shell(f"{command} 2>&1 </dev/null", patience_s)
    if done.code != 0:
        raise _failed(session, done.stdout, done.code)
    return done.stdout


def _failed(session: PhoneSession, said: str, code: int | None = None) -> DeviceError:
    lines = [line.strip() for line in said.splitlines() if line.strip() and "@evit" not in line]
    ended = "" if code is None else f" with exit code {code}"
    return DeviceError(
        f"the runner on {session.link.name} did not run the model on its inputs: it ended{ended} "
        f"({lines[-1][:160] if lines else 'it printed nothing'}); try another runner",
        settings=("runner",),
    )


def _read(session: PhoneSession, path: str, count: int) -> Float32Array:
    data = session.link.pull(path)
    if not data or len(data) % (4 * count):
        raise DeviceError(
            f"the runner on {session.link.name} wrote {len(data)} bytes of outputs for {count} "
            "inputs; try another runner",
            settings=("runner",),
        )
    return np.frombuffer(data, np.float32).reshape(count, -1)
