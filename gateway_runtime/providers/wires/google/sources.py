"""What an answer rests on: Google's `groundingMetadata` and `citationMetadata` in, annotations and citations
out.

Formats: https://ai.google.dev/api/generate-content#GroundingMetadata and #citationmetadata.

The subtle rule: Google counts places in bytes of UTF-8, the hub in characters. A stream does not keep the
text that it has passed on, so that its annotations have no places.
"""

from collections.abc import Sequence

import msgspec

from gateway_runtime.providers.chat.answer import Annotation, ChatChunk
from gateway_runtime.providers.chat.request import is_there
from gateway_runtime.providers.wires.google.shapes import Candidate


class _Web(msgspec.Struct):
    uri: str
    title: str = ""


class _Chunk(msgspec.Struct):
    web: _Web | None = None


class _Segment(msgspec.Struct, rename="camel"):
    start_index: int = 0
    end_index: int = 0
    part_index: int = 0


class _Support(msgspec.Struct, rename="camel"):
    segment: _Segment = msgspec.field(default_factory=_Segment)
    grounding_chunk_indices: list[int] = []


class _Grounding(msgspec.Struct, rename="camel"):
    grounding_chunks: list[msgspec.Raw] = []
    grounding_supports: list[_Support] = []


class _Citation(msgspec.Struct, rename="camel"):
    uri: str = ""
    title: str = ""
    start_index: int = 0
    end_index: int = 0


class _Citations(msgspec.Struct, rename="camel"):
    citations: list[msgspec.Raw] = []
    """Vertex AI's word for the next."""
    citation_sources: list[msgspec.Raw] = []


_grounding_decoder = msgspec.json.Decoder(_Grounding)
_chunk_decoder = msgspec.json.Decoder(_Chunk)
_citations_decoder = msgspec.json.Decoder(_Citations)
_citation_decoder = msgspec.json.Decoder(_Citation)


def read_sources(candidate: Candidate, texts: Sequence[str] | None) -> list[ChatChunk]:
    """texts: of the answer's parts, the thoughts among them empty; None where they are gone. Raises
    msgspec.DecodeError.
    """
    chunks: list[ChatChunk] = []
    if is_there(candidate.grounding_metadata):
        chunks += _read_grounding(candidate.grounding_metadata, candidate.index, texts)
    if is_there(candidate.citation_metadata):
        chunks += _read_citations(candidate.citation_metadata, candidate.index, texts)
    return chunks


def _read_grounding(raw: msgspec.Raw, index: int, texts: Sequence[str] | None) -> list[ChatChunk]:
    grounding = _grounding_decoder.decode(raw)
    segments: dict[int, list[_Segment]] = {}
    for support in grounding.grounding_supports:
        for place in support.grounding_chunk_indices:
            segments.setdefault(place, []).append(support.segment)
    chunks: list[ChatChunk] = []
    for place, written in enumerate(grounding.grounding_chunks):
        web = _chunk_decoder.decode(written).web
        if web is None:
            chunks.append(ChatChunk(citation=_compact(written), index=index))
        elif texts is None or place not in segments:
            chunks.append(ChatChunk(annotation=Annotation(web.uri, web.title), index=index))
        else:
            for segment in segments[place]:
                before = "".join(texts[: segment.part_index])
                text = "".join(texts[segment.part_index : segment.part_index + 1])
                start = len(before) + _count_characters(text, segment.start_index)
                end = len(before) + _count_characters(text, segment.end_index)
                chunks.append(ChatChunk(annotation=Annotation(web.uri, web.title, start, end), index=index))
    return chunks


def _read_citations(raw: msgspec.Raw, index: int, texts: Sequence[str] | None) -> list[ChatChunk]:
    cited = _citations_decoder.decode(raw)
    chunks: list[ChatChunk] = []
    for written in (*cited.citations, *cited.citation_sources):
        citation = _citation_decoder.decode(written)
        if not citation.uri:
            chunks.append(ChatChunk(citation=_compact(written), index=index))
            continue
        start = end = 0
        if texts is not None:
            text = "".join(texts)
            start = _count_characters(text, citation.start_index)
            end = _count_characters(text, citation.end_index)
        chunks.append(ChatChunk(annotation=Annotation(citation.uri, citation.title, start, end), index=index))
    return chunks


def _compact(written: msgspec.Raw) -> msgspec.Raw:
    """Without the line ends, with which whole answers come, and surely UTF-8. Raises UnicodeDecodeError."""
    return msgspec.Raw(msgspec.json.format(bytes(written), indent=-1).decode())


def _count_characters(text: str, size: int) -> int:
    """How many characters the first `size` bytes are."""
    return len(text.encode()[: max(size, 0)].decode(errors="ignore"))
