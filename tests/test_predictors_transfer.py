"""A new device from known ones and a few measurements."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from elasticvit.cost import reachable_kernels
from elasticvit.errors import PredictorError
from elasticvit.kernels import FFN, Head, Kernel, lower
from elasticvit.space import MOBILE, TINY, SearchSpace
from predictors.deviation_features import SCALES
from predictors.features import WORK_NAMES, operations, work_matrix
from predictors.fit import with_subnets
from predictors.kernel_table import KernelTable
from predictors.metrics import share_within
from predictors.predictor import LatencyCost, load_predictor
from predictors.source_devices import SourceDevices
from predictors.transfer import SCALES_FROM, Transfer, transfer_predictor

TABLES = Path(__file__).parents[2] / "shared" / "data" / "block_luts"
RATES = dict(zip(WORK_NAMES, np.full(len(WORK_NAMES), 1e-8), strict=True)) | {
    "calls": 2e-3,
    "tiled_macs": 2e-8,
    "depthwise3_macs": 2e-7,
    "depthwise5_macs": 1.5e-7,
    "pointwise_elements": 3e-7,
    "vector_macs": 1e-7,
}


def device(
    seed: int,
    space: SearchSpace = TINY,
    scatter: float = 0.004,
    classes: tuple[int, ...] = (),
) -> dict[Kernel, float]:
    """A made-up device: its own rates of work, up to a factor of e apart, a little scatter.

    Args:
        classes: numbers of classes of further heads.
    """
    rng = np.random.default_rng(seed)
    kernels = reachable_kernels(space)
    heads = [k for k in kernels if isinstance(k, Head)]
    kernels += [replace(h, classes=c) for c in classes for h in heads]
    rates = np.array(list(RATES.values())) * np.exp(rng.uniform(-0.5, 0.5, len(RATES)))
    ms = work_matrix(kernels) @ rates * np.exp(rng.normal(0, scatter, len(kernels)))
    return dict(zip(kernels, ms.tolist(), strict=True))


@pytest.fixture(scope="module")
def sources() -> SourceDevices:
    return SourceDevices.of({"a": KernelTable(device(1)), "b": KernelTable(device(2))}, TINY)


def errors(sources: SourceDevices, truth: dict[Kernel, float], chosen: list[Kernel]) -> np.ndarray:
    table = Transfer(sources).fit({k: truth[k] for k in chosen}).table_ms
    rest = [k for k in truth if k not in set(chosen)]
    return np.array([table[k] / truth[k] - 1 for k in rest])


def test_thirty_measurements_teach_a_new_device(sources: SourceDevices) -> None:
    truth = device(3)
    before = np.exp(sources.base) / np.array([truth[k] for k in sources.kernels])
    scaled = before / np.median(before) - 1
    chosen = Transfer(sources).choose(30, np.random.default_rng(0))
    after = errors(sources, truth, chosen)
    assert np.std(after) < 0.5 * np.std(scaled)
    assert share_within(after, 0.05) > 97


def test_chosen_measurements_teach_more_than_drawn_ones(sources: SourceDevices) -> None:
    drawn, chosen = [], []
    for seed in range(4):
        truth, rng = device(10 + seed), np.random.default_rng(seed)
        order = rng.permutation(len(sources.kernels))[:15]
        drawn.append(errors(sources, truth, [sources.kernels[i] for i in order]))
        chosen.append(errors(sources, truth, Transfer(sources).choose(15, rng)))
    rms = [float(np.sqrt(np.mean(np.concatenate(e) ** 2))) for e in (chosen, drawn)]
    assert rms[0] < rms[1]


def test_choice_is_reproducible_distinct_and_within_the_candidates(
    sources: SourceDevices,
) -> None:
    half = list(sources.kernels[::2])
    first, second = (
        Transfer(sources).choose(25, np.random.default_rng(5), candidates=half) for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == 25
    assert set(first) <= set(half)
    assert len({k.kind for k in first}) == 6  # none of the kinds is left out


def test_a_disturbed_measurement_does_not_spoil_the_rest(sources: SourceDevices) -> None:
    truth = device(4)
    chosen = Transfer(sources).choose(40, np.random.default_rng(0))
    measured = {k: truth[k] for k in chosen}
    measured[chosen[20]] *= 1.5
    table = Transfer(sources).fit(measured).table_ms
    rest = np.array([table[k] / truth[k] - 1 for k in truth if k not in measured])
    assert share_within(rest, 0.05) > 93


def test_a_disturbed_row_of_a_known_table_is_not_believed() -> None:
    known = device(1)
    victim = sorted(k for k in known if k.kind == "mbconv")[40]
    sources = SourceDevices.of(
        {"a": KernelTable(known | {victim: 2 * known[victim]}), "b": KernelTable(device(2))}, TINY
    )
    truth = device(3)
    chosen = [k for k in Transfer(sources).choose(31, np.random.default_rng(0)) if k != victim]
    table = Transfer(sources).fit({k: truth[k] for k in chosen}).table_ms
    assert table[victim] == pytest.approx(truth[victim], rel=0.08)


def test_kinds_teach_each_other_about_the_operations_that_they_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A device on which matrix products of much weight are slow, learnt from FFNs alone."""
    kernels = reachable_kernels(TINY)
    rates = np.array([RATES[name] for name in WORK_NAMES])

    def slow_ms(kernel: Kernel) -> float:
        heavy = [o.kind == "product" and o.dims[1] * o.dims[2] > 12000 for o in operations(kernel)]
        each = [o.work @ rates for o in operations(kernel)]
        return float(sum(ms * (1.4 if slow else 1.0) for ms, slow in zip(each, heavy, strict=True)))

    truth = {k: slow_ms(k) for k in kernels}
    known = {"a": KernelTable(device(1)), "b": KernelTable(device(2))}
    transfer = Transfer(SourceDevices.of(known, TINY))
    measured = {k: v for k, v in truth.items() if k.kind == "ffn"}
    others = [k for k in kernels if k.kind == "downsample"]

    def spread() -> float:
        table = transfer.fit(measured).table_ms
        return float(np.std([np.log(table[k] / truth[k]) for k in others]))

    together = spread()
    for part in ("operation", "operation_size"):
        monkeypatch.setitem(SCALES, part, 1e-6)  # type: ignore[attr-defined]
    assert together < 0.8 * spread()


