"""Media of a request, fetched from real servers."""

import asyncio
import zlib
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from gateway_runtime.media import MediaFetcher
from gateway_runtime.providers.chat.request import ChatRequest, Message, TextPart
from gateway_runtime.server.tls import build_context
from tests.media.rig import (
    PNG,
    PNG_DATA,
    REMEDY,
    Dns,
    Handle,
    Site,
    chat,
    file,
    image,
    reason,
    refusal,
    saying,
    serving,
    urls,
)
from tests.server.certificates import Authority
from tests.upstream.scripted import count_descriptors, listening, wait_until


async def test_an_image_takes_the_place_of_its_url(fetcher: MediaFetcher, site: Site) -> None:
    asked = chat(image(f"{site.url}/a.png?b=%2F#c"))
    inlined = await fetcher.inline(asked)
    (request,) = site.asked

    assert inlined == chat(image(PNG_DATA))
    assert asked == chat(image(f"{site.url}/a.png?b=%2F#c"))
    assert (request.method, request.path_qs) == ("GET", "/a.png?b=%2F")
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"] == "headgate"
    assert "cookie" not in request.headers


async def test_a_chat_without_urls_comes_back_as_it_is(fetcher: MediaFetcher) -> None:
    asked = chat(image(PNG_DATA), file("data:application/pdf;base64,AA=="))

    assert await fetcher.inline(asked) is asked


async def test_files_and_the_results_of_tools_are_fetched_too(fetcher: MediaFetcher, site: Site) -> None:
    site.pages["/a.pdf"] = saying(body=b"%PDF-1.7", content_type="application/pdf")
    site.pages["/a.txt"] = saying(text="Hello")
    asked = ChatRequest(
        "m",
        [
            Message("user", [TextPart("?"), file(f"{site.url}/a.pdf")]),
            Message("tool", [image(f"{site.url}/a.png"), file(f"{site.url}/a.txt")], tool_call_id="call_1"),
        ],
    )

    assert await fetcher.inline(asked) == ChatRequest(
        "m",
        [
            Message("user", [TextPart("?"), file("data:application/pdf;base64,JVBERi0xLjc=")]),
            Message(
                "tool", [image(PNG_DATA), file("data:text/plain;base64,SGVsbG8=")], tool_call_id="call_1"
            ),
        ],
    )


async def test_each_url_is_fetched_once(fetcher: MediaFetcher, site: Site) -> None:
    url = f"{site.url}/a.png"

    assert urls(await fetcher.inline(chat(image(url), image(url)))) == [PNG_DATA] * 2
    assert len(site.asked) == 1


async def test_several_are_fetched_at_once(fetcher: MediaFetcher, site: Site) -> None:
    site.pages["/0"] = site.pages["/1"] = site.pages["/2"] = site.hang
    task = asyncio.create_task(fetcher.inline(chat(*[image(f"{site.url}/{i}") for i in range(3)])))
    await wait_until(lambda: site.open == 3)
    site.release.set()

    assert urls(await task) == [PNG_DATA] * 3


async def test_an_image_without_a_type_is_known_by_its_first_bytes(fetcher: MediaFetcher, site: Site) -> None:
    site.pages["/a"] = saying(body=PNG, content_type="binary/octet-stream")
    site.pages["/b"] = saying(body=b"?????", content_type="application/octet-stream")

    assert urls(await fetcher.inline(chat(image(f"{site.url}/a")))) == [PNG_DATA]
    assert await reason(fetcher, f"{site.url}/b") == (
        "its server does not say what it is (Content-Type), and its first bytes do not either"
    )


async def test_redirects_are_followed_to_the_third(fetcher: MediaFetcher, site: Site) -> None:
    async with serving() as other:
        site.pages["/0"] = saying(status=301, headers={"location": "/1?x=%2F"})
        site.pages["/1"] = saying(status=302, headers={"location": f"//127.0.0.1:{other.port}/2"})
        other.pages["/2"] = saying(status=307, headers={"location": f"{site.url}/3"})

        assert urls(await fetcher.inline(chat(image(f"{site.url}/0")))) == [PNG_DATA]
        assert [request.path_qs for request in site.asked] == ["/0", "/1?x=%2F", "/3"]


