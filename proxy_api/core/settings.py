"""The settings of proxy-api: one row each, read from a mapping, with every fault named. Core.

A row is an environment variable, a flag (`--consul-address` for CONSUL_ADDRESS) and a file `dfp_<name>` among the
secrets, which beats the variable as it did for the predecessor; a flag beats both.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from catalog.address import parse_endpoints
from catalog.errors import InvalidAddress
from proxy_api.core import grammar
from proxy_api.core.errors import Fault, InvalidSettings

# The predecessor's defaults, in seconds (reference/proxy-api.md section 3), and HAProxy's names for them.
TIMEOUTS: tuple[tuple[str, str, int], ...] = (
    ("TIMEOUT_CONNECT", "connect", 5),
    ("TIMEOUT_CLIENT", "client", 20),
    ("TIMEOUT_SERVER", "server", 20),
    ("TIMEOUT_QUEUE", "queue", 30),
    ("TIMEOUT_TUNNEL", "tunnel", 3600),
    ("TIMEOUT_HTTP_REQUEST", "http-request", 5),
    ("TIMEOUT_HTTP_KEEP_ALIVE", "http-keep-alive", 15),
)
CONNECTION_MODES = ("http-keep-alive", "httpclose", "http-server-close")
MAX_SOCKET_PATH = 80  # sun_path holds 108 bytes, and HAProxy binds under a longer temporary name first


@dataclass(frozen=True, slots=True)
class BindItem:
    """An item of DEFAULT_PORTS or BIND_PORTS: `addr:port`, the operator's options, and whether it ends in `:ssl`."""

    address: str
    options: str
    tls: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """A row: the variable, its rule, its default as text, and what it means."""

    name: str
    rule: Callable[[str], Any]
    default: str
    help: str
    secret: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.name.lower().replace("_", "-")

    @property
    def field(self) -> str:
        return self.name.lower()


def _text(text: str) -> str:
    return grammar.single_line(text)


def _addresses(text: str) -> str:
    try:
        parse_endpoints(text)
    except InvalidAddress as fault:
        wrong, _, wanted = str(fault).rpartition(": ")
        raise ValueError(wrong or wanted, wanted if wrong else "give host:port") from None
    return text


def _directory(text: str) -> str:
    if not text.startswith("/") or not text.isprintable():
        raise ValueError(f"{grammar.shown(text)} is not an absolute path", "give an absolute path")
    return text.rstrip("/") or "/"


def _configs(text: str) -> str:
    path = _directory(text)
    if len(path) > MAX_SOCKET_PATH - len("/haproxy.sock"):
        raise ValueError(f"has {len(path)} characters", f"use at most {MAX_SOCKET_PATH - len('/haproxy.sock')}: "
                                                        "HAProxy's sockets are in it")
    return path


def _binds(text: str) -> tuple[BindItem, ...]:
    return tuple(_bind(item.strip()) for item in text.split(",") if item.strip())


def _bind(item: str) -> BindItem:
    wanted = "an item is port or addr:port, may carry HAProxy's bind options, and ends in :ssl for TLS"
    if not item.isprintable():
        raise ValueError("has a line break or a control character", wanted)
    tls = item.endswith(":ssl")
    address, _, options = item.removesuffix(":ssl").strip().partition(" ")
    address, tls = (address.removesuffix(":ssl"), True) if address.endswith(":ssl") else (address, tls)
    host, _, port = address.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{grammar.shown(item)} has no port from 1 to 65535", wanted)
    if not re.fullmatch(r"[A-Za-z0-9.*:\[\]_-]*", host):
        raise ValueError(f"{grammar.shown(item)} has no address to bind", wanted)
    return BindItem(f"{host or '*'}:{port}", options.strip(), tls)


def _stats_port(text: str) -> str:
    item = _bind(text) if text else None
    if item and (item.options or item.tls):
        raise ValueError(f"{grammar.shown(text)} has more than an address", "give port or addr:port, as for an item of "
                                                                            "DEFAULT_PORTS without options and TLS")
    return text.strip()


def _maxconn(text: str) -> int:
    """0 for auto."""
    return 0 if text == "auto" else grammar.number(1, 10_000_000)(text)


