"""`proxy-api plan`: asks a running API what a call would do, and prints it. Edge."""

import http.client
import json
import ssl
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

import click

TIMEOUT_S = 150.0  # more than a call may wait for its turn
OK, REFUSED = 0, 1


class NoAnswer(Exception):
    """The API was not reached, or what answered is not one. The text says which, without the token."""


class BadAddress(ValueError):
    """The address is none; the text says what would be right."""


def ask(address: str, token: str, call: str, parameters: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """One dry run; the status and the answer. Raises NoAnswer and BadAddress.

    No redirect is followed and no proxy asked: the token is for this address alone.
    """
    secure, host, port = split(address)
    connection: http.client.HTTPConnection
    if secure:
        connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    headers = {"Content-Type": b"application/x-www-form-urlencoded"}
    if token:
        headers["Authorization"] = f"Bearer {token}".encode()
    body = urllib.parse.urlencode({**parameters, "dryRun": "true"})
    try:
        connection.request("POST", f"/v1/docker-flow-proxy/{call}", body, headers)
        response = connection.getresponse()
        status, text = response.status, response.read()
    except (OSError, http.client.HTTPException) as fault:
        raise NoAnswer(f"there is no answer from {address}: {str(fault) or type(fault).__name__}") from None
    finally:
        connection.close()
    try:
        answer = json.loads(text)
        if not isinstance(answer, dict) or "Status" not in answer:
            raise ValueError
    except ValueError:
        raise NoAnswer(f"{address} answers {status}, and not as a proxy-api does") from None
    if status == 200 and not answer.get("DryRun"):
        raise NoAnswer(f"{address} does not know dry runs: it has MADE the change")
    return status, answer


def split(address: str) -> tuple[bool, str, int | None]:
    """Whether TLS, host and port of an address such as `proxy:8080`, `http://[::1]:8080` or `https://acme.com`."""
    wanted = "give host:port or a URL such as http://proxy:8080"
    try:
        parts = urllib.parse.urlsplit(address if "://" in address else f"http://{address}")
        port = parts.port
    except ValueError as fault:
        raise BadAddress(f"{fault}; {wanted}") from None
    if parts.username is not None or parts.password is not None:
        raise BadAddress("it carries a user or password; give a token with --token-file or API_TOKEN")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") \
            or parts.query or parts.fragment:
        raise BadAddress(f"it is no address of an API; {wanted}")
    return parts.scheme == "https", parts.hostname, port


def here(ip: str, port: int) -> str:
    """The address of an API with these settings, from its own node."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(ip, ip)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def text(answer: Mapping[str, Any]) -> str:
    """A dry run's answer for people."""
    return "".join(f"{_visible(line)}\n" for line in _lines(answer))


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    yield f"change: {answer['Change']}"
    yield f"reason: {answer['Reason']}"
    yield f"servers: {answer['Servers']}"
    yield from (f"warning: {warning}" for warning in answer["Warnings"])
    if answer["Commands"]:
        yield from ("", "commands:")
        yield from (f"  {command}" for command in answer["Commands"])
    if answer["Diff"]:
        yield ""
        yield from answer["Diff"].splitlines()


def _visible(line: str) -> str:
    """What a terminal would obey is shown instead."""
    return "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in line)


def run(address: str, token: str, call: str, parameters: Mapping[str, str], as_json: bool) -> int:
    """Ask, print, and say by the exit code whether it would work. Raises BadAddress."""
    try:
        status, answer = ask(address, token, call, parameters)
    except NoAnswer as fault:
        click.echo(f"proxy-api: {fault}", err=True)
        return REFUSED
    if as_json:
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    elif status == 200:
        click.echo(text(answer), nl=False)
    if status != 200:
        click.echo(f"proxy-api: refused ({status}): {_visible(str(answer.get('Message')))}", err=True)
    return OK if status == 200 else REFUSED
