"""What a message says beside thinking and tools: content blocks in, the hub's parts out.

    block            becomes
    text             a text part; its `citations`, of an earlier answer, tell the model nothing new
    image            an image part, or a file part by the provider's own id
    document         a file part; plain text and content blocks become parts as they are
    search_result    a text part
    all others       nothing: they are told by their place, `messages[1].content[0]`

The subtle rule: what a document says about itself is told to the model, too. A title is the file's name or
the text's first line, `context`, which the model reads and does not cite, a text before it.

Formats: https://docs.anthropic.com/en/docs/build-with-claude/pdf-support, .../citations and
.../search-results.
"""

from collections.abc import Sequence

import msgspec

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.providers.chat.request import (
    CacheControl,
    File,
    FilePart,
    ImagePart,
    ImageUrl,
    Part,
    TextPart,
    is_there,
)
from gateway_runtime.providers.dialects.anthropic.block import Block, Source, need, refuse_block


class _CitationsConfig(msgspec.Struct):
    enabled: bool | None = None


_citations_decoder = msgspec.json.Decoder(_CitationsConfig)


def read_content(content: str | list[Block], where: str, lost: set[str]) -> str | list[Part]:
    if isinstance(content, str):
        return content
    parts: list[Part] = []
    for place, block in enumerate(content):
        parts += read_part(block, f"{where}[{place}]", lost)
    return simplify(parts)


def read_part(block: Block, where: str, lost: set[str]) -> Sequence[Part]:
    match block.type:
        case "text":
            return (TextPart(need(block.text, where, "text"), block.cache_control),)
        case "image":
            return (_read_image(block, where),)
        case "document":
            return _read_document(block, where, lost)
        case "search_result":
            return (_read_search_result(block, where, lost),)
        case _:
            lost.add(where)
            return ()


def _read_image(block: Block, where: str) -> Part:
    source = _need_source(block, where)
    match source.type:
        case "base64":
            return ImagePart(ImageUrl(_build_data_url(source, where)), block.cache_control)
        case "url":
            return ImagePart(ImageUrl(need(source.url, where, "source.url")), block.cache_control)
        case "file":
            file_id = need(source.file_id, where, "source.file_id")
            return FilePart(File(file_id=file_id), block.cache_control)
        case _:
            raise _refuse_source(where, source)


def _read_document(block: Block, where: str, lost: set[str]) -> Sequence[Part]:
    source = _need_source(block, where)
    _tell_citations(block, where, lost)
    before: list[Part] = [TextPart(block.context)] if block.context else []
    name = block.title
    match source.type:
        case "base64":
            file = File(file_data=_build_data_url(source, where), filename=name)
        case "url":
            file = File(file_data=need(source.url, where, "source.url"), filename=name)
        case "file":
            file = File(file_id=need(source.file_id, where, "source.file_id"), filename=name)
        case "text":
            text = need(source.data, where, "source.data")
            return [*before, TextPart(_entitle(name, text), block.cache_control)]
        case "content":
            inner = read_content(source.content or "", f"{where}.source.content", lost)
            plain: list[Part] = [TextPart(inner)] if isinstance(inner, str) and inner else []
            parts = plain if isinstance(inner, str) else inner
            return [*before, *([TextPart(name)] if name else []), *_mark_last(parts, block.cache_control)]
        case _:
            raise _refuse_source(where, source)
    return [*before, FilePart(file, block.cache_control)]


def _read_search_result(block: Block, where: str, lost: set[str]) -> Part:
    _tell_citations(block, where, lost)
    source = block.source if isinstance(block.source, str) else None
    content = block.content
    if isinstance(content, list):
        content = "\n\n".join(inner.text for inner in content if inner.text)
    text = need(content if isinstance(content, str) else None, where, "content")
    heading = "\n".join(filter(None, (block.title, need(source, where, "source"))))
    return TextPart(_entitle(heading, text), block.cache_control)


def _tell_citations(block: Block, where: str, lost: set[str]) -> None:
    """That the answer shall cite it: no other provider has words for that."""
    if not is_there(block.citations):
        return
    try:
        if _citations_decoder.decode(block.citations).enabled:
            lost.add(f"{where}.citations")
    except msgspec.ValidationError as error:
        raise refuse_block(f"{where}.citations", 'it must be an object such as {"enabled": true}') from error


def _entitle(title: str | None, text: str) -> str:
    return f"{title}\n\n{text}" if title else text


def _mark_last(parts: list[Part], mark: CacheControl | None) -> list[Part]:
    if mark is None or not parts or not isinstance(parts[-1], TextPart | ImagePart | FilePart):
        return parts
    return [*parts[:-1], msgspec.structs.replace(parts[-1], cache_control=mark)]


def simplify(parts: list[Part]) -> str | list[Part]:
    """One plain text as a text: Claude Code sends every text as a block, and there are OpenAI-compatible
    servers which take no parts.
    """
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], TextPart) and parts[0].cache_control is None:
        return parts[0].text
    return parts


def _build_data_url(source: Source, where: str) -> str:
    media_type = need(source.media_type, where, "source.media_type")
    return f"data:{media_type};base64,{need(source.data, where, 'source.data')}"


def _need_source(block: Block, where: str) -> Source:
    if not isinstance(block.source, Source):
        raise refuse_block(where, f"a block of type `{block.type}` needs a `source`, which is an object")
    return block.source


def _refuse_source(where: str, source: Source) -> GatewayError:
    return refuse_block(f"{where}.source", f"its type `{source.type}` is none that the Messages API has")
