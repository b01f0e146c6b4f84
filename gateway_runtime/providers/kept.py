"""The ids of what providers keep, in the bodies that pass: sealed on the way to a caller, opened on the way
back. `seal` says what a seal is.

    seal_object(body, seal) -> the same answer, or event of a stream, as its caller gets it
    find_references(body)   -> what a request for a Response refers to
    replace_ids(body, …)    -> the same request as the provider knows it

Only the members that hold ids are written anew; what stands around them passes as slices of the provider's
bytes. A delta of a stream, which names its item alone, is spliced: 1 µs instead of 3.6.

The subtle rule: what a request refers to (an earlier Response, an item, a file) must have been given to this
caller; the bare id of a provider is a stranger's. Members are found as the provider finds them: by decoding,
since the name of a member may be written with escapes. Prompts and vector stores are not asked for: nobody
makes them through the gateway, so they are what the owner of the provider shares with all.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.request import refuse_member
from gateway_runtime.providers.request_body import RequestBody
from gateway_runtime.providers.seal import Seal

_Json: TypeAlias = "dict[str, _Json] | list[_Json] | str | int | float | bool | None"
What: TypeAlias = Literal["Response", "Conversation", "Item", "File", "Batch"]
"""As messages call it."""

_OWN: Final = (
    "id",
    "previous_response_id",
    "item_id",
    "first_id",
    "last_id",
    "input_file_id",
    "output_file_id",
    "error_file_id",
)
_MEMBERS: Final = ("output", "data")
"""Lists of things with an `id` each."""
_INNER: Final = ("response", "item")
"""Of events."""

_REFERRING: Final = ("input", "tools", "previous_response_id", "conversation")
_SEALED_TEXT: Final = re.compile(rb'"([A-Za-z0-9._:-]{1,200}_hg[a-z2-7]{24})"')
"""A whole string of JSON that has a seal. Within a text that is quoted JSON its quotes have a backslash, and
behind the seal there is one, too.
"""
_TELLING: Final = (b"file_id", b"\\u00")
"""Where neither stands, no file is named, and a long conversation need not be walked through. The second is
an escape that could hide the first.
"""


class _Item(msgspec.Struct):
    type: str | None = None
    id: str | None = None
    role: str | None = None
    encrypted_content: str | None = None


_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items_decoder = msgspec.json.Decoder(list[_Item])
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_text_decoder = msgspec.json.Decoder(str)
_tree_decoder: msgspec.json.Decoder[_Json] = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


class Reference(NamedTuple):
    what: What
    id: str
    """As the caller wrote it."""
    param: str
    is_whole: bool = False
    """What it names comes with it, and providers that keep nothing need no more."""


def seal_object(body: bytes, seal: Seal) -> bytes:
    """The same object for what has no ids, or cannot be read."""
    try:
        members = _members_decoder.decode(body)
        changed = _seal_members(members, seal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    return _encoder.encode({**members, **changed}) if changed else body


def splice_item_id(event: bytes, item_id: str, seal: Seal) -> bytes | None:
    """event: of a stream, as it came, with nothing around its members but the one that names its item. None:
    the member is not written in one of the two usual ways.
    """
    text = item_id.encode("utf-8", "surrogatepass")
    for opening in (b'"item_id":"%b', b'"item_id": "%b'):
        # Within a text a quote has a backslash before it, so this is the member itself.
        spliced = event.replace(opening % text + b'"', opening % seal.put(item_id).encode() + b'"', 1)
        if spliced != event:
            return spliced
    return None


def find_references(body: RequestBody) -> Iterator[Reference]:
    """Those of a request for a Response, in the order in which they stand. Raises GatewayError
    MALFORMED_BODY.
    """
    for name in _REFERRING:
        raw = body.members.get(name)
        if raw is None or bytes(raw) == b"null":
            continue
        data = bytes(raw)
        if name == "previous_response_id":
            yield Reference("Response", _read_text(data), name)
        elif name == "conversation":
            yield Reference("Conversation", _read_conversation(data), name)
        elif data[:1] == b"[":
            if name == "input":
                yield from _find_items(raw)
            if any(word in data for word in _TELLING):
                yield from _walk(_read_tree(data), name)


def replace_ids(body: RequestBody, open_: Callable[[str], str | None]) -> RequestBody:
    """open_: the provider's id for one that has a seal; None leaves it as it is."""

    def replace(match: re.Match[bytes]) -> bytes:
        opened = open_(match[1].decode())
        return match[0] if opened is None else _encoder.encode(opened)

    changed = {}
    for name in _REFERRING:
        raw = body.members.get(name)
        if raw is not None and b"_hg" in (data := bytes(raw)):
            changed[name] = msgspec.Raw(_SEALED_TEXT.sub(replace, data))
    return msgspec.structs.replace(body, members={**body.members, **changed}) if changed else body


