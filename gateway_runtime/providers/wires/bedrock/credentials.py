"""What a Secret for Bedrock holds: its text in, an ApiKey or an AccessKey out.

    a Bedrock API key           one word without line breaks, sent as a bearer token
    an AWS credentials file     INI; the section [default], or else the first one
    JSON                        {"accessKeyId", "secretAccessKey", "sessionToken"}, or the same with capitals,
                                as the AWS CLI's `credential_process` writes it

Formats: https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html and
https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html. Lines without a section, as an environment
file has them, are read as [default].

The subtle rule: no message and no traceback holds a piece of the text. So errors of the parsers, which quote
the line, are never chained.
"""

import configparser
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from gateway_runtime.contract.secret import Secret


class UnusableCredential(ValueError):
    """One sentence that says what is wrong with the text, without a piece of it."""


class ApiKey(NamedTuple):
    token: Secret


class AccessKey(NamedTuple):
    id: str
    """Not secret: it stands in each request, and in AWS's logs."""
    secret: Secret
    session_token: Secret | None = None
    """Of temporary credentials, which are refused without it."""


_WORD: Final = re.compile(r"[!-~]+")
"""What a header can carry."""
_KEY_ID: Final = re.compile(r"\w{16,128}", re.ASCII)  # IAM's pattern for AccessKeyId
_FORMS: Final = (
    "it has to be a Bedrock API key, the text of an AWS credentials file, or JSON with `accessKeyId` and "
    "`secretAccessKey`"
)

_json_decoder = msgspec.json.Decoder(dict[str, str | int | float | bool | None])


# A gateway has a handful; those that were replaced fall out.
@lru_cache(maxsize=64)
def parse_credential(text: str) -> ApiKey | AccessKey:
    """Raises UnusableCredential."""
    text = text.strip()
    if text.startswith("{"):
        return _build_access_key(_read_json(text), "accessKeyId", "secretAccessKey", "sessionToken")
    if _WORD.fullmatch(text) and not text.lower().startswith(("aws_", "[")):
        return ApiKey(Secret(text))
    if "=" in text or text.startswith("["):
        return _build_access_key(
            _read_ini(text), "aws_access_key_id", "aws_secret_access_key", "aws_session_token"
        )
    raise UnusableCredential(f"The credential is {'empty' if not text else 'in no known form'}: {_FORMS}.")


def _read_json(text: str) -> Mapping[str, str]:
    try:
        members = _json_decoder.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise UnusableCredential("The credential begins like JSON and is no flat JSON object.") from None
    return {name[:1].lower() + name[1:]: value for name, value in members.items() if isinstance(value, str)}


def _read_ini(text: str) -> Mapping[str, str]:
    parser = configparser.ConfigParser(
        interpolation=None, delimiters=("=",), strict=False, default_section="", allow_no_value=True
    )
    try:
        parser.read_string(text if text.startswith("[") else f"[default]\n{text}")
    except (configparser.Error, AttributeError):
        # The latter is configparser's own slip, up to Python 3.12: a name without a value, and a line that
        # goes on with it.
        raise UnusableCredential("The credential cannot be read as an AWS credentials file.") from None
    sections = sorted(parser.sections(), key=lambda section: section != "default")
    filled = [parser.items(section) for section in sections if parser.options(section)]
    return {name: value or "" for name, value in filled[0]} if filled else {}


def _build_access_key(members: Mapping[str, str], key_id: str, secret: str, token: str) -> AccessKey:
    for name in (key_id, secret):
        if not members.get(name, "").strip():
            raise UnusableCredential(f"The credential has no `{name}`.")
    found = {name: members.get(name, "").strip() for name in (key_id, secret, token)}
    if not _KEY_ID.fullmatch(found[key_id]):
        raise UnusableCredential(
            f"The credential's `{key_id}` is no id of an access key: 16 letters and digits or more."
        )
    for name in (secret, token):
        if found[name] and not _WORD.fullmatch(found[name]):
            raise UnusableCredential(f"The credential's `{name}` has a character that no header can carry.")
    return AccessKey(found[key_id], Secret(found[secret]), Secret(found[token]) if found[token] else None)
