"""What a provider's credential may be, by what the provider speaks: a text in, what is wrong with it out.

    vertex     a service account's key: the JSON file that Google Cloud hands out
    bedrock    a Bedrock API key, the text of an AWS credentials file, or JSON with the access key
    others     an API key: one word that an HTTP header can carry

`api_keys` asks before a text reaches the table. The gateways read the same texts for good
(`tokens.google`, `wires.bedrock.credentials`); a test holds the two together, since what passes here and not
there is found out by callers.

The one subtle rule: no problem holds a piece of the text. What parsers say quotes it, so it is never passed
on.
"""

import configparser
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway_runtime.contract.table import WireName

_WORD: Final = re.compile(r"[!-~]+")
"""What a header can carry."""
_ACCESS_KEY_ID: Final = re.compile(r"\w{16,128}", re.ASCII)
"""https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKey.html"""


class CredentialForm(NamedTuple):
    what: str
    """Completes "it cannot be"."""
    find_problem: Callable[[str], str | None]
    """Of a text without white space around it. None: it is one."""
    remedy: str = ""
    """A sentence without its full stop; empty: the usual one."""


def find_form(wire: WireName) -> CredentialForm:
    return _FORMS.get(wire, API_KEY)


class _ServiceAccount(msgspec.Struct):
    type: str
    client_email: str
    private_key: str
    token_uri: str


_service_accounts = msgspec.json.Decoder(_ServiceAccount)
_flat_objects = msgspec.json.Decoder(dict[str, str | int | float | bool | None])


def _find_key_problem(text: str) -> str | None:
    if not text:
        return "it is empty"
    if any(character.isspace() for character in text):
        return "it has white space inside"
    if not (text.isascii() and text.isprintable()):
        return "it has characters other than printable ASCII"
    return None


def _find_account_problem(text: str) -> str | None:
    if not text:
        return "it is empty"
    try:
        account = _service_accounts.decode(text)
    except msgspec.ValidationError:
        return "it lacks one of the texts type, client_email, private_key and token_uri"
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return "it is not JSON"
    if account.type != "service_account":
        return "its type is not service_account"
    try:
        # The numbers are not proved to be primes here: that takes a tenth of a second for each.
        key = load_pem_private_key(
            account.private_key.encode(), password=None, unsafe_skip_rsa_key_validation=True
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "its private_key cannot be read"
    return None if isinstance(key, RSAPrivateKey) else "its private_key is not of kind RSA"


def _find_aws_problem(text: str) -> str | None:
    if not text:
        return "it is empty"
    if text.startswith("{"):
        try:
            members = _flat_objects.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return "it begins like JSON, and is no JSON object of texts"
        found = {name[:1].lower() + name[1:]: v for name, v in members.items() if isinstance(v, str)}
        return _find_access_problem(found, "accessKeyId", "secretAccessKey", "sessionToken")
    if _WORD.fullmatch(text) and not text.lower().startswith(("aws_", "[")):
        return None
    if "=" not in text and not text.startswith("["):
        return "it is neither one word, nor JSON, nor lines of an AWS credentials file"
    lines = _read_credentials_file(text)
    if lines is None:
        return "it cannot be read as an AWS credentials file"
    return _find_access_problem(lines, "aws_access_key_id", "aws_secret_access_key", "aws_session_token")


def _read_credentials_file(text: str) -> Mapping[str, str] | None:
    """The section [default], or else the first that has lines; lines before any section are in [default]."""
    parser = configparser.ConfigParser(
        interpolation=None, delimiters=("=",), strict=False, default_section="", allow_no_value=True
    )
    try:
        parser.read_string(text if text.startswith("[") else f"[default]\n{text}")
    except (configparser.Error, AttributeError):
        # The latter is configparser's own slip, up to Python 3.12: a name without a value, and a line that
        # goes on with it.
        return None
    for section in sorted(parser.sections(), key=lambda name: name != "default"):
        if parser.options(section):
            return {name: value or "" for name, value in parser.items(section)}
    return {}


def _find_access_problem(members: Mapping[str, str], key_id: str, secret: str, token: str) -> str | None:
    values = {name: members.get(name, "").strip() for name in (key_id, secret, token)}
    for name in (key_id, secret):
        if not values[name]:
            return f"it has no {name}"
    if not _ACCESS_KEY_ID.fullmatch(values[key_id]):
        return f"its {key_id} is no id of an access key: 16 letters and digits or more"
    for name in (secret, token):
        if values[name] and not _WORD.fullmatch(values[name]):
            return f"its {name} has a character that no header can carry"
    return None


API_KEY: Final = CredentialForm("an API key", _find_key_problem)
_FORMS: Final[Mapping[WireName, CredentialForm]] = {
    "vertex": CredentialForm(
        "a service account's key",
        _find_account_problem,
        "Put the JSON file there that Google Cloud hands out for the key, as it is",
    ),
    "bedrock": CredentialForm(
        "a credential of Bedrock",
        _find_aws_problem,
        "Put a Bedrock API key there, the text of an AWS credentials file, or JSON with accessKeyId and "
        "secretAccessKey",
    ),
}