def test_hundreds_of_measurements_are_all_used(sources: SourceDevices) -> None:
    truth = device(3)
    order = np.random.default_rng(0).permutation(len(sources.kernels))
    few, many = (
        errors(sources, truth, [sources.kernels[i] for i in order[:n]])
        for n in (30, SCALES_FROM + 100)
    )
    assert len(many) > 50
    assert np.std(many) < 0.7 * np.std(few)
    assert share_within(many, 0.02) > 99


def test_one_known_device_is_enough() -> None:
    sources = SourceDevices.of({"a": KernelTable(device(1))}, TINY)
    chosen = Transfer(sources).choose(30, np.random.default_rng(0))
    assert share_within(errors(sources, device(3), chosen), 0.05) > 90


def test_its_predictor_prices_the_space_with_an_honest_bound(
    sources: SourceDevices, tmp_path: Path
) -> None:
    truth = device(3)
    chosen = Transfer(sources).choose(20, np.random.default_rng(0))
    measured = {k: truth[k] for k in chosen}
    predictor = transfer_predictor(
        measured, sources, TINY, device="new", source="fake:x", rng=np.random.default_rng(1)
    )
    assert predictor.report.like == ("a", "b")
    predictor.save(tmp_path)
    cost = LatencyCost(load_predictor(tmp_path), TINY)
    batch = TINY.sample(300, np.random.default_rng(2))
    whole = np.array([sum(truth[k] for k in lower(a, TINY.layout)) for a in batch])
    price, upper = cost.price(batch), cost.upper(batch)
    assert share_within(price / whole - 1, 0.05) > 98
    assert np.mean(whole <= upper) > 0.85
    assert (upper < 1.15 * price).all()
    assert predictor.kernels.ms(chosen).tolist() == list(measured.values())


def test_a_few_whole_subnets_correct_what_a_sum_of_kernels_misses(sources: SourceDevices) -> None:
    """A device that runs whole subnets a fifth slower than their kernels."""
    truth, rng = device(3), np.random.default_rng(0)
    measured = {k: truth[k] for k in Transfer(sources).choose(20, rng)}
    plain = transfer_predictor(
        measured, sources, TINY, device="new", source="fake:x", rng=np.random.default_rng(1)
    )

    def whole(arch) -> float:
        return 1.2 * sum(truth[k] for k in lower(arch, TINY.layout))

    few = {arch: whole(arch) for arch in TINY.sample(8, rng)}
    corrected = with_subnets(plain, few, TINY)
    batch = TINY.sample(200, rng)
    measured_ms = np.array([whole(arch) for arch in batch])
    before, after = (
        LatencyCost(p, TINY).price(batch) / measured_ms - 1 for p in (plain, corrected)
    )
    assert np.abs(before).mean() > 0.1
    assert np.abs(after).mean() < 0.02
    assert (measured_ms <= LatencyCost(corrected, TINY).upper(batch)).mean() > 0.9
    assert corrected.report.subnets == 8
    three = dict(list(few.items())[:3])
    assert with_subnets(plain, three, TINY) is plain