SETTINGS: tuple[Setting, ...] = (
    Setting("CONSUL_ADDRESS", _addresses, "127.0.0.1:8500",
            "Consul's HTTP API: host:port or a URL, several separated by commas and tried in turn."),
    Setting("PROXY_INSTANCE_NAME", grammar.name, "docker-flow",
            "First segment of the keys in Consul. Replicas share it; proxies with different names are apart."),
    Setting("IP", grammar.hostname, "0.0.0.0", "Address of the API."),
    Setting("PORT", grammar.port, "8080", "Port of the API."),
    Setting("DEFAULT_PORTS", _binds, "80,443:ssl",
            "Where requests come in. An item is port or addr:port, may carry bind options, and ends in :ssl for TLS; "
            "a TLS item is bound once there is a certificate."),
    Setting("BIND_PORTS", _binds, "", "More of the same."),
    Setting("CONFIGS_PATH", _configs, "/cfg", "Directory for HAProxy's configuration and sockets."),
    Setting("CERTS_PATH", _directory, "/certs", "Directory with certificates: PEM files of certificate and key."),
    Setting("CONSUL_TEMPLATES_PATH", _directory, "/consul_templates",
            "Directory below which template files may be named in requests."),
    Setting("API_TOKEN", _text, "", "Demand `Authorization: Bearer …` on calls that change something.", secret=True),
    Setting("API_TOKEN_FILE", _text, "", "A file that holds API_TOKEN."),
    Setting("STRICT_PARAMETERS", grammar.boolean, "false", "Refuse unknown request parameters."),
    Setting("STATS_PORT", _stats_port, "", "port or addr:port of HAProxy's statistics page; without it there is none."),
    Setting("STATS_USER", _text, "", "User of the statistics page; without it the page is on loopback only."),
    Setting("STATS_PASS", _text, "", "Password of the statistics page.", secret=True),
    Setting("STATS_URI", _text, "/admin?stats", "Path of the statistics page."),
    Setting("CONNECTION_MODE", grammar.one_of(*CONNECTION_MODES), "http-keep-alive", "HAProxy's connection mode."),
    *(Setting(name, grammar.number(1, 86400), str(default), f"HAProxy's `timeout {label}`, in seconds.")
      for name, label, default in TIMEOUTS),
    Setting("MAXCONN", _maxconn, "auto",
            "Connections that HAProxy takes at once; auto: four tenths of the limit of open files (`ulimit -n`), "
            "at most 50,000."),
    Setting("HARD_STOP_AFTER", grammar.number(1, 86400), "600",
            "Seconds after which what a reload replaced is ended, its last connections with it."),
    Setting("MAX_OLD_WORKERS", grammar.number(1, 1000), "20",
            "How many reloads what a reload replaced may outlive; each one takes as much memory as HAProxy itself."),
    Setting("DRAIN_TIMEOUT", grammar.number(0, 86400), "30",
            "Seconds that running requests get at SIGTERM before HAProxy is ended."),
    Setting("HAPROXY_BIN", _text, "haproxy", "The HAProxy program, 2.6 or later."),
    Setting("HAPROXY_USER", grammar.optional_name, "haproxy",
            "User that HAProxy's workers run as when started as root; empty to stay root."),
)


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """Checked settings, by the names of their rows in lower case. Has no repr: it holds secrets."""

    values: Mapping[str, Any] = field(default_factory=dict)
    access: Mapping[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def timeouts(self) -> tuple[tuple[str, str], ...]:
        """HAProxy's timeouts, as it writes them."""
        return tuple((label, f"{self.values[name.lower()]}s") for name, label, _ in TIMEOUTS)

    @property
    def on_loopback(self) -> bool:
        """Whether the API can be reached from this machine only."""
        try:
            return ipaddress.ip_address(self.values["ip"]).is_loopback
        except ValueError:
            return bool(self.values["ip"] == "localhost")


def from_environ(environ: Mapping[str, str], secrets: Mapping[str, str] | None = None,
                 flags: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment, the secrets (`name` -> text) and flags; raises InvalidSettings, all faults."""
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for setting in SETTINGS:
        text = (flags or {}).get(setting.field)
        if text is None:
            text = (secrets or {}).get(setting.field)
        if text is None:
            text = environ.get(setting.name) or setting.default
        try:
            values[setting.field] = setting.rule(text)
        except ValueError as fault:
            faults.append(Fault(setting.name, *fault.args))
    if not faults and not (*values["default_ports"], *values["bind_ports"]):
        faults.append(Fault("DEFAULT_PORTS", "names no port", "give at least one, here or in BIND_PORTS"))
    if not faults and bool(values["stats_user"]) != bool(values["stats_pass"]):
        faults.append(Fault("STATS_USER", "and STATS_PASS do not come together", "give both or none"))
    if faults:
        raise InvalidSettings(tuple(faults))
    access = {name: text for name, text in environ.items() if name.startswith("CONSUL_")}
    return Settings(values, access)


def to_environ(environ: Mapping[str, str], settings_texts: Mapping[str, str]) -> dict[str, str]:
    """The environment for a child process that is to have the same settings."""
    return {**environ, **{name.upper(): text for name, text in settings_texts.items()}}


