"""Images and files: the hub's parts in, Anthropic's blocks out.

    data: URL    the bytes, with their type: an image, a PDF or a text
    https URL    Anthropic fetches it by itself

https://platform.claude.com/docs/en/build-with-claude/vision, .../pdf-support.

The subtle rule: which block it becomes is the data's own word. Clients that have one kind of part for
everything put PDFs into images; only where an URL does not tell does the kind of part count.
"""

import base64
import binascii

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.request import ImagePart

Block = dict[str, object]


def build_image(part: ImagePart, where: str) -> Block:
    """`detail` is left out and told to nobody: Anthropic always looks as closely as it can. where: the part,
    for messages. Raises GatewayError MALFORMED_BODY, UNSUPPORTED.
    """
    url = part.image_url.url
    member = f"{where}.image_url.url"
    if url.startswith("data:"):
        return _build_data(url, None, member)
    return {"type": "image", "source": {"type": "url", "url": _check_url(url, member)}}


def build_file(data: str, name: str | None, where: str) -> Block:
    """data: a data: URL, or an https: URL."""
    member = f"{where}.file.file_data"
    if data.startswith("data:"):
        return _build_data(data, name, member)
    return _build_document({"type": "url", "url": _check_url(data, member)}, name)


def _build_data(url: str, name: str | None, member: str) -> Block:
    head, comma, data = url[len("data:") :].partition(",")
    kind, *parameters = head.split(";")
    kind = kind.strip().lower()
    if not comma or "base64" not in parameters:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY,
            f"`{member}` is not a data: URL in base64, such as `data:image/png;base64,iVBORw0K...`.",
        )
    if kind.startswith("image/"):
        media_type = "image/jpeg" if kind == "image/jpg" else kind
        return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
    if kind == "application/pdf":
        return _build_document({"type": "base64", "media_type": kind, "data": data}, name)
    if kind.startswith("text/"):
        text: Block = {"type": "text", "media_type": "text/plain", "data": _read_text(data, member)}
        return _build_document(text, name)
    raise GatewayError(
        ErrorCode.UNSUPPORTED,
        f"`{member}` is of the type `{kind}`, and Anthropic's API takes images, PDFs and texts. Send it as "
        "one of them.",
    )


def _build_document(source: Block, name: str | None) -> Block:
    if name is None:
        return {"type": "document", "source": source}
    return {"type": "document", "source": source, "title": name}


def _read_text(data: str, member: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY, f"`{member}` is not text in UTF-8, in base64."
        ) from error


def _check_url(url: str, member: str) -> str:
    if url.startswith("https://"):
        return url
    if url.startswith("http://"):
        raise GatewayError(
            ErrorCode.UNSUPPORTED,
            f"`{member}` is an http: URL, and Anthropic fetches by https: alone. Send an https: or a data: "
            "URL.",
        )
    raise GatewayError(ErrorCode.MALFORMED_BODY, f"`{member}` is neither a data: nor an https: URL.")
