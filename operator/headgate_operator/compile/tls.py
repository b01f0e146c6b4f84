"""A provider's TLS read out of its Secrets: what the table says of it, or findings that say why it cannot.

The providers pass calls it. Authorities and certificate chains are written anew, so that comments between the
blocks, in whatever encoding, do not reach the gateways.

The one subtle rule: a gateway refuses a whole table for one pair that OpenSSL does not take, so everything
that can be known of it without a clock is looked at here. Whether a certificate has expired is not.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import Certificate, load_pem_x509_certificates

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import MAX_PEM_BYTES, ProviderTls
from headgate_operator.api.provider import CaSecretRef
from headgate_operator.api.provider import ProviderTls as TlsSpec
from headgate_operator.compile import findings
from headgate_operator.compile.findings import Finding
from headgate_operator.compile.resources import CERTIFICATE_KEY, PRIVATE_KEY_KEY, SecretData, SecretId

_FIELD: Final = "spec.tls"
_AUTHORITIES: Final = "the authorities' certificates in PEM form"
_CERTIFICATE: Final = "the certificate in PEM form, its chain behind it"
_KEY: Final = "the certificate's own private key in PEM form, without a password"


class TlsRead(NamedTuple):
    tls: ProviderTls | None
    """None when there are findings, or nothing is asked for."""
    findings: tuple[Finding, ...]
    refs: int
    """Secrets that it names."""
    resolved: int


def read_tls(spec: TlsSpec | None, namespace: str, secrets: Mapping[SecretId, SecretData]) -> TlsRead:
    if spec is None:
        return TlsRead(None, (), 0, 0)
    faults: list[Finding] = []
    refs = 0
    ca: str | None = None
    pair: _Pair | None = None
    if spec.ca_secret_ref is not None:
        refs += 1
        authorities = _read_ca(spec.ca_secret_ref, namespace, secrets)
        if isinstance(authorities, Finding):
            faults.append(authorities)
        else:
            ca = authorities
    if spec.client_certificate_secret_ref is not None:
        refs += 1
        own = _read_pair(spec.client_certificate_secret_ref.name, namespace, secrets)
        if isinstance(own, Finding):
            faults.append(own)
        else:
            pair = own
    if faults:
        return TlsRead(None, tuple(faults), refs, refs - len(faults))
    tls = ProviderTls(
        ca=ca,
        certificate=None if pair is None else pair.certificate,
        key=None if pair is None else pair.key,
        server_name=spec.server_name,
    )
    return TlsRead(tls, (), refs, refs)


class _Pair(NamedTuple):
    certificate: str
    key: Secret


def _read_ca(ref: CaSecretRef, namespace: str, secrets: Mapping[SecretId, SecretData]) -> str | Finding:
    field = f"{_FIELD}.caSecretRef"
    data = secrets.get(SecretId(namespace, ref.name))
    if data is None:
        return findings.secret_not_found(field, namespace, ref.name, ref.key)
    value = data.values.get(ref.key)
    if value is None:
        return findings.secret_key_not_found(field, ref.name, ref.key, sorted(data.values))
    certificates = _parse_certificates(value)
    if not certificates:
        problem = "it holds no certificate that can be read"
        return findings.malformed_pem(field, ref.name, ref.key, problem, _AUTHORITIES)
    return _write(certificates)


def _read_pair(name: str, namespace: str, secrets: Mapping[SecretId, SecretData]) -> _Pair | Finding:
    field = f"{_FIELD}.clientCertificateSecretRef"
    data = secrets.get(SecretId(namespace, name))
    if data is None:
        return findings.certificate_secret_not_found(field, namespace, name)
    for wanted in (CERTIFICATE_KEY, PRIVATE_KEY_KEY):
        if wanted not in data.values:
            return findings.certificate_key_not_found(field, name, wanted)
    certificates = _parse_certificates(data.values[CERTIFICATE_KEY])
    if not certificates:
        problem = "it holds no certificate that can be read"
        return findings.malformed_pem(field, name, CERTIFICATE_KEY, problem, _CERTIFICATE)
    chain = _write(certificates)
    if len(chain) > MAX_PEM_BYTES:
        problem = f"its certificates are longer than {MAX_PEM_BYTES} bytes together"
        return findings.malformed_pem(field, name, CERTIFICATE_KEY, problem, _CERTIFICATE)
    key = _parse_key(data.values[PRIVATE_KEY_KEY], certificates[0])
    if isinstance(key, Secret):
        return _Pair(chain, key)
    return findings.malformed_pem(field, name, PRIVATE_KEY_KEY, key, _KEY)


def _parse_certificates(pem: Secret) -> list[Certificate]:
    """Empty for what cannot be read, be it only one of several."""
    try:
        return load_pem_x509_certificates(pem.reveal().encode())
    except ValueError:
        return []


def _parse_key(pem: Secret, certificate: Certificate) -> Secret | str:
    """The key, or what is wrong with it. No word of OpenSSL's is passed on: it could quote the key."""
    try:
        key = load_pem_private_key(pem.reveal().encode(), password=None)
    except TypeError:
        return "it is encrypted, and the gateways have no password"
    except (ValueError, UnsupportedAlgorithm):
        return "it holds no private key that can be read"
    try:
        if key.public_key() != certificate.public_key():
            return f"it does not belong to the first certificate in {CERTIFICATE_KEY}"
    except (ValueError, UnsupportedAlgorithm):
        return f"the first certificate in {CERTIFICATE_KEY} is of a kind that cannot be used"
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    if len(text) > MAX_PEM_BYTES:
        return f"it is longer than {MAX_PEM_BYTES} bytes"
    return Secret(text)


def _write(certificates: list[Certificate]) -> str:
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)
