"""Which limits one request has to fit into, and that they are the same ones before and after any edit."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.tenant import Limit, LimitScope, Override, Tenant
from gateway_runtime.engine import book as book_module
from gateway_runtime.engine.book import OTHERS, SCOPED_KEPT, LimitBook, LimitIdentity, find_next_change
from gateway_runtime.engine.limits import Refused, RollingLimit, Taken, TenantLimit, take_all
from gateway_runtime.engine.local_limits import LocalMaker
from tests.engine.built import tenant_of

RPM = Limit(name="rpm", amount=2, window_s=60.0)
EACH_USER = Limit(name="each-user", amount=2, window_s=60.0, scope="PerUser")
EACH_KEY = Limit(name="each-key", amount=2, window_s=60.0, scope="PerKey")
EACH_MODEL = Limit(name="each-model", amount=2, window_s=60.0, scope="PerModel")
CHILD, SIBLING, PARENT = "team/a", "team/b", "team/all"


class Maker(LocalMaker):
    """Notes what the book asks of it."""

    def __init__(self) -> None:
        super().__init__(lambda: self.now_s, lambda: self.unix_s, Share(index=0, gateways=1))
        self.now_s = 0.0
        self.unix_s = 1_000_000.0
        self.built: list[LimitIdentity] = []
        self.forgotten: list[TenantLimit] = []

    def build(self, owner: Tenant, limit: Limit, key: LimitIdentity) -> RollingLimit:
        self.built.append(key)
        return super().build(owner, limit, key)

    def forget(self, built: TenantLimit) -> None:
        self.forgotten.append(built)


class Book(LimitBook):
    """With its maker at hand."""

    def __init__(self, *tenants: Tenant) -> None:
        self.maker = Maker()
        super().__init__(self.maker)
        self.configure(tenants)

    def find(
        self, tenant: Tenant, user: str | None = None, key_id: str | None = None, model: str = "gpt"
    ) -> tuple[TenantLimit, ...]:
        return self.limits_for(tenant, user, key_id, model)

    def take(self, tenant: Tenant, user: str | None = None, **said: str) -> bool:
        return isinstance(take_all(self.find(tenant, user, **said), self.maker.now_s), Taken)


def names(limits: Sequence[TenantLimit]) -> list[tuple[str, str]]:
    return [(limit.owner, limit.name) for limit in limits]


def test_what_is_built_for_a_tenant_that_has_left_the_table_is_kept_by_nobody() -> None:
    """A request may still hold the table before."""
    team = tenant_of(RPM, EACH_USER)
    book = Book(team)
    book.configure(())
    book.maker.forgotten.clear()
    limits = book.find(team, "alice")

    assert names(limits) == [(team.id, "rpm"), (team.id, "each-user")]
    assert book.maker.forgotten == list(limits)


# -- for all of a tenant together


def test_a_limit_without_a_scope_is_one_for_all_callers() -> None:
    tenant = tenant_of(RPM)
    book = Book(tenant)

    assert book.find(tenant, "ada", "k1", "gpt") is book.find(tenant, None, None, "o3")


def test_what_was_used_outlives_every_edit_of_the_rule() -> None:
    tenant = tenant_of(RPM)
    book = Book(tenant)
    book.take(tenant)
    (before,) = book.find(tenant)
    edited = tenant_of(Limit(name="rpm", amount=9, window_s=3600.0, shadow=True))
    book.configure([edited])
    (after,) = book.find(edited)

    assert after is before
    assert (after.amount, after.shadow, after.state(0.0).used) == (9, True, 1)


@pytest.mark.parametrize(
    "other",
    [
        Limit(name="renamed", amount=2, window_s=60.0),
        Limit(name="rpm", amount=2, window_s=60.0, resource="TotalTokens"),
        Limit(name="rpm", amount=2, window_s=60.0, scope="PerUser"),
    ],
    ids=["name", "resource", "scope"],
)
def test_a_limit_of_another_name_or_kind_is_another_and_the_old_one_is_forgotten(other: Limit) -> None:
    tenant = tenant_of(RPM)
    book = Book(tenant)
    (before,) = book.find(tenant)
    book.configure([tenant_of(other)])
    (after,) = book.find(tenant_of(other))

    assert after is not before
    assert book.maker.forgotten == [before]


def test_a_tenant_that_is_gone_and_comes_back_begins_anew() -> None:
    tenant = tenant_of(RPM)
    book = Book(tenant)
    book.take(tenant)
    book.configure([])
    book.configure([tenant])

    assert book.find(tenant)[0].room(0.0) == 2


def test_a_request_that_still_holds_a_table_whose_tenant_is_gone_is_limited_by_itself() -> None:
    tenant = tenant_of(RPM)
    book = Book(tenant)
    book.configure([])

    assert names(book.find(tenant)) == [("team/a", "rpm")]
    assert [book.take(tenant) for _ in range(3)] == [True, True, False]

    book.configure([])

    assert book.take(tenant)


# -- for each user, key or model by itself


def test_each_user_has_the_amount() -> None:
    tenant = tenant_of(EACH_USER)
    book = Book(tenant)

    assert [book.take(tenant, "ada") for _ in range(3)] == [True, True, False]
    assert book.take(tenant, "bob")


def test_those_who_name_nobody_have_one_together() -> None:
    tenant = tenant_of(EACH_USER)
    book = Book(tenant)

    assert [book.take(tenant, user) for user in (None, "", None)] == [True, True, False]
    assert book.take(tenant, "ada")


def test_each_key_has_the_amount_whoever_it_acts_for() -> None:
    tenant = tenant_of(EACH_KEY)
    book = Book(tenant)

    assert [book.take(tenant, user, key_id="k1") for user in ("ada", "bob", "cy")] == [True, True, False]
    assert book.take(tenant, "ada", key_id="k2")
    assert book.take(tenant, "ada")


def test_each_model_has_the_amount() -> None:
    tenant = tenant_of(EACH_MODEL)
    book = Book(tenant)

    assert [book.take(tenant, model="gpt") for _ in range(3)] == [True, True, False]
    assert book.take(tenant, model="o3")


def test_all_scopes_of_one_tenant_hold_at_once() -> None:
    tenant = tenant_of(replace(RPM, amount=3), EACH_USER, EACH_MODEL)
    book = Book(tenant)

    assert book.take(tenant, "ada", model="gpt")
    assert book.take(tenant, "ada", model="o3")
    assert not book.take(tenant, "ada", model="o4")
    assert book.take(tenant, "bob", model="gpt")
    assert not book.take(tenant, "bob", model="o3")


def test_the_same_caller_finds_the_same_limits_at_one_look() -> None:
    tenant = tenant_of(EACH_USER)
    book = Book(tenant)

    assert book.find(tenant, "ada") is book.find(tenant, "ada")


def test_more_callers_than_are_remembered_find_their_limits_all_the_same() -> None:
    tenant = tenant_of(EACH_USER)
    book = Book(tenant)
    (first,) = book.find(tenant, "user-0")
    for number in range(1, book_module._CALLERS_KEPT + 1):
        book.find(tenant, f"user-{number}")

    assert book.find(tenant, "user-0") == (first,)


def test_edits_reach_the_limit_of_every_user() -> None:
    tenant = tenant_of(EACH_USER)
    book = Book(tenant)
    for user in ("ada", "bob"):
        book.take(tenant, user)
    book.configure([edited := tenant_of(replace(EACH_USER, amount=1))])

    assert [book.take(edited, user) for user in ("ada", "bob", "cy")] == [False, False, True]


# -- who is forgotten


def test_users_of_whom_nothing_counts_any_more_are_forgotten() -> None:
    tenant = tenant_of(RPM, EACH_USER)
    book = Book(tenant)
    book.take(tenant, "ada")
    book.maker.now_s = 30.0
    book.take(tenant, "bob")
    _, adas = book.find(tenant, "ada")
    _, bobs = book.find(tenant, "bob")
    book.sweep(60.0)

    assert book.maker.forgotten == [adas]
    assert book.find(tenant, "bob")[1] is bobs
    assert book.find(tenant, "ada")[1] is not adas


def test_a_user_whose_request_runs_is_not_forgotten() -> None:
    tenant = tenant_of(Limit(name="at-once", amount=1, window_s=0.0, resource="Concurrency", scope="PerUser"))
    book = Book(tenant)
    (limit,) = book.find(tenant, "ada")
    mark = limit.hold(0.0, 1)
    book.sweep(10.0**6)

    assert book.find(tenant, "ada") == (limit,)

    mark.settle(1, 0)
    book.sweep(10.0**6)

    assert book.maker.forgotten == [limit]


def test_above_so_many_newcomers_share_one_until_others_are_forgotten() -> None:
    tenant = tenant_of(EACH_USER)
    book = Book(tenant)
    for number in range(SCOPED_KEPT):
        book.take(tenant, f"user-{number}")
    book.maker.now_s = 59.0

    assert [book.take(tenant, user) for user in ("late", "later", "latest")] == [True, True, False]
    assert book.maker.built[-1].value == OTHERS
    assert book.take(tenant, "user-0")

    book.sweep(61.0)
    book.maker.now_s = 61.0

    assert len(book.maker.forgotten) == SCOPED_KEPT - 1
    assert book.take(tenant, "latest")
    assert book.maker.built[-1].value == "latest"


def test_few_are_not_looked_at_and_many_are() -> None:
    tenant = tenant_of(EACH_USER)
    book = Book(tenant)
    for number in range(SCOPED_KEPT // 2):
        book.find(tenant, f"user-{number}")
    book.sweep_if_many(0.0)

    assert not book.maker.forgotten

    book.find(tenant, "one more")
    book.sweep_if_many(0.0)

    assert len(book.maker.forgotten) == SCOPED_KEPT // 2 + 1


# -- a parent's


def family(*limits: Limit, own: Sequence[Limit] = ()) -> tuple[Tenant, Tenant, Tenant]:
    """limits: the parent's."""
    return (
        tenant_of(*own, name=CHILD, parent=PARENT),
        tenant_of(name=SIBLING, parent=PARENT),
        tenant_of(*limits, name=PARENT),
    )


