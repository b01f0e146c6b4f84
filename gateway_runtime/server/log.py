"""How the processes log: one event in lower case plus fields, JSON unless a person is looking.

`run_gateway` calls it; an embedding process that has configured structlog by itself does not. Log lines go to
stderr: stdout belongs to the data of the commands.
"""

import logging
import sys
import traceback

import msgspec
import structlog


def log_bug(event: str, **fields: object) -> None:
    """Inside `except`. The traceback goes out as plain text, whatever the process has configured: structlog's
    default and some others print local variables, and one of them may be a key.
    """
    structlog.get_logger().error(event, traceback=traceback.format_exc(), **fields)


def _write_json(fields: structlog.typing.EventDict, **_: object) -> str:
    """What JSON has no word for goes out as its `repr`."""
    return msgspec.json.encode(fields, enc_hook=repr).decode()


def configure_logging(*, json: bool | None = None, level: int = logging.INFO) -> None:
    """`json`: None means JSON unless stderr is a terminal."""
    as_json = not sys.stderr.isatty() if json is None else json
    renderer = structlog.processors.JSONRenderer(_write_json) if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
