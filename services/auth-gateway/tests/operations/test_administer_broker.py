"""Brokers, areas and API passwords, as the command line changes them."""

from __future__ import annotations

import itertools

import pytest

from apportion.auth_gateway.domain.brokers import BrokerState, NewBroker
from apportion.auth_gateway.errors import AreaInvalid, BrokerExists, BrokerFieldInvalid, RotationOpen
from apportion.auth_gateway.operations import administer_broker as administer
from apportion.auth_gateway.operations.administer_broker import BrokerOffice
from apportion.auth_gateway.operations.check_password import PasswordCheck
from apportion.errors import NotFound

AREA = "https://invest.broker.example"


@pytest.fixture
async def office(engine_for, clock):
    passwords = PasswordCheck(b"p" * 32, clock)
    counter = itertools.count(1)
    engine = await engine_for("apportion.auth_gateway.storage")
    yield BrokerOffice(engine, clock, lambda size: next(counter).to_bytes(size), passwords, "tester")
    passwords.close()


async def created(office, label=1, name="One"):
    return await administer.create_broker(office, NewBroker(label, name, "en", 60, ()), [AREA])


async def broker(office, label=1):
    [found] = [broker for broker in await administer.read_brokers(office) if broker.label == label]
    return found


async def test_a_new_broker_has_its_area_and_one_password(office):
    password = await created(office)
    assert len(password) >= 22, "128 random bits at least"
    made = await broker(office)
    assert made.areas == (AREA,)
    assert len(made.passwords) == 1
    assert password not in str(made)


@pytest.mark.parametrize(("label", "name"), [(1, "Two"), (2, "One")])
async def test_a_label_or_name_is_taken_once(office, label, name):
    await created(office)
    with pytest.raises(BrokerExists):
        await created(office, label, name)
    assert len(await administer.read_brokers(office)) == 1


async def test_a_second_rotation_waits_for_the_end_of_the_first(office):
    first = await created(office)
    second = await administer.rotate_password(office, 1, 3600)
    assert first != second
    with pytest.raises(RotationOpen):
        await administer.rotate_password(office, 1, 3600)
    await administer.finish_rotation(office, 1)
    now = office.clock.now()
    assert len([password for password in (await broker(office)).passwords if password.valid(now)]) == 1
    await administer.rotate_password(office, 1, 3600)


@pytest.mark.parametrize("secret", [b"", b"x" * 4097, b'"quoted"', b" spaced "])
async def test_a_password_that_could_not_be_typed_is_not_imported(office, secret):
    await created(office)
    with pytest.raises(BrokerFieldInvalid):
        await administer.import_password(office, 1, secret, 3600)


async def test_areas_and_origins(office):
    await created(office)
    await administer.add_area(office, 1, "https://second.example/invest")
    await administer.allow_origin(office, 1, "https://app.example")
    assert (await broker(office)).extra_origins == ("https://app.example",)
    await administer.remove_area(office, 1, AREA)
    assert (await broker(office)).areas == ("https://second.example/invest",)
    with pytest.raises(AreaInvalid):
        await administer.add_area(office, 1, "ftp://second.example")


async def test_a_broker_is_disabled_and_enabled(office):
    await created(office)
    await administer.set_broker_state(office, 1, BrokerState.DISABLED)
    assert (await broker(office)).state is BrokerState.DISABLED
    await administer.set_broker_state(office, 1, BrokerState.ACTIVE)
    assert (await broker(office)).state is BrokerState.ACTIVE
    with pytest.raises(NotFound):
        await administer.set_broker_state(office, 2, BrokerState.DISABLED)
