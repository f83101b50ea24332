"""Settings and certificates turned into what the configuration needs to know of its surroundings. Edge."""

import contextlib
import ctypes
import os
import pwd
import re
import resource
import secrets
from dataclasses import replace
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from proxy_api.core import render
from proxy_api.core.errors import Fault, InvalidSettings
from proxy_api.core.render import Bind, Surroundings
from proxy_api.core.settings import Settings
from proxy_api.haproxy.certificates import Certificates
from proxy_api.haproxy.hosts_file import HostsFile

MAX_AUTO_MAXCONN = 50_000


def text_environment() -> Environment:
    """The Jinja2 environment of our own templates: undefined names are errors, lines stay as they are."""
    return render.build_environment(Environment(
        loader=PackageLoader("proxy_api", "templates"), undefined=StrictUndefined, autoescape=False,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, auto_reload=False,
    ))


def auto_maxconn(open_files: int) -> int:
    """How many connections to take at once under this limit of open files (-1: none).

    Each has one to a server as well, and health checks want theirs. HAProxy's own figure is what is left after one for
    each server, which is next to nothing where they are many, and as many as the limit allows where that has no end.
    """
    most = MAX_AUTO_MAXCONN
    return most if open_files < 0 else max(100, min(most, open_files * 4 // 10))


class GlobalConfig:
    """What the configuration is to know beside the services, now: from the settings, the certificates and the hosts.

    `socket` is the path of HAProxy's runtime socket. Raises InvalidSettings.
    """

    def __init__(self, settings: Settings, socket: str) -> None:
        self._certificates, self._hosts = Certificates(settings.certs_path), HostsFile()
        self._of_settings = Surroundings(
            binds=tuple(Bind(b.address, b.options, b.tls) for b in (*settings.default_ports, *settings.bind_ports)),
            socket=socket,
            timeouts=settings.timeouts,
            connection_mode=settings.connection_mode,
            hard_stop_after_s=settings.hard_stop_after,
            maxconn=settings.maxconn or auto_maxconn(resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
            max_old_workers=settings.max_old_workers,
            user=_user(settings.haproxy_user),
            stats_bind=settings.stats_bind,
            stats_user=settings.stats_user,
            stats_pass_hash=_crypt(settings.stats_pass, _salt(Path(settings.configs_path))) if settings.stats_pass
            else "",
            stats_uri=settings.stats_uri,
        )

    def __call__(self) -> Surroundings:
        return replace(self._of_settings, certificates=self._certificates.usable(), hosts=self._hosts.names())


def _user(name: str) -> str:
    """The user to run workers as: only root can change it, and only to one that exists."""
    if os.geteuid() != 0 or not name:
        return ""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return ""
    return name


def _salt(configs_path: Path) -> str:
    """The salt of this CONFIGS_PATH, drawn at its first start: equal settings render to equal bytes on one proxy.

    It says nothing of the password, so that guesses cost what the hash costs.
    """
    file = configs_path / "stats.salt"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if re.fullmatch(r"[0-9a-f]{16}", text := file.read_text(encoding="utf-8")):
            return text
    salt = secrets.token_hex(8)
    fresh = configs_path / f".stats.salt.{os.getpid()}"
    with contextlib.suppress(OSError):  # a disk that takes nothing: then it holds for this process
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            out.write(salt)
        fresh.replace(file)
    return salt


def _crypt(password: str, salt: str) -> str:
    """The password as HAProxy compares it (crypt(3), SHA-512), so that no file holds it."""
    try:
        library = ctypes.CDLL("libcrypt.so.1")
    except OSError:
        raise InvalidSettings((Fault("STATS_PASS", "cannot be hashed here: libcrypt.so.1 is missing",
                                     "install libcrypt1, or leave the statistics page without a password"),)) from None
    library.crypt.restype = ctypes.c_char_p
    hashed: bytes = library.crypt(password.encode(), f"$6${salt}$".encode())
    return hashed.decode()
