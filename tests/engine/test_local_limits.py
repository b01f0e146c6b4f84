"""Limits as one gateway counts them by itself: its part of the amount in force, on the clocks that it has."""

from datetime import datetime

import pytest

from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.tenant import Limit, Override, Tenant
from gateway_runtime.engine.book import LimitIdentity, LimitKind
from gateway_runtime.engine.limits import RollingLimit, Taken, take_all
from gateway_runtime.engine.local_limits import LocalMaker
from tests.engine.built import tenant_of

RPM = Limit(name="rpm", amount=10, window_s=60.0)
DAILY = Limit(name="daily", amount=10, window_s=0.0, calendar="day", zone="Europe/Berlin")
WHOLE = Share(index=0, gateways=1)


class Clocks:
    def __init__(self, wall: str = "2026-03-04T12:00+01:00") -> None:
        self.now_s = 1000.0
        self.unix_s = datetime.fromisoformat(wall).timestamp()

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.unix_s += seconds

    def make(self, share: Share = WHOLE) -> LocalMaker:
        return LocalMaker(lambda: self.now_s, lambda: self.unix_s, share)


def build(maker: LocalMaker, limit: Limit, owner: Tenant | None = None) -> RollingLimit:
    owner = owner or tenant_of(limit)
    return maker.build(
        owner, limit, LimitIdentity(LimitKind(owner.id, limit.name, limit.resource, limit.scope), "")
    )


def test_a_limit_is_as_the_quota_says_and_knows_whose_it_is() -> None:
    spend = Limit(name="spend", amount=7, window_s=3600.0, resource="USD", shadow=True)
    built = build(Clocks().make(), spend, tenant_of(spend, name="chat/team"))

    assert repr(built) == "<RollingLimit spend: 7 USD per 3600 s, in shadow>"
    assert built.owner == "chat/team"


@pytest.mark.parametrize(("index", "part"), [(0, 4), (1, 3), (2, 3)])
def test_a_gateway_spends_its_part(index: int, part: int) -> None:
    assert build(Clocks().make(Share(index=index, gateways=3)), RPM).amount == part


def test_a_new_share_changes_the_part_and_nothing_that_was_used() -> None:
    clocks = Clocks()
    maker = clocks.make()
    built = build(maker, RPM)
    take_all([built], clocks.now_s)
    maker.share = Share(index=0, gateways=2)
    maker.update(built, tenant_of(RPM), RPM)

    assert (built.amount, built.used(clocks.now_s)) == (5, 1)


def test_an_override_holds_until_its_end_and_not_a_moment_longer() -> None:
    clocks = Clocks()
    maker = clocks.make()
    ends = clocks.unix_s + 60
    raised = Limit(name="rpm", amount=10, window_s=60.0, overrides=(Override(amount=99, until_unix_s=ends),))
    built = build(maker, raised)
    clocks.pass_time(59.999)
    maker.update(built, tenant_of(raised), raised)

    assert built.amount == 99

    clocks.pass_time(0.001)
    maker.update(built, tenant_of(raised), raised)

    assert built.amount == 10


def test_of_several_overrides_the_one_that_ends_first_holds_first() -> None:
    clocks = Clocks()
    maker = clocks.make()
    overrides = tuple(
        Override(amount=amount, until_unix_s=clocks.unix_s + after_s)
        for amount, after_s in ((50, 10), (20, 30))
    )
    lent = Limit(name="rpm", amount=10, window_s=60.0, overrides=overrides)
    built = build(maker, lent)
    amounts = [built.amount]
    for pause_s in (10, 20):
        clocks.pass_time(pause_s)
        maker.update(built, tenant_of(lent), lent)
        amounts.append(built.amount)

    assert amounts == [50, 20, 10]


def test_of_an_override_too_a_gateway_has_its_part() -> None:
    clocks = Clocks()
    lent = Limit(
        name="rpm",
        amount=10,
        window_s=60.0,
        overrides=(Override(amount=5, until_unix_s=clocks.unix_s + 60),),
    )

    assert build(clocks.make(Share(index=1, gateways=2)), lent).amount == 2


def test_a_day_is_that_of_the_limits_zone() -> None:
    clocks = Clocks("2026-03-04T23:00+01:00")
    built = build(clocks.make(), DAILY)

    assert isinstance(take_all([built], clocks.now_s), Taken)
    assert built.wait_for_room(clocks.now_s, 10) == 3600

    clocks.pass_time(3600)

    assert built.used(clocks.now_s) == 0


def test_an_edit_of_the_zone_keeps_what_was_used_until_the_days_end_there() -> None:
    clocks = Clocks("2026-03-04T23:00+01:00")
    maker = clocks.make()
    built = build(maker, DAILY)
    take_all([built], clocks.now_s)
    moved = Limit(name="daily", amount=10, window_s=0.0, calendar="day", zone="UTC")
    maker.update(built, tenant_of(moved), moved)
    clocks.pass_time(3600)

    assert built.used(clocks.now_s) == 1

    clocks.pass_time(3600)

    assert built.used(clocks.now_s) == 0


def test_an_edit_from_a_window_to_a_calendar_and_back_loses_nothing() -> None:
    clocks = Clocks()
    maker = clocks.make()
    hour = Limit(name="daily", amount=10, window_s=3600.0)
    built = build(maker, hour)
    used = []
    for edited in (DAILY, hour, DAILY):
        take_all([built], clocks.now_s)
        maker.update(built, tenant_of(edited), edited)
        clocks.pass_time(1800)
        used.append(built.used(clocks.now_s))

    assert used == [1, 2, 3]


def test_what_is_forgotten_goes_on_for_those_that_hold_it() -> None:
    maker = Clocks().make()
    built = build(maker, Limit(name="at-once", amount=2, window_s=0.0, resource="Concurrency"))
    mark = built.hold(0.0, 1)
    maker.forget(built)
    mark.settle(1, 0)

    assert built.room(0.0) == 2
