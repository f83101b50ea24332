"""The tables of docs/registrar.md, written from the rows that the program itself is made of.

python -m registrar.cli.reference docs/registrar.md    writes them anew between their markers
"""

import re
import sys
from collections.abc import Callable, Iterable, Sequence

from registrar.core import attributes, checks
from registrar.core.option_rows import COMMANDS, OPTIONS, Option
from registrar.core.tag_functions import USAGES
from registrar.status.metrics import Metrics

# Registrator's own have one dash in its documentation.
REGISTRATORS = {"ip", "internal", "explicit", "useIpFromLabel", "tags", "ttl", "ttl-refresh", "resync", "cleanup",
                "deregister", "retry-attempts", "retry-interval"}

# What follows each of the engine's events (engine.events.EVENTS).
EVENT_EFFECTS: tuple[tuple[str, str], ...] = (
    ("start", "the container is looked at, and registered"),
    ("kill", "its stop signal, or 9: its services leave rotation; any other signal: nothing"),
    ("die", "its services go out at once; a second later it is looked at, to make sure"),
    ("pause", "it leaves rotation if it is still paused a second later"),
    ("unpause", "it is looked at, and back in rotation"),
    ("health_status", "it is looked at, if it has a HEALTHCHECK; see `--health`"),
    ("rename", "it is registered under its new id, then the old one goes out"),
    ("destroy", "it is looked at: what is registered for it goes out"),
    ("connect", "its networks have changed, so its port on the host may have, too: it is looked at"),
    ("disconnect", "likewise"),
    ("oom", "a process of it ran out of memory: that is said, and it is looked at"),
    ("update", "the container is looked at; of a swarm's service: everything is"),
    ("remove", "of a swarm's service: likewise"),
)



def filled(text: str) -> str:
    """The document with every marked part as it should be. Raises ValueError where a marker is missing."""
    for name, part in PARTS.items():
        pattern = re.compile(rf"(<!-- {name}: [^\n]* -->\n).*?(<!-- end -->)", re.S)
        if not pattern.search(text):
            raise ValueError(f"there is no marker for {name!r}")
        body = f"\\g<1>{_escaped(part())}\n\\g<2>"
        text = pattern.sub(body, text)
    return text


def options() -> str:
    """The options."""
    return table(("option", "variable", "default", "meaning"), (
        (code(("-" if o.name in REGISTRATORS else "--") + o.name), code(o.variable), _default(o), _meaning(o))
        for o in OPTIONS))


def commands() -> str:
    """The commands, each with its own options."""
    rows = []
    for command in COMMANDS:
        words = " ".join(("registrar", command.name, *command.words))
        rows.append((code(words), command.help))
        rows += [(code(f"--{o.name}" + ("" if o.switch else f" {o.rule}")), o.help) for o in command.options]
    return table(("command", "meaning"), rows)


def keys() -> str:
    """The metadata keys."""
    return table(("key", "effect"), ((code(key), text) for key, text in (*attributes.KEYS, *checks.KEYS)))


def functions() -> str:
    """The functions of tag templates that are Registrator's."""
    return table(("function", "gives"), ((code(usage), text) for usage, text in USAGES))


def events() -> str:
    """The engine's events."""
    return table(("event", "what follows"), ((code(event), text) for event, text in EVENT_EFFECTS))


def metrics() -> str:
    """The metrics."""
    families = sorted(Metrics().registry.collect(), key=lambda family: family.name)
    return table(("metric", "kind", "meaning"), (
        (code(f.name + ("_total" if f.type == "counter" else "")), f.type, f.documentation) for f in families))


PARTS: dict[str, Callable[[], str]] = {
    "options": options, "commands": commands, "keys": keys, "functions": functions, "events": events,
    "metrics": metrics}


def _meaning(option: Option) -> str:
    words = f"{code(option.rule)}: " if option.rule else ""
    return f"{words}{option.help}"


def _default(option: Option) -> str:
    if option.switch:
        return "on" if option.default else "off"
    return code(f"{option.default:g}" if isinstance(option.default, float) else str(option.default)) \
        if option.default or option.default == 0 else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(text: str) -> str:
    """Text as it is typed, in Markdown."""
    return f"`{text}`"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\")


def main(arguments: Sequence[str]) -> int:
    """Write the document anew; the exit code."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    with open(arguments[0], encoding="utf-8") as file:
        text = file.read()
    with open(arguments[0], "w", encoding="utf-8") as file:
        file.write(filled(text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
