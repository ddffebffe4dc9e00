#!PYTHON
"""A genuine runner for test phones that see this computer's Python: LiteRT's interpreter,
called and answering like the classic benchmark_model. Its timings are real, and of this CPU. As
that one it reads an input from a file, whose path stands behind the input's name and a colon, with
the colons of the name doubled, and writes the outputs of the last run to a file.
"""

import argparse
import re
import statistics
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter

parser = argparse.ArgumentParser(prog="benchmark_model")
parser.add_argument("--graph", required=True)
parser.add_argument("--num_runs", type=int, default=50)
parser.add_argument("--min_secs", type=float, default=1.0)
parser.add_argument("--num_threads", type=int, default=1)
parser.add_argument("--warmup_runs", type=int, default=1)
parser.add_argument("--input_layer", default="")
parser.add_argument("--input_layer_shape", default="")
parser.add_argument("--input_layer_value_files", default="")
parser.add_argument("--output_filepath", default="")
options = parser.parse_args()
interpreter = Interpreter(model_path=options.graph, num_threads=options.num_threads)
interpreter.allocate_tensors()
if options.input_layer_value_files:
    (source,) = interpreter.get_input_details()
    name, path = re.split(r"(?<!:):(?!:)", options.input_layer_value_files)
    assert name.replace("::", ":") == options.input_layer == source["name"]
    shape = [int(side) for side in options.input_layer_shape.split(",")]
    interpreter.set_tensor(source["index"], np.fromfile(path, np.float32).reshape(shape))
for runs, seconds in ((options.warmup_runs, 0.0), (options.num_runs, options.min_secs)):
    print(f"INFO: Running benchmark for at least {runs} iterations and at least {seconds} seconds")
    taken = []
    while len(taken) < runs or sum(taken) < seconds * 1e6:
        start = time.perf_counter_ns()
        interpreter.invoke()
        taken.append((time.perf_counter_ns() - start) / 1e3)
    if len(taken) == 1 or min(taken) == max(taken):
        print(f"INFO: count={len(taken)} curr={taken[-1]:.3f}")
    elif taken:
        print(
            f"INFO: count={len(taken)} first={taken[0]:.3f} curr={taken[-1]:.3f} "
            f"min={min(taken):.3f} max={max(taken):.3f} avg={statistics.mean(taken):.3f} "
            f"std={statistics.pstdev(taken):.3f} median={statistics.median(taken):.3f}"
        )
if options.output_filepath:
    with open(options.output_filepath, "wb") as file:
        for target in interpreter.get_output_details():
            file.write(interpreter.get_tensor(target["index"]).tobytes())
