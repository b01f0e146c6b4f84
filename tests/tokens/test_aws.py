"""AWS: keys for the pod's own role, from STS or from the agent on the node."""

import json
from pathlib import Path

import pytest

from gateway_runtime.contract.table import Provider
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.tokens import TokenRefused
from gateway_runtime.upstream.exchange import UpstreamFailure
from tests.tokens.fakes import DeafTransport, ask_once
from tests.tokens.rig import UNIX_S, Answer, Rig, bedrock, saying

ROLE = "arn:aws:iam::123456789012:role/gateway"
KEYS = {"accessKeyId": "ASIA1", "secretAccessKey": "a/b+c=", "sessionToken": "session=="}
MEMBERS = {"AccessKeyId": "ASIA1", "SecretAccessKey": "a/b+c=", "SessionToken": "session=="}


def sts(expiration: object = UNIX_S + 3600) -> Answer:
    result = {"Credentials": {**MEMBERS, "Expiration": expiration}, "Audience": "sts.amazonaws.com"}
    return saying({"AssumeRoleWithWebIdentityResponse": {"AssumeRoleWithWebIdentityResult": result}})


XML = b"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <Credentials>
      <SessionToken>session==</SessionToken>
      <SecretAccessKey>a/b+c=</SecretAccessKey>
      <Expiration>2023-11-14T23:13:20Z</Expiration>
      <AccessKeyId>ASIA1</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>
"""
AGENT = {
    "AccessKeyId": "ASIA1",
    "SecretAccessKey": "a/b+c=",
    "Token": "session==",
    "Expiration": "2023-11-14T23:13:20Z",
}


@pytest.fixture
def irsa(rig: Rig, tmp_path: Path) -> Path:
    """The file with the pod's token."""
    path = tmp_path / "token"
    path.write_text("projected\n")
    rig.environment.update(
        {
            "AWS_ROLE_ARN": ROLE,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(path),
            "AWS_ENDPOINT_URL_STS": f"{rig.issuer.url}/",
        }
    )
    rig.issuer.answers = [sts()]
    return path


@pytest.fixture
def agent(rig: Rig, tmp_path: Path) -> Path:
    """The file with the pod's token."""
    path = tmp_path / "eks-pod-identity-token"
    path.write_text("agents")
    rig.environment.update(
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{rig.issuer.url}/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(path),
        }
    )
    rig.issuer.answers = [saying(AGENT)]
    return path


async def refusal(rig: Rig, provider: Provider) -> str:
    with pytest.raises(TokenRefused) as caught:
        await rig.get(provider)
    return caught.value.reason


@pytest.mark.usefixtures("irsa")
async def test_a_role_is_assumed_with_the_pods_token(rig: Rig) -> None:
    minted = await rig.get(bedrock())
    (asked,) = rig.issuer.asked

    assert json.loads(minted) == KEYS
    assert (asked.method, asked.path) == ("POST", "/")
    assert asked.headers["accept"] == "application/json"
    assert asked.form == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": "headgate",
        "WebIdentityToken": "projected",
    }


@pytest.mark.usefixtures("irsa")
@pytest.mark.parametrize(
    "answer",
    [
        sts(),
        sts("2023-11-14T23:13:20Z"),
        sts("2023-11-14T23:13:20"),
        Answer(XML, 200, {"content-type": "text/xml"}),
    ],
    ids=["number", "date", "no zone", "xml"],
)
async def test_keys_serve_until_their_end_however_it_is_written(rig: Rig, answer: Answer) -> None:
    rig.issuer.answers = [answer]
    minted = await rig.get(bedrock())
    rig.clock.turn(3600 - 60)
    before = rig.peek(bedrock())
    rig.clock.turn(0.1)

    assert json.loads(minted) == KEYS
    assert before == minted
    assert rig.peek(bedrock()) is None


@pytest.mark.usefixtures("irsa")
async def test_a_session_has_the_name_that_the_environment_gives(rig: Rig) -> None:
    rig.environment["AWS_ROLE_SESSION_NAME"] = "gateway-7"
    await rig.get(bedrock())

    assert rig.issuer.asked[0].form["RoleSessionName"] == "gateway-7"


@pytest.mark.usefixtures("irsa")
async def test_a_token_file_without_a_role_is_refused(rig: Rig) -> None:
    del rig.environment["AWS_ROLE_ARN"]

    assert await refusal(rig, bedrock()) == (
        "AWS_ROLE_ARN is not set in the gateway's environment: "
        "annotate the gateway's service account with its role"
    )


