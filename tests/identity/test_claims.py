"""What a verified token has to say, and what is read out of it."""

import pytest

from gateway_runtime.identity.claims import (
    LEEWAY_S,
    find_claim,
    fits_audience,
    fits_conditions,
    judge_times,
    read_end,
    read_tags,
    read_user,
)
from gateway_runtime.identity.rejection import Reason
from tests.identity.rig import subject

NOW_S = 1_700_000_000.0


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"exp": NOW_S + 1}, None),
        ({"exp": NOW_S - LEEWAY_S + 1}, None),
        ({"exp": NOW_S - LEEWAY_S}, Reason.EXPIRED),
        ({"exp": int(NOW_S) + 3600, "nbf": int(NOW_S), "iat": int(NOW_S)}, None),
        ({"exp": NOW_S + 3600.5, "nbf": NOW_S + LEEWAY_S}, None),
        ({"exp": NOW_S + 3600, "nbf": NOW_S + LEEWAY_S + 1}, Reason.NOT_YET),
        ({"exp": NOW_S + 3600, "iat": NOW_S + LEEWAY_S + 1}, Reason.NOT_YET),
        ({}, Reason.WITHOUT_END),
        ({"exp": None}, Reason.WITHOUT_END),
        ({"exp": str(NOW_S + 3600)}, Reason.WITHOUT_END),
        ({"exp": True}, Reason.WITHOUT_END),
        ({"exp": NOW_S + 3600, "nbf": "soon"}, Reason.MALFORMED),
        ({"exp": NOW_S + 3600, "iat": None}, Reason.MALFORMED),
        ({"exp": 10**30}, None),
    ],
)
def test_a_token_holds_between_its_times_with_half_a_minute_for_the_clocks(
    times: dict[str, object], reason: Reason | None
) -> None:
    assert judge_times(times, NOW_S) is reason


def test_its_end_is_told_with_the_leeway() -> None:
    assert read_end({"exp": NOW_S}) == NOW_S + LEEWAY_S
    assert read_end({}) is None


@pytest.mark.parametrize(
    ("aud", "fits"),
    [
        ("headgate", True),
        ("other", True),
        (["x", "headgate"], True),
        (["x"], False),
        ("Headgate", False),
        ("headgate ", False),
        ([], False),
        ("", False),
        (None, False),
        ({"headgate": True}, False),
        ([["headgate"]], False),
    ],
)
def test_one_of_its_audiences_has_to_be_one_of_ours(aud: object, fits: bool) -> None:
    ours = subject(audiences=("headgate", "other"))

    assert fits_audience({"aud": aud}, ours) is fits


def test_a_token_without_an_audience_is_meant_for_nobody() -> None:
    assert not fits_audience({}, subject())


KUBERNETES = {
    "iss": "https://kubernetes.default.svc",
    "sub": "system:serviceaccount:chat:web",
    "kubernetes.io": {"namespace": "chat", "serviceaccount": {"name": "web", "uid": "u"}},
}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("sub", "ada"),
        ("realm.roles", ["admin", "dev"]),
        ("realm.owner.team", "blue"),
        ("https://example.com/groups", ["g1"]),
        ("https://example.com/org.id", 7),
        ("a.b", "the whole name first"),
        ("a.b.c", "the longest beginning first"),
        ("a.c", "the object in it"),
        ("realm", {"roles": ["admin", "dev"], "owner": {"team": "blue"}}),
        ("realm.missing", None),
        ("realm.roles.0", None),
        ("sub.x", None),
        ("missing", None),
        ("", None),
        (".", None),
        ("realm.", None),
        ("..", None),
    ],
)
def test_a_name_with_dots_leads_into_objects_and_names_claims_with_dots(name: str, found: object) -> None:
    claims = {
        "sub": "ada",
        "realm": {"roles": ["admin", "dev"], "owner": {"team": "blue"}},
        "https://example.com/groups": ["g1"],
        "https://example.com/org": {"id": 7},
        "a.b": "the whole name first",
        "a": {"c": "the object in it", "b": {"c": "the shorter one"}},
    }
    if name == "a.b.c":
        claims["a.b"] = {"c": "the longest beginning first"}

    assert find_claim(claims, name) == found


def test_a_service_accounts_namespace_is_found() -> None:
    assert find_claim(KUBERNETES, "kubernetes.io.namespace") == "chat"
    assert find_claim(KUBERNETES, "kubernetes.io.serviceaccount.name") == "web"


@pytest.mark.parametrize(
    ("told", "fits"),
    [
        ({"team": "blue", "email_verified": True}, True),
        ({"team": "green", "email_verified": True}, True),
        ({"team": ["red", "blue"], "email_verified": [True]}, True),
        ({"team": "red", "email_verified": True}, False),
        ({"team": "blue", "email_verified": False}, False),
        ({"team": "blue"}, False),
        ({"email_verified": True}, False),
        ({"team": None, "email_verified": True}, False),
        ({"team": {"blue": 1}, "email_verified": True}, False),
        ({"team": [["blue"]], "email_verified": True}, False),
        ({"team": "blue,green", "email_verified": True}, False),
    ],
)
def test_each_condition_needs_one_of_its_values(told: dict[str, object], fits: bool) -> None:
    wanted = subject(wanted={"team": ("blue", "green"), "email_verified": ("true",)})

    assert fits_conditions(told, wanted) is fits


def test_numbers_are_compared_as_json_writes_them() -> None:
    assert fits_conditions({"tenant": 7}, subject(wanted={"tenant": ("7",)}))
    assert not fits_conditions({"tenant": 7.5}, subject(wanted={"tenant": ("7",)}))


def test_without_conditions_every_token_fits() -> None:
    assert fits_conditions({}, subject())


@pytest.mark.parametrize(
    ("told", "user"),
    [
        ({"email": "ada@example.com"}, "ada@example.com"),
        ({"email": 42}, "42"),
        ({"email": ["ada@example.com"]}, "ada@example.com"),
        ({"email": ["ada", "bob"]}, None),
        ({"email": ""}, None),
        ({"email": None}, None),
        ({"email": {"address": "ada"}}, None),
        ({"email": "ada\nadmin"}, None),
        ({"email": "a" * 300}, "a" * 256),
        ({}, None),
    ],
    ids=str,
)
def test_whom_a_token_acts_for(told: dict[str, object], user: str | None) -> None:
    assert read_user(told, subject(user_claim="email")) == user


def test_tags_are_sorted_and_lists_are_joined() -> None:
    tagged = subject(tag_claims=("team", "groups", "cost.center", "missing", "bad"))
    told = {"team": "blue", "groups": ["b", "a"], "cost": {"center": 7}, "bad": "a\tb"}

    assert read_tags(told, tagged) == (("cost.center", "7"), ("groups", "b,a"), ("team", "blue"))
