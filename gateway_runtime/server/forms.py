"""Requests whose body is a form: recordings to be written down, images to be changed, files to be kept.

`front` calls `serve_form` for those that name a model, `kept` opens its own for files. All is as in
`request`, but that the body is an Upload, which nobody holds as a whole.
"""

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.request_body import RequestBody, check_model
from gateway_runtime.providers.translation import Question
from gateway_runtime.server.record import Record
from gateway_runtime.server.reply import Reply
from gateway_runtime.server.request import Ask, ask_providers, authenticate, find_route
from gateway_runtime.server.room import Room
from gateway_runtime.server.upload import Source, Upload, open_upload

_MODEL = frozenset({"model"})


async def serve_form(room: Room, ask: Ask, source: Source, reply: Reply, record: Record) -> None:
    """Raises as `request.serve_completion`."""
    running, tenant = await authenticate(room, ask.key, ask.peer, record)
    now = room.clock.now
    began_s = now()
    upload = await open_upload(source, _MODEL, _MODEL)
    try:
        record.waited_s += now() - began_s
        model = _read_model(upload, ask.operation.default_model)
        record.model = model
        route = find_route(running, tenant, model)
        question = Question(ask.operation, RequestBody(model, False, False, {}), ask.headers)
        await ask_providers(room, running, tenant, route, question, ask.load, reply, record, upload)
    finally:
        await upload.close()


def _read_model(upload: Upload, default: str | None) -> str:
    """Raises GatewayError MISSING_MODEL."""
    field = upload.fields.get("model")
    if field is not None:
        return check_model(field.value.decode(errors="replace"))
    if default is not None:
        return default
    raise GatewayError(
        ErrorCode.MISSING_MODEL,
        "The form has no field `model`. Name one, before the file where you can; GET /v1/models lists yours.",
    )