XML_REFUSAL = b"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message></Error>
</ErrorResponse>"""


@pytest.mark.usefixtures("irsa")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            saying({"Error": {"Code": "InvalidIdentityToken", "Message": "…"}, "RequestId": "1"}, 400),
            "the pod's own identity was refused (400 InvalidIdentityToken)",
        ),
        (Answer(XML_REFUSAL, 403), "the pod's own identity was refused (403 AccessDenied)"),
    ],
    ids=["json", "xml"],
)
async def test_a_role_that_may_not_be_assumed_comes_with_stss_word_for_it(
    rig: Rig, answer: Answer, reason: str
) -> None:
    rig.issuer.answers = [answer]

    assert await refusal(rig, bedrock()) == reason


@pytest.mark.usefixtures("irsa")
@pytest.mark.parametrize("code", ["Throttling", "IDPCommunicationError"])
async def test_a_refusal_that_passes_is_none(rig: Rig, code: str) -> None:
    rig.issuer.answers = [saying({"Error": {"Code": code}}, 400)]
    with pytest.raises(UpstreamFailure) as caught:
        await rig.get(bedrock())

    assert caught.value.outcome is Outcome.SERVER_ERROR
    assert caught.value.reason == f"token endpoint {rig.issuer.host}: it answered 400"


@pytest.mark.usefixtures("irsa")
@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            Answer(XML.replace(b"SessionToken", b"Session")),
            "Object missing required field `SessionToken`",
        ),
        (
            saying({"AssumeRoleWithWebIdentityResponse": {}}),
            "Object missing required field `AssumeRoleWithWebIdentityResult` - at "
            "`$.AssumeRoleWithWebIdentityResponse`",
        ),
        (sts(UNIX_S - 1), "the token has ended already; is this node's clock right?"),
    ],
    ids=["xml", "json", "ended"],
)
async def test_an_answer_without_keys_is_malformed(rig: Rig, answer: Answer, problem: str) -> None:
    rig.issuer.answers = [answer]
    with pytest.raises(UpstreamFailure) as caught:
        await rig.get(bedrock())

    assert caught.value.outcome is Outcome.MALFORMED
    assert caught.value.reason == f"the token endpoint's answer makes no sense: {problem}"


@pytest.mark.usefixtures("agent")
async def test_the_agent_of_pod_identity_is_asked_with_the_pods_token(rig: Rig) -> None:
    minted = await rig.get(bedrock())
    (asked,) = rig.issuer.asked
    rig.clock.turn(3600 - 60)

    assert json.loads(minted) == KEYS
    assert (asked.method, asked.path, asked.headers["authorization"]) == ("GET", "/v1/credentials", "agents")
    assert rig.peek(bedrock()) == minted


@pytest.mark.usefixtures("agent")
async def test_an_agent_that_wants_no_token_gets_none(rig: Rig) -> None:
    del rig.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
    await rig.get(bedrock())

    assert "authorization" not in rig.issuer.asked[0].headers


@pytest.mark.usefixtures("agent")
async def test_an_agent_that_refuses_is_quoted_with_a_word(rig: Rig) -> None:
    rig.issuer.answers = [saying({"code": "AccessDeniedException", "message": "…"}, 403)]

    assert await refusal(rig, bedrock()) == ("the pod's own identity was refused (403 AccessDeniedException)")


@pytest.mark.usefixtures("irsa", "agent")
async def test_irsa_comes_before_pod_identity(rig: Rig) -> None:
    rig.issuer.answers = [sts()]
    await rig.get(bedrock())

    assert rig.issuer.asked[0].path == "/"


async def test_a_pod_without_a_role_is_told_what_to_do(rig: Rig) -> None:
    assert await refusal(rig, bedrock()) == (
        "neither AWS_WEB_IDENTITY_TOKEN_FILE nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set in the gateway's "
        "environment: give its service account a role, with IRSA or Pod Identity"
    )


async def test_an_agent_elsewhere_is_sent_no_token(rig: Rig) -> None:
    rig.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://169.254.169.254/credentials"

    assert await refusal(rig, bedrock()) == (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI does not begin with https://, "
        "and secrets are not sent in the clear"
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.170.23/v1/credentials",
        "http://169.254.170.2/v1/credentials",
        "http://[fd00:ec2::23]/v1/credentials",
        "https://agent.example/v1/credentials",
    ],
)
async def test_the_agents_of_the_node_are_asked_in_the_clear_and_others_over_tls(url: str) -> None:
    transport = DeafTransport()
    await ask_once(transport, bedrock(), {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url})

    assert [request.url for request in transport.requests] == [url]


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("eu-central-1", "https://sts.eu-central-1.amazonaws.com/"),
        ("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn/"),
    ],
)
async def test_sts_is_asked_in_the_providers_region(tmp_path: Path, region: str, url: str) -> None:
    (tmp_path / "token").write_text("projected")
    transport = DeafTransport()
    environment = {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token")}
    reason = await ask_once(transport, bedrock(region=region), environment)

    assert [request.url for request in transport.requests] == [url]
    assert reason == f"token endpoint {url[8:-1]}:443: no route to host"


@pytest.mark.usefixtures("irsa")
@pytest.mark.parametrize("region", ["evil.example/", "a@evil.example", "x#", "", "eu-central-1.", "EU"])
async def test_a_region_that_would_be_another_host_is_sent_no_token(rig: Rig, region: str) -> None:
    del rig.environment["AWS_ENDPOINT_URL_STS"]

    assert await refusal(rig, bedrock(region=region)) == (
        "the provider's region is not a name such as us-east-1"
    )
