"""The one form of a log line: `2026-11-27T13:05:49.123+00:00 INFO event=started process=writer`. Edge to `logging`.

A record's arguments are values, and each is quoted here, wherever it comes from: `log.info("event=x name=%s", name)`.
So no value can forge a field or a line. What libraries log gets the same form.
"""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

INDENT = "    "


def set_up(stream: TextIO, level: int = logging.INFO) -> None:
    """Have everything that this process logs, from this level on, written to a stream in this form."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Form())
    logging.basicConfig(handlers=[handler], level=level, force=True)


def line(event: str, fields: Mapping[str, object]) -> str:
    """The whole message of an event; `node_id` is written as `node-id`."""
    return " ".join([f"event={event}", *(f"{name.replace('_', '-')}={field(value)}" for name, value in fields.items())])


def field(value: object) -> str:
    """A value as it stands behind `key=`: as it is if it is a plain word, else as a JSON string on one line."""
    text = str(value)
    plain = text.isprintable() and text and not any(c in ' "=\\' for c in text)
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())


class Form(logging.Formatter):
    """Time with its zone, level, event and fields; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        lines = [f"{time} {record.levelname} {_visible(_text(record))}"]
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            lines += [INDENT + _visible(line) for line in trace.split("\n")]
        return "\n".join(lines)


def _text(record: logging.LogRecord) -> str:
    template = str(record.msg)
    if not template.startswith("event="):  # a library's
        return f"event=library-says library={field(record.name)} text={field(_message(record))}"
    if not record.args:
        return template
    values = ({name: _value(value) for name, value in record.args.items()} if isinstance(record.args, Mapping)
              else tuple(_value(value) for value in record.args))
    try:
        return template.replace('"%s"', "%s") % values
    except (TypeError, ValueError, KeyError):  # a mistake of ours, and no reason to say nothing
        return f"{template} {field(values)}"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} {record.args}"


def _value(value: object) -> object:
    return value if isinstance(value, int | float) else field(value)


def _visible(line: str) -> str:
    """Whatever could end the line, or what a terminal would obey, is shown instead."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
