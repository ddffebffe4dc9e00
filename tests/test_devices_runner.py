from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import TimingConfig
from devices.phone.runner import Runner, RunnerFile, RunnerOutputError, parse_output
from elasticvit.errors import RunnerMissing

CLASSIC_HELP = """usage: /data/local/tmp/benchmark_model
Flags:
	--num_runs=50                           	int32	optional	expected number of runs
	--min_secs=1                            	float	optional	minimum seconds
	--num_threads=-1                        	int32	optional	number of threads
	--warmup_runs=1                         	int32	optional	warm-up runs
	--warmup_min_secs=0.5                   	float	optional	warm-up seconds
	--graph=                                	string	required	graph file name
	--use_xnnpack=false                     	bool	optional	use XNNPACK
"""
LITERT_HELP = CLASSIC_HELP.replace("use_xnnpack=false", "use_cpu=true") + (
    "\t--use_gpu=false\tbool\toptional\tGPU\n\t--result_file_path=\tstring\toptional\tresults\n"
)
RUN = "Running benchmark for at least {} iterations and at least 0 seconds\n"


def output(last: str, warmup: str = "count=1 curr=4242") -> str:
    return (
        "INFO: STARTING!\nINFO: Loaded model /data/x\nINFO: "
        + RUN.format(1)
        + f"INFO: {warmup}\n\nINFO: "
        + RUN.format(50)
        + f"INFO: {last}\n\nINFO: Inference timings in us: Init: 1, Inference (avg): 99\n"
    )


def test_the_tools_are_told_apart_by_their_help():
    assert Runner.from_help(CLASSIC_HELP, "ab").tool == "classic"
    assert Runner.from_help(LITERT_HELP, "ab").tool == "litert"


def test_only_flags_that_the_tool_lists_are_passed():
    config = TimingConfig(threads=2, min_runs=7, min_ms=12.5, warmup_runs=3)
    classic = Runner.from_help(CLASSIC_HELP, "ab").arguments(config)
    assert classic == [
        *("--num_threads=2", "--num_runs=7", "--min_secs=0.0125", "--warmup_runs=3"),
        *("--warmup_min_secs=0", "--use_xnnpack=true"),
    ]
    litert = Runner.from_help(LITERT_HELP, "ab").arguments(config)
    assert "--use_cpu=true" in litert
    assert not any("xnnpack" in flag for flag in litert)
    few = Runner.from_help("--graph --num_runs", "ab").arguments(config)
    assert few == ["--num_runs=7"]


def test_a_classic_tool_that_has_no_help_is_taken_for_an_old_one():
    text = "STARTING!\nUnconsumed cmdline flags: --help\nPlease specify the graph with --graph\n"
    runner = Runner.from_help(text, "ab")
    assert runner.tool == "classic"
    assert runner.arguments(TimingConfig())[0] == "--num_threads=1"


@pytest.mark.parametrize("text", ["", "sh: syntax error", "--graph only", "usage: cat [FILE]"])
def test_what_is_no_benchmark_model_is_refused(text):
    with pytest.raises(RunnerMissing, match="no flags `graph` and `num_runs`"):
        Runner.from_help(text, "ab")


def test_the_last_statistics_count_and_are_read_by_name():
    result = parse_output(
        output("count=210 first=52 curr=48 min=47 max=90 avg=48.9 std=3.1", "count=3 curr=7000")
    )
    assert (result.latency_us, result.statistic, result.count) == (48.9, "mean", 210)
    assert result.summary["std"] == 3.1


def test_newer_tools_tell_the_median():
    line = "count=50 curr=48 first=52 std=3 p95=60 avg=50 max=90 median=49 min=47 p5=47"
    result = parse_output(output(line))
    assert (result.latency_us, result.statistic, result.count) == (49.0, "median", 50)


@pytest.mark.parametrize("line", ["count=1 curr=321", "count=9 curr=321(all same)"])
def test_a_single_value(line):
    assert parse_output(output(line)).latency_us == 321.0


def test_large_counts_in_scientific_notation():
    line = "count=50 first=1e+06 curr=1.1e+06 min=1e+06 max=1.2e+06 avg=1.05e+06 std=40000"
    assert parse_output(output(line)).latency_us == 1.05e6


def test_peak_memory_where_it_is_told():
    text = output("count=1 curr=5") + "INFO: Peak memory footprint (MB): init=2.5 overall=8\n"
    assert parse_output(text).peak_bytes == 8 * 2**20
    assert parse_output(output("count=1 curr=5")).peak_bytes is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Segmentation fault",
        output("count=0"),
        output("count=5 first=1 curr=1 min=10 max=20 avg=900 std=1"),
        output("count=1 curr=0"),
        "INFO: " + RUN.format(1) + "INFO: count=1 curr=4242\nINFO: " + RUN.format(50),
        "count=many curr=soon",
    ],
)
def test_what_is_no_timing_is_refused(text):
    with pytest.raises(RunnerOutputError):
        parse_output(text)


@given(st.text(max_size=400))
def test_any_text_is_read_or_refused(text):
    try:
        result = parse_output(text)
    except RunnerOutputError:
        return
    assert result.latency_us > 0
    assert result.count >= 1


def test_a_missing_runner_names_the_official_one(tmp_path):
    with pytest.raises(RunnerMissing, match=r"No such file.*https://") as caught:
        RunnerFile.read(tmp_path / "none")
    assert caught.value.settings == ("runner",)
    (tmp_path / "empty").touch()
    for path, reason in {
        tmp_path: "no regular file",
        tmp_path / "empty": "0 bytes",
        "/dev/zero": "no regular file",
        "a\0b": "null byte",
        "x" * 5000: "too long",
    }.items():
        with pytest.raises(RunnerMissing, match=reason) as caught:
            RunnerFile.read(path)
        assert len(str(caught.value)) < 400


def test_how_a_model_starts_is_read_where_it_is_told():
    text = output("count=5 first=9 curr=10 min=9 max=11 avg=10 std=1")
    assert (parse_output(text).load_us, parse_output(text).first_us) == (1.0, None)
    told = text.replace("Init: 1,", "Init: 5685, First inference: 18535, Warmup (avg): 14462.3,")
    assert (parse_output(told).load_us, parse_output(told).first_us) == (5685.0, 18535.0)
