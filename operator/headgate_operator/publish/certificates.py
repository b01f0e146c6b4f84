"""The authority's place in the cluster, and the TLS context of the running server.

    headgate-ca          ca.crt, ca.key   the authority; the operator's replicas only
    headgate-ca-bundle   ca.crt           what gateways mount and trust

Every replica signs a serving certificate of its own with the shared authority and keeps it in memory.
`publisher` calls `refresh` once before it listens, then runs `run` beside the traffic.

The one subtle rule: the bundle is read before the authority and written under the version that was read, so
that a slow replica can never put an older bundle over a newer one.
"""

import asyncio
import datetime as dt
import os
import ssl
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from headgate_operator.kube import Conflict, KubeError, KubeSecret, MalformedSecret
from headgate_operator.publish.authority import (
    Authority,
    MalformedAuthority,
    ServingCertificate,
    issue_serving_certificate,
    parse_authority,
    rotate_authority,
)
from headgate_operator.publish.secret_store import LABELS, SecretStore
from headgate_operator.settings import OperatorSettings

log = structlog.get_logger()

AUTHORITY_SECRET: Final = "headgate-ca"
BUNDLE_SECRET: Final = "headgate-ca-bundle"
CERTIFICATES_KEY: Final = "ca.crt"
KEYS_KEY: Final = "ca.key"
CHECK_S: Final = 600.0
"""Two reads each time. A bundle that somebody deleted is back after this long."""
RETRY_S: Final = 30.0
ATTEMPTS: Final = 5
"""Replicas that start together meet on these Secrets; each lost race is one attempt."""


class Certificates:
    """`context` is the one that the server listens with: a renewed certificate is loaded into it, so new
    connections see it and old ones never notice.
    """

    def __init__(
        self, store: SecretStore, settings: OperatorSettings, clock: Callable[[], dt.datetime]
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._serving: ServingCertificate | None = None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3

    async def run(self) -> None:
        """Until cancelled. Trouble is logged; what serves meanwhile stays good for days."""
        delay_s = CHECK_S
        while True:
            await asyncio.sleep(delay_s)
            delay_s = CHECK_S if await self._try_refresh() else RETRY_S

    async def refresh(self) -> None:
        """Makes, rotates and renews what is due. Raises KubeError or MalformedSecret."""
        now = self._clock()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                authority = await self._align_secrets(now)
                break
            except Conflict:
                if attempt == ATTEMPTS:
                    raise
        serving = self._serving
        signers = [generation.certificate for generation in authority.generations]
        if serving is None or serving.signer not in signers or now >= serving.renew_at:
            settings = self._settings
            serving = issue_serving_certificate(authority, settings.dns_names, settings.ip_addresses, now)
            _load_certificate(self.context, serving)
            self._serving = serving
            log.info("serving certificate issued", renew_at=serving.renew_at.isoformat())

    async def _try_refresh(self) -> bool:
        try:
            await self.refresh()
        except (KubeError, MalformedSecret) as error:
            log.warning("certificates not refreshed", error=str(error))
            return False
        return True

    async def _align_secrets(self, now: dt.datetime) -> Authority:
        namespace = self._settings.own_namespace
        bundle = await self._store.read_secret(namespace, BUNDLE_SECRET)
        kept = await self._store.ensure_secret(
            namespace, AUTHORITY_SECRET, lambda: _encode_authority(rotate_authority(None, now)), LABELS
        )
        before = _parse_secret(kept)
        authority = rotate_authority(before, now)
        if authority is not before:
            await self._store.replace_secret(kept, _encode_authority(authority))
            log.info("certificate authority rotated", generations=len(authority.generations))
        public = {CERTIFICATES_KEY: authority.bundle}
        if bundle is None:
            bundle = await self._store.ensure_secret(namespace, BUNDLE_SECRET, lambda: public, LABELS)
        if dict(bundle.data) != public:
            await self._store.replace_secret(bundle, public)
        return authority


def _encode_authority(authority: Authority) -> Mapping[str, bytes]:
    return {CERTIFICATES_KEY: authority.bundle, KEYS_KEY: authority.keys}


def _parse_secret(secret: KubeSecret) -> Authority:
    try:
        return parse_authority(secret.data.get(CERTIFICATES_KEY, b""), secret.data.get(KEYS_KEY, b""))
    except MalformedAuthority as error:
        raise MalformedSecret(
            f"Secret {secret.namespace}/{secret.name}: {error}. Put back what it held, or delete it: "
            "the operator then makes a new authority, and gateways connect once they have mounted its bundle"
        ) from error


def _load_certificate(context: ssl.SSLContext, serving: ServingCertificate) -> None:
    """From a file in memory: the pod's file system is read-only, and a key has no business on a disk."""
    descriptor = os.memfd_create("headgate-serving-certificate")
    with os.fdopen(descriptor, "wb") as file:
        file.write(serving.chain + serving.key)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
