"""Images, documents and sound for Bedrock: data URLs and `s3://` in, content blocks out.

Formats: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ImageBlock.html,
.../API_runtime_DocumentBlock.html, .../API_runtime_AudioBlock.html. Bytes stand in the JSON as base64.

The subtle rule: a document has to have a name, no two may have the same, and the name may hold little but
letters and digits. It is made from the file's, and numbered in the order of the request, so that the same
conversation gives the same bytes and stays in the prompt cache.
"""

import re
from typing import Final, TypeAlias

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import AudioPart, File

Block: TypeAlias = dict[str, object]

_IMAGES: Final = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_IMAGE_ENDINGS: Final = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "gif": "gif", "webp": "webp"}
_DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_DOCUMENT_ENDINGS: Final = {ending: ending for ending in _DOCUMENTS.values()} | {"htm": "html"}
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9()\[\]-]+")
_LONGEST_NAME: Final = 190
"""The limit is 200; the rest is for the number."""


class DocumentNames:
    """Of one request."""

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, filename: str) -> str:
        """filename: perhaps empty."""
        stem = filename.rpartition(".")[0] or filename
        name = _NOT_IN_NAMES.sub(" ", stem).strip()[:_LONGEST_NAME].strip() or "document"
        number = 1
        taken = name
        while taken in self._taken:
            number += 1
            taken = f"{name} ({number})"
        self._taken.add(taken)
        return taken


def build_image(url: str, where: str, losses: Losses) -> Block | None:
    """where: the part, for messages. None: it was dropped."""
    if url.startswith("s3://"):
        form = _IMAGE_ENDINGS.get(url.rpartition(".")[2].lower())
        source: Block = {"s3Location": {"uri": url}}
    else:
        kind, data = _read_data_url(url, where)
        form = _IMAGES.get(kind)
        source = {"bytes": data}
    if form is None:
        losses.add(where, "an image is a PNG, JPEG, GIF or WebP there")
        return None
    return {"image": {"format": form, "source": source}}


def build_document(file: File, where: str, names: DocumentNames, losses: Losses) -> Block | None:
    """The same."""
    url = file.file_data
    if url is None:
        if file.file_id is None:
            raise GatewayError(
                ErrorCode.MALFORMED_BODY, f"`{where}.file` does not fit: it has no `file_data`."
            )
        losses.add(where, "the file is kept by another provider")
        return None
    ending = (file.filename or "").rpartition(".")[2].lower()
    if url.startswith("s3://"):
        form = _DOCUMENT_ENDINGS.get(url.rpartition(".")[2].lower()) or _DOCUMENT_ENDINGS.get(ending)
        source: Block = {"s3Location": {"uri": url}}
    else:
        kind, data = _read_data_url(url, where)
        form = _DOCUMENTS.get(kind) or _DOCUMENT_ENDINGS.get(ending)
        source = {"bytes": data}
    if form is None:
        losses.add(where, "a document is a PDF, CSV, Word, Excel, HTML, text or Markdown file there")
        return None
    return {"document": {"format": form, "name": names.take(file.filename or ""), "source": source}}


def build_audio(part: AudioPart) -> Block:
    return {"audio": {"format": part.input_audio.format, "source": {"bytes": part.input_audio.data}}}


def _read_data_url(url: str, where: str) -> tuple[str, str]:
    """Its media type and its base64."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:"):
        raise GatewayError(
            ErrorCode.UNSUPPORTED,
            f"`{where}` is a URL that Amazon Bedrock does not fetch. Send the file itself, as a data URL in "
            "base64, or an s3:// address that the model can read.",
        )
    kind, *options = head[len("data:") :].split(";")
    if "base64" not in options:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY, f"`{where}` does not fit: a data URL has to be in base64."
        )
    return kind.strip().lower(), data
