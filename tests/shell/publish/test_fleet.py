"""What is known of each gateway."""

from gateway_runtime.contract.health import HealthReport, KeyUse, LimitReport, TenantReport
from gateway_runtime.contract.ids import GatewayId, TenantId
from gateway_runtime.contract.stream import Fault, Nack, Version
from headgate_operator.publish.fleet import REMEMBERED_S, Fleet
from headgate_operator.rollup.views import GatewayView
from tests.shell.publish.scripted_gateway import make_report

GW1, GW2 = GatewayId("gw-1"), GatewayId("gw-2")
V1, V2 = Version(1, 1), Version(1, 2)
NACK = Nack(version=V2, faults=(Fault(resource="Route/a/b", message="no"),))


def view_of(fleet: Fleet, gateway: GatewayId = GW1) -> GatewayView:
    return next(view for view in fleet.views() if view.gateway == gateway)


def report(*endpoints: str, full: bool = True, circuit: str = "Closed") -> HealthReport:
    return HealthReport(sequence=1, full=full, endpoints=tuple(make_report(e, circuit) for e in endpoints))


def fleet_of_one(applied: Version | None = V1) -> Fleet:
    fleet = Fleet()
    fleet.join(GW1, applied)
    return fleet


def test_a_gateway_runs_what_it_says_hello_with() -> None:
    assert view_of(fleet_of_one()) == GatewayView(GW1, True, V1, None, {}, None)


def test_an_ack_moves_what_it_runs_and_forgives_a_refusal() -> None:
    fleet = fleet_of_one()
    fleet.refuse(GW1, NACK)
    fleet.acknowledge(GW1, V2)

    assert view_of(fleet) == GatewayView(GW1, True, V2, None, {}, None)


def test_a_refusal_stands_beside_what_it_still_runs() -> None:
    fleet = fleet_of_one()
    fleet.refuse(GW1, NACK)

    assert view_of(fleet) == GatewayView(GW1, True, V1, NACK, {}, None)


def test_the_same_refusal_again_is_no_news() -> None:
    fleet = fleet_of_one()

    assert [fleet.refuse(GW1, NACK), fleet.refuse(GW1, NACK)] == [True, False]


def test_a_full_report_replaces_and_names_what_changed() -> None:
    fleet = fleet_of_one()
    first = fleet.report(GW1, report("a", "b"), 10.0)
    second = fleet.report(GW1, report("b", "c"), 11.0)

    assert (first.endpoints, second.endpoints) == ({"a", "b"}, {"a", "c"})
    assert set(view_of(fleet).reports) == {"b", "c"}
    assert view_of(fleet).reported_at_s == 11.0


def test_a_partial_report_leaves_the_others_as_they_were() -> None:
    fleet = fleet_of_one()
    fleet.report(GW1, report("a", "b"), 10.0)
    changed = fleet.report(GW1, report("b", full=False, circuit="Open"), 11.0)

    assert changed.endpoints == {"b"}
    assert {key: entry.circuit for key, entry in view_of(fleet).reports.items()} == {
        "a": "Closed",
        "b": "Open",
    }


def use(tenant: str, used: int, resets_unix_s: float = 60.0, keys: tuple[KeyUse, ...] = ()) -> TenantReport:
    limit = LimitReport(name="rpm", amount=100, used=used, held=0, resets_unix_s=resets_unix_s)
    return TenantReport(tenant=TenantId(tenant), limits=(limit,), keys=keys)


def tell(fleet: Fleet, now_s: float, *tenants: TenantReport, full: bool = False) -> frozenset[TenantId]:
    """The tenants about which that was news."""
    report = HealthReport(sequence=1, full=full, endpoints=(), tenants=tenants)
    return fleet.report(GW1, report, now_s).tenants


def test_what_is_told_of_a_tenant_stays_until_something_else_is_told() -> None:
    fleet = fleet_of_one()
    first = tell(fleet, 10.0, use("a", 1), use("b", 1))
    second = tell(fleet, 11.0, use("b", 2), full=True)

    heard = view_of(fleet).tenants
    assert (first, second) == ({"a", "b"}, {"b"})
    assert {tenant: told.report.limits[0].used for tenant, told in heard.items()} == {"a": 1, "b": 2}


def test_a_report_of_a_tenant_counts_as_changed_by_its_numbers_alone() -> None:
    fleet = fleet_of_one()
    tell(fleet, 10.0, use("a", 1))
    news = tell(fleet, 11.0, use("a", 1, resets_unix_s=61.0, keys=(KeyUse(key_id="k", last_unix_s=1.0),)))
    repeated = tell(fleet, 12.0, use("a", 1, resets_unix_s=61.0, keys=(KeyUse(key_id="k", last_unix_s=1.0),)))

    heard = view_of(fleet).tenants[TenantId("a")]
    assert (news, repeated) == ({"a"}, frozenset())
    assert (heard.changed_at_s, heard.report.keys[0].key_id) == (10.0, "k")


def test_an_empty_report_of_a_tenant_forgets_it() -> None:
    fleet = fleet_of_one()
    tell(fleet, 10.0, use("a", 1), TenantReport(tenant=TenantId("never-heard-of"), limits=()))
    news = tell(fleet, 11.0, TenantReport(tenant=TenantId("a"), limits=()))

    assert news == {"a"}
    assert view_of(fleet).tenants == {}


def test_a_view_that_was_taken_does_not_change_afterwards() -> None:
    fleet = fleet_of_one()
    fleet.report(GW1, report("a"), 10.0)
    before = view_of(fleet)
    fleet.report(GW1, report("b", full=False), 11.0)

    assert set(before.reports) == {"a"}


def test_a_gateway_that_left_stays_listed_for_a_minute() -> None:
    fleet = fleet_of_one()
    fleet.leave(GW1, 100.0)

    assert fleet.forget(100.0 + REMEMBERED_S - 0.1) == ()
    assert not view_of(fleet).connected


def test_a_gateway_that_stays_away_is_forgotten() -> None:
    fleet = fleet_of_one()
    fleet.leave(GW1, 100.0)

    assert fleet.next_expiry_s == 100.0 + REMEMBERED_S
    assert fleet.forget(100.0 + REMEMBERED_S) == (GW1,)
    assert fleet.views() == ()


def test_a_gateway_that_dials_again_keeps_its_reports() -> None:
    fleet = fleet_of_one()
    fleet.report(GW1, report("a"), 10.0)
    fleet.leave(GW1, 100.0)
    fleet.join(GW1, V2)

    assert view_of(fleet).applied == V2
    assert set(view_of(fleet).reports) == {"a"}
    assert fleet.forget(1000.0) == ()


def test_gateways_of_the_last_leader_are_listed_as_not_connected() -> None:
    fleet = Fleet()
    fleet.expect((GW2, GW1), 100.0)
    fleet.join(GW1, V1)

    assert [(view.gateway, view.connected) for view in fleet.views()] == [(GW1, True), (GW2, False)]
    assert fleet.connected == {GW1}


def test_an_ack_or_a_refusal_of_an_epoch_is_an_answer_to_it() -> None:
    fleet = Fleet()
    for gateway in (GW1, GW2):
        fleet.join(gateway, Version(0, 9))
    before = fleet.answered(1)
    fleet.acknowledge(GW1, V1)
    fleet.refuse(GW2, NACK)

    assert before == frozenset()
    assert fleet.answered(1) == {GW1, GW2}