def test_children_share_their_parents_limits_beside_their_own() -> None:
    child, sibling, parent = family(RPM, own=[replace(RPM, amount=9)])
    book = Book(child, sibling, parent)

    assert names(book.find(child)) == [(CHILD, "rpm"), (PARENT, "rpm")]
    assert [book.take(child), book.take(sibling), book.take(child)] == [True, True, False]
    assert not book.take(parent)
    assert book.find(child)[0].state(0.0).used == 1


def test_a_parents_limit_for_each_user_is_the_users_in_all_of_its_children() -> None:
    child, sibling, parent = family(EACH_USER)
    book = Book(child, sibling, parent)

    assert [book.take(child, "ada"), book.take(sibling, "ada"), book.take(child, "ada")] == [
        True,
        True,
        False,
    ]
    assert book.take(child, "bob")


def test_a_parent_that_is_not_in_the_table_limits_nobody() -> None:
    child, _, _ = family(RPM)
    book = Book(child)

    assert book.find(child) == ()


def test_a_tenant_that_gets_a_parent_keeps_what_it_has_used() -> None:
    alone = tenant_of(RPM, name=CHILD)
    book = Book(alone)
    book.take(alone)
    child, sibling, parent = family(replace(RPM, name="all"), own=[RPM])
    book.configure([child, sibling, parent])

    assert [limit.state(0.0).used for limit in book.find(child)] == [1, 0]


