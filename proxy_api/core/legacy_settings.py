"""The predecessor's settings that this version does not have. Core.

One that closed something there is refused: without it, what was meant to be closed would be open. The others are told,
and ignored. A value that changed nothing there changes nothing here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from proxy_api.core.errors import Fault

NOT_HERE = "the predecessor has this, this version does not"
SERVICES = "DFP_SERVICE_"  # begins the names of the services that the predecessor takes from the environment
# What this version's `ssl-min-ver TLSv1.2` says as well.
_IMPLIED = frozenset(("no-sslv3", "no-tlsv10", "no-tlsv11", "ssl-min-ver", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2"))
_IN_FRONT = "close what it closed in front of this proxy, or in a service's own template, and take it away"


@dataclass(frozen=True, slots=True)
class LegacySetting:
    """A row: the variable, the texts that changed nothing there (beside none), what the fault says would be right where
    it closed something ("" where it did not; {} is the value), and what becomes of it otherwise.
    """

    name: str
    harmless: tuple[str, ...] = ()
    instead: str = ""
    note: str = "it has no effect"

    def matters(self, text: str) -> bool:
        """Whether the predecessor would have done something with this text."""
        if self.name == "SSL_BIND_OPTIONS":
            return not set(text.split()) <= _IMPLIED
        return bool(text) and text.lower() not in self.harmless


_POLLING = "the records in Consul are watched, and no listener is asked"
ROWS: tuple[LegacySetting, ...] = (
    LegacySetting("USERS", instead=_IN_FRONT),
    LegacySetting("EXTRA_FRONTEND", instead=_IN_FRONT),
    LegacySetting("EXTRA_GLOBAL", instead="give what concerns TLS as bind options, such as "
                                          "DEFAULT_PORTS=80,443 no-tlsv12:ssl, and take it away"),
    LegacySetting("HTTPS_ONLY", ("false",), "bind no plain port (DEFAULT_PORTS=443:ssl), and take it away"),
    LegacySetting("FILTER_PROXY_INSTANCE_NAME", ("false",),
                  "give each proxy a PROXY_INSTANCE_NAME and send it its own services only, and take it away"),
    LegacySetting("SSL_BIND_OPTIONS", instead="give bind options, such as DEFAULT_PORTS=80,443 {}:ssl"),
    LegacySetting("SSL_BIND_CIPHERS", instead="give bind options, such as DEFAULT_PORTS=80,443 ciphers {}:ssl"),
    LegacySetting("CA_FILE", instead="give bind options, such as DEFAULT_PORTS=80,443 ca-file {} verify optional:ssl"),
    LegacySetting("CRT_LIST_PATH", instead="put the PEM files into CERTS_PATH, and what the list says beside them into "
                                           "bind options of DEFAULT_PORTS"),
    LegacySetting("CFG_TEMPLATE_PATH", ("/cfg/tmpl/haproxy.tmpl",),
                  "give what a service needs of it as its own template (consulTemplatePath), and take it away"),
    LegacySetting("ENABLE_H2", ("true",), "give bind options, such as DEFAULT_PORTS=80,443 alpn http/1.1:ssl"),
    LegacySetting("STATS_USER_ENV", ("stats_user",), "give the user in STATS_USER"),
    LegacySetting("STATS_PASS_ENV", ("stats_pass",), "give the password in STATS_PASS, or in a file dfp_stats_pass"),
    LegacySetting("SEPARATOR", (",",), "separate lists by commas, and take it away"),
    LegacySetting("MODE", ("default",), note="services are found in Consul's catalog"),
    LegacySetting("SERVICE_NAME", ("proxy",), note="replicas share the records in Consul"),
    LegacySetting("LISTENER_ADDRESS", note=_POLLING),
    LegacySetting("RELOAD_INTERVAL", ("5000",), note=_POLLING),
    LegacySetting("REPEAT_RELOAD", ("false",), note=_POLLING),
    LegacySetting("RELOAD_ATTEMPTS", ("5",), note=_POLLING),
    LegacySetting("RECONFIGURE_ATTEMPTS", ("20",), note="a call is answered once"),
    LegacySetting("TERMINATE_ON_RELOAD", ("false",), note="a reload lets requests finish, for HARD_STOP_AFTER at most"),
    LegacySetting("SKIP_ADDRESS_VALIDATION", ("true",), note="what a service resolves to comes from the catalog"),
    LegacySetting("DO_NOT_RESOLVE_ADDR", ("false",), note="a name that does not resolve yet stops nobody"),
    LegacySetting("CHECK_RESOLVERS", ("false",), note="names are resolved again all the time"),
    LegacySetting("RESOLVERS", ("nameserver dns 127.0.0.11:53",), note="the servers of /etc/resolv.conf are asked"),
    LegacySetting("DEFAULT_REQ_MODE", ("http",), note="requests are HTTP"),
    LegacySetting("DEFAULT_PROTOCOL", ("http",), note="requests are HTTP"),
    LegacySetting("CAPTURE_REQUEST_HEADER"),
    LegacySetting("COMPRESSION_ALGO"),
    LegacySetting("COMPRESSION_TYPE"),
    LegacySetting("SERVICE_DOMAIN_ALGO", ("hdr_beg(host)",), note="a host is compared as a whole, or below a `*.`"),
    LegacySetting("STATS_URI_ENV", ("stats_uri",), note="give the path in STATS_URI"),
    LegacySetting("USERS_PASS_ENCRYPTED", ("false",)),
    LegacySetting("PREFERRED_CERTIFICATE", note="the first file by name answers who asks for no name"),
    LegacySetting("CERTS"),
    LegacySetting("DEBUG", ("false",)),
    LegacySetting("DEBUG_ERRORS_ONLY", ("false",)),
    LegacySetting("DEBUG_HTTP_FORMAT"),
    LegacySetting("DEBUG_TCP_FORMAT"),
    LegacySetting("DISPLAY_CONFIG_ON_ERROR", ("false",), note="dryRun=true shows the difference"),
    LegacySetting("HEALTHCHECK", ("true",), note="ask /ready"),
    LegacySetting("DNS_LOOKUP_PAUSE_MS"),
)


def refused(environ: Mapping[str, str], secrets: Mapping[str, str]) -> tuple[Fault, ...]:
    """The settings without which something would be open that was closed."""
    return tuple(Fault(row.name, f"{NOT_HERE}, and ignoring it could open what it closes", row.instead.format(text))
                 for row, text in _given(environ, secrets) if row.instead)


def ignored(environ: Mapping[str, str], secrets: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The other settings that do something there: name, and what becomes of it."""
    told = [(row.name, row.note) for row, _ in _given(environ, secrets) if not row.instead]
    services = sorted(name for name in environ if name.startswith(SERVICES))
    return (*told, *((name, "services come by reconfigure only") for name in services))


def _given(environ: Mapping[str, str], secrets: Mapping[str, str]) -> Iterator[tuple[LegacySetting, str]]:
    for row in ROWS:
        text = (secrets.get(row.name.lower()) or environ.get(row.name) or "").strip()
        if row.matters(text):
            yield row, text
