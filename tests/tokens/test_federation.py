"""Google's workload identity federation: subject token, STS, and a service account to act as."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway_runtime.tokens import TokenRefused
from gateway_runtime.upstream.exchange import UpstreamFailure
from tests.tokens.rig import Answer, Rig, saying, token, vertex

AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/eks"
WHERE = "the file that GOOGLE_APPLICATION_CREDENTIALS names"


@pytest.fixture
def configure(rig: Rig, tmp_path: Path) -> Callable[..., None]:
    """Writes the file: an object, or what is to stand in it."""

    def write(source: object, **members: object) -> None:
        path = tmp_path / "federation.json"
        account = {
            "type": "external_account",
            "audience": AUDIENCE,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{rig.issuer.url}/v1/token",
            "credential_source": source,
            **members,
        }
        path.write_text(json.dumps(account))
        rig.environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(path)

    return write


async def refusal(rig: Rig) -> str:
    with pytest.raises(TokenRefused) as caught:
        await rig.get(vertex(workload=True))
    return caught.value.reason


async def test_a_projected_token_is_exchanged_at_googles_sts(
    rig: Rig, tmp_path: Path, configure: Callable[..., None]
) -> None:
    (tmp_path / "token").write_text("projected\n")
    configure({"file": str(tmp_path / "token")})
    minted = await rig.get(vertex(workload=True))
    (asked,) = rig.issuer.asked

    assert minted == "minted-1"
    assert (asked.method, asked.path) == ("POST", "/v1/token")
    assert asked.form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": AUDIENCE,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": "projected",
    }


async def test_a_service_account_is_acted_as_with_the_federated_token(
    rig: Rig, tmp_path: Path, configure: Callable[..., None]
) -> None:
    (tmp_path / "token").write_text("projected")
    configure(
        {"file": str(tmp_path / "token")},
        service_account_impersonation_url=f"{rig.issuer.url}/v1/sa:generateAccessToken",
        service_account_impersonation={"token_lifetime_seconds": 1800},
    )
    rig.issuer.answers = [
        token("federated", 60),
        saying({"accessToken": "acting", "expireTime": "2023-11-14T22:43:20Z"}),
    ]
    minted = await rig.get(vertex(workload=True))
    asked = rig.issuer.asked[1]

    assert minted == "acting"
    assert (asked.method, asked.path) == ("POST", "/v1/sa:generateAccessToken")
    assert asked.headers["authorization"] == "Bearer federated"
    assert json.loads(asked.body) == {
        "scope": ["https://www.googleapis.com/auth/cloud-platform"],
        "lifetime": "1800s",
    }
    rig.clock.turn(1800 - 61)
    assert rig.peek(vertex(workload=True)) == "acting"
    rig.clock.turn(2)
    assert rig.peek(vertex(workload=True)) is None


async def test_a_token_in_json_is_taken_out_of_it(
    rig: Rig, tmp_path: Path, configure: Callable[..., None]
) -> None:
    (tmp_path / "token").write_text('{"nested": {}, "id_token": "inner"}')
    form = {"type": "json", "subject_token_field_name": "id_token"}
    configure({"file": str(tmp_path / "token"), "format": form})
    await rig.get(vertex(workload=True))

    assert rig.issuer.asked[0].form["subject_token"] == "inner"


async def test_a_token_from_a_url_is_asked_for_with_its_headers(
    rig: Rig, configure: Callable[..., None]
) -> None:
    form = {"type": "json", "subject_token_field_name": "access_token"}
    url = f"{rig.issuer.url}/metadata/identity?resource=x"
    configure({"url": url, "headers": {"Metadata": "True"}, "format": form})
    rig.issuer.answers = [saying({"access_token": "of-azure"}), token()]
    await rig.get(vertex(workload=True))
    first, second = rig.issuer.asked

    assert (first.method, first.path) == ("GET", "/metadata/identity?resource=x")
    assert first.headers["metadata"] == "True"
    assert second.form["subject_token"] == "of-azure"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", f'what credential_source.file in {WHERE} names has no member "id_token"'),
        ("nonsense", f"what credential_source.file in {WHERE} names is not the JSON that its format says"),
        (
            '{"id_token": 7}',
            f"what credential_source.file in {WHERE} names is not the JSON that its format says",
        ),
    ],
)
async def test_json_without_the_token_is_refused(
    rig: Rig, tmp_path: Path, configure: Callable[..., None], text: str, reason: str
) -> None:
    (tmp_path / "token").write_text(text)
    form = {"type": "json", "subject_token_field_name": "id_token"}
    configure({"file": str(tmp_path / "token"), "format": form})

    assert await refusal(rig) == reason
    assert rig.issuer.asked == []


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"executable": {"command": "/bin/true"}},
        {
            "environment_id": "aws1",
            "url": "http://169.254.169.254/latest/meta-data",
            "region_url": "http://x",
        },
    ],
    ids=["nothing", "executable", "aws"],
)
async def test_a_source_that_is_not_supported_is_said_to_be(
    rig: Rig, configure: Callable[..., None], source: object
) -> None:
    configure(source)

    assert await refusal(rig) == (
        f"credential_source in {WHERE} has no file and no url to take a token from: "
        "sources of AWS and executables are not supported"
    )


async def test_a_file_that_is_not_there_is_named_by_its_member(
    rig: Rig, tmp_path: Path, configure: Callable[..., None]
) -> None:
    configure({"file": str(tmp_path / "nothing")})

    assert await refusal(rig) == (
        f"the file that credential_source.file in {WHERE} names cannot be read (no such file or directory)"
    )


async def test_an_account_that_lacks_a_member_is_refused(rig: Rig, configure: Callable[..., None]) -> None:
    configure({"file": "/x"}, token_url=None)

    assert await refusal(rig) == (
        f"{WHERE} is not of type external_account: Expected `str`, got `null` - at `$.token_url`"
    )


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({"token_url": "http://sts.example/v1"}, "token_url"),
        (
            {"service_account_impersonation_url": "http://iam.example/v1"},
            "service_account_impersonation_url",
        ),
    ],
)
async def test_no_step_goes_out_in_the_clear(
    rig: Rig, tmp_path: Path, configure: Callable[..., None], members: dict[str, object], name: str
) -> None:
    (tmp_path / "token").write_text("projected")
    configure({"file": str(tmp_path / "token")}, **members)

    assert await refusal(rig) == (
        f"{name} in {WHERE} does not begin with https://, and secrets are not sent in the clear"
    )


async def test_each_step_that_is_refused_says_which_it_was(
    rig: Rig, tmp_path: Path, configure: Callable[..., None]
) -> None:
    (tmp_path / "token").write_text("projected")
    url = f"{rig.issuer.url}/v1/sa:generateAccessToken"
    configure({"file": str(tmp_path / "token")}, service_account_impersonation_url=url)
    denied: dict[str, object] = {"error": {"code": 403, "message": "No", "status": "PERMISSION_DENIED"}}
    rig.issuer.answers = [saying({"error": "invalid_target"}, 400), token("federated"), saying(denied, 403)]
    first = await refusal(rig)
    rig.clock.turn(2)
    second = await refusal(rig)

    assert first == "the pod's own identity, by Google's STS, was refused (400 invalid_target)"
    assert second == "acting as the service account was refused (403 PERMISSION_DENIED)"


async def test_an_answer_that_is_no_token_is_malformed(
    rig: Rig, tmp_path: Path, configure: Callable[..., None]
) -> None:
    (tmp_path / "token").write_text("projected")
    url = f"{rig.issuer.url}/v1/sa:generateAccessToken"
    configure({"file": str(tmp_path / "token")}, service_account_impersonation_url=url)
    rig.issuer.answers = [token("federated"), Answer(b'{"accessToken": "a", "expireTime": "soon"}')]
    with pytest.raises(UpstreamFailure) as caught:
        await rig.get(vertex(workload=True))

    assert caught.value.reason == (
        "the token endpoint's answer makes no sense: Invalid RFC3339 encoded datetime - at `$.expireTime`"
    )