def read_file_id(body: RequestBody) -> str:
    """Of a request for a batch. Raises GatewayError MALFORMED_BODY."""
    raw = body.members.get("input_file_id")
    found = "" if raw is None else _read_text(bytes(raw))
    if not found:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY, "`input_file_id` must be the id of a file that POST /v1/files gave."
        )
    return found


def replace_file_id(body: RequestBody, file_id: str) -> RequestBody:
    named = {"input_file_id": msgspec.Raw(_encoder.encode(file_id))}
    return msgspec.structs.replace(body, members={**body.members, **named})


def _seal_members(members: Mapping[str, msgspec.Raw], seal: Seal) -> dict[str, msgspec.Raw]:
    changed: dict[str, msgspec.Raw] = {}
    for name in _OWN:
        raw = members.get(name)
        if raw is not None and _first(raw) == b'"':
            changed[name] = _seal_text(raw, seal)
    for name in _MEMBERS:
        raw = members.get(name)
        if raw is not None and _first(raw) == b"[":
            items = [_seal_item(item, seal) for item in _list_decoder.decode(raw)]
            changed[name] = msgspec.Raw(_encoder.encode(items))
    for name in _INNER:
        raw = members.get(name)
        if raw is not None and _first(raw) == b"{":
            inner = _members_decoder.decode(raw)
            changed[name] = msgspec.Raw(_encoder.encode({**inner, **_seal_members(inner, seal)}))
    return changed


def _seal_item(item: msgspec.Raw, seal: Seal) -> msgspec.Raw:
    if _first(item) != b"{":
        return item
    members = _members_decoder.decode(item)
    changed = {
        name: _seal_text(members[name], seal)
        for name in _OWN
        if name in members and _first(members[name]) == b'"'
    }
    return msgspec.Raw(_encoder.encode({**members, **changed})) if changed else item


def _first(raw: msgspec.Raw) -> bytes:
    """Of a value, which tells its kind."""
    return bytes(memoryview(raw)[:1])


def _seal_text(raw: msgspec.Raw, seal: Seal) -> msgspec.Raw:
    text = _text_decoder.decode(raw)
    return msgspec.Raw(_encoder.encode(seal.put(text))) if text else raw


def _read_text(data: bytes) -> str:
    """Empty for what is no text: nobody owns that."""
    tree = _read_tree(data)
    return tree if isinstance(tree, str) else ""


def _read_conversation(data: bytes) -> str:
    tree = _read_tree(data)
    found = tree.get("id") if isinstance(tree, dict) else tree
    return found if isinstance(found, str) else ""


def _read_tree(data: bytes) -> _Json:
    """data: of a body that was read, so it is JSON."""
    return _tree_decoder.decode(data)


def _find_items(raw: msgspec.Raw) -> Iterator[Reference]:
    """Reasoning without its content is looked up by its id, where the provider keeps it."""
    try:
        items = _items_decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise refuse_member(str(error)) from error
    for place, item in enumerate(items):
        if item.id is None:
            continue
        if item.type == "item_reference" or (item.type is None and item.role is None):
            yield Reference("Item", item.id, f"input[{place}].id")
        elif item.type == "reasoning" and not item.encrypted_content:
            yield Reference("Item", item.id, f"input[{place}].id", is_whole=True)


def _walk(tree: _Json, where: str) -> Iterator[Reference]:
    """The files that it names. With a stack of its own: callers nest as deep as they like."""
    stack = [(tree, where)]
    while stack:
        tree, where = stack.pop()
        if isinstance(tree, list):
            stack += [(item, f"{where}[{place}]") for place, item in reversed(list(enumerate(tree)))]
        elif isinstance(tree, dict):
            for name, value in tree.items():
                if name == "file_id" and isinstance(value, str):
                    yield Reference("File", value, f"{where}.file_id")
                elif name == "file_ids" and isinstance(value, list):
                    for one in value:
                        yield Reference("File", one if isinstance(one, str) else "", f"{where}.file_ids")
                else:
                    stack.append((value, f"{where}.{name}"))
