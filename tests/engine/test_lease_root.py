"""All leased limits of one root at a gateway: which of them speak, in which call, and how the store is told
again what it has forgotten. Child and parent share a root, so that one call has the limits of both.
"""

import pytest

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import Limit, Tenant
from gateway_runtime.engine.amounts import Spent
from gateway_runtime.engine.book import LimitBook, LimitIdentity
from gateway_runtime.engine.hold import Reserved
from gateway_runtime.engine.lease import LeasedLimit
from gateway_runtime.engine.lease_root import SCOPES_AT_ONCE, LeaseRoot
from gateway_runtime.engine.limits import Claim, Refused, RollingLimit, TenantLimit
from tests.engine.built import tenant_of
from tests.engine.leases import TERM, Gateway, Shop

PARENT = TenantId("team/all")


# -- one call for all of them


def test_a_gateway_that_has_nothing_to_say_calls_nobody() -> None:
    gateway = Shop().open()
    gateway.limit()

    assert gateway.send() is None


def test_all_limits_that_a_request_needs_are_asked_for_in_one_call() -> None:
    shop = Shop()
    gateway = shop.open()
    limits = [gateway.limit(name="tokens"), gateway.limit("Requests", 5, name="often")]
    gateway.take([*limits], 100)
    assertion, ask = shop.calls

    assert (assertion.asserts, ask.asserts) == (2, 0)
    assert {scope.key: scope.need for scope in ask.scopes} == {"tokens": 100, "often": 1}


def test_a_limit_that_has_nothing_more_to_say_is_not_looked_at_any_more() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 100).settle(Spent(100, 0, 0), shop.now_s)
    noted = [gateway.root.has_something]
    shop.pass_time(10.0, beats=True)
    noted.append(gateway.root.has_something)
    limit.hold(shop.now_s, 1)
    noted.append(gateway.root.has_something)

    assert noted == [True, False, True]
    assert repr(gateway.root) == "<LeaseRoot root: 1 of 1 limits at work>"


def test_what_is_forgotten_is_told_of_no_more() -> None:
    shop = Shop()
    gateway = shop.open()
    limit, other = gateway.limit(), gateway.limit(name="other")
    gateway.take([limit, other], 100)
    gateway.root.forget(limit)
    shop.calls.clear()
    shop.store.forget()
    gateway.beat()
    gateway.beat()

    assert {scope.key for call in shop.calls for scope in call.scopes} == {"other"}


def test_more_limits_than_fit_into_a_call_take_turns() -> None:
    shop = Shop()
    gateway = shop.open()
    many = [gateway.limit("Requests", 5, name=f"limit-{number}") for number in range(SCOPES_AT_ONCE + 50)]
    for limit in many:
        limit.add(shop.now_s)
    assertions = []
    while (call := gateway.send()) is not None and call.asserts:
        assertions.append((call.asserts, len(call.scopes)))
        gateway.hear(call)

    assert assertions == [(1, SCOPES_AT_ONCE), (2, 50)]
    assert {scope.total for scope in shop.store.scopes()} == {1}

    told = [scope.key for scope in call.scopes] if call is not None else []
    gateway.root.fail()
    for limit in many:
        limit.add(shop.now_s)
    call = gateway.send()
    assert call is not None
    told += [scope.key for scope in call.scopes]

    assert set(told) == {limit.key for limit in many}


def test_what_somebody_waits_for_goes_first() -> None:
    shop = Shop()
    gateway = shop.open()
    many = [gateway.limit("Requests", 5, name=f"limit-{number}") for number in range(SCOPES_AT_ONCE + 50)]
    for _ in range(4):
        for limit in many:
            limit.add(shop.now_s)
        call = gateway.send()
        assert call is not None
        gateway.hear(call)
    waiting = next(limit for limit in many if limit.key == call.scopes[-1].key)  # last in turn by now
    gateway.root.press([Claim(waiting, 1)])
    call = gateway.send()

    assert call is not None
    assert call.scopes[0].key == waiting.key
    assert call.scopes[0].need > 0


def test_a_limit_that_is_counted_here_is_nothing_to_wait_for_at_a_store() -> None:
    gateway = Shop().open()
    gateway.root.press([Claim(RollingLimit("here", 5, 60.0), 1)])

    assert gateway.send() is None


def test_only_the_first_that_waits_says_how_much_it_needs() -> None:
    shop = Shop()
    gateway = shop.open()
    limit, other = gateway.limit(amount=100), gateway.limit(name="other", amount=100)
    gateway.take([limit, other], 1)
    gateway.beat()
    gateway.root.press([Claim(limit, 60)])
    gateway.root.press([Claim(other, 70)])
    call = gateway.send()
    assert call is not None
    asked = {scope.key: (scope.need > 0, scope.want >= 60) for scope in call.scopes}

    assert asked == {"tokens": (True, True), "other": (False, True)}


