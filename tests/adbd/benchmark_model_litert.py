#!PYTHON
"""A genuine runner for test phones that see this computer's Python: LiteRT's interpreter,
called and answering like the classic benchmark_model. Its timings are real, and of this CPU.
"""

import argparse
import statistics
import time

from ai_edge_litert.interpreter import Interpreter

parser = argparse.ArgumentParser(prog="benchmark_model")
parser.add_argument("--graph", required=True)
parser.add_argument("--num_runs", type=int, default=50)
parser.add_argument("--min_secs", type=float, default=1.0)
parser.add_argument("--num_threads", type=int, default=1)
parser.add_argument("--warmup_runs", type=int, default=1)
options = parser.parse_args()
interpreter = Interpreter(model_path=options.graph, num_threads=options.num_threads)
interpreter.allocate_tensors()
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
