"""Whose use is told, and when: not more often than something happens."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from gateway_runtime.contract.health import LimitReport, TenantReport
from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import Limit, Override, Tenant
from gateway_runtime.server.tenant_news import AT_ONCE, BY_TURN, PER_BEAT, TenantNews
from tests.contract.tables import build_tenant

RPM = Limit(name="rpm", amount=10, window_s=60.0)


class Gateway:
    """What the news is of."""

    def __init__(self, tenants: Sequence[Tenant]) -> None:
        self.used: dict[TenantId, int] = {}
        self.moved: set[TenantId] = set()
        self.described: list[TenantId] = []
        self.news = TenantNews(self._describe, self._take_moved)
        self.news.note_table(tenants)

    def use(self, *tenants: Tenant) -> None:
        for tenant in tenants:
            self.used[tenant.id] = self.used.get(tenant.id, 0) + 1
            self.moved.add(tenant.id)

    def beat(self) -> dict[str, int | None]:
        """A second goes by. What is told: by tenant what it has used, None for one without limits."""
        self.described.clear()
        told = [report for batch in self.news.take_batches() for report in batch]
        return {one.tenant: one.limits[0].used if one.limits else None for one in told}

    def _describe(self, tenant: Tenant) -> TenantReport:
        self.described.append(tenant.id)
        used = self.used.get(tenant.id, 0)
        limits = [
            LimitReport(name=limit.name, amount=limit.amount, used=used, held=0, resets_unix_s=None)
            for limit in tenant.limits
        ]
        return TenantReport(tenant=tenant.id, limits=tuple(limits))

    def _take_moved(self) -> Iterable[TenantId]:
        moved, self.moved = self.moved, set()
        return moved


def limited(count: int) -> list[Tenant]:
    return [build_tenant(name=f"t{i:05d}", limits=[RPM]) for i in range(count)]


def test_a_new_listener_hears_of_all_tenants_that_have_limits() -> None:
    a, b = limited(2)
    gateway = Gateway([a, b, build_tenant(name="free")])
    first = gateway.beat()
    second = gateway.beat()
    gateway.news.begin()

    assert (first, second, gateway.beat()) == ({a.id: 0, b.id: 0}, {}, {a.id: 0, b.id: 0})


def test_at_rest_nobody_is_even_looked_at() -> None:
    gateway = Gateway(limited(50))
    gateway.beat()
    gateway.beat()

    assert gateway.described == []


def test_whoever_has_used_something_is_told_of_in_the_next_second() -> None:
    a, b = limited(2)
    gateway = Gateway([a, b])
    gateway.beat()
    gateway.use(b)

    assert gateway.beat() == {b.id: 1}


def test_what_gets_free_by_time_alone_is_told_and_then_there_is_rest() -> None:
    (a,) = limited(1)
    gateway = Gateway([a])
    gateway.beat()
    gateway.use(a)
    told = [gateway.beat(), gateway.beat()]
    gateway.used[a.id] = 0
    told += [gateway.beat(), gateway.beat()]

    assert told == [{a.id: 1}, {}, {a.id: 0}, {}]
    assert gateway.described == []


def test_an_override_that_ends_is_noticed_though_nobody_asks() -> None:
    raised = build_tenant(limits=[replace(RPM, overrides=(Override(amount=99, until_unix_s=1.0),))])
    gateway = Gateway([raised])
    gateway.beat()
    gateway.beat()

    assert gateway.described == [raised.id]


def test_an_edit_of_limits_is_told_and_another_edit_is_not() -> None:
    a, b = limited(2)
    gateway = Gateway([a, b])
    gateway.beat()
    gateway.news.note_table([replace(a, limits=(replace(RPM, amount=20),)), replace(b, generation=2)])

    assert gateway.beat() == {a.id: 0}
    assert gateway.described == [a.id]


def test_a_tenant_that_leaves_the_table_is_told_of_once_more_with_nothing() -> None:
    a, b = limited(2)
    gateway = Gateway([a, b, build_tenant(name="free")])
    gateway.use(a)
    gateway.beat()
    gateway.news.note_table([b])

    assert [gateway.beat(), gateway.beat()] == [{a.id: None}, {}]


def test_requests_of_a_tenant_that_is_gone_are_no_news() -> None:
    (a,) = limited(1)
    gateway = Gateway([])
    gateway.use(a)

    assert gateway.beat() == {}


def test_a_listener_gets_all_at_once_in_batches_with_room_for_requests_between_them() -> None:
    gateway = Gateway(limited(3 * PER_BEAT))
    sizes = [len(batch) for batch in gateway.news.take_batches()]

    assert sizes == [AT_ONCE] * (3 * PER_BEAT // AT_ONCE)


def test_where_more_are_at_work_than_can_be_told_each_comes_in_its_turn() -> None:
    tenants = limited(2 * PER_BEAT)
    gateway = Gateway(tenants)
    gateway.beat()
    gateway.use(*tenants)
    beats = [gateway.beat(), gateway.beat()]

    assert [len(beat) for beat in beats] == [PER_BEAT, PER_BEAT]
    assert set(beats[0]) | set(beats[1]) == {tenant.id for tenant in tenants}


def test_those_in_motion_are_looked_at_by_turn() -> None:
    tenants = limited(3 * BY_TURN)
    gateway = Gateway(tenants)
    gateway.use(*tenants)
    gateway.beat()
    looked_at = []
    for _ in range(3):
        gateway.beat()
        looked_at.append(set(gateway.described))

    assert [len(one) for one in looked_at] == [BY_TURN] * 3
    assert set.union(*looked_at) == {tenant.id for tenant in tenants}


def test_a_first_table_is_told_whole_to_a_listener_that_was_there_before() -> None:
    gateway = Gateway([])
    gateway.news.begin()
    gateway.beat()
    gateway.news.note_table(limited(PER_BEAT + 1))

    assert len(gateway.beat()) == PER_BEAT + 1
