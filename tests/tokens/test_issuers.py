"""What holds for all who issue tokens: where secrets may go, and what an answer means."""

from collections.abc import Iterator

import pytest

from gateway_runtime.engine.retry import Outcome
from gateway_runtime.tokens import TokenRefused
from gateway_runtime.tokens.issuers import Place, check_place
from gateway_runtime.upstream.exchange import UpstreamFailure
from tests.tokens.rig import Answer, Rig, rigged, saying, service_account, token, vertex


async def failure(rig: Rig, answer: Answer) -> UpstreamFailure:
    rig.issuer.answers = [answer]
    with pytest.raises(UpstreamFailure) as caught:
        await rig.get(vertex(service_account(rig.issuer.url)))
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "https://oauth2.googleapis.com/token",
        "https://10.0.0.7:8443/token",
        "http://127.0.0.1:8080/token",
        "http://127.8.9.10/token",
        "http://[::1]/token",
        "http://localhost/token",
        "http://169.254.169.254/token",
    ],
)
def test_secrets_go_over_tls_or_stay_on_the_node(url: str) -> None:
    assert check_place(Place("it", url, frozenset({"169.254.169.254"}))).host in url


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/",
        "http://10.0.0.7/",
        "http://169.254.170.2/",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example/",
        "http://127.1/",
        "HTTP://EVIL.EXAMPLE/",
    ],
)
def test_secrets_go_nowhere_in_the_clear(url: str) -> None:
    with pytest.raises(TokenRefused, match=r"^it does not begin with https://, and secrets are not sent"):
        check_place(Place("it", url, frozenset({"169.254.169.254"})))


@pytest.mark.parametrize(
    "url", ["", "oauth2.googleapis.com", "file:///etc/passwd", "https://a b/", "https://a#b"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(TokenRefused, match=r"^it is not a URL: "):
        check_place(Place("it", url))


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (saying({"error": "x"}, 429), Outcome.RATE_LIMITED, "token endpoint {}: it answered 429"),
        (Answer(b"<html>", 503), Outcome.SERVER_ERROR, "token endpoint {}: it answered 503"),
        (
            saying({"error": "temporarily_unavailable"}, 400),
            Outcome.SERVER_ERROR,
            "token endpoint {}: it answered 400",
        ),
        (
            Answer(b"", 302, {"location": "https://elsewhere.example"}),
            Outcome.MALFORMED,
            "token endpoint {}: it answered 302, not 200",
        ),
        (Answer(b"", 204), Outcome.MALFORMED, "token endpoint {}: it answered 204, not 200"),
        (
            Answer(b"x" * 70_000),
            Outcome.MALFORMED,
            "token endpoint {}: an answer of more than 65536 bytes",
        ),
        (
            Answer(b"<html>"),
            Outcome.MALFORMED,
            "the token endpoint's answer makes no sense: it is not JSON",
        ),
        (
            Answer(b'{"access_token": "\xff", "expires_in": 1}'),
            Outcome.MALFORMED,
            "the token endpoint's answer makes no sense: it is not JSON",
        ),
        (
            Answer(b"[" * 50_000),
            Outcome.MALFORMED,
            "the token endpoint's answer makes no sense: Expected `object`, got `array`",
        ),
        (
            token(""),
            Outcome.MALFORMED,
            "the token endpoint's answer makes no sense: Expected text, got none - at `$.access_token`",
        ),
        (
            saying({"access_token": "minted"}),
            Outcome.MALFORMED,
            "the token endpoint's answer makes no sense: Object missing required field `expires_in`",
        ),
        (
            token("minted", "soon"),
            Outcome.MALFORMED,
            "the token endpoint's answer makes no sense: Expected `float`, got `str` - at `$.expires_in`",
        ),
        (
            token("minted", 0),
            Outcome.MALFORMED,
            "the token endpoint's answer makes no sense: "
            "the token has ended already; is this node's clock right?",
        ),
    ],
)
async def test_an_answer_that_is_neither_a_token_nor_a_refusal_is_a_failure(
    rig: Rig, answer: Answer, outcome: Outcome, reason: str
) -> None:
    failed = await failure(rig, answer)

    assert failed.outcome is outcome
    assert failed.reason == reason.format(rig.issuer.host)


async def test_an_issuer_that_is_not_there_is_named(rig: Rig) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        await rig.get(vertex(service_account("http://127.0.0.1:1/token")))

    assert caught.value.outcome is Outcome.CONNECT_FAILED
    assert caught.value.reason == "token endpoint 127.0.0.1:1: connection refused"


async def test_an_issuer_that_is_silent_is_given_up() -> None:
    async with rigged(exchange_s=0.05) as rig:
        rig.issuer.open.clear()
        with pytest.raises(UpstreamFailure) as caught:
            await rig.get(vertex(service_account(rig.issuer.url)))

        assert caught.value.outcome is Outcome.TIMEOUT
        assert caught.value.reason == "no token within 0.05 s"


SENTENCES = [
    saying({"error": "no such key: s3cr3t", "error_description": "s3cr3t"}, 401),
    saying({"error": {"status": "s3cr3t is wrong", "message": "s3cr3t"}}, 401),
    saying({"error": ["s3cr3t"]}, 401),
    saying({"Error": {"Code": "s3cr3t", "Message": "s3cr3t"}}, 401),
    saying({"code": 4711, "message": "s3cr3t"}, 401),
    Answer(b"s3cr3t", 401),
    Answer(b"\xff", 401),
    Answer(b"", 401),
]


def number(answers: list[Answer]) -> Iterator[str]:
    return (answer.body.decode(errors="replace")[:20] for answer in answers)


@pytest.mark.parametrize("answer", SENTENCES, ids=number(SENTENCES))
async def test_a_refusal_quotes_nothing_but_a_word_of_letters(rig: Rig, answer: Answer) -> None:
    rig.issuer.answers = [answer]
    with pytest.raises(TokenRefused) as caught:
        await rig.get(vertex(service_account(rig.issuer.url)))

    assert caught.value.reason == "the service account's key was refused (401)"