async def test_a_fourth_redirect_is_one_too_many(fetcher: MediaFetcher, site: Site) -> None:
    for i in range(5):
        site.pages[f"/{i}"] = saying(status=308, headers={"location": f"/{i + 1}"})

    assert await reason(fetcher, f"{site.url}/0") == "it was redirected more than 3 times"
    assert len(site.asked) == 4


@pytest.mark.parametrize(
    ("location", "why"),
    [
        (None, "its server redirects to nowhere"),
        (
            "ftp://example.com/",
            "it was redirected, and there its URL begins with neither http:// nor https://",
        ),
        (
            "http://169.254.169.254/latest/meta-data",
            "it was redirected, and there its host is not on the public internet",
        ),
        ("http://u:p@example.com/", "it was redirected, and there its URL has a user name or password"),
    ],
)
async def test_a_redirect_is_checked_as_the_first_url(
    fetcher: MediaFetcher, site: Site, location: str | None, why: str
) -> None:
    headers = {} if location is None else {"location": location}
    site.pages["/a"] = saying(status=302, headers=headers)

    assert await reason(fetcher, f"{site.url}/a") == why


async def test_a_cookie_is_not_kept(fetcher: MediaFetcher, site: Site) -> None:
    headers = {"location": "/b", "set-cookie": "a=b; path=/"}
    site.pages["/a"] = saying(status=302, headers=headers)
    await fetcher.inline(chat(image(f"{site.url}/a")))

    assert "cookie" not in site.asked[1].headers


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (saying(status=404), "its server answered 404"),
        (saying(status=206, body=PNG, content_type="image/png"), "its server answered 206"),
        (saying(status=304), "its server answered 304"),
        (saying(body=b"", content_type="image/png"), "its server sent nothing"),
        (
            saying(body=b'{"internal": "10.0.0.1"}', content_type="application/json"),
            "it is neither an image nor a document (PDF, Word, Excel, CSV, HTML, Markdown, text)",
        ),
        (
            saying(
                body=zlib.compress(PNG), headers={"content-type": "image/png", "content-encoding": "deflate"}
            ),
            "its server compressed it, although it was asked not to",
        ),
    ],
)
async def test_an_answer_that_is_of_no_use_says_why(
    fetcher: MediaFetcher, site: Site, page: Handle, why: str
) -> None:
    site.pages["/a"] = page

    assert await reason(fetcher, f"{site.url}/a") == why


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "its server does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000, "its server does not speak HTTP"),
        (b"", "its server hung up"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 99\r\n\r\nx", "its server hung up"),
    ],
    ids=["ssh", "header", "nothing", "cut"],
)
async def test_a_server_that_speaks_no_http_says_nothing_more(
    fetcher: MediaFetcher, said: bytes, why: str
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async with listening(handle) as port:
        assert await reason(fetcher, f"http://127.0.0.1:{port}/") == why


async def test_a_server_that_is_not_there_is_told_without_its_address(fetcher: MediaFetcher) -> None:
    assert await reason(fetcher, "http://127.0.0.1:1099/") == (
        "there is no connection to its server: connection refused"
    )


async def test_a_certificate_that_nobody_signed_is_not_accepted(
    fetcher: MediaFetcher, tmp_path: Path
) -> None:
    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    tls = build_context(Authority(tmp_path).issue(tmp_path / "x", "x"))
    async with listening(handle, tls) as port:
        why = await reason(fetcher, f"https://127.0.0.1:{port}/")

    assert why == "its server's certificate is not accepted"


async def test_a_server_without_tls_is_not_spoken_to_in_the_clear(fetcher: MediaFetcher, site: Site) -> None:
    assert await reason(fetcher, f"https://127.0.0.1:{site.port}/") == (
        "its server does not speak TLS as we do"
    )


async def test_the_bound_on_bytes_holds_for_all_together_while_they_come(site: Site) -> None:
    sent = 0

    async def pour(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"content-type": "image/png"})
        await response.prepare(request)
        while True:
            await response.write(b"x" * 10_000)
            sent += 10_000

    site.pages["/endless"] = pour
    fetcher = MediaFetcher(allow_private=True, limit_bytes=100_000)
    why = await reason(fetcher, f"{site.url}/endless")
    await fetcher.close()

    assert why == "what the request names by URL has more than 100000 bytes in all"
    assert sent < 20_000_000


