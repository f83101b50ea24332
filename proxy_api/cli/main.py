"""The command line of proxy-api. Entry."""

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from proxy_api.core.errors import InvalidSettings
from proxy_api.core.settings import SETTINGS, Settings, from_environ
from proxy_api.supervise.supervisor import CannotStart, Supervisor

log = logging.getLogger("proxy-api")

SECRETS_PATH = "/run/secrets"


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
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")


@main.command(help="Run the API and its HAProxy until SIGTERM.")
@_options
def serve(**flags: str | None) -> None:
    """The supervisor."""
    settings = _settings(flags)
    if not settings.api_token and not settings.on_loopback:
        log.warning("event=open-api ip=%s hint=\"anyone who reaches the port can change routes: set API_TOKEN, "
                    'or IP=127.0.0.1"', settings.ip)
    try:
        sys.exit(Supervisor(settings, partial(_writer, settings), partial(_api, settings)).run())
    except (CannotStart, InvalidSettings) as fault:
        _give_up(str(fault))


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
    settings = _settings({"api_token_file": token_file})
    call = "reconfigure" if remove is None else "remove"
    try:
        sys.exit(plan_command.run(address or plan_command.here(settings.ip, settings.port), settings.api_token, call,
                                  given, as_json))
    except plan_command.BadAddress as fault:
        raise click.UsageError(f"--address: {fault}") from None


def _settings(flags: dict[str, str | None]) -> Settings:
    secrets = {}
    directory = Path(os.environ.get("SECRETS_PATH", SECRETS_PATH))
    for setting in SETTINGS:
        file = directory / f"dfp_{setting.field}"
        if file.is_file():
            secrets[setting.field] = _read(file)
    token_file = flags.get("api_token_file") or os.environ.get("API_TOKEN_FILE")
    if token_file:
        secrets["api_token"] = _read(Path(token_file))
        _demand_token(secrets["api_token"], Path(token_file))
    elif "api_token" in secrets:
        _demand_token(secrets["api_token"], directory / "dfp_api_token")
    try:
        return from_environ(os.environ, secrets, {name: text for name, text in flags.items() if text is not None})
    except InvalidSettings as fault:
        _give_up(str(fault))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as fault:
        _give_up(f"{path} cannot be read: {fault}")


def _demand_token(token: str, file: Path) -> None:
    """An empty file is a secret that was not written yet: without this the API would be open to all."""
    if not token.strip():
        _give_up(f"API_TOKEN: {file} is empty; write the token into it, or leave the file out")


def _give_up(text: str) -> NoReturn:
    click.echo(f"proxy-api: {text}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
