"""How Doctor logs: events with fields on standard error, for people or for machines."""

import logging
import sys

import structlog

from doctor.app.settings import LogSettings
from doctor.kit.unsaid import drop_unsaid


def configure_logs(settings: LogSettings) -> None:
    """Set up structlog, and let the logging of libraries take the same way."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        drop_unsaid,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: structlog.typing.Processor
    if settings.format == "json":
        transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # they may be secrets
        shared.append(structlog.processors.ExceptionRenderer(transform))
        last = structlog.processors.JSONRenderer()
    else:
        last = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=0,
            exception_formatter=structlog.dev.plain_traceback,  # the other one shows locals: they may be secrets
        )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[*shared, last], foreign_pre_chain=shared)
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
