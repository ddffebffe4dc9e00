"""The phone path against Debian's genuine adbd: everything that goes wrong with phones."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from adbd.front import Lock
from adbd.harness import PIXEL6, Phone
from adbd.settings import (
    FAST,
    FAST_LINK,
    ONCE,
    TOOLS,
    keys_of,
    make_models,
    needs_adbd,
    needs_root,
)

from devices.adb.connection import AdbConnection
from devices.adb.errors import LinkLost, StorageFull
from devices.adb.link import AdbLink
from devices.discovery import list_devices
from elasticvit.errors import (
    DeviceError,
    DeviceTooHot,
    DeviceUnauthorised,
    DeviceUnreachable,
    RunnerMissing,
)

pytest_plugins = ["adbd.fixtures"]
pytestmark = needs_adbd
ROOT = Path(__file__).resolve().parent.parent
FOLDER = "/data/local/tmp/elasticvit"


# --- the link


def test_a_cut_in_mid_push_loses_nothing(phone, open_phone):
    models = make_models(6, size=300_000)
    with open_phone(phone) as device:
        phone.front.cut_after(to_phone=700_000)
        results = list(device.measure(models, ONCE))
        assert phone.front.cuts == 1
    assert keys_of(results) == {(m.key, 0): 1 for m in models}
    assert not list(phone.path(FOLDER).rglob("*.part"))


@pytest.mark.parametrize("passed", [0, 10, 100])
def test_a_cut_in_the_first_handshake_is_overcome(phone, open_phone, passed):
    phone.front.cut_after(from_phone=passed)
    with open_phone(phone) as device:
        assert len(list(device.measure(make_models(2), ONCE))) == 2
    assert phone.front.cuts == 1


@pytest.mark.parametrize("phone", TOOLS, indirect=True)
def test_cuts_in_mid_run_lose_nothing_and_leave_no_second_runner(phone, open_phone):
    models = make_models(36)  # three groups; the cuts fall into the second and the third
    phone.slow_runner(0.03)
    with open_phone(phone) as device:
        results = []
        for result in device.measure(models, ONCE):
            results.append(result)
            if len(results) in (1, 13):
                phone.front.cut_after(from_phone=6000)
        assert phone.front.cuts == 2
        assert device.quality.reconnects == 2
    assert keys_of(results) == {(m.key, 0): 1 for m in models}


@pytest.mark.parametrize("rooted", [False, pytest.param(True, marks=needs_root)])
def test_every_command_may_be_repeated_because_its_answer_was_lost(
    folder, open_phone, monkeypatch, rooted
):
    """Of every command of a session the first answer is lost after the phone has obeyed."""
    answered, obey = set(), AdbLink._shell

    def lose_the_first_answer(link, command, timeout_s):
        result = obey(link, command, timeout_s)
        if command not in answered:
            answered.add(command)
            link.connection.close()
            raise LinkLost("the answer was lost")
        return result

    monkeypatch.setattr(AdbLink, "_shell", lose_the_first_answer)
    governor = "/sys/devices/system/cpu/cpu7/cpufreq/scaling_governor"
    models = make_models(13)  # two groups
    with Phone(folder / "p", rooted=rooted) as phone:
        with open_phone(phone) as device:
            results = list(device.measure(models, ONCE))
            mode = device.info.facts["power_mode"]
            assert mode == ("governor performance" if rooted else "fixed performance mode")
        assert keys_of(results) == {(m.key, 0): 1 for m in models}
        assert sum("tar -xf" in command for command in answered) == 1
        assert phone.path(governor).read_text().strip() == "schedutil"
        left = [path.name for path in phone.path(FOLDER).iterdir()]
        assert all(name == "models" or name.startswith("runner-") for name in left), left


def test_a_phone_that_stays_away_is_said_so(phone, open_phone):
    link = replace(FAST_LINK, patience_s=0.8)
    said = []
    with open_phone(phone, link=link, notice=said.append) as device:
        results = device.measure(make_models(30), ONCE)
        next(results)
        phone.front.cut(down_s=60)
        with pytest.raises(DeviceUnreachable, match=r"did not come back within 0\.8 s"):
            list(results)
    assert any("the next profile does it" in line for line in said)
    assert device._connection.config.patience_s == 0.8


def test_nobody_there(phone, open_phone, folder):
    with (
        pytest.raises(DeviceUnreachable, match="nobody"),
        open_phone(phone, address=f"unix:{folder}/nobody.sock"),
    ):
        pass


def test_bad_addresses_are_refused(phone, open_phone):
    for address in ("a b", "host:0", "host:99999", "host:x"):
        with pytest.raises(DeviceError, match="HOST:PORT"), open_phone(phone, address=address):
            pass


def test_one_profile_a_phone(phone, open_phone):
    with (
        open_phone(phone),
        pytest.raises(DeviceError, match="in use by another device of this command"),
        open_phone(phone),
    ):
        pass
    with open_phone(phone):
        pass


def test_one_profile_a_phone_by_whatever_way_it_is_reached(phone, open_phone, folder):
    (folder / "other.sock").symlink_to(phone.front.path)
    other = f"unix:{folder}/other.sock"
    models = make_models(4)
    with open_phone(phone) as device:
        results = device.measure(models, ONCE)
        first = next(results)
        for _ in range(2):  # the refused one gives back what it held of its own
            with (
                pytest.raises(DeviceError, match="phone STANDIN0001 is in use by another device"),
                open_phone(phone, address=other),
            ):
                pass
        assert keys_of([first, *results]) == {(model.key, 0): 1 for model in models}
    with open_phone(phone, address=other):
        pass
    with pytest.raises(RunnerMissing), open_phone(phone, runner="/bin/false"):
        pass
    with open_phone(phone, address=other):
        pass


@pytest.mark.parametrize("changes", [{"ro.serialno": ""}, {"ro.boot.qemu": "1"}])
def test_phones_without_a_serial_number_of_their_own_do_not_exclude_each_other(
    folder, open_phone, changes
):
    """Emulators have all the same."""
    props = PIXEL6 | changes
    with (
        Phone(folder / "a", props=props) as first,
        Phone(folder / "b", props=props) as second,
        open_phone(first),
        open_phone(second) as device,
    ):
        assert len(list(device.measure(make_models(2), ONCE))) == 2


def test_old_links_are_not_used_after_a_silent_phone(phone, key):
    """A command that says nothing for too long ends the connection, and the next one works."""
    link = AdbLink(AdbConnection(phone.address, config=FAST_LINK, keys=[key]))
    link.connection.connect()
    with pytest.raises(DeviceUnreachable):
        list(link.stream("sleep 5; echo late", 0.3))
    assert link.shell("echo fresh").stdout == "fresh\n"
    link.connection.close()


# --- the lock screen


def test_a_known_key_is_accepted_at_once(folder, key, open_phone):
    lock = Lock(known=(key,))
    with Phone(folder / "p", lock=lock) as phone, open_phone(phone) as device:
        assert len(list(device.measure(make_models(2), ONCE))) == 2
    assert lock.asked == 0


def test_a_new_key_is_accepted_late(folder, open_phone):
    lock, said = Lock(accept_after_s=0.6), []
    link = replace(FAST_LINK, dialog_s=5.0)
    with (
        Phone(folder / "p", lock=lock) as phone,
        open_phone(phone, link=link, notice=said.append) as device,
    ):
        assert len(list(device.measure(make_models(2), ONCE))) == 2
    assert lock.asked == 1
    assert any("accept the dialog" in line for line in said)


def test_a_new_key_is_never_accepted(folder, open_phone, key, monkeypatch):
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    with Phone(folder / "p", lock=Lock()) as phone:
        with pytest.raises(DeviceUnauthorised, match="accept the dialog"), open_phone(phone):
            pass
        (found,) = list_devices(addresses=[phone.address], keys=[key])
        assert (found.state, found.hint) == ("unauthorized", "accept the dialog on the phone")


# --- storage


@pytest.mark.parametrize("android_tools", TOOLS)
def test_a_small_disk_is_enough_when_models_come_and_go(folder, open_phone, android_tools):
    models = make_models(20, size=250_000, step=0)  # 5 MB together
    tools = {"android_tools": android_tools, "data_bytes": 2_500_000}
    with Phone(folder / "p", **tools) as phone, open_phone(phone) as device:
        results = list(device.measure(models, replace(ONCE, rounds=2)))
    assert keys_of(results) == {(m.key, r): 1 for m in models for r in (0, 1)}


def test_a_full_disk_is_said_so_and_leaves_nothing_half(folder, open_phone):
    with Phone(folder / "p", data_bytes=1_000_000) as phone, open_phone(phone) as device:
        with pytest.raises(StorageFull, match="no room for"):
            list(device.measure(make_models(2, size=2_000_000), ONCE))
        assert not list(phone.path(FOLDER).glob("*.part"))
        assert len(list(device.measure(make_models(2), ONCE))) == 2


# --- the phone


def test_another_phone_than_named_is_refused_with_both_names(folder, open_phone):
    pixel4 = PIXEL6 | {"ro.product.device": "flame", "ro.product.model": "Pixel 4"}
    with (
        Phone(folder / "p", props=pixel4) as phone,
        pytest.raises(DeviceError, match=r"Pixel 4.*flame.*not pixel6.*name pixel4"),
        open_phone(phone),
    ):
        pass


def test_a_hot_phone_is_waited_for(phone, open_phone):
    with open_phone(phone) as device:
        phone.heat(91.0)
        cooler = threading.Timer(0.5, phone.heat, [50.0])
        cooler.start()
        results = list(device.measure(make_models(14), ONCE))
        assert device.quality.cool_downs == 1
        assert device.quality.waited_s > 0.2
        assert device.quality.hottest_c == 91.0
    assert len(results) == 14
    assert all(r.before.temperature_c == 50.0 for r in results)


@pytest.mark.parametrize("how", ["sensor", "thermal service"])
def test_a_phone_that_stays_hot_is_said_so(phone, open_phone, how):
    with open_phone(phone) as device:
        first = list(device.measure(make_models(2), ONCE))
        if how == "sensor":
            phone.heat(91.0)
        else:
            phone.thermal(3)
        with pytest.raises(DeviceTooHot, match="still hot"):
            list(device.measure(make_models(2), ONCE))
    assert len(first) == 2


def test_a_moved_reference_throws_a_group_away_and_times_it_again(phone, open_phone):
    models = make_models(36, size=20_000)
    phone.slow_runner(0.01)
    with open_phone(phone) as device:
        results = []
        for result in device.measure(models, ONCE):
            results.append(result)
            if len(results) == 20:
                phone.speed(150)
                threading.Timer(1.0, phone.speed, [100]).start()
        assert device.quality.repeated > 0
        assert device.quality.drift <= FAST.max_drift
    assert keys_of(results) == {(m.key, 0): 1 for m in models}
    for model, result in zip(
        models, sorted(results, key=lambda r: int(r.key.split()[1])), strict=True
    ):
        assert result.median_ms * 1e3 == 10 + len(model.data) // 64 + 1  # none is a slow one


def test_a_phone_that_stays_slow_is_said_so(phone, open_phone):
    with open_phone(phone) as device:
        results = device.measure(make_models(30, size=20_000), ONCE)
        next(results)
        phone.speed(130)
        with pytest.raises(DeviceTooHot, match="10 %"):
            list(results)
