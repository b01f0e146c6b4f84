"""The certificate authority of the config stream: what signs, what gateways trust, and when each is replaced.

In: the authority's PEM files (None at first) and the time. Out: an Authority, its trust bundle, and serving
certificates. `certificates` keeps them in Secrets; nothing here reads a clock or a disk.

An authority is a row of generations, oldest first:

    |--- generation 1, one year -----------------------------|
                        at 2/3: |--- generation 2, one year ------------------------------|
        signs: 1 ................................. until here: 2 ....................
                                                   (30 days before the end of 1)

The one subtle rule: a new generation is trusted for about three months before it signs anything, so that
every gateway has met it in its bundle by then; and no serving certificate outlives what signed it.
"""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE: Final = dt.timedelta(days=365)
SERVING_LIFE: Final = dt.timedelta(days=30)
BACKDATED: Final = dt.timedelta(hours=1)
"""Clocks of nodes differ; a certificate from the future is refused."""
_KEY_BEGIN: Final = b"-----BEGIN PRIVATE KEY-----"


class MalformedAuthority(ValueError):
    """PEM files that are no authority: somebody edited the Secret."""


class Generation(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        until = self.certificate.not_valid_after_utc
        return f"Generation({self.certificate.serial_number:x}, until {until:%Y-%m-%d})"


class Authority(NamedTuple):
    generations: tuple[Generation, ...]
    """One or two, oldest first."""

    @property
    def bundle(self) -> bytes:
        """PEM of every generation: what gateways trust."""
        return b"".join(encode_certificate(g.certificate) for g in self.generations)

    @property
    def keys(self) -> bytes:
        """PEM, unencrypted, in the order of the bundle. For the operator's own Secret only."""
        return b"".join(_encode_key(g.key) for g in self.generations)


class ServingCertificate(NamedTuple):
    chain: bytes
    """PEM."""
    key: bytes
    """PEM, unencrypted."""
    renew_at: dt.datetime
    signer: x509.Certificate

    def __repr__(self) -> str:
        return f"ServingCertificate(renew_at={self.renew_at:%Y-%m-%d})"


def rotate_authority(authority: Authority | None, now: dt.datetime) -> Authority:
    """The authority as it should be at `now`: the same object when nothing is due."""
    kept = tuple(g for g in authority.generations if _ends(g) > now) if authority else ()
    if not kept or now >= _two_thirds(kept[-1].certificate):
        kept = (*kept, _make_generation(now))
    if authority is not None and kept == authority.generations:
        return authority
    return Authority(kept)


def choose_signer(authority: Authority, now: dt.datetime) -> Generation:
    """The oldest generation that outlives a serving certificate made now; the newest when none does."""
    for generation in authority.generations:
        if _ends(generation) >= now + SERVING_LIFE:
            return generation
    return authority.generations[-1]


def issue_serving_certificate(
    authority: Authority, dns_names: Sequence[str], ip_addresses: Sequence[str], now: dt.datetime
) -> ServingCertificate:
    """`dns_names` and `ip_addresses`: how gateways address the operator. Raises ValueError when there are
    none, or for an address that does not parse.
    """
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns_names]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ip_addresses]
    if not names:
        raise ValueError("a serving certificate needs a DNS name or an IP address of the operator's Service")
    signer = choose_signer(authority, now)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name("headgate operator"))
        .issuer_name(signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(min(now + SERVING_LIFE, _ends(signer)))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), critical=False
        )
        .sign(signer.key, hashes.SHA256())
    )
    return ServingCertificate(
        chain=encode_certificate(certificate),
        key=_encode_key(key),
        renew_at=_two_thirds(certificate),
        signer=signer.certificate,
    )


def parse_authority(bundle: bytes, keys: bytes) -> Authority:
    """Raises MalformedAuthority, with what is wrong and without quoting a key."""
    try:
        certificates = x509.load_pem_x509_certificates(bundle)
        pairs = [
            Generation(certificate, _parse_key(pem))
            for certificate, pem in zip(certificates, _split_keys(keys), strict=True)
        ]
    except (ValueError, TypeError) as error:
        raise MalformedAuthority("ca.crt and ca.key are not as many certificates as EC keys") from error
    for pair in pairs:
        if pair.certificate.public_key() != pair.key.public_key():
            raise MalformedAuthority(
                f"the key of certificate {pair.certificate.serial_number:x} is another's"
            )
        try:
            pair.certificate.verify_directly_issued_by(pair.certificate)
        except (InvalidSignature, ValueError, TypeError) as error:
            serial = pair.certificate.serial_number
            raise MalformedAuthority(f"certificate {serial:x} is not signed by itself") from error
    return Authority(tuple(sorted(pairs, key=_ends)))


def encode_certificate(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _make_generation(now: dt.datetime) -> Generation:
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # Two generations with one subject would make a verifier try the wrong one first.
    name = _name(f"headgate config stream {serial:x}"[:64])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Generation(certificate, key)


def _two_thirds(certificate: x509.Certificate) -> dt.datetime:
    begins = certificate.not_valid_before_utc + BACKDATED
    return begins + (certificate.not_valid_after_utc - begins) * 2 / 3


def _ends(generation: Generation) -> dt.datetime:
    return generation.certificate.not_valid_after_utc


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _encode_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _split_keys(keys: bytes) -> list[bytes]:
    return [_KEY_BEGIN + rest for rest in keys.split(_KEY_BEGIN)[1:]]


def _parse_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not an EC key")
    return key
