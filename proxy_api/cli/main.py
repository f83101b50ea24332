"""The command line of proxy-api. Entry."""

import importlib.metadata
import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from logs import form
from proxy_api.cli import secret_files
from proxy_api.core import legacy_settings
from proxy_api.core.errors import InvalidSettings
from proxy_api.core.settings import SETTINGS, Settings, from_environ
from proxy_api.supervise.start import CannotStart
from proxy_api.supervise.supervisor import Supervisor

log = logging.getLogger("proxy-api")

SECRETS_PATH = "/run/secrets"
FAULTY_SETTINGS = 2


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Every row of SETTINGS as a flag."""
    for setting in reversed(SETTINGS):
        text = f"{setting.help} [{setting.name}{', default ' + setting.default if setting.default else ''}]"
        command = click.option(setting.flag, setting.field, metavar="TEXT", help=text)(command)
    return command


@click.group(help="An API that reconfigures HAProxy on demand from the Consul catalog.")
@click.version_option(package_name="portbook")
def main() -> None:
    """Set up logging; the subcommands do the rest."""
    form.set_up(sys.stderr)


@main.command(help="Run the API and its HAProxy until SIGTERM.")
@_options
def serve(**flags: str | None) -> None:
    """The supervisor."""
    secrets, settings = _settings(flags)
    _say_what_starts(settings)
    for name, note in legacy_settings.ignored(os.environ, secrets):
        log.warning("event=setting-ignored name=%s reason=%s", name, f"{legacy_settings.NOT_HERE}: {note}")
    if not settings.api_token and not settings.on_loopback:
        log.warning("event=open-api ip=%s hint=%s", settings.ip,
                    "anyone who reaches the port can change routes: set API_TOKEN, or IP=127.0.0.1")
    try:
        sys.exit(Supervisor(settings, partial(_writer, settings), partial(_api, settings)).run())
    except CannotStart as fault:
        _give_up(str(fault), fault.status)
    except InvalidSettings as fault:
        _give_up(str(fault))


def _say_what_starts(settings: Settings) -> None:
    """The first line of a log. The address of Consul carries no user and no token: its rule refuses them."""
    try:
        version = importlib.metadata.version("portbook")
    except importlib.metadata.PackageNotFoundError:  # a checkout that was not installed
        version = "unknown"
    api, *others = settings.listeners()
    log.info("event=starting version=%s instance=%s api=%s ports=%s consul=%s configs=%s", version,
             settings.proxy_instance_name, api.address,
             ",".join(f"{other.address}{':ssl' if other.tls else ''}" for other in others),
             settings.consul_address, settings.configs_path)


def _writer(settings: Settings) -> Callable[[], None]:
    """The writer's process; its libraries are imported once HAProxy has been started."""
    from proxy_api.writer import process
    return partial(process.run, settings)


def _api(settings: Settings) -> Callable[[], None]:
    """The API's process; Flask and gunicorn are imported once the writer has been started."""
    from proxy_api.api import server
    return partial(server.run, settings)


@main.command(help="Ask a running API what a reconfigure (or remove) would do, and change nothing. The parameters are "
                   "the call's: serviceName=go-demo servicePath=/demo. Exits with 0 if it would work, 1 if it is "
                   "refused or nobody answers.")
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--remove", metavar="SERVICE", help="Ask about the removal of this service instead.")
@click.option("--address", metavar="URL", help="Where the API is [default: here, as IP and PORT say]")
@click.option("--token-file", metavar="FILE", help="A file that holds the token [API_TOKEN_FILE; or API_TOKEN]")
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer as it is.")
def plan(parameters: tuple[str, ...], remove: str | None, address: str | None, token_file: str | None,
         as_json: bool) -> None:
    """A dry run from the command line."""
    from proxy_api.cli import plan_command
    given: dict[str, str] = {"serviceName": remove} if remove is not None else {}
    for word in parameters:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise click.UsageError(f"{word!r} is no parameter; write NAME=VALUE, such as serviceName=go-demo")
        if name in given:
            raise click.UsageError(f"{name} is given twice; give it once, a list separated by commas")
        given[name] = value
    if given.pop("dryRun", "true") != "true":
        raise click.UsageError("dryRun is always true here; to make the change, send it to the API")
    if not given:
        raise click.UsageError("give the parameters of a reconfigure, such as serviceName=go-demo servicePath=/demo, "
                               "or --remove go-demo")
    _, settings = _settings({"api_token_file": token_file})
    call = "reconfigure" if remove is None else "remove"
    try:
        sys.exit(plan_command.run(address or plan_command.here(settings.ip, settings.port), settings.api_token, call,
                                  given, as_json))
    except plan_command.BadAddress as fault:
        raise click.UsageError(f"--address: {fault}") from None


def _settings(flags: dict[str, str | None]) -> tuple[dict[str, str], Settings]:
    """The secrets that lie in files, and the settings that come of all there is."""
    names = [*(setting.field for setting in SETTINGS), *(row.name.lower() for row in legacy_settings.ROWS)]
    try:
        secrets = secret_files.read(Path(os.environ.get("SECRETS_PATH", SECRETS_PATH)), names)
        if (token := secret_files.token(secrets, os.environ, flags.get("api_token_file"))) is not None:
            secrets["api_token"] = token
        given = {name: text for name, text in flags.items() if text is not None}
        return secrets, from_environ(os.environ, secrets, given)
    except (secret_files.Unusable, InvalidSettings) as fault:
        _give_up(str(fault))


def _give_up(text: str, status: int = FAULTY_SETTINGS) -> NoReturn:
    click.echo(f"proxy-api: {text}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
