"""How the operator logs: one event in lower case plus fields, JSON unless a person is looking; to stderr.

`main` calls it once. Kopf and other libraries log through the standard library; their warnings come out in
the same form. Kopf's information is left out: it is a line per object and event.
"""

import logging
import sys

import structlog

from headgate_operator.settings import LogFormat


def configure_logging(log_format: LogFormat = "auto") -> None:
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # The plain traceback: the pretty one prints local variables, and one of them may be a key.
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # It warns that it handles no signals outside of the main thread, which is how we want it.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
