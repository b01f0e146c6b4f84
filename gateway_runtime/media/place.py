"""Where in a chat a URL stands that has to be fetched, and how data is put in its place.

    chat -> find_media -> {URL: the first place that names it} -> (fetched) -> inline_media -> chat

Messages of every role are looked at: a wire that takes no URL must not meet one, whoever said it. A URL of
another scheme (`data:`, `gs:`, `s3:`) is left for the wire, which may know it.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from gateway_runtime.providers.chat.request import ChatRequest, FilePart, ImagePart, Message, Part

_FETCHED: Final = re.compile(r"https?:", re.IGNORECASE)


def find_media(chat: ChatRequest) -> dict[str, str]:
    """To each URL its place, `messages[2].content[1].image_url.url`, in the order of the chat."""
    found: dict[str, str] = {}
    for i, message in enumerate(chat.messages):
        if isinstance(message.content, list):
            for j, part in enumerate(message.content):
                url = _find_url(part)
                if url is not None:
                    found.setdefault(url, f"messages[{i}].content[{j}].{_MEMBERS[type(part)]}")
    return found


def inline_media(chat: ChatRequest, data: Mapping[str, str]) -> ChatRequest:
    """data: a data: URL for each that `find_media` found."""
    messages = [_inline_message(message, data) for message in chat.messages]
    return msgspec.structs.replace(chat, messages=messages)


_MEMBERS: Final[Mapping[type, str]] = {ImagePart: "image_url.url", FilePart: "file.file_data"}


def _find_url(part: Part) -> str | None:
    match part:
        case ImagePart():
            url: str | None = part.image_url.url
        case FilePart():
            url = part.file.file_data
        case _:
            return None
    return url if url is not None and _FETCHED.match(url) else None


def _inline_message(message: Message, data: Mapping[str, str]) -> Message:
    if not isinstance(message.content, list) or all(_find_url(part) is None for part in message.content):
        return message
    return msgspec.structs.replace(message, content=[_inline_part(part, data) for part in message.content])


def _inline_part(part: Part, data: Mapping[str, str]) -> Part:
    url = _find_url(part)
    if url is None:
        return part
    if isinstance(part, ImagePart):
        return msgspec.structs.replace(part, image_url=msgspec.structs.replace(part.image_url, url=data[url]))
    assert isinstance(part, FilePart)
    return msgspec.structs.replace(part, file=msgspec.structs.replace(part.file, file_data=data[url]))
