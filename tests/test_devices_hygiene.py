"""Rules of a profile on a phone: a cool phone, and a reference model that does not move."""

from __future__ import annotations

import pytest

from devices.phone.findings import Findings
from devices.phone.hygiene import Gate, Hygiene
from devices.phone.state import PhoneState
from devices.protocol import TimedModel
from devices.quality import Quality
from elasticvit.errors import DeviceError, DeviceTooHot


def states(*values):
    left = list(values)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def state(degrees: float | None, status: int | None = None) -> PhoneState:
    return PhoneState(temperature_c=degrees, thermal_status=status)


def gate(rules: Hygiene, *values: PhoneState) -> Gate:
    return Gate(rules=rules, quality=Quality(), read=states(*values), notice=lambda _: None)


RULES = Hygiene(poll_s=0.01, cool_down_s=0.2, gate_every_s=0.0, hot_c=80, cool_c=65)


@pytest.mark.parametrize(
    ("field", "value"),
    [("group_size", 0), ("max_drift", -0.1), ("poll_s", float("nan")), ("attempts", 0)],
)
def test_rules_that_make_no_sense_are_refused_when_made(field, value):
    with pytest.raises(DeviceError, match=f"{field} = {value}; it must be at least"):
        Hygiene(**{field: value})


def test_a_phone_must_be_allowed_to_become_cooler_than_hot():
    with pytest.raises(DeviceError, match="cool_c = 70 is above hot_c = 60"):
        Hygiene(hot_c=60, cool_c=70)


def model(key: str) -> TimedModel:
    return TimedModel(key, b"")


def test_a_session_remembers_that_the_runner_works():
    findings = Findings(max_drift=0.1)
    findings.record_group(0)
    assert not findings.runner_works
    findings.record_group(3)
    findings.record_group(0)
    assert findings.runner_works


def test_the_reference_model_is_doubtful_until_it_was_compared_and_found_in_place():
    findings = Findings(max_drift=0.1)
    findings.begin_profile()
    assert not findings.is_doubtful  # there is none
    findings.choose_reference(model("reference"), [90.0, 100.0, 130.0])
    assert findings.compare_reference([109.0])
    assert findings.drift == pytest.approx(0.09)
    assert not findings.is_doubtful
    assert not findings.compare_reference([111.0])
    assert findings.is_doubtful
    assert findings.compare_reference([100.0])
    assert not findings.compare_reference([])  # it could not be timed
    assert findings.is_doubtful
    assert findings.compare_reference([100.0])
    findings.begin_profile()
    assert findings.is_doubtful
    assert findings.reference == model("reference")


def test_a_cool_phone_passes_and_is_remembered():
    cool = gate(RULES, state(40.0, 0))
    cool.wait_until_cool()
    assert (cool.quality.cool_downs, cool.quality.hottest_c) == (0, 40.0)


def test_a_hot_phone_has_to_cool_below_the_lower_limit():
    hot = gate(RULES, state(81.0), state(70.0), state(64.0))
    hot.wait_until_cool()
    assert hot.quality.cool_downs == 1
    assert hot._read_s is not None


def test_throttling_is_hot_whatever_the_sensor_says():
    with pytest.raises(DeviceTooHot, match="thermal status 2"):
        gate(RULES, state(40.0, 2)).wait_until_cool()


def test_a_phone_that_tells_nothing_passes():
    gate(RULES, state(None)).wait_until_cool()
