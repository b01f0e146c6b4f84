"""From a table's providers to what the transport is told."""

import msgspec
import pytest

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import ProviderTls, UpstreamLimits
from gateway_runtime.upstream.endpoint import DEFAULT_LIMITS, Upstream, list_upstreams
from gateway_runtime.upstream.tls import find_tls_problem
from gateway_runtime.upstream.trust import DEFAULT_TLS, TlsSettings, settings_of
from tests.contract.tables import build_provider
from tests.upstream.certificates import Authority

AUTHORITY = Authority()
OURS = AUTHORITY.issue("gateway.example")
CA, CERTIFICATE = AUTHORITY.pem.decode(), OURS.certificate.decode()
WHOLE = ProviderTls(ca=CA, certificate=CERTIFICATE, key=OURS.key, server_name="vllm.example")


def test_a_provider_that_says_nothing_has_the_defaults() -> None:
    upstreams = list(list_upstreams([build_provider("a", endpoints=2)]))

    assert upstreams == [
        Upstream(f"http://127.0.0.1:9/a/{i}/v1", DEFAULT_TLS, DEFAULT_LIMITS) for i in (0, 1)
    ]


def test_each_endpoint_has_what_its_provider_says() -> None:
    limits = UpstreamLimits(max_connections=7)
    (upstream,) = list_upstreams([build_provider(tls=WHOLE, limits=limits)])

    assert upstream.limits == limits
    assert upstream.tls == TlsSettings(
        ca=AUTHORITY.pem, certificate=OURS.certificate, key=OURS.key, server_name="vllm.example"
    )


def test_settings_are_made_once_and_live_on_over_tables() -> None:
    parsed_anew = msgspec.structs.replace(WHOLE, key=Secret(OURS.key.reveal()))

    assert settings_of(build_provider(tls=WHOLE)) is settings_of(build_provider(tls=parsed_anew))


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        (WHOLE, None),
        (ProviderTls(), None),
        (ProviderTls(ca=CA), None),
        (ProviderTls(certificate=CERTIFICATE, key=OURS.key), None),
        (ProviderTls(ca="x"), "its ca holds no certificate in PEM form"),
        (
            ProviderTls(certificate=CERTIFICATE),
            "a certificate needs its key and a key its certificate; one of them is missing",
        ),
        (
            ProviderTls(ca=CA, certificate=CERTIFICATE, key=AUTHORITY.issue("x").key),
            "its certificate and its key are not PEM or no pair, or the key is encrypted",
        ),
        (ProviderTls(server_name="a b"), "its server_name is not a host name"),
    ],
)
def test_what_openssl_does_not_take_is_found_without_a_connection(
    tls: ProviderTls, problem: str | None
) -> None:
    assert find_tls_problem(tls) == (problem and f"the TLS settings cannot be used: {problem}")
