"""Block tables from elsewhere."""

import json
from pathlib import Path

import pytest

from elasticvit.cost import space_kernels
from elasticvit.errors import StoreError
from elasticvit.kernels import FFN, Attention, Downsample, FirstConv, Head, MBConv
from elasticvit.published import PUBLISHED
from elasticvit.space import MOBILE, TINY
from lut.importer import kernel_of, read_block_table
from lut.store import Store

SHARED = Path(__file__).parents[2] / "shared" / "data" / "block_luts"
SUMS = json.loads((Path(__file__).parent / "reference" / "block_lut_sums_ms.json").read_text())
needs_tables = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"the block tables are not part of this project ({SHARED} absent)"
)
ROWS = {
    "firstconv_128_3_16_2_3": 0.2,
    "conv_64_16_16_1_1_hard_swish_5_nose": 0.4,
    "conv_32_24_40_3_2_hard_swish_3_se": 0.3,
    "transds_16_16_48_2_6": 0.5,
    "transds_16_16_48_2_4": 0.4,
    "transattn_16_48_hard_swish_2_ln": 1.5,
    "transattn_16_56_hard_swish_2_ln": 1.6,
    "transffn_16_48_3_hard_swish_ln": 0.7,
    "mbpool_4_320_1984_6_hard_swish": 1.1,
}
ABSURD = [f"transffn_{side}_48_3_hard_swish_ln" for side in ("0", "-1", "016", "9" * 5000, "٣")]


def written(path: Path, rows: object) -> Path:
    path.write_text(json.dumps(rows))
    return path


def table_file(phone: str) -> Path:
    return SHARED / f"{phone}_lut_ln_v3.json"


@pytest.mark.parametrize(
    ("key", "kernel"),
    [
        ("firstconv_128_3_16_2_3", FirstConv(128, 3, 16)),
        ("conv_64_16_16_1_1_hard_swish_5_nose", MBConv(64, 16, 16, 1, 5, 1, 0)),
        ("conv_32_24_40_3_2_hard_swish_3_se", MBConv(32, 24, 40, 3, 3, 2, 1)),
        ("transds_16_16_48_2_6", Downsample(16, 16, 48, 2)),
        ("transattn_16_48_hard_swish_2_ln", Attention(16, 48, 2)),
        ("transffn_16_48_3_hard_swish_ln", FFN(16, 48, 3)),
        ("mbpool_4_320_1984_6_hard_swish", Head(4, 320, 6, 1984, 1000)),
        ("transds_16_16_48_2_4", None),
        ("transattn_16_56_hard_swish_2_ln", None),
    ],
)
def test_keys(key, kernel) -> None:
    assert kernel_of(key) == kernel


@pytest.mark.parametrize(
    "key", ["", "conv_64", "transds_16_16_48_2_6_se", "pool_1_2", "conv_x_y", *ABSURD]
)
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(StoreError, match="not a key"):
        kernel_of(key)


def test_a_table_is_read_and_stored_with_its_source(tmp_path) -> None:
    table = read_block_table(written(tmp_path / "phone.json", ROWS))
    assert (len(table.table_ms), table.left_out) == (7, 2)
    assert table.table_ms[FFN(16, 48, 3)] == 0.7
    with Store(tmp_path / "lut.sqlite") as store:
        assert table.add_to(store, "phone") == 7
        assert table.add_to(store, "phone") == 0  # the same file once more
        frame = store.latencies("phone")
        series = store.latest("phone")
    assert dict(zip(frame["key"], frame["latency_ms"], strict=True)) == pytest.approx(
        {k.key: ms for k, ms in table.table_ms.items()}
    )
    assert frame["source"].unique() == ["import:phone.json"]
    assert series.imported
    assert str(series) == "import:phone.json, conditions unrecorded"


def test_a_changed_file_is_another_series(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        for value in (0.2, 0.3):
            rows = ROWS | {"firstconv_128_3_16_2_3": value}
            assert read_block_table(written(tmp_path / "t.json", rows)).add_to(store, "phone") == 7
        assert len(store.series("phone")) == 2
        found = store.latencies("phone", kind="first_conv")["latency_ms"]
        assert found.tolist() == pytest.approx([0.3])


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([], r"the whole is \[\]; expected a table of named values"),
        ({}, "of length >= 1"),
        (ROWS | {"latency": 3}, "'latency' is not a key"),
        (ROWS | {"firstconv_128_3_16_2_3": -1.0}, "firstconv_128_3_16_2_3 is -1.0"),
        (ROWS | {"firstconv_128_3_16_2_3": float("nan")}, "NaN is no number"),
        (ROWS | {"firstconv_128_3_16_2_3": 0}, "is 0"),
        (ROWS | {"firstconv_128_3_16_2_3": "0.2"}, "is '0.2'"),
        (ROWS | {"firstconv_128_3_16_2_3": True}, "is True"),
        (
            ROWS | {"firstconv_128_3_16_2_3": 96_613_400.0},
            "expected a number <= 10000",
        ),  # nanoseconds
    ],
)
def test_bad_tables_are_refused(tmp_path, rows, match: str) -> None:
    with pytest.raises(StoreError, match=match):
        read_block_table(written(tmp_path / "t.json", rows))


def test_half_a_file_and_no_file_are_refused(tmp_path) -> None:
    path = written(tmp_path / "t.json", ROWS)
    path.write_text(path.read_text()[:100])
    with pytest.raises(StoreError, match="not a block table"):
        read_block_table(path)
    with pytest.raises(StoreError, match=r"there is no .*none\.json"):
        read_block_table(tmp_path / "none.json")


def test_the_same_key_twice_is_refused(tmp_path) -> None:
    path = written(tmp_path / "t.json", ROWS)
    path.write_text(path.read_text().replace("{", '{"transds_16_16_48_2_6": 0.1, ', 1))
    with pytest.raises(StoreError, match="'transds_16_16_48_2_6' more than once"):
        read_block_table(path)


def test_missing_kernels_are_named(tmp_path) -> None:
    table = read_block_table(written(tmp_path / "t.json", ROWS))
    missing = table.missing([FFN(16, 48, 3), FFN(16, 48, 4), Head(4, 320, 6, 1984, 10)])
    assert missing == [FFN(16, 48, 4)]
    with pytest.raises(StoreError, match=r"t\.json has no "):
        table.sum_ms(TINY.smallest, TINY.layout)


@needs_tables
@pytest.mark.parametrize("phone", sorted(SUMS))
def test_the_published_architectures_sum_to_the_reference(phone: str) -> None:
    table = read_block_table(table_file(phone))
    for name, arch in PUBLISHED.items():
        expected = SUMS[phone][name]
        assert table.authors_sum_ms(arch, MOBILE.layout) == pytest.approx(expected, rel=1e-6)
        runs = table.sum_ms(arch, MOBILE.layout)
        if arch.resolution in (128, 192, 256):  # no odd side on the way
            assert runs == pytest.approx(expected, rel=1e-6)
        else:
            assert 1.01 * expected < runs < 1.10 * expected


@needs_tables
@pytest.mark.parametrize("phone", sorted(SUMS))
def test_every_kernel_of_the_papers_space_is_there(phone: str) -> None:
    assert read_block_table(table_file(phone)).missing(space_kernels(MOBILE)) == []
