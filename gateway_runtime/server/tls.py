"""TLS on the front port: certificate files in, an SSLContext for the listener out, changed files followed.

`main` makes a FrontTls at the start, gives its `context` to the listener and runs `run` beside the traffic;
SIGHUP calls `look` at once. New connections see the new certificate, old ones never notice.

The one subtle rule: the listener keeps its first context for ever, and each handshake is moved to the newest
one before a certificate is chosen (OpenSSL's server-name callback, which comes without a name too). Rejected:
loading new files into the context that serves. A pair that does not match would leave it with half of it.
"""

import asyncio
import os
import ssl
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from gateway_runtime.server.settings import TlsFiles

log = structlog.get_logger()

LOOK_EVERY_S: Final = 2.0
"""The kubelet itself takes up to a minute to bring a changed Secret into a pod."""

HANDSHAKE_S: Final = 10.0
"""For a caller to finish its handshake; asyncio's own 60 s would let idlers collect."""

GOODBYE_S: Final = 1.0
"""For a caller to answer our close_notify, as it need not (RFC 8446, 6.1)."""

_Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class UnusableCertificate(Exception):
    """The files at the start: names the file and the remedy. Whoever gave the command is at fault."""


class FrontTls:
    """Called from one thread: the loop's."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises UnusableCertificate."""
        self._files = files
        self._seen = _stamp(files)
        self.context = self._current = build_context(files)
        self.context.sni_callback = self._choose

    async def run(self, every_s: float = LOOK_EVERY_S) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            self.look()

    def look(self) -> None:
        """Takes the files if they have changed. Kubernetes swaps a symlink above them, so what stands behind
        the path counts: inode, size and time.
        """
        now = _stamp(self._files)
        if now == self._seen:
            return
        self._seen = now  # from before the reading: a change in the middle of it is seen next time
        try:
            self._current = build_context(self._files)
        except UnusableCertificate as error:
            log.warning("certificate refused, the one before serves on", reason=str(error))
        else:
            log.info("certificate taken", certificate=str(self._files.certificate))

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        connection.context = self._current


def build_context(files: TlsFiles) -> ssl.SSLContext:
    """Raises UnusableCertificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    certificate = _read("--tls-cert", files.certificate)
    _read("--tls-key", files.key)
    try:
        # An empty passphrase: without one OpenSSL would ask for it on the terminal.
        context.load_cert_chain(files.certificate, files.key, password="")
    except OSError as error:
        raise UnusableCertificate(_explain_pair(files, certificate, error)) from error
    if files.client_authority is not None:
        authority = _read("--tls-client-ca", files.client_authority).decode(errors="replace")
        try:
            context.load_verify_locations(cadata=authority)
        except (ssl.SSLError, ValueError) as error:
            raise UnusableCertificate(
                f"--tls-client-ca {files.client_authority} holds no certificate in PEM: "
                "give the authority that signs your callers' certificates"
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
        context.num_tickets = 0  # a resumed session would not be verified by a new authority
        context.options |= ssl.OP_NO_TICKET
    return context


def _explain_pair(files: TlsFiles, certificate: bytes, error: OSError) -> str:
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return (
            f"--tls-key {files.key} does not belong to --tls-cert {files.certificate}: "
            "give the two files of one Secret"
        )
    if b"-----BEGIN CERTIFICATE-----" not in certificate:
        return (
            f"--tls-cert {files.certificate} holds no certificate in PEM: "
            "give the chain, the server's certificate first"
        )
    return (
        f"--tls-cert {files.certificate} and --tls-key {files.key} do not load: "
        "both must be whole PEM files, the key without a passphrase"
    )


def _read(option: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableCertificate(
            f"{option} {path} cannot be read ({error.strerror or error}): "
            "give the path of a PEM file that this process may read"
        ) from error


def _stamp(files: TlsFiles) -> _Stamp:
    paths = (files.certificate, files.key, files.client_authority)
    return tuple(None if path is None else _stamp_one(path) for path in paths)


def _stamp_one(path: Path) -> tuple[int, int, int] | None:
    """None for a file that is not there at the moment."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
