"""The README of a bundle."""

from dataclasses import replace

from test_export_bundle import TIMING, card

from elasticvit.kernels import lower
from elasticvit.space import MOBILE, TINY
from export.bundle import MARK
from export.card import timed
from export.card_parts import ProofFile
from export.fresh_run import FreshRun
from export.readme import draw, readme

FRESH = FreshRun(
    computer="a CPU",
    runtime="LiteRT 2.3.0",
    threads=1,
    processes=3,
    load_ms=7.25,
    first_ms=3.5,
    steady_ms=2.125,
    low_ms=2.0,
    high_ms=2.5,
    runs=100,
    memory_bytes=12_300_000,
    baseline_bytes=40_000_000,
    cached_load_ms=1.25,
)


def test_the_stages_are_drawn_with_their_shares() -> None:
    for space in (TINY, MOBILE):
        for arch in (space.smallest, space.largest):
            lines = list(draw(arch, space.layout))
            names = [line.split()[0] for line in lines]
            assert names[:3] == ["input", "first", "stem"]
            assert names[-1] == "head"
            assert len(lines) == 4 + len(arch.conv) + len(arch.attn)
            shares = [float(line.split(" %")[0].split()[-1]) for line in lines[1:]]
            assert abs(sum(shares) - 100) < 0.05 * len(shares)
            sides = [k.out_size for k in lower(arch, space.layout) if k.kind != "head"]
            assert f"{sides[-1]}x{sides[-1]}x{arch.attn[-1].width} " in lines[-2]
            assert f"{arch.attn[0].depth} x (attention" in lines[-1 - len(arch.attn)]


def test_it_tells_figures_and_how_they_were_measured() -> None:
    proof = ProofFile(file="proof.npz", sha256="0" * 64, images=16)
    first = timed(replace(card(), fresh=FRESH, proof=proof), TIMING)
    onnx = replace(first, file="model.onnx", format="onnx", partitions=None, operators={})
    text = readme([first, onnx], ["run_model.py"])
    for words in (
        MARK,
        "| | `model.tflite` | `model.onnx` |",
        "| partitions of the CPU delegate | 1 | - |",
        "| load, ms | 7.25 | 7.25 |",
        "| load from a cache of weights, ms | 1.25 | 1.25 |",
        "| memory, MB | 12.3 | 12.3 |",
        "| accuracy, % of 10 images | 80.00 ± 12.65 | 80.00 ± 12.65 |",
        "| ms on host | 2.000 | 2.000 |",
        "| ms predicted for host | 1.900 | 1.900 |",
        "host:a CPU, LiteRT 2.3.0",
        "`proof.npz` holds 16 of the images",
        "python run_model.py PICTURE",
        "shorter side to 35 pixels",
        first.sha256,
    ):
        assert words in text, words
    assert "RunModel.kt" not in text


def test_the_licence_of_the_weights_is_told_where_it_is_known() -> None:
    assert "Licence of the weights: not known" in readme([card()])
    known = replace(card(), sources={"licence": "Apache-2.0"})
    assert "Licence of the weights: Apache-2.0." in readme([known])


def test_a_card_of_an_earlier_version_has_a_readme_too() -> None:
    old = card()
    parity = replace(old.parity, min_cosine=None, lost=None, gained=None)
    text = readme([replace(old, parity=parity, input=replace(old.input, fit=None, crop=None))])
    assert "| smallest cosine" not in text
    assert "Pictures:" not in text
    assert "was not timed on a device: no device here" in text