@pytest.mark.parametrize(
    ("own", "parents", "reserves"),
    [
        ([], [], False),
        ([RPM], [RPM], False),
        ([], [replace(RPM, resource="USD")], True),
        ([replace(RPM, shadow=True)], [], True),
    ],
)
def test_a_parents_limits_decide_too_whether_a_request_is_bounded(
    own: list[Limit], parents: list[Limit], reserves: bool
) -> None:
    child, sibling, parent = family(*parents, own=own)

    assert Book(child, sibling, parent).reserves(child) is reserves


# -- overrides


def lent(amount: int, until_unix_s: float) -> Limit:
    return replace(RPM, overrides=(Override(amount=amount, until_unix_s=until_unix_s),))


def test_the_end_of_an_override_reaches_every_limit_that_has_it_without_a_reload() -> None:
    each = replace(EACH_USER, overrides=(Override(amount=5, until_unix_s=1_000_060.0),))
    tenant = tenant_of(lent(7, 1_000_060.0), each, EACH_KEY)
    book = Book(tenant)
    limits = book.find(tenant, "ada", "k1")

    assert [limit.amount for limit in limits] == [7, 5, 2]

    book.maker.unix_s = 1_000_060.0
    book.refresh()

    assert [limit.amount for limit in limits] == [2, 2, 2]


def test_an_override_of_a_limit_that_nobody_has_met_waits_for_nobody() -> None:
    tenant = tenant_of(replace(EACH_USER, overrides=(Override(amount=5, until_unix_s=1_000_060.0),)))
    book = Book(tenant)
    book.refresh()

    assert book.maker.built == []


def test_the_next_change_is_the_first_end_of_an_override_that_is_still_to_come() -> None:
    tenants = [tenant_of(lent(7, 100.0)), tenant_of(lent(7, 50.0), RPM, name="team/b")]

    assert [find_next_change(tenants, unix_s) for unix_s in (0.0, 50.0, 100.0)] == [50.0, 100.0, None]


