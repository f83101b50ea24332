"""What was asked for on the command line and in the environment, checked by the rows of `option_rows`. Pure.

An option is a flag (`-ip X`, `--ip X`, `-ip=X`, anywhere on the line) or an environment variable; the flag wins.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NoReturn

from registrar.core.grammar import hide_passwords, split_list
from registrar.core.option_rows import COMMANDS, ENV_PREFIX, OPTIONS, Command, Option

REGISTRY = "registry"


class UsageError(Exception):
    """The command line or the environment asks for something that cannot be; one line for each fault."""


@dataclass(frozen=True, slots=True)
class Given:
    """What was asked for: checked values by field, and the fields that were given at all.

    `extras` are the values of the command's own options, `words` what it is to work on.
    """

    values: Mapping[str, Any]
    fields: frozenset[str]
    registry: str
    command: str = ""
    words: tuple[str, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)


def read_options(arguments: Sequence[str], environ: Mapping[str, str]) -> Given:
    """Flags over environment over defaults. Raises UsageError with every fault at once."""
    command = next((c for c in COMMANDS if list(arguments[:1]) == [c.name]), None)
    own = command.options if command else ()
    by_name = {option.name: option for option in (*OPTIONS, *own)}
    rest = arguments[1:] if command else arguments
    flags = vars(_parser(own).parse_intermixed_args([_spelt_out(argument, by_name) for argument in rest]))
    positional: list[str] = flags.pop(REGISTRY)
    faults, values, given = [], {}, set()
    words = command.words if command else ()
    if len(positional) < len(words):
        raise UsageError(f"registrar {arguments[0]}: give {' '.join(words)} and the registry address")
    named, positional = tuple(positional[:len(words)]), positional[len(words):]
    for option in (*OPTIONS, *own):
        values[option.field] = option.default
        texts: list[str] | None = flags[option.field]
        where = f"-{option.name}"
        if texts is None and environ.get(option.variable, "").strip():
            texts, where = _from_variable(option, environ[option.variable]), option.variable
        if texts is None:
            continue
        given.add(option.field)
        try:
            read = tuple(option.read(text) for text in texts)
            values[option.field] = read if option.many else read[-1]
        except ValueError as fault:
            faults.append(f"{where} {hide_passwords(texts[-1])!r}: {fault}")
    if not positional and environ.get(ENV_PREFIX + "REGISTRY"):
        positional = [environ[ENV_PREFIX + "REGISTRY"]]
    if len(positional) != 1:
        faults.append("give one registry address, such as consul://127.0.0.1:8500"
                      + (f", not {len(positional)}: {' '.join(positional)}" if positional else ""))
    if faults:
        raise UsageError("\n".join(faults))
    extras = {option.field: values.pop(option.field) for option in own}
    return Given(values, frozenset(given), positional[0], command.name if command else "", named, extras)


def unknown_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Variables with our prefix that mean nothing, most likely misspelt."""
    options = (*OPTIONS, *(option for command in COMMANDS for option in command.options))
    known = {option.variable for option in options} | {ENV_PREFIX + "REGISTRY"}
    return tuple(sorted(key for key in environ if key.startswith(ENV_PREFIX) and key not in known))


def usage() -> str:
    """The help text."""
    return _parser().format_help()


def _from_variable(option: Option, text: str) -> list[str]:
    return list(split_list(text)) if option.many else [text.strip()]


def _spelt_out(argument: str, by_name: Mapping[str, Option]) -> str:
    """`-ip` as `--ip`, and `--internal` as `--internal=true`, since Go's `-internal=false` has to work as well."""
    name, sign, _ = argument.lstrip("-").partition("=")
    option = by_name.get(name) if argument.startswith("-") else None
    if option is None:
        return argument
    written = argument if argument.startswith("--") else f"-{argument}"
    return f"{written}=true" if option.switch and not sign else written


def _form(command: Command) -> str:
    own = "".join(f" [--{o.name}{'' if o.switch else ' ' + o.rule}]" for o in command.options)
    words = "".join(f" {word}" for word in command.words)
    return f"registrar {command.name}{words}{own} [options] consul://HOST:PORT: {command.help}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        unknown = re.findall(r"(?<!\S)--?([A-Za-z][\w-]*)", message) if "unrecognized" in message else []
        names = [option.name for option in OPTIONS]
        near = [f"-{name}" for word in unknown for name in get_close_matches(word, names, 1)]
        raise UsageError(message + (f" (did you mean {', '.join(near)}?)" if near else "; see registrar -help"))


def _parser(own: Sequence[Option] = ()) -> _Parser:
    parser = _Parser(
        prog="registrar", add_help=False, allow_abbrev=False,
        usage="\n       ".join(["registrar [options] consul://HOST:PORT", *map(_form, COMMANDS)]),
        description="Keeps the published ports of this node's containers in Consul.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=110),
        epilog="One dash or two, --ip X or --ip=X, before or after the address. Each option is also an environment "
               "variable, REGISTRAR_IP for --ip and so on; the flag wins. Access to Docker: DOCKER_HOST, "
               "DOCKER_TLS_VERIFY, DOCKER_CERT_PATH. Access to Consul: CONSUL_HTTP_TOKEN(_FILE), CONSUL_HTTP_AUTH, "
               "CONSUL_HTTP_SSL, CONSUL_CACERT, CONSUL_CAPATH, CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY, "
               "CONSUL_TLS_SERVER_NAME. --help prints this, --version "
               "the version.",
    )
    parser.add_argument(REGISTRY, nargs="*", metavar="consul://HOST:PORT",
                        help="the Consul agent to register with (no host: CONSUL_HTTP_ADDR or 127.0.0.1:8500)")
    for option in (*OPTIONS, *own):
        parser.add_argument(f"--{option.name}", dest=option.field, action="append",
                            metavar="" if option.switch else option.rule, help=option.help)
    return parser
