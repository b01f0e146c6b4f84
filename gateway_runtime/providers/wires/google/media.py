"""Images, files and sound of a request: a hub's part in, Google's part out.

Bytes travel in the request (https://ai.google.dev/api/caching#Blob), or stay where Google keeps them
(https://ai.google.dev/api/caching#FileData). Nothing is ever fetched from the web by this wire's word:
`server` has put such media into the request before.
"""

import re
from typing import Final

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.request import AudioPart, FilePart, ImagePart
from gateway_runtime.providers.wires.google.api import Api

_DATA_HEAD: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)((?:;[^;,]*)*?);base64", re.IGNORECASE)
_LONGEST_HEAD: Final = 256
"""Of a data URL. The rest may be megabytes; a guess."""

_TYPES: Final = {
    "aac": "audio/aac",
    "avi": "video/avi",
    "csv": "text/csv",
    "flac": "audio/flac",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "html": "text/html",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "md": "text/markdown",
    "mov": "video/mov",
    "mp3": "audio/mp3",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mpg": "video/mpg",
    "ogg": "audio/ogg",
    "pdf": "application/pdf",
    "png": "image/png",
    "txt": "text/plain",
    "wav": "audio/wav",
    "webm": "video/webm",
    "webp": "image/webp",
    "wmv": "video/wmv",
    "xml": "text/xml",
}
"""Vertex AI wants the type of what lies in a bucket told, and OpenAI's parts have no word for it. What
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference#blob lists."""


def build_media(part: ImagePart | FilePart | AudioPart, where: str, api: Api) -> dict[str, object]:
    """where: the part, for people: `messages[0].content[1]`. Raises GatewayError MALFORMED_BODY and
    UNSUPPORTED.
    """
    if isinstance(part, ImagePart):
        return _build_from_url(part.image_url.url, f"{where}.image_url.url", api)
    if isinstance(part, AudioPart):
        audio = part.input_audio
        return {"inlineData": {"mimeType": f"audio/{audio.format}", "data": audio.data}}
    file = part.file
    if file.file_data is not None:
        return _build_from_url(file.file_data, f"{where}.file.file_data", api)
    if file.file_id is None:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY, f"`{where}.file` has neither `file_data` nor `file_id`. Send one."
        )
    if api.keeps_files:
        return {"fileData": {"fileUri": file.file_id}}
    return _build_from_url(file.file_id, f"{where}.file.file_id", api)


def _build_from_url(url: str, where: str, api: Api) -> dict[str, object]:
    scheme = url[:5].lower()
    if scheme == "data:":
        head, comma, data = url.partition(",")
        found = _DATA_HEAD.fullmatch(head) if len(head) <= _LONGEST_HEAD else None
        if found is None or not comma:
            raise GatewayError(
                ErrorCode.MALFORMED_BODY,
                f"`{where}` is no data URL that can be read. Write it as `data:image/png;base64,...`.",
            )
        return {"inlineData": {"mimeType": found[1].lower(), "data": data}}
    if scheme == "gs://" and api.reads_buckets:
        mime_type = _TYPES.get(url.rpartition(".")[2].lower())
        if mime_type is None:
            raise GatewayError(
                ErrorCode.UNSUPPORTED,
                f"`{where}` does not tell the media's type: its name ends in none of .{', .'.join(_TYPES)}. "
                "Rename the object, or send it as a `data:` URL.",
            )
        return {"fileData": {"mimeType": mime_type, "fileUri": url}}
    also = " or a `gs://` URI" if api.reads_buckets else ""
    raise GatewayError(
        ErrorCode.UNSUPPORTED,
        f"`{where}` cannot be said in {api.name}'s API, which takes a `data:` URL{also} here. "
        "Send the bytes in the request.",
    )