# -- what the store may have forgotten


def test_a_store_that_forgot_is_told_before_anything_else_is_asked() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 100).settle(Spent(100, 0, 0), shop.now_s)
    gateway.beat()
    shop.store.forget()
    shop.calls.clear()
    outcome = gateway.ask([limit], 100)

    assert [call.asserts for call in shop.calls] == [0, 2, 0]
    assert isinstance(outcome, Reserved)
    assert gateway.root.was_forgotten
    assert shop.scope().total == 100


def test_a_store_that_nobody_ever_used_has_forgotten_nothing() -> None:
    shop = Shop()
    gateway = shop.open()
    gateway.take([gateway.limit()], 100)

    assert not gateway.root.was_forgotten


def test_a_store_that_forgets_in_the_middle_of_being_told_is_told_all_of_it() -> None:
    shop = Shop()
    gateway = shop.open()
    many = [gateway.limit("Requests", 5, name=f"limit-{number}") for number in range(SCOPES_AT_ONCE + 50)]
    for limit in many:
        limit.add(shop.now_s)
    first = gateway.send()
    assert first is not None
    gateway.hear(first)
    shop.store.forget()
    shop.pass_time(1.0)
    while gateway.root.has_to_assert:
        call = gateway.send()
        assert call is not None
        gateway.hear(call)

    assert sorted(scope.total for scope in shop.store.scopes()) == [1] * len(many)


def test_a_store_that_forgets_before_the_last_of_it_is_told_all_of_it_too() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    limit.hold(shop.now_s, 10)
    call = gateway.send()
    assert call is not None
    gateway.hear(call)
    shop.store.forget()
    shop.pass_time(1.0)
    limit.hold(shop.now_s, 5)
    gateway.beat()

    assert shop.scope().total == 15


def test_nothing_is_granted_before_the_other_gateways_have_told_it_too() -> None:
    shop = Shop()
    one, other = shop.open(), shop.open("b")
    ours, theirs = one.limit(), other.limit()
    other.take([theirs], 500).settle(Spent(500, 0, 0), shop.now_s)
    other.beat()
    shop.store.forget()
    ours.press(600)
    for _ in range(2):
        call = one.send()
        assert call is not None
        one.hear(call)
    waits = one.root.is_recovering
    known = other.root.expect(one.root.epoch)
    other.beat()
    refused = one.ask([ours], 600)
    fits = one.ask([ours], 500)

    assert (waits, known) == (True, True)
    assert isinstance(refused, Refused)
    assert isinstance(fits, Reserved)


def test_what_is_withheld_while_others_have_to_tell_theirs_may_be_asked_for_again() -> None:
    """It is no refusal: newcomers wait, as those before them do."""
    shop = Shop()
    one, other = shop.open(), shop.open("b")
    ours, theirs = one.limit(), other.limit()
    one.take([ours], 1)
    other.take([theirs], 500)
    shop.store.forget()
    for _ in range(3):  # it is not known, tells what it has, asks
        one.root.press([Claim(ours, 600)])
        call = one.send()
        assert call is not None
        one.hear(call)
    withheld = one.root.is_recovering, ours.room(shop.now_s), ours.may_ask(shop.now_s, 600)
    other.root.expect(one.root.epoch)
    other.beat()
    one.root.press([Claim(ours, 600)])
    one.beat()
    refused = one.root.is_recovering, ours.may_ask(shop.now_s, 600)

    assert (withheld[0], withheld[1] < 600, withheld[2]) == (True, True, True)
    assert refused == (False, False)


def test_a_gateway_that_is_expected_and_knew_the_store_asks_first_how_much_it_remembers() -> None:
    shop = Shop()
    gateway = shop.open()
    gateway.take([gateway.limit()], 100)
    gateway.beat()

    assert not gateway.root.expect(gateway.root.epoch)
    assert gateway.root.expect(gateway.root.epoch + 1)

    call = gateway.send()

    assert call is not None
    assert (call.asserts, call.scopes) == (0, ())
    assert not gateway.root.expect(gateway.root.epoch + 2)  # a call is under way

    gateway.hear(call)

    assert gateway.send() is None


