"""Where URLs stand in a chat, and what takes their place."""

import msgspec

from gateway_runtime.media.place import find_media, inline_media
from gateway_runtime.providers.chat.request import (
    Audio,
    AudioPart,
    CacheControl,
    ChatRequest,
    File,
    FilePart,
    ImagePart,
    ImageUrl,
    Message,
    Part,
    TextPart,
)
from tests.media.rig import chat, file, image

A, B = "https://a.example/a.png", "HTTP://b.example/b.pdf"


def test_urls_are_found_in_every_role_at_the_first_place_that_names_them() -> None:
    asked = ChatRequest(
        "m",
        [
            Message("system", "Look closely."),
            Message("user", [TextPart("?"), image(A), image("data:image/png;base64,AA=="), file(B)]),
            Message("assistant", None),
            Message("tool", [TextPart("https://not.example/a.png"), image(A), file("https://c.example")]),
        ],
    )

    assert find_media(asked) == {
        A: "messages[1].content[1].image_url.url",
        B: "messages[1].content[3].file.file_data",
        "https://c.example": "messages[3].content[2].file.file_data",
    }


def test_what_is_no_url_of_the_web_is_left_for_the_wire() -> None:
    parts: list[Part] = [
        image("data:,x"),
        image("gs://bucket/a"),
        image("s3://a"),
        image("httpx"),
        file(None),
    ]

    assert find_media(chat(*parts, AudioPart(Audio("AA==", "wav")))) == {}


def test_data_takes_the_place_of_urls_and_all_else_stays() -> None:
    mark = CacheControl("ephemeral")
    asked = ChatRequest(
        "m",
        [
            Message("system", "Look closely."),
            Message(
                "user",
                [
                    TextPart("?"),
                    ImagePart(ImageUrl(A, detail="low"), cache_control=mark),
                    FilePart(File(B, filename="b.pdf")),
                ],
                name="me",
            ),
            Message("tool", [image(A)], tool_call_id="call_1"),
            Message("user", [TextPart("And?")]),
        ],
        temperature=0.5,
    )
    before = msgspec.json.encode(asked)
    inlined = inline_media(asked, {A: "data:image/png;base64,AA==", B: "data:application/pdf;base64,BB=="})

    assert inlined == msgspec.structs.replace(
        asked,
        messages=[
            asked.messages[0],
            Message(
                "user",
                [
                    TextPart("?"),
                    ImagePart(ImageUrl("data:image/png;base64,AA==", detail="low"), cache_control=mark),
                    FilePart(File("data:application/pdf;base64,BB==", filename="b.pdf")),
                ],
                name="me",
            ),
            Message("tool", [image("data:image/png;base64,AA==")], tool_call_id="call_1"),
            asked.messages[3],
        ],
    )
    assert inlined.messages[0] is asked.messages[0]
    assert inlined.messages[3] is asked.messages[3]
    assert msgspec.json.encode(asked) == before
