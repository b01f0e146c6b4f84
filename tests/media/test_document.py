"""Documents behind URLs that quotas name: over TLS, from the public internet, within bounds."""

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from gateway_runtime.media import DocumentFetcher, Unfetchable
from gateway_runtime.media.document import FetchedDocument
from tests.media.rig import Dns, Site, saying
from tests.server.certificates import Authority

NOWHERE = "its host has no address on the public internet"


@pytest.fixture
async def documents() -> AsyncIterator[DocumentFetcher]:
    """Of a gateway whose owner allows private addresses."""
    documents = DocumentFetcher(allow_private=True)
    yield documents
    await documents.close()


async def why_not(documents: DocumentFetcher, url: str, limit_bytes: int = 1000) -> str:
    with pytest.raises(Unfetchable) as caught:
        await documents.fetch(url, limit_bytes)
    return caught.value.reason


async def test_a_document_comes_with_what_its_server_says_of_caching(
    documents: DocumentFetcher, site: Site
) -> None:
    site.pages["/keys"] = saying(body=b"{}", headers={"cache-control": "max-age=300"})
    site.pages["/plain"] = saying(body=b"[]")

    assert await documents.fetch(f"{site.url}/keys", 2) == FetchedDocument(b"{}", "max-age=300")
    assert await documents.fetch(f"{site.url}/plain", 2) == FetchedDocument(b"[]", "")
    assert site.asked[0].headers["accept"].startswith("application/json")
    assert site.asked[0].headers["user-agent"] == "headgate"


async def test_one_that_is_larger_than_it_may_be_is_given_up(documents: DocumentFetcher, site: Site) -> None:
    site.pages["/keys"] = saying(body=b"x" * 101)

    assert await why_not(documents, f"{site.url}/keys", 100) == "it has more than 100 bytes"


@pytest.mark.parametrize("status", [404, 500, 204])
async def test_anything_but_a_good_answer_is_none(
    documents: DocumentFetcher, site: Site, status: int
) -> None:
    site.pages["/keys"] = saying(status=status)

    assert await why_not(documents, f"{site.url}/keys") == f"its server answered {status}"


async def test_redirects_are_not_followed(documents: DocumentFetcher, site: Site) -> None:
    site.pages["/keys"] = saying(status=302, headers={"location": "/elsewhere"})

    assert await why_not(documents, f"{site.url}/keys") == "its server redirects, which is not followed"
    assert [request.path for request in site.asked] == ["/keys"]


async def test_in_the_clear_only_this_machine_is_asked(documents: DocumentFetcher, site: Site) -> None:
    reason = "its URL does not begin with https://"

    assert await why_not(documents, "http://login.example.com/keys") == reason
    assert await why_not(documents, "http://10.0.0.1/keys") == reason
    assert await why_not(documents, f"http://127.0.0.1.example.com:{site.port}/keys") == reason
    assert (await documents.fetch(f"http://localhost:{site.port}/", 1000)).body != b""


async def test_as_it_comes_no_private_address_is_asked(site: Site) -> None:
    documents = DocumentFetcher(lookup=Dns(["10.0.0.1"]).look_up)

    assert await why_not(documents, f"{site.url}/keys") == "its host is not on the public internet"
    assert await why_not(documents, "https://login.example.com/keys") == NOWHERE
    assert await why_not(documents, f"http://localhost:{site.port}/keys") == NOWHERE
    assert site.asked == []
    await documents.close()


async def test_metadata_servers_are_never_asked(documents: DocumentFetcher) -> None:
    assert (
        await why_not(documents, "https://169.254.169.254/keys") == "its host is not on the public internet"
    )


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://login.example.com/keys", "its URL begins with neither http:// nor https://"),
        ("https://user:word@login.example.com/keys", "its URL has a user name or password"),
        ("https:///keys", "its URL names no host"),
        ("", "its URL begins with neither http:// nor https://"),
    ],
)
async def test_a_url_that_makes_no_sense_is_refused(
    documents: DocumentFetcher, url: str, reason: str
) -> None:
    assert await why_not(documents, url) == reason


@asynccontextmanager
async def serving_tls(authority: Authority, folder: Path) -> AsyncIterator[str]:
    """Gives a URL."""
    files = authority.issue(folder / "server", "keys")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    runner = web.ServerRunner(web.Server(saying(body=b"{}")), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}/keys"
    finally:
        await runner.cleanup()


async def test_a_certificate_of_an_authority_that_the_system_does_not_know_is_not_accepted(
    documents: DocumentFetcher, tmp_path: Path
) -> None:
    async with serving_tls(Authority(tmp_path), tmp_path) as url:
        reason = await why_not(documents, url)

    assert reason == "its server's certificate is not accepted"


PROGRAM = """
import asyncio, sys
from gateway_runtime.media import DocumentFetcher

async def main():
    documents = DocumentFetcher(allow_private=True)
    sys.stdout.write((await documents.fetch(sys.argv[1], 1000)).body.decode())
    await documents.close()

asyncio.run(main())
"""


async def test_the_systems_authorities_are_trusted(tmp_path: Path) -> None:
    """In a process of its own: which they are is read once, from where OpenSSL looks."""
    authority = Authority(tmp_path)
    async with serving_tls(authority, tmp_path) as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            url,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "SSL_CERT_FILE": str(authority.path)},
        )
        told, _ = await process.communicate()

    assert told == b"{}"
