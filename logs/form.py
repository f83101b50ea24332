"""A line of the log: `2026-11-27T13:05:49.123+00:00 INFO event=start version=0.1.0`. One event is one line, always.

Values are quoted here, wherever they come from: those that `line` is given, and the arguments of a record that has
some, as in `log.info("event=x name=%s", name)`. So none can forge a field or a line.
"""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO


def field(value: object) -> str:
    r"""A value as it stands behind `key=`: in quotes, as JSON writes text, where it is not plain.

    >>> print(field("n1:web:80"), field('the "web"'))
    n1:web:80 "the \"web\""
    """
    text = str(value)
    plain = text.isprintable() and text and not any(c in ' "=\\' for c in text)
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())


def line(event: str, fields: Mapping[str, object]) -> str:
    """The message of an event; `node_id` is written as `node-id`.

    >>> line("drain", {"service_id": "n1:web:80", "why": "told to stop"})
    'event=drain service-id=n1:web:80 why="told to stop"'
    """
    return " ".join([f"event={event}", *(f"{key.replace('_', '-')}={field(value)}" for key, value in fields.items())])


class Form(logging.Formatter):
    """Time with its zone, level, message. What a library says becomes an event; a traceback is one field."""

    def format(self, record: logging.LogRecord) -> str:
        message = _message(record)
        if not message.isprintable():
            message = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in message)
        if record.exc_info:
            message += f" trace={field(self.formatException(record.exc_info))}"
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return f"{time} {record.levelname} {message}"


def set_up(stream: TextIO, level: int = logging.INFO) -> None:
    """Write what this process logs to a stream, in this form and in no other."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Form())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def _message(record: logging.LogRecord) -> str:
    template = str(record.msg)
    try:
        if not template.startswith("event="):
            return line("message", {"logger": record.name, "text": record.getMessage()})
        if not record.args:
            return template
        values = ({name: _value(value) for name, value in record.args.items()} if isinstance(record.args, Mapping)
                  else tuple(_value(value) for value in record.args))
        return template.replace('"%s"', "%s") % values
    except (TypeError, ValueError, KeyError):  # a mistake of the call, and no reason to say nothing
        return line("message", {"logger": record.name, "text": f"{template} {record.args}"})


def _value(value: object) -> object:
    return value if isinstance(value, int | float) else field(value)
