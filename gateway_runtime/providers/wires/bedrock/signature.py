"""AWS's Signature Version 4: a request, an access key and the time in, the headers that sign it out.

`wire` calls it for each attempt, since the time is part of what is signed.
Algorithm: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

The subtle rule: the path is encoded once more before it is signed (`%3A` becomes `%253A`), as for every
service but S3; and the host is signed as the client writes it, without the port that is the scheme's own.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlsplit

from gateway_runtime.providers.wires.bedrock.credentials import AccessKey

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_OWN_PORTS: Final = {"http": 80, "https": 443}


def sign(
    access: AccessKey,
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    region: str,
    service: str,
    unix_s: float,
) -> dict[str, str]:
    """headers: those to be signed beside the host, the date and the session token; in lower case, trimmed.
    Gives `authorization`, `x-amz-date`, and `x-amz-security-token` for temporary credentials. 7 µs.
    """
    host, path, query = _read_url(url)
    at = _write_time(int(unix_s))
    added = {"x-amz-date": at}
    if access.session_token is not None:
        added["x-amz-security-token"] = access.session_token.reveal()
    signed = sorted({**headers, **added, "host": host}.items())
    names = ";".join([name for name, _ in signed])
    lines = "\n".join([f"{name}:{value}" for name, value in signed])
    digest = hashlib.sha256(body).hexdigest()
    canonical = f"{method}\n{path}\n{query}\n{lines}\n\n{names}\n{digest}"
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    text = f"{_ALGORITHM}\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = _derive_key(access.secret.reveal(), at[:8], region, service)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    added["authorization"] = (
        f"{_ALGORITHM} Credential={access.id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return added


# One for each URL of each model: the paths are few, and to parse one costs more than to sign it.
@lru_cache(maxsize=1024)
def _read_url(url: str) -> tuple[str, str, str]:
    """Host, path and query, each as it is signed."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    if parts.port is not None and parts.port != _OWN_PORTS.get(parts.scheme):
        host = f"{host}:{parts.port}"
    query = "&".join(sorted(part if "=" in part else f"{part}=" for part in parts.query.split("&") if part))
    return host, quote(parts.path or "/", safe="/~"), query


@lru_cache(maxsize=4)
def _write_time(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y%m%dT%H%M%SZ")


# It changes once a day; deriving it takes four rounds, 6 µs.
@lru_cache(maxsize=64)
def _derive_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for word in (day, region, service, "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key
