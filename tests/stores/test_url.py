"""How the address of a store is written, and what is wrong with one."""

from pathlib import Path

import pytest

from gateway_runtime.stores import open_store
from gateway_runtime.stores.store import WrongStore
from gateway_runtime.stores.url import StoreUrl, parse_store_url

NONE = StoreUrl((("redis", 6379),), None, 0, False, None, None, "headgate")


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("redis://redis", NONE),
        ("redis://redis:7000/3", NONE._replace(hosts=(("redis", 7000),), database=3)),
        ("redis://ga%40te@redis?prefix=hg", NONE._replace(user="ga@te", prefix="hg")),
        ("rediss://[::1]:7000/", NONE._replace(hosts=(("::1", 7000),), tls=True)),
        (
            "redis+sentinel://user@a,b:1,[::1]/limits",
            NONE._replace(hosts=(("a", 26379), ("b", 1), ("::1", 26379)), master="limits", user="user"),
        ),
        ("rediss+sentinel://a/limits", NONE._replace(hosts=(("a", 26379),), master="limits", tls=True)),
    ],
)
def test_a_url_is_read(url: str, parsed: StoreUrl) -> None:
    assert parse_store_url(url) == parsed


def test_an_authority_is_a_file_that_is_there(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("PEM")

    parsed = parse_store_url(f"rediss://redis?ca={authority}&prefix=a")

    assert parsed == NONE._replace(tls=True, authority=authority, prefix="a")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "http://redis",
            "the store's URL begins with one of redis, rediss, redis+sentinel, rediss+sentinel://, as in "
            "redis://host:6379/0",
        ),
        (
            "redis://:planted@redis",
            "the store's URL has a password: set HEADGATE_STORE_PASSWORD instead and remove it",
        ),
        ("redis:///0", "the store's URL names no host, as in redis://host:6379/0"),
        ("redis://redis:x", "the store's URL has no valid host and port: redis:x"),
        ("redis://redis:65536", "the store's URL has no valid host and port: redis:65536"),
        (
            "redis://a,b",
            "the store's URL names several hosts, and no sentinels: begin it with redis+sentinel://",
        ),
        ("redis://redis/one", "the store's database is a number, as in redis://host:6379/0, not one"),
        ("redis+sentinel://a", "the store's URL names no master: redis+sentinel://host:26379/name"),
        ("redis+sentinel://a/b/c", "the store's URL names no master: redis+sentinel://host:26379/name"),
        ("redis+sentinel://a,,b/c", "the store's URL names no host, as in redis://host:6379/0"),
        ("redis://redis?db=1", "the store's URL has unknown options: db. Known: ca, prefix"),
        ("redis://redis?prefix={a}", "the store's prefix is letters, digits and any of _ . : -, not '{a}'"),
        ("redis://redis?prefix=", "the store's prefix is letters, digits and any of _ . : -, not ''"),
        (
            "redis://redis?ca=/ca.pem",
            "the store's URL has `ca`, and no TLS: begin it with rediss://, or leave `ca` out",
        ),
        ("rediss://redis?ca=/not/there", "the store's authority is not there: /not/there is no file"),
    ],
)
def test_a_wrong_url_is_told_what_to_change(url: str, words: str) -> None:
    with pytest.raises(WrongStore) as raised:
        open_store(url, "planted")

    assert str(raised.value) == words
