"""The models that a caller may ask, in the shape of Anthropic's `GET /v1/models` and `/v1/models/{id}`.

Format: https://docs.anthropic.com/en/api/models-list. The gateway does not know when a model was released,
for which Anthropic's own documentation has the epoch stand. It lists all models on one page.
"""

from collections.abc import Iterable

import msgspec

_encoder = msgspec.json.Encoder()


class _Model(msgspec.Struct):
    id: str
    display_name: str
    type: str = "model"
    created_at: str = "1970-01-01T00:00:00Z"
    lifecycle: str = "active"


def build_model_list(names: Iterable[str]) -> bytes:
    models = [_Model(name, name) for name in names]
    return _encoder.encode(
        {
            "data": models,
            "has_more": False,
            "first_id": models[0].id if models else None,
            "last_id": models[-1].id if models else None,
        }
    )


def build_model(name: str) -> bytes:
    return _encoder.encode(_Model(name, name))
