"""The settings of one run of registrar: a value built from command line and environment. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from catalog.address import parse_endpoints, verifies
from catalog.errors import InvalidAddress
from registrar.core.filters import Filter
from registrar.core.option_rows import OPTIONS
from registrar.core.options import UsageError, read_options
from registrar.core.tag_templates import TagTemplate

SCHEMES = ("consul", "consul-catalog", "consulkv")
WAYS = ("", "-unix", "-tls")  # plain HTTP (or as the environment says), a socket, HTTPS that is verified
DEFAULT_CONSUL = "127.0.0.1:8500"


@dataclass(frozen=True, slots=True)
class Settings:
    """One field for each row of `options.OPTIONS`, where Consul is, and what to do if not to run (`command`)."""

    consul: str
    scheme: str
    prefix: str
    ip: str
    ip6: str
    family: str
    internal: bool
    network: str
    explicit: bool
    use_ip_from_label: str
    tags: TagTemplate
    only_label: tuple[str, ...]
    include: tuple[Filter, ...]
    exclude: tuple[Filter, ...]
    one_offs: bool
    host_ports: str
    max_ports: int
    suffix: str
    merge_tags: bool
    image_scripts: bool
    deregister: str
    deregister_on_exit: bool
    node_id: str
    remove_after: float
    adopt_host: tuple[str, ...]
    reconcile_interval: float
    resync: int
    cleanup: bool
    retry_attempts: int
    retry_interval: int
    ttl: int
    ttl_refresh: int
    health: str
    drain: str
    drain_limit: float
    http: tuple[str, int] | None
    log_level: str
    once: bool
    dry_run: bool
    notes: tuple[str, ...] = ()
    command: str = ""
    words: tuple[str, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def interval(self) -> float:
        """Seconds between two full passes."""
        return min(self.reconcile_interval, self.resync or self.reconcile_interval)


def read_settings(arguments: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Raises UsageError that names the option, the fault and what would be right."""
    given = read_options(arguments, environ)
    notes = tuple(f"-{o.name} {o.note}" for o in OPTIONS if o.note and o.field in given.fields)
    consul, prefix = _consul(given.registry, environ)
    scheme = _split(given.registry.partition("://")[0])[0]
    values = dict(given.values)
    if scheme == "consulkv":
        notes += ("consulkv:// stores address and port only: no tags, no metadata, no checks",)
        # There is no maintenance in the store.
        values["drain"] = values["drain"].replace("maintenance", "deregister")
    settings = Settings(consul=consul, scheme=scheme, prefix=prefix, notes=notes, command=given.command,
                        words=given.words, extras=given.extras, **values)
    if settings.command == "watch-nodes" and scheme != "consul-catalog":
        raise UsageError(f"registrar watch-nodes: the registry address has the scheme {scheme!r}: give "
                         "consul-catalog://HOST:PORT, as only external nodes have leases to watch")
    if bool(environ.get("CONSUL_CLIENT_CERT")) != bool(environ.get("CONSUL_CLIENT_KEY")):
        raise UsageError("CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY: give both or none")
    if bool(settings.ttl) != bool(settings.ttl_refresh):
        raise UsageError("-ttl and -ttl-refresh: give both or none")
    if settings.ttl and settings.ttl <= settings.ttl_refresh:
        raise UsageError(f"-ttl {settings.ttl}: has to be greater than -ttl-refresh {settings.ttl_refresh}")
    return settings


def _consul(registry: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Where Consul is, and the prefix of its keys."""
    scheme, sign, host = registry.partition("://")
    base, way = _split(scheme)
    form = {"-unix": f"{scheme}:///PATH", "-tls": f"{scheme}://HOST:PORT"}.get(way, "")
    if base == "consulkv":
        form = f"{form or 'consulkv://HOST:PORT'}{':' if way == '-unix' else ''}/PREFIX"
    wanted = f"give {form}" if form else ("give consul://HOST:PORT, consul-catalog://HOST:PORT or "
                                          "consulkv://HOST:PORT/PREFIX; consul:// alone is CONSUL_HTTP_ADDR")
    if not sign:
        raise UsageError(f"the registry address {_shown(registry)!r} has no scheme: {wanted}")
    if not base:
        others = ", also with -unix or -tls behind the scheme, such as consul-unix:///PATH"
        raise UsageError(f"the registry address has the scheme {scheme!r}, which is not supported: {wanted}{others}")
    prefix = ""
    if base == "consulkv":
        host, _, prefix = host.partition(":/" if way == "-unix" else "/")
        if not prefix.strip("/"):
            raise UsageError(f"the registry address names no prefix for the keys: {wanted}")
    if way == "-unix":
        host = f"unix://{host}"
    elif way == "-tls":
        host = _verified(scheme, host.strip("/"), environ)
    else:
        host = host.strip("/") or environ.get("CONSUL_HTTP_ADDR", "") or DEFAULT_CONSUL
    if "," in host:
        raise UsageError(f"the registry address names several agents; services belong to one: {wanted}")
    try:
        parse_endpoints(host)
    except InvalidAddress as fault:
        raise UsageError(f"the registry address: {fault}") from None
    return host, prefix.strip("/")


def _split(scheme: str) -> tuple[str, str]:
    """`consulkv-unix` as ("consulkv", "-unix"); ("", "") for what is no scheme of ours."""
    return next(((base, way) for base in SCHEMES for way in WAYS if base + way == scheme), ("", ""))


def _verified(scheme: str, host: str, environ: Mapping[str, str]) -> str:
    """An address that is asked over HTTPS, and whose certificate counts."""
    if not host:
        raise UsageError(f"the registry address names no host: give {scheme}://HOST:PORT")
    if not verifies(environ):
        raise UsageError(f"{scheme}:// always verifies certificates, and CONSUL_HTTP_SSL_VERIFY says not to: give "
                         f"CONSUL_CACERT instead, or use {scheme.removesuffix('-tls')}:// with CONSUL_HTTP_SSL=true")
    return f"https://{host}"


def _shown(registry: str) -> str:
    """The address without a user or password that may stand in it."""
    return urlsplit(f"//{registry}").netloc.rpartition("@")[2]