def test_a_gateway_that_never_asked_is_expected_to_say_that_it_has_nothing() -> None:
    shop = Shop()
    gateway = shop.open()

    assert gateway.root.expect(7)
    assert gateway.root.expect(8)

    call = gateway.send()

    assert call is not None
    assert (call.asserts, call.scopes, gateway.root.epoch) == (2, (), 0)


# -- calls that fail, and the end


def test_a_call_without_an_answer_leaves_all_its_limits_uncertain() -> None:
    shop = Shop()
    gateway = shop.open()
    limits = [gateway.limit(), gateway.limit(name="other")]
    gateway.take([*limits], 100)
    shop.is_away = True
    gateway.beat()

    assert not gateway.root.is_asking
    assert [limit.has_something() for limit in limits] == [True, True]
    assert gateway.beat() == 0


def test_before_the_end_all_that_was_granted_goes_back() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 100).settle(Spent(40, 0, 0), shop.now_s)
    gateway.root.recall()
    gateway.beat()

    assert (shop.scope().total, shop.scope().leases) == (40, {})


@pytest.mark.parametrize(("pause_s", "known"), [(800.0, True), (1000.0, False)])
def test_it_says_what_the_stores_clock_should_show_as_long_as_that_is_certain(
    pause_s: float, known: bool
) -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 100)
    gateway.beat()
    shop.pass_time(pause_s)
    limit.hold(shop.now_s, 1)
    call = gateway.send()

    assert call is not None
    assert call.estimate_ms == (int(shop.unix() * 1000) if known else -1)


# -- a child and its parent


class Maker:
    """A parent and its children in one root: what one call asks for is granted together, or not."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def build(self, owner: Tenant, limit: Limit, key: LimitIdentity) -> LeasedLimit:
        return LeasedLimit(
            limit.name,
            limit.amount,
            limit.resource,
            limit.window_s,
            key="/".join((*key.kind, key.value)),
            root=owner.parent or owner.id,
            term=TERM,
            on_use=self._gateway.root.note,
            owner=owner.id,
        )

    def update(self, built: TenantLimit, owner: Tenant, limit: Limit) -> None:
        raise NotImplementedError

    def forget(self, built: TenantLimit) -> None:
        raise NotImplementedError


def serve_family(shop: Shop, name: str = "a") -> tuple[Gateway, LimitBook, Tenant, Tenant]:
    """Two children with 100 tokens each, under a parent with 150."""
    gateway = shop.open(name)
    gateway.root = LeaseRoot(PARENT, name)
    book = LimitBook(Maker(gateway))
    own = Limit(name="tokens", amount=100, window_s=60.0, resource="TotalTokens")
    one, other = (tenant_of(own, name=f"team/{child}", parent=PARENT) for child in ("one", "other"))
    parent = tenant_of(Limit(name="all", amount=150, window_s=60.0, resource="TotalTokens"), name=PARENT)
    book.configure([one, other, parent])
    return gateway, book, one, other


def test_a_childs_limits_and_its_parents_share_one_root_and_one_call() -> None:
    shop = Shop()
    gateway, book, one, _ = serve_family(shop)
    limits = book.limits_for(one, None, None, "gpt")
    gateway.take(limits, 60)
    ask = shop.calls[-1]

    assert {limit.root for limit in limits if isinstance(limit, LeasedLimit)} == {PARENT}
    assert [(scope.key.split("/")[1], scope.need) for scope in ask.scopes] == [("one", 60), ("all", 60)]


def test_children_at_two_gateways_share_their_parents_amount_and_its_refusal_is_the_parents() -> None:
    shop = Shop()
    gateway, book, one, _ = serve_family(shop)
    elsewhere, theirs, _, other = serve_family(shop, "b")
    gateway.take(book.limits_for(one, None, None, "gpt"), 90).settle(Spent(90, 0, 0), shop.now_s)
    gateway.beat()
    limits = theirs.limits_for(other, None, None, "gpt")
    refused = elsewhere.ask(limits, 90)
    fits = elsewhere.ask(limits, 50)

    assert isinstance(refused, Refused)
    assert (refused.standing.name, refused.owner) == ("all", PARENT)
    assert isinstance(fits, Reserved)


def test_what_the_parent_has_no_room_for_is_charged_to_neither() -> None:
    shop = Shop()
    gateway, book, one, other = serve_family(shop)
    gateway.take(book.limits_for(other, None, None, "gpt"), 100)
    limits = book.limits_for(one, None, None, "gpt")
    outcome = gateway.ask(limits, 60)
    own, parents = (limit.state(shop.now_s) for limit in limits)

    assert isinstance(outcome, Refused)
    assert outcome.owner == PARENT
    assert (own.held, parents.held) == (0, 100)
