"""The command `registrar`: reads what is asked for, and hands it to the command that does it."""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from registrar.cli import drain, keep, once
from registrar.cli.parts import with_address
from registrar.cli.signals import stop_on_signal
from registrar.core.grammar import is_loopback
from registrar.core.options import UsageError, unknown_variables, usage
from registrar.core.settings import Settings, read_settings
from registrar.network.node_addresses import NoAddress
from registrar.status.journal import Journal, open_journal

EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal (or once); the exit status is 0, 1 for what did not work, 2 for a usage error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    stop = stop_on_signal()
    if {"-h", "-help", "--help"} & set(given):
        print(usage(), end="")
        return 0
    if {"-version", "--version"} & set(given):
        print(f"registrar {version('portbook')}")
        return 0
    journal = open_journal()
    try:
        settings = read_settings(given, os.environ)
        journal.level(settings.log_level)
        if not settings.internal and settings.command not in ("drain", "watch-nodes"):
            settings = with_address(settings)
    except (UsageError, NoAddress) as fault:
        for text in str(fault).splitlines():
            print(f"registrar: {text}", file=sys.stderr)
        return EXIT_USAGE
    if settings.command == "drain":
        return drain.run(settings, journal, stop)
    _greet(settings, journal)
    if settings.command == "watch-nodes":
        return keep.watch_nodes(settings, journal, stop)
    if settings.dry_run or settings.once or settings.command == "plan":
        return once.run(settings, journal, stop)
    return keep.run(settings, journal, stop)


def _greet(settings: Settings, journal: Journal) -> None:
    for note in settings.notes:
        journal.warn("note", text=note)
    for variable in unknown_variables(os.environ):
        journal.warn("note", text=f"{variable} is no option of registrar")
    if is_loopback(settings.ip):
        journal.warn("note", text=f"-ip {settings.ip} is a loopback address: only this machine can reach it")


if __name__ == "__main__":
    sys.exit(main())
