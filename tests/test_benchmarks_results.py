"""The results in the documents are what `benchmarks/results.py` makes of the kept lines."""

import importlib
import json
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FIGURES = {"within_5_pct": 91.0, "within_10_pct": 99.0, "rmspe_pct": 2.5, "bias_pct": -1.0}
PROFILE = {
    "seconds": 90.0,
    "measured": {"subnet": 8, "mbconv": 30, "ffn": 10},
    "held_out": {"subnet": 24},
    "errors": {
        "kernels": FIGURES,
        "subnets": FIGURES | {"upper_pct": 96.0, "upper_nominal_pct": 95.0},
        "subnets, as sums of kernels": FIGURES | {"bias_pct": -18.0},
    },
    "noise_floor": FIGURES,
}
MACHINE = {"cpu": "A CPU", "cores": 2, "Python": "3.11.1"}


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("results")


def line(name: str, result: dict, **changes) -> dict:
    base = {"name": name, "command": f"run {name}", "date": "2026-01-02", "commit": "abc"}
    return base | {"machine": MACHINE, "seconds": 60.0, "result": result} | changes


@pytest.mark.parametrize("document", ["README", "WHOLE"])
def test_the_documents_hold_what_the_kept_lines_say(results, document: str) -> None:
    path = getattr(results, document)
    assert results.filled(path, results.load(results.RESULTS)) == path.read_text(), (
        "run `python benchmarks/results.py write`"
    )


def test_every_kept_line_is_the_result_of_its_command(results) -> None:
    for name, kept in results.load(results.RESULTS).items():
        assert kept["command"] == results.COMMANDS[name]
        assert set(kept) == set(line(name, {}))


def test_every_result_has_a_command_and_a_place_in_a_table(results) -> None:
    tables = importlib.import_module("results_tables").TABLES
    assert {name for table in tables for name in table.names} == set(results.COMMANDS)
    for part in (p for command in results.COMMANDS.values() for p in command.split(" && ")):
        words = shlex.split(part)
        assert words[0] in ("python", "make", "evit-profile")
        assert words[0] != "python" or (ROOT / words[1]).is_file()


def test_a_table_shows_what_was_run_and_nothing_else(results) -> None:
    both = {n: line(n, PROFILE) for n in ("profile_tiny", "profile_mobile")}
    pricing = {
        "archs_per_second": {"tables": 13_200_000, "loop": 15_000, "dictionary": 66_000},
        "space": "mobile",
        "tables_over_loop": 852.0,
        "tables_over_dictionary": 198.4,
    }
    text = results.render(both | {"pricing": line("pricing", pricing)})
    assert "| fitted with | 40 kernels, 8 subnets | 40 kernels, 8 subnets |" in text
    assert "| sums of kernels: bias | -18.0 % | -18.0 % |" in text
    assert "| `run pricing` | 13.2 M `mobile` architectures a second on one core |" in text
    assert "The whole way" not in text
    assert "Measured on A CPU, 2 core(s), Python 3.11.1: profile_tiny (2026-01-02, abc)" in text
    one = results.render({"profile_tiny": both["profile_tiny"]})
    assert "| fitted with | 40 kernels, 8 subnets |\n" in one
    assert "Against the alternatives" not in one
    assert results.render({}) == ""
    short = PROFILE | {"errors": {**PROFILE["errors"]}, "noise_floor": None}
    del short["errors"]["kernels"]
    cut = results.render({"profile_tiny": line("profile_tiny", short)})
    assert "| held-out kernels: within 5 / 10 %, RMSPE | none timed |" in cut
    assert "| noise floor, the same subnets timed twice | none timed |" in cut


def test_exported_files_are_a_row_a_format_with_a_figure_a_precision(results) -> None:
    def row(form: str, precision: str, **figures) -> dict:
        return {"name": "S1", "format": form, "precision": precision, **figures}

    good = {"mb": 45.1, "speed_up": 1.0, "partitions": 1, "load_ms": 20.4}
    rows = [
        row("tflite", "fp32", **good),
        row("tflite", "int8", **good | {"mb": 12.34, "speed_up": 1.5}),
        row("onnx", "fp32", **good | {"partitions": None}),
        row("onnx", "int8", refused="no"),
        row("other", "fp32", **good),
    ]
    text = results.render({"precision": line("precision", {"rows": rows})})
    head = (
        "format (in each cell fp32 / int8) | MB | times as fast as fp32 | partitions | load, ms |"
    )
    assert head in text
    assert "| S1 | tflite | 45.1 / 12.3 | 1.00 / 1.50 | 1 | 20 |" in text
    assert "|  | onnx | 45.1 / - | 1.00 / - | - | 20 / - |" in text
    assert "|  | other | 45.1 | 1.00 | 1 | 20 |" in text


