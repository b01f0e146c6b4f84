"""A provider's TLS out of its Secrets: what reaches the table, and what is said of what does not."""

from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import MAX_PEM_BYTES, ProviderTls
from headgate_operator.compile import Compiled, compile_resources
from headgate_operator.compile.resources import (
    Resources,
    SecretData,
    SecretId,
    referenced_secrets,
    secret_refs,
)
from tests.compile.builders import broken, provider, resources
from tests.upstream.certificates import Authority

AUTHORITY = Authority()
OURS, RENEWED = AUTHORITY.issue("gateway.example"), AUTHORITY.issue("gateway.example")
CERTIFICATE, KEY = OURS.certificate.decode(), OURS.key.reveal()
ENCRYPTED = load_pem_private_key(KEY.encode(), None).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
)
WANTED = {
    "baseUrl": "https://llm.example/v1",
    "tls": {
        "caSecretRef": {"name": "authority", "key": "bundle.pem"},
        "clientCertificateSecretRef": {"name": "gateway"},
        "serverName": "vllm.example",
    },
}
VLLM = provider("team-a/vllm", spec=WANTED)
NAME = "LLMProvider/team-a/vllm"


def build(manifest: Any = VLLM, **secrets: Mapping[str, str] | None) -> Resources:
    """`authority` and `gateway` are there and good unless said otherwise; None: not there."""
    found = {
        "authority": {"bundle.pem": AUTHORITY.pem.decode()},
        "gateway": {"tls.crt": CERTIFICATE, "tls.key": KEY},
    } | secrets
    data = {
        SecretId("team-a", name): SecretData({key: Secret(text) for key, text in values.items()}, True)
        for name, values in found.items()
        if values is not None
    }
    before = resources(manifest)
    return Resources(before.providers, (), (), data, before.key_salt)


def tls_of(compiled: Compiled) -> ProviderTls | None:
    return compiled.table.providers[0].tls


def test_all_of_it_reaches_the_table() -> None:
    tls = tls_of(compile_resources(build()))

    assert tls == ProviderTls(
        ca=AUTHORITY.pem.decode(), certificate=CERTIFICATE, key=Secret(KEY), server_name="vllm.example"
    )


def test_the_secrets_are_read_by_the_keys_that_are_needed() -> None:
    refs = [(ref.name, ref.key) for ref in secret_refs(VLLM)]

    assert refs == [("authority", "bundle.pem"), ("gateway", "tls.crt"), ("gateway", "tls.key")]
    assert referenced_secrets(VLLM) == {SecretId("team-a", "authority"), SecretId("team-a", "gateway")}


def test_what_stands_between_the_blocks_stays_behind() -> None:
    bundle = f"# ü\n{AUTHORITY.pem.decode()}# and another\n{Authority('second').pem.decode()}"
    tls = tls_of(compile_resources(build(authority={"bundle.pem": bundle})))

    assert tls is not None
    assert tls.ca is not None
    assert tls.ca.isascii()
    assert tls.ca.count("-----BEGIN CERTIFICATE-----") == 2
    assert "#" not in tls.ca


def test_a_private_key_does_not_show_itself() -> None:
    compiled = compile_resources(build())

    assert KEY.splitlines()[1] not in repr(compiled.table)
    assert "PRIVATE KEY" not in repr(compiled)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"tls.crt": CERTIFICATE, "tls.key": RENEWED.key.reveal()},
            'key "tls.key" of Secret "gateway" cannot be used for TLS: it does not belong to the first '
            "certificate in tls.crt. It must be the certificate's own private key in PEM form, without a "
            "password",
        ),
        (
            {"tls.crt": CERTIFICATE, "tls.key": ENCRYPTED.decode()},
            'key "tls.key" of Secret "gateway" cannot be used for TLS: it is encrypted, and the gateways '
            "have no password. It must be the certificate's own private key in PEM form, without a password",
        ),
        (
            {"tls.crt": CERTIFICATE, "tls.key": CERTIFICATE},
            'key "tls.key" of Secret "gateway" cannot be used for TLS: it holds no private key that can be '
            "read. It must be the certificate's own private key in PEM form, without a password",
        ),
        (
            {"tls.crt": "", "tls.key": KEY},
            'key "tls.crt" of Secret "gateway" cannot be used for TLS: it holds no certificate that can be '
            "read. It must be the certificate in PEM form, its chain behind it",
        ),
        (
            {"tls.crt": CERTIFICATE * (MAX_PEM_BYTES // len(CERTIFICATE) + 1), "tls.key": KEY},
            'key "tls.crt" of Secret "gateway" cannot be used for TLS: its certificates are longer than '
            "16384 bytes together. It must be the certificate in PEM form, its chain behind it",
        ),
        (
            {"tls.crt": CERTIFICATE},
            'Secret "gateway" has no key "tls.key". A client certificate is a Secret of type '
            "kubernetes.io/tls, with tls.crt and tls.key: make it one, or name another",
        ),
    ],
)
def test_a_pair_that_cannot_be_used_is_told(values: Mapping[str, str], message: str) -> None:
    compiled = compile_resources(build(gateway=values))
    (finding,) = compiled.verdicts[NAME].findings

    assert finding.message == message
    assert compiled.table.providers == ()


def test_a_renewed_certificate_changes_the_provider() -> None:
    old = compile_resources(build())
    renewed = {"tls.crt": RENEWED.certificate.decode(), "tls.key": RENEWED.key.reveal()}
    tls = tls_of(compile_resources(build(gateway=renewed), old))

    assert tls is not None
    assert (tls.certificate, tls.key) == (RENEWED.certificate.decode(), RENEWED.key)


@pytest.mark.parametrize("gone", [None, {}, {"tls.crt": "x", "tls.key": "y"}])
def test_without_its_secret_the_last_good_version_serves(gone: Mapping[str, str] | None) -> None:
    old = compile_resources(build())
    new = compile_resources(build(gateway=gone), old)
    restarted = compile_resources(build(gateway=gone), last_good=old.table)

    assert new.table.providers[0] is old.table.providers[0]
    assert restarted == new
    assert compile_resources(build(gateway=gone), new) == new
    assert new.verdicts[NAME].refs_resolved == 1
    assert new.verdicts[NAME].findings != ()
    assert compile_resources(build(), new) == old


def test_an_edit_without_its_secret_leaves_the_generation_before() -> None:
    old = compile_resources(build())
    edited = provider("team-a/vllm", spec={**WANTED, "baseUrl": "https://new.example/v1"}, generation=2)
    new = compile_resources(build(edited, gateway=None), old)

    assert new.table == old.table
    assert (new.verdicts[NAME].serving, new.verdicts[NAME].serving_generation) == ("LastGood", 1)
    assert [endpoint.url for endpoint in new.verdicts[NAME].endpoints] == ["https://llm.example/v1"]


def test_another_object_of_the_same_name_gets_nothing_of_it() -> None:
    old = compile_resources(build())
    other = provider("team-a/vllm", spec=WANTED, uid="another")

    assert compile_resources(build(other, gateway=None), old).table.providers == ()


def test_a_published_version_is_found_by_a_replica_that_never_saw_a_good_one() -> None:
    published = compile_resources(build()).table
    own = compile_resources(build(gateway=None))
    new = compile_resources(build(gateway=None), own, last_good=published)

    assert own.table.providers == ()
    assert new.table == published


def test_a_spec_that_breaks_keeps_its_tls() -> None:
    old = compile_resources(build())

    assert compile_resources(build(broken(VLLM)), old).table == old.table
