"""A stranger's URL, as far as its text shows whether it may be fetched: text in, yarl's URL out.

`http` calls `parse_url` for what the caller gave and for each redirect, and fetches what comes out, so that
there is one reading of it and no other. Where it leads is not decided here, but for addresses in plain sight.
"""

import re
from typing import Final

from yarl import URL

from gateway_runtime.media.failure import Unfetchable
from gateway_runtime.media.network import is_allowed

MAX_CHARACTERS: Final = 8192
"""Signed URLs have up to some 2,000; more than this no server takes."""

FIRST_FREE_PORT: Final = 1024
"""Below are 80 and 443, and others that speak no HTTP and might take ours for theirs: SMTP, for one."""

_VISIBLE: Final = re.compile(r"[!-~]+")
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")
_ADDRESS: Final = re.compile(r"[0-9.]+|.*:.*")


def parse_url(text: str, *, base: URL | None, allow_private: bool) -> URL:
    """base: of a redirect, which may be relative. Raises Unfetchable."""
    if len(text) > MAX_CHARACTERS:
        raise Unfetchable(f"its URL is longer than {MAX_CHARACTERS} characters")
    if _CONTROL.search(text):
        raise Unfetchable("its URL has a space or a control character")
    try:
        # Visible ASCII goes out as it came: to quote it anew would break the signature of a signed URL.
        url = URL(text, encoded=_VISIBLE.fullmatch(text) is not None)
        if base is not None:
            url = base.join(url)
        host, port = url.raw_host, url.port or 0
    except ValueError as error:
        raise Unfetchable("its URL cannot be read") from error
    if url.scheme not in ("http", "https"):
        raise Unfetchable("its URL begins with neither http:// nor https://")
    if not host:
        raise Unfetchable("its URL names no host")
    if url.raw_user is not None or url.raw_password is not None:
        raise Unfetchable("its URL has a user name or password")
    if port not in (80, 443) and port < FIRST_FREE_PORT:
        raise Unfetchable(f"its port is neither 80, 443 nor one from {FIRST_FREE_PORT}")
    if _ADDRESS.fullmatch(host) and not is_allowed(host, allow_private=allow_private):
        raise Unfetchable("its host is not on the public internet")
    return url