def test_heads_of_other_classes_are_learnt_where_all_sources_know_them() -> None:
    known = {str(seed): KernelTable(device(seed, classes=(2, 100, 1000))) for seed in (1, 2)}
    sources = SourceDevices.of(known, TINY)
    reachable = reachable_kernels(TINY)
    assert list(sources.kernels[: sources.reachable]) == reachable
    added = sources.kernels[sources.reachable :]
    heads = [k for k in reachable if k.kind == "head"]
    assert set(added) == {replace(h, classes=c) for h in heads for c in (2, 100, 1000)}

    truth = device(3, scatter=0.0, classes=(2, 37, 100, 1000))
    chosen = Transfer(sources).choose(30, np.random.default_rng(0))
    assert set(chosen) <= set(reachable)
    predictor = transfer_predictor(
        {k: truth[k] for k in chosen},
        sources,
        TINY,
        device="new",
        source="fake:x",
        rng=np.random.default_rng(1),
    )
    for classes in (2, 10, 37, 100, 1000):
        space = TINY.with_classes(classes)
        batch = space.sample(50, np.random.default_rng(2))
        whole = [sum(truth[k] for k in lower(arch, space.layout)) for arch in batch]
        assert share_within(predictor.cost(space).price(batch) / np.array(whole) - 1, 0.05) == 100
    with pytest.raises(PredictorError, match="classes=1001"):
        predictor.cost(TINY.with_classes(1001))


def test_sources_that_know_one_number_of_classes_stay_as_they_are(sources: SourceDevices) -> None:
    """An imported table knows heads of its own classes; fewer are only read there."""
    assert len(sources.kernels) == sources.reachable
    one = {"a": KernelTable(device(1, classes=(1000,))), "b": KernelTable(device(2))}
    assert SourceDevices.of(one, TINY).kernels == sources.kernels
    # where the space has fewer classes than the tables, what they know comes with it
    both = {str(seed): KernelTable(device(seed, TINY.with_classes(1000))) for seed in (1, 2)}
    added = SourceDevices.of(both, TINY).kernels[len(sources.kernels) :]
    assert {h.dims["classes"] for h in added} == {1000}


def test_an_emulated_device_is_not_learnt(sources: SourceDevices) -> None:
    measured = dict(list(device(3).items())[:5])
    with pytest.raises(PredictorError, match="emulator"):
        transfer_predictor(
            measured,
            sources,
            TINY,
            device="new",
            source="adb-emulated:x",
            rng=np.random.default_rng(1),
        )


def test_what_cannot_be_learnt_is_refused(sources: SourceDevices) -> None:
    truth, transfer = device(3), Transfer(sources)
    kernels = list(sources.kernels[:5])
    with pytest.raises(PredictorError, match=r"at least one source device") as caught:
        SourceDevices.of({}, TINY)
    assert caught.value.settings == ("like",)
    with pytest.raises(PredictorError, match=r"2 kernels were measured"):
        transfer.fit({k: truth[k] for k in kernels[:2]})
    with pytest.raises(PredictorError, match=r"no kernel of the space"):
        transfer.fit({k: truth[k] for k in kernels} | {FFN(99, 48, 2): 1.0})
    with pytest.raises(PredictorError, match=r"is nan ms"):
        transfer.fit({k: truth[k] for k in kernels} | {kernels[0]: float("nan")})
    lacking = {k: v for k, v in truth.items() if k != kernels[0]}
    with pytest.raises(PredictorError, match=rf"source device: it lacks {kernels[0].key}"):
        SourceDevices.of({"c": KernelTable(lacking)}, TINY)


@pytest.mark.skipif(
    not TABLES.is_dir(), reason="the public block tables are not beside the project"
)
def test_a_real_phone_from_two_others() -> None:
    """On a slice of the space that leaves about 700 kernels."""
    from lut.importer import read_block_table

    few = {"resolution": (128, 192, 256), "attn3.width": (144, 192, 240, 288)}
    few |= {"attn4.width": (160, 240, 320), "attn2.width": (80, 112, 160)}
    choices = [few.get(n, c) for n, c in zip(MOBILE.names, MOBILE.choices, strict=True)]
    space = replace(MOBILE, name="slice", choices=tuple(choices))
    tables = {
        p: KernelTable(read_block_table(TABLES / f"{p}_lut_ln_v3.json").table_ms)
        for p in ("pixel4", "pixel6", "xiaomi11")
    }
    new = tables.pop("pixel6")
    sources = SourceDevices.of(tables, space)
    truth = dict(zip(sources.kernels, new.ms(sources.kernels).tolist(), strict=True))
    chosen = Transfer(sources).choose(50, np.random.default_rng(0))
    error = errors(sources, truth, chosen)
    assert share_within(error, 0.05) > 85
    assert share_within(error, 0.10) > 96