async def test_a_length_that_is_too_much_is_not_read(site: Site) -> None:
    site.pages["/a"] = saying(body=b"x" * 60, content_type="image/png")
    site.pages["/b"] = saying(body=b"x" * 40, content_type="image/png")
    exact = MediaFetcher(allow_private=True, limit_bytes=100)
    less = MediaFetcher(allow_private=True, limit_bytes=99)
    asked = chat(image(f"{site.url}/a"), image(f"{site.url}/b"))
    await exact.inline(asked)
    message = await refusal(less, asked)
    await exact.close()
    await less.close()

    assert "what the request names by URL has more than 99 bytes in all" in message


async def test_more_urls_than_the_bound_are_refused_before_any_is_fetched(site: Site) -> None:
    fetcher = MediaFetcher(allow_private=True, limit_count=2)
    message = await refusal(fetcher, chat(*[image(f"{site.url}/{i}") for i in range(3)]))

    assert message == (
        "The request names 3 images and files by URL, and 2 are the most. "
        "Send fewer, or the data itself as data: URLs."
    )
    assert site.asked == []


async def test_the_first_failure_ends_the_others(fetcher: MediaFetcher, site: Site) -> None:
    async def fail_late(_: web.BaseRequest) -> web.StreamResponse:
        await wait_until(lambda: site.open == 2)
        return web.Response(status=410)

    site.pages["/hangs"] = site.hang
    site.pages["/gone"] = fail_late
    message = await refusal(fetcher, chat(image(f"{site.url}/hangs"), file(f"{site.url}/gone")))
    await wait_until(lambda: site.open == 0)

    assert message == (
        f"`messages[0].content[2].file.file_data` could not be fetched: its server answered 410. {REMEDY}"
    )


async def test_one_deadline_holds_for_all(site: Site) -> None:
    site.pages["/hangs"] = site.hang
    fetcher = MediaFetcher(allow_private=True, timeout_s=0.2)
    message = await refusal(fetcher, chat(image(f"{site.url}/fast"), image(f"{site.url}/hangs")))
    await fetcher.close()
    await wait_until(lambda: site.open == 0)

    assert message == (
        "`messages[0].content[2].image_url.url` could not be fetched: it was not there within 0.2 s. "
        f"{REMEDY}"
    )


async def test_a_caller_that_leaves_leaves_nothing_behind(fetcher: MediaFetcher, site: Site) -> None:
    await fetcher.inline(chat(image(f"{site.url}/warm")))
    before = count_descriptors()
    site.pages["/a"] = site.pages["/b"] = site.hang
    task = asyncio.create_task(fetcher.inline(chat(image(f"{site.url}/a"), image(f"{site.url}/b"))))
    await wait_until(lambda: site.open == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await wait_until(lambda: site.open == 0 and count_descriptors() <= before)

    assert task.cancelled()


async def test_a_fetcher_can_be_closed_without_ever_having_fetched(strict: MediaFetcher) -> None:
    await strict.close()


async def test_proxies_of_the_environment_are_not_used(
    fetcher: MediaFetcher, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    assert urls(await fetcher.inline(chat(image(f"{site.url}/a")))) == [PNG_DATA]


async def test_a_bug_is_not_the_callers_mistake() -> None:
    class Broken(Dns):
        async def look_up(self, host: str, port: int) -> list[str]:
            raise RuntimeError("a bug")

    fetcher = MediaFetcher(lookup=Broken().look_up)
    with pytest.raises(ExceptionGroup) as caught:
        await fetcher.inline(chat(image("http://example.com/")))
    await fetcher.close()

    assert str(caught.value.exceptions[0]) == "a bug"
    assert not isinstance(caught.value.exceptions[0], aiohttp.ClientError)
