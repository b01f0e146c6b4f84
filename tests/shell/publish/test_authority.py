"""The certificate authority over its years, on a virtual calendar."""

import datetime as dt

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from headgate_operator.publish.authority import (
    AUTHORITY_LIFE,
    SERVING_LIFE,
    Authority,
    MalformedAuthority,
    ServingCertificate,
    choose_signer,
    issue_serving_certificate,
    parse_authority,
    rotate_authority,
)

BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ONE_DAY = dt.timedelta(days=1)
TWO_THIRDS = AUTHORITY_LIFE * 2 / 3


def issue(authority: Authority, now: dt.datetime) -> ServingCertificate:
    return issue_serving_certificate(authority, ("operator.ns.svc",), ("127.0.0.1",), now)


def test_a_new_authority_has_one_generation_that_lasts_a_year() -> None:
    authority = rotate_authority(None, BEGIN)

    (generation,) = authority.generations
    assert generation.certificate.not_valid_after_utc == BEGIN + AUTHORITY_LIFE


def test_nothing_is_rotated_before_two_thirds_of_its_life() -> None:
    authority = rotate_authority(None, BEGIN)

    assert rotate_authority(authority, BEGIN + TWO_THIRDS - ONE_DAY) is authority


def test_at_two_thirds_a_second_generation_is_trusted_beside_the_first() -> None:
    first = rotate_authority(None, BEGIN)

    both = rotate_authority(first, BEGIN + TWO_THIRDS)

    assert len(both.generations) == 2
    assert both.bundle.startswith(first.bundle)


def test_the_new_generation_signs_nothing_while_the_old_one_outlives_a_serving_certificate() -> None:
    both = rotate_authority(rotate_authority(None, BEGIN), BEGIN + TWO_THIRDS)
    handover = BEGIN + AUTHORITY_LIFE - SERVING_LIFE

    assert choose_signer(both, handover) is both.generations[0]
    assert choose_signer(both, handover + ONE_DAY) is both.generations[1]


def test_every_gateway_has_three_months_to_meet_the_new_generation() -> None:
    assert AUTHORITY_LIFE - SERVING_LIFE - TWO_THIRDS > 90 * ONE_DAY


def test_the_old_generation_leaves_the_bundle_when_it_ends() -> None:
    both = rotate_authority(rotate_authority(None, BEGIN), BEGIN + TWO_THIRDS)

    after = rotate_authority(both, BEGIN + AUTHORITY_LIFE)

    assert after.generations == both.generations[1:]


def test_an_operator_that_was_away_for_years_starts_a_new_authority() -> None:
    authority = rotate_authority(None, BEGIN)

    later = rotate_authority(authority, BEGIN + 3 * AUTHORITY_LIFE)

    assert len(later.generations) == 1
    assert choose_signer(later, BEGIN + 3 * AUTHORITY_LIFE) is later.generations[0]


def test_a_serving_certificate_names_how_gateways_address_the_operator() -> None:
    certificate = x509.load_pem_x509_certificate(issue(rotate_authority(None, BEGIN), BEGIN).chain)

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["operator.ns.svc"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_a_serving_certificate_is_renewed_at_two_thirds_of_its_life() -> None:
    assert issue(rotate_authority(None, BEGIN), BEGIN).renew_at == BEGIN + SERVING_LIFE * 2 / 3


def test_a_serving_certificate_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a DNS name or an IP address") as caught:
        issue_serving_certificate(rotate_authority(None, BEGIN), (), (), BEGIN)

    assert str(caught.value) == (
        "a serving certificate needs a DNS name or an IP address of the operator's Service"
    )


@given(st.lists(st.integers(min_value=0, max_value=120), min_size=1, max_size=12))
def test_whenever_it_is_looked_after_what_serves_is_trusted_and_outlived_by_its_signer(
    days: list[int],
) -> None:
    now, authority = BEGIN, rotate_authority(None, BEGIN)
    for pause in days:
        now += pause * ONE_DAY
        authority = rotate_authority(authority, now)
        serving = issue(authority, now)
        certificate = x509.load_pem_x509_certificate(serving.chain)

        certificate.verify_directly_issued_by(serving.signer)
        assert serving.signer in x509.load_pem_x509_certificates(authority.bundle)
        assert certificate.not_valid_after_utc <= serving.signer.not_valid_after_utc
        assert len(authority.generations) <= 2


def test_an_authority_survives_its_pem_files() -> None:
    authority = rotate_authority(rotate_authority(None, BEGIN), BEGIN + TWO_THIRDS)

    parsed = parse_authority(authority.bundle, authority.keys)

    assert (parsed.bundle, parsed.keys) == (authority.bundle, authority.keys)


def test_a_bundle_without_its_keys_is_malformed() -> None:
    authority = rotate_authority(None, BEGIN)

    with pytest.raises(MalformedAuthority) as caught:
        parse_authority(authority.bundle, b"")

    assert str(caught.value) == "ca.crt and ca.key are not as many certificates as EC keys"


def test_the_key_of_another_authority_is_malformed() -> None:
    authority, other = rotate_authority(None, BEGIN), rotate_authority(None, BEGIN)
    serial = authority.generations[0].certificate.serial_number

    with pytest.raises(MalformedAuthority) as caught:
        parse_authority(authority.bundle, other.keys)

    assert str(caught.value) == f"the key of certificate {serial:x} is another's"


def test_a_certificate_that_signs_nothing_is_malformed() -> None:
    serving = issue(rotate_authority(None, BEGIN), BEGIN)
    serial = x509.load_pem_x509_certificate(serving.chain).serial_number

    with pytest.raises(MalformedAuthority) as caught:
        parse_authority(serving.chain, serving.key)

    assert str(caught.value) == f"certificate {serial:x} is not signed by itself"


def test_no_key_shows_in_a_repr() -> None:
    authority = rotate_authority(None, BEGIN)

    assert "PRIVATE KEY" not in repr(authority) + repr(issue(authority, BEGIN))
