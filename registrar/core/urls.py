"""What was written for the path of an HTTP check: a path, or a whole address of the service itself. Pure."""

import re
from urllib.parse import urlsplit

_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# Without a scheme: what nobody calls the first part of a path.
_ADDRESS = re.compile(r"(localhost|\$SERVICE_IP|\d+\.\d+\.\d+\.\d+|\[[0-9A-F:.]+\]|[\w.-]+(?=:))(:[^/?]*)?([/?].*)?",
                      re.I | re.S)
_ITSELF = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "$service_ip")


class NoPath(ValueError):
    """It leads nowhere; the text says what would be right."""


def read_path(kind: str, text: str, address: str, ports: tuple[int, ...]) -> tuple[str, bool]:
    """The path of a check of this kind (http, https), and whether it had to be taken out of an address.

    The address has to be the service's own: its `address` or a loopback one, and one of its `ports` or none.
    Raises NoPath where it is not, or where no path could be asked for.

    >>> read_path("http", "http://localhost:8080/health?full=1", "10.0.0.5", (32768, 8080))
    ('/health?full=1', True)
    >>> read_path("http", "health", "10.0.0.5", (32768, 8080))
    ('/health', False)
    """
    whole = _SCHEME.match(text)
    if whole or _ADDRESS.fullmatch(text):
        return _checked(_path_of(kind, text if whole else f"{kind}://{text}", address, ports)), True
    return _checked(text if text.startswith("/") else f"/{text}"), False


def _path_of(kind: str, url: str, address: str, ports: tuple[int, ...]) -> str:
    try:
        parts = urlsplit(url.replace("$SERVICE_PORT", str(ports[0])))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise NoPath("give a path such as /health, not an address") from None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme.lower() not in ("http", "https"):
        raise NoPath("give a path such as /health, not an address")
    if parts.scheme.lower() != kind:
        raise NoPath(f"the address is of {parts.scheme.lower()}: give SERVICE_CHECK_{parts.scheme.upper()}={path}")
    if host not in (*_ITSELF, address.lower()) or port not in (None, *ports):
        raise NoPath("a check asks the service itself, and this is another address: give a path such as /health, or a "
                     "SERVICE_CHECK_SCRIPT")
    return path


def _checked(path: str) -> str:
    if not path.isprintable() or " " in path:
        raise NoPath("give a path such as /health, without blanks")
    if _ESCAPE.search(path):
        raise NoPath("a % in a path has two hexadecimal digits behind it, such as %20")
    return path