# -- what is told


def test_a_rule_is_found_by_whose_it_is_and_its_name() -> None:
    child, sibling, parent = family(RPM, own=[replace(RPM, amount=9)])
    book = Book(child, sibling, parent)

    assert book.find_rule(TenantId(CHILD), "rpm") == replace(RPM, amount=9)
    assert book.find_rule(TenantId(PARENT), "rpm") == RPM
    assert book.find_rule(TenantId(PARENT), "other") is None
    assert book.find_rule(TenantId("team/gone"), "rpm") is None


def test_of_a_limit_for_each_user_the_one_with_least_room_is_told() -> None:
    tenant = tenant_of(RPM, EACH_USER, EACH_KEY)
    book = Book(replace(tenant, limits=(replace(RPM, amount=99), EACH_USER, EACH_KEY)))
    tenant = replace(tenant, limits=(replace(RPM, amount=99), EACH_USER, EACH_KEY))

    assert [limit.name for limit, _ in book.list_own(tenant, 0.0)] == ["rpm"]

    for user in ("ada", "bob", "bob"):
        book.take(tenant, user, key_id=f"key-{user}")
    told = book.list_own(tenant, 0.0)

    assert [(limit.name, built.state(0.0).used) for limit, built in told] == [
        ("rpm", 3),
        ("each-user", 2),
        ("each-key", 2),
    ]


@pytest.mark.parametrize(
    ("scope", "value", "used"),
    [("Tenant", None, 3), ("PerUser", "ada", 1), ("PerKey", "k2", 1), ("PerModel", "o3", 2)],
)
def test_a_caller_is_told_of_its_own_and_of_the_model_with_least_room(
    scope: LimitScope, value: str | None, used: int
) -> None:
    limit = replace(RPM, amount=9, scope=scope)
    tenant = tenant_of(limit)
    book = Book(tenant)
    for user, key_id, model in (("ada", "k1", "gpt"), ("bob", "k1", "o3"), ("bob", "k2", "o3")):
        book.take(tenant, user, key_id=key_id, model=model)
    (met,) = book.list_met(tenant, "ada", "k2", 0.0)

    assert met.built is not None
    assert (met.owner, met.limit, met.value, met.built.state(0.0).used) == (tenant, limit, value, used)


def test_whose_user_is_not_known_is_told_of_the_one_with_least_room_and_not_who_it_is() -> None:
    tenant = tenant_of(EACH_USER)
    book = Book(tenant)
    for user in ("ada", "bob", "bob"):
        book.take(tenant, user)
    (met,) = book.list_met(tenant, None, "k1", 0.0)

    assert met.built is not None
    assert (met.value, met.built.state(0.0).used) == (None, 2)


def test_of_whom_nobody_has_asked_nothing_is_built_for_the_telling() -> None:
    tenant = tenant_of(EACH_USER, EACH_KEY, EACH_MODEL)
    book = Book(tenant)
    met = book.list_met(tenant, "ada", None, 0.0)

    assert [(one.built, one.value) for one in met] == [(None, "ada"), (None, None), (None, None)]
    assert book.maker.built == []


def test_who_came_too_late_for_a_limit_of_its_own_is_told_of_the_one_that_it_shares() -> None:
    tenant = tenant_of(EACH_USER)
    book = Book(tenant)
    for number in range(SCOPED_KEPT):
        book.find(tenant, f"user-{number}")
    (shared,) = book.find(tenant, "late")
    (met,) = book.list_met(tenant, "late", None, 0.0)

    assert (met.built, met.value) == (shared, "late")


def test_a_parents_limits_are_told_as_the_parents() -> None:
    child, sibling, parent = family(RPM, own=[replace(RPM, amount=9)])
    book = Book(child, sibling, parent)

    assert [(met.owner.id, met.limit.amount) for met in book.list_met(child, None, None, 0.0)] == [
        (CHILD, 9),
        (PARENT, 2),
    ]


def test_a_refusal_by_the_parent_names_it_also_where_both_have_a_limit_of_that_name() -> None:
    child, sibling, parent = family(replace(RPM, amount=0), own=[replace(RPM, amount=9)])
    book = Book(child, sibling, parent)
    refused = take_all(book.find(child), 0.0)

    assert isinstance(refused, Refused)
    assert (refused.standing.name, refused.owner) == ("rpm", PARENT)