def test_the_newest_line_of_a_name_wins_and_the_order_is_fixed(results, tmp_path: Path) -> None:
    path = tmp_path / "docs" / "results.jsonl"
    for name, result in (("search", {}), ("profile_tiny", {"a": 1}), ("profile_tiny", {"a": 2})):
        results.keep(path, line(name, result))
    assert [json.loads(text)["name"] for text in path.read_text().splitlines()] == [
        *("profile_tiny", "search"),
    ]
    assert results.load(path)["profile_tiny"]["result"] == {"a": 2}


def test_only_what_stands_between_the_markers_changes(results, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{results.BEGIN}\nold\n{results.END}\nafter\n")
    lines = {"profile_tiny": line("profile_tiny", PROFILE)}
    new = results.filled(path, lines)
    assert new.startswith(f"before\n{results.BEGIN}\n**Latency")
    assert new.endswith(f"\n{results.END}\nafter\n")
    path.write_text(new)
    assert results.filled(path, lines) == new
    path.write_text("nothing")
    with pytest.raises(SystemExit, match="lacks the markers"):
        results.filled(path, {})


def test_the_readme_has_summaries_and_the_other_document_all(results, tmp_path: Path) -> None:
    lines = {n: line(n, PROFILE) for n in ("profile_tiny", "profile_mobile")}
    ways = {"fine-tuned": {"mean": 90.0, "sd": None}}
    lines["fine_tuning"] = line("fine_tuning", {"rows": [{"epochs": 2, **ways}]})
    found = {}
    for path in (tmp_path / "README.md", tmp_path / "results.md"):
        path.write_text(f"{results.BEGIN}\n{results.END}")
        found[path.stem] = results.filled(path, lines)
    assert "held-out errors** (A CPU, 2026-01-02)" in found["README"]
    assert "| fitted with |" in found["results"]
    assert "| fitted with |" not in found["README"]
    assert "| 2 | 90.0 % |" in found["results"]
    assert "fine-tuned" not in found["README"]
    assert "Measured on A CPU" in found["results"]
    assert "Measured on A CPU" not in found["README"]


def printing(text: str) -> str:
    return f"python -c {shlex.quote(f'print({text!r})')}"


def test_what_a_command_says_is_kept_with_where_and_when(results) -> None:
    said = {"kernels": 3, "overhead_ms_per_kernel": 2.0, "ratio": 4.0}
    said |= {"one_by_one_overhead_ms_per_kernel": 8.0}
    kept = results.take("adb_overhead", printing(f"at work\n{json.dumps(said)}"))
    assert kept["result"] == said
    assert kept["machine"]["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert kept["machine"]["cores"] >= 1
    assert set(kept) == set(line("", {}))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (printing("no json"), "no JSON line but 'no json'"),
        (printing('{"other": 1}'), "expect"),
        ("python -c 'raise SystemExit(3)'", "exit code 3"),
    ],
)
def test_a_command_without_a_result_is_refused(results, command: str, words: str) -> None:
    with pytest.raises(results.Failed, match=words):
        results.take("adb_overhead", command)


def test_a_failure_leaves_the_line_that_was_there(results, tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "results.jsonl"
    results.keep(path, line("pricing", {"old": True}))
    monkeypatch.setattr(results, "RESULTS", path)
    monkeypatch.setattr(results, "COMMANDS", {"pricing": printing("nothing")})
    monkeypatch.setattr(sys, "argv", ["results.py", "run", "pricing"])
    with pytest.raises(SystemExit, match="not done: pricing"):
        results.main()
    assert "what was there stays" in capsys.readouterr().err
    assert results.load(path)["pricing"]["result"] == {"old": True}
