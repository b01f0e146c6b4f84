"""When keys were last used."""

from gateway_runtime.contract.health import KeyUse
from gateway_runtime.contract.ids import TenantId
from gateway_runtime.server.key_uses import KeyUses

A, B = TenantId("chat/a"), TenantId("chat/b")


def test_each_tenant_has_the_last_use_of_each_of_its_keys() -> None:
    uses = KeyUses()
    for tenant, key_id, unix_s in ((A, "k2", 1.0), (A, "k1", 2.0), (B, "k1", 3.0), (A, "k2", 4.0)):
        uses.note(tenant, key_id, unix_s)

    assert uses.of(A) == (KeyUse(key_id="k1", last_unix_s=2.0), KeyUse(key_id="k2", last_unix_s=4.0))
    assert uses.of(B) == (KeyUse(key_id="k1", last_unix_s=3.0),)
    assert uses.of(TenantId("chat/c")) == ()


def test_when_there_are_too_many_the_oldest_tenth_goes() -> None:
    uses = KeyUses(kept=100)
    for i in range(100):
        uses.note(A if i % 2 else B, f"k{i:03}", float(i))
    uses.note(A, "k001", 200.0)
    full = len(uses.of(A)) + len(uses.of(B))
    uses.note(A, "new", 201.0)
    left = [use.key_id for use in (*uses.of(A), *uses.of(B))]

    assert full == 100
    assert len(left) == 90
    assert {"new", "k001", "k012"} <= set(left)
    assert not {"k000", "k002", "k010", "k011"} & set(left)


def test_a_tenant_whose_keys_are_all_gone_takes_no_room() -> None:
    uses = KeyUses(kept=10)
    uses.note(A, "k", 0.0)
    for i in range(1, 11):
        uses.note(B, f"k{i}", float(i))

    assert uses.of(A) == ()
    assert A not in uses._uses
