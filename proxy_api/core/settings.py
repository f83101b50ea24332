"""The settings of proxy-api: one row each, read from a mapping, with every fault named. Core.

A row is an environment variable, a flag (`--consul-address` for CONSUL_ADDRESS) and a file `dfp_<name>` among the
secrets, which beats the variable as it did for the predecessor; a flag beats both. Blanks at the ends of a text, and
the line break that ends a file, belong to no value.
"""

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy_api.core import grammar, legacy_settings
from proxy_api.core import setting_rules as rules
from proxy_api.core.errors import Fault, InvalidSettings
from proxy_api.core.listeners import FRONTEND, Listener, clashes
from proxy_api.core.setting_rules import BindItem

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


@dataclass(frozen=True, slots=True)
class Setting:
    """A row: the variable, its rule, its default as text, and what it means. `field` names its value in Settings."""

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


SETTINGS: tuple[Setting, ...] = (
    Setting("CONSUL_ADDRESS", rules.consul_addresses, "127.0.0.1:8500",
            "Consul's HTTP API: host:port or a URL, several separated by commas and tried in turn."),
    Setting("PROXY_INSTANCE_NAME", grammar.name, "docker-flow",
            "First segment of the keys in Consul. Replicas share it; proxies with different names are apart."),
    Setting("IP", grammar.hostname, "0.0.0.0", "Address of the API."),
    Setting("PORT", grammar.port, "8080", "Port of the API."),
    Setting("DEFAULT_PORTS", rules.bind_items, "80,443:ssl",
            "Where requests come in. An item is port or addr:port, may carry bind options, and ends in :ssl for TLS; "
            "a TLS item is bound once there is a certificate."),
    Setting("BIND_PORTS", rules.bind_items, "", "More of the same."),
    Setting("CONFIGS_PATH", rules.configs_directory, "/cfg", "Directory for HAProxy's configuration and sockets."),
    Setting("CERTS_PATH", rules.directory, "/certs", "Directory with certificates: PEM files of certificate and key."),
    Setting("CONSUL_TEMPLATES_PATH", rules.directory, "/consul_templates",
            "Directory below which template files may be named in requests."),
    Setting("API_TOKEN", grammar.single_line, "",
            "Demand `Authorization: Bearer …` on calls that change something.", secret=True),
    Setting("API_TOKEN_FILE", grammar.single_line, "", "A file that holds API_TOKEN."),
    Setting("STRICT_PARAMETERS", grammar.boolean, "false", "Refuse unknown request parameters."),
    Setting("STATS_PORT", rules.stats_port, "",
            "port or addr:port of HAProxy's statistics page; without it there is none."),
    Setting("STATS_USER", grammar.single_line, "",
            "User of the statistics page; without it the page is on loopback only."),
    Setting("STATS_PASS", grammar.single_line, "", "Password of the statistics page.", secret=True),
    Setting("STATS_URI", grammar.single_line, "/admin?stats", "Path of the statistics page."),
    Setting("CONNECTION_MODE", grammar.one_of(*CONNECTION_MODES), "http-keep-alive", "HAProxy's connection mode."),
    *(Setting(name, grammar.number(1, 86400), str(default), f"HAProxy's `timeout {label}`, in seconds.")
      for name, label, default in TIMEOUTS),
    Setting("MAXCONN", rules.maxconn, "auto",
            "Connections that HAProxy takes at once; auto: four tenths of the limit of open files (`ulimit -n`), "
            "at most 50,000."),
    Setting("HARD_STOP_AFTER", grammar.number(1, 86400), "600",
            "Seconds after which what a reload replaced is ended, its last connections with it."),
    Setting("MAX_OLD_WORKERS", grammar.number(1, 1000), "20",
            "How many reloads what a reload replaced may outlive; each one takes as much memory as HAProxy itself."),
    Setting("DRAIN_TIMEOUT", grammar.number(0, 86400), "30",
            "Seconds that running requests get on a server that has left before they are cut."),
    Setting("STOP_TIMEOUT", grammar.number(0, 86400), "5",
            "Seconds that running requests get at SIGTERM before HAProxy is ended. All else takes four at most, and "
            "Docker gives ten for everything."),
    Setting("HAPROXY_BIN", grammar.single_line, "haproxy", "The HAProxy program, 2.6 or later."),
    Setting("HAPROXY_USER", grammar.optional_name, "haproxy",
            "User that HAProxy's workers run as when started as root; empty to stay root."),
)


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Settings:
    """Checked settings, each by the name of its row in lower case. Has no repr that shows a value: it holds secrets.

    `stats_port` is "" for none, `maxconn` 0 for auto; `access` holds Consul's own variables, by name.
    """

    consul_address: str
    proxy_instance_name: str
    ip: str
    port: int
    default_ports: tuple[BindItem, ...]
    bind_ports: tuple[BindItem, ...]
    configs_path: str
    certs_path: str
    consul_templates_path: str
    api_token: str
    api_token_file: str
    strict_parameters: bool
    stats_port: str
    stats_user: str
    stats_pass: str
    stats_uri: str
    connection_mode: str
    timeout_connect: int
    timeout_client: int
    timeout_server: int
    timeout_queue: int
    timeout_tunnel: int
    timeout_http_request: int
    timeout_http_keep_alive: int
    maxconn: int
    hard_stop_after: int
    max_old_workers: int
    drain_timeout: int
    stop_timeout: int
    haproxy_bin: str
    haproxy_user: str
    access: Mapping[str, str] = field(default_factory=dict)

    @property
    def timeouts(self) -> tuple[tuple[str, str], ...]:
        """HAProxy's timeouts, as it writes them."""
        return tuple((label, f"{getattr(self, name.lower())}s") for name, label, _ in TIMEOUTS)

    @property
    def on_loopback(self) -> bool:
        """Whether the API can be reached from this machine only."""
        try:
            return ipaddress.ip_address(self.ip).is_loopback
        except ValueError:
            return self.ip == "localhost"

    @property
    def api_bind(self) -> str:
        """`addr:port` of the API."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"

    @property
    def stats_bind(self) -> str:
        """`addr:port` of the statistics page, "" for none: without a user it is on loopback only."""
        if not self.stats_port:
            return ""
        host, _, port = self.stats_port.rpartition(":")
        return f"{host or ('*' if self.stats_user else '127.0.0.1')}:{port}"

    def listeners(self) -> tuple[Listener, ...]:
        """Every address to listen on: the API's, then HAProxy's."""
        stats = (Listener("STATS_PORT", self.stats_bind),) if self.stats_bind else ()
        return (Listener("PORT", self.api_bind), *stats,
                *(Listener(name, item.address, item.options, item.tls)
                  for name, items in zip(FRONTEND, (self.default_ports, self.bind_ports), strict=True)
                  for item in items))


def from_environ(environ: Mapping[str, str], secrets: Mapping[str, str] | None = None,
                 flags: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment, the secrets (`name` -> text) and flags; raises InvalidSettings, all faults."""
    values: dict[str, Any] = {}
    faults = list(legacy_settings.refused(environ, secrets or {}))
    for setting in SETTINGS:
        text = (flags or {}).get(setting.field)
        if text is None:
            text = (secrets or {}).get(setting.field)
        if text is None:
            text = environ.get(setting.name) or setting.default
        try:
            values[setting.field] = setting.rule(_stripped(text))
        except ValueError as fault:
            faults.append(Fault(setting.name, *fault.args))
    if faults:
        raise InvalidSettings(tuple(faults))
    ours = {setting.name for setting in SETTINGS}
    found = Settings(**values, access={name: text.strip() for name, text in environ.items()
                                       if name.startswith("CONSUL_") and name not in ours})
    if together := tuple(_together(found)):
        raise InvalidSettings(together)
    return found


def _stripped(text: str) -> str:
    if text and not text.strip():
        raise ValueError("holds nothing but blanks", "give a text, or leave it away")
    return text.strip()


def _together(settings: Settings) -> Iterator[Fault]:
    """What is wrong with settings that are right one by one."""
    if not (*settings.default_ports, *settings.bind_ports):
        yield Fault("DEFAULT_PORTS", "names no port", "give at least one, here or in BIND_PORTS")
    if bool(settings.stats_user) != bool(settings.stats_pass):
        yield Fault("STATS_USER", "and STATS_PASS do not come together", "give both or none")
    yield from clashes(settings.listeners())
