"""A spec as it is stored: JSON by the names of the parameters, and the keys of 2016. Core.

What is stored is checked like what is asked. A field that this version does not know is a refusal: to leave it out
would serve half of what was asked for, without its users for instance.
"""

from collections.abc import Mapping
from typing import Any

from proxy_api.core import parameters
from proxy_api.core.parameters.row import Parameter
from proxy_api.core.requests import parse_request
from proxy_api.core.spec import Destination, ServiceSpec, Templates

_DESTINATIONS, _INDEX = "destinations", "index"
_SPEC_FIELDS = frozenset((_DESTINATIONS, *(row.name for row in parameters.SPEC if row.scope == "service")))
_DESTINATION_FIELDS = frozenset((_INDEX, *(row.name for row in parameters.SPEC if row.scope == "destination")))


class UnknownField(ValueError):
    """Stored data has a field that this version does not know; the text names it."""


def require_known(data: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    """Raise UnknownField for the first field that is none of these."""
    if not data.keys() <= known:
        name = min(str(name) for name in data.keys() - known)
        raise UnknownField(f"{where} has the field {name[:64]!r}, which this version does not know")


# --- schema 2 --------------------------------------------------------------------------------------------------------

def to_json(spec: ServiceSpec) -> dict[str, Any]:
    """The spec as JSON values: what differs from a parameter's default, so that a parameter more changes no record."""
    data = _fields("spec", spec)
    if isinstance(spec.body, Templates):
        return {**data, **_fields("templates", spec.body)}
    return {**data, _DESTINATIONS: [_destination(d) for d in spec.body]}


def _destination(destination: Destination) -> dict[str, Any]:
    return {_INDEX: destination.index, **_fields("match", destination.match), **_fields("policy", destination.policy),
            **_fields("target", destination.target)}


def _fields(part: str, value: object) -> dict[str, Any]:
    found = {row.name: (getattr(value, row.field), row.default) for row in parameters.SPEC if row.part == part}
    return {name: list(value) if isinstance(value, tuple) else value
            for name, (value, default) in found.items() if value != default}


def from_json(data: Mapping[str, Any]) -> ServiceSpec:
    """The inverse of `to_json`; raises UnknownField and InvalidRequest."""
    require_known(data, _SPEC_FIELDS, "its spec")
    texts = {name: [_text(value)] for name, value in data.items() if name != _DESTINATIONS}
    for destination in data.get(_DESTINATIONS, ()):
        require_known(destination, _DESTINATION_FIELDS, "a destination")
        index = int(destination[_INDEX])
        texts.update({f"{name}.{index}" if index else name: [_text(value)] for name, value in destination.items()
                      if name != _INDEX})
    return parse_request(texts, strict=True).spec


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


# --- schema 1 --------------------------------------------------------------------------------------------------------

# Every field that a record of schema 1 has -> its parameter.
_SCHEMA_1 = {
    "service": "serviceName", "color": "serviceColor", "paths": "servicePath", "domains": "serviceDomain",
    "path_type": "pathType", "skip_check": "skipCheck", "template": "consulTemplatePath",
    "template_fe": "consulTemplateFePath", "template_be": "consulTemplateBePath", "follow": "follow", "port": "port",
    "outbound": "outboundHostname",
}


def from_json_1(data: Mapping[str, Any]) -> ServiceSpec:
    """The spec of a record of schema 1; raises UnknownField and InvalidRequest."""
    require_known(data, frozenset(_SCHEMA_1), "its spec")
    return parse_request({_SCHEMA_1[field]: [_text(value)] for field, value in data.items() if value},
                         strict=True).spec


# --- the keys of 2016 ------------------------------------------------------------------------------------------------

# Key of 2016 -> the parameter it holds (reference/proxy-api.md 5.1).
LEGACY_KEYS: dict[str, str] = {
    "path": "servicePath",
    "color": "serviceColor",
    "domain": "serviceDomain",
    "pathtype": "pathType",
    "skipcheck": "skipCheck",
    "consultemplatefepath": "consulTemplateFePath",
    "consultemplatebepath": "consulTemplateBePath",
    "consultemplatepath": "consulTemplatePath",
    "port": "port",
    "hostname": "outboundHostname",
}
# Written whether or not there is a value; the others only when there is one.
ALWAYS_WRITTEN = ("path", "color", "domain", "pathtype", "skipcheck", "consultemplatefepath", "consultemplatebepath")


def to_legacy(spec: ServiceSpec) -> dict[str, str]:
    """The keys of 2016 that say the same, as the predecessor wrote them; of several destinations, the first."""
    parts: dict[str, object] = {"spec": spec, "templates": Templates()}
    if isinstance(spec.body, Templates):
        parts["templates"] = spec.body
    else:
        first = spec.body[0]
        parts.update({"match": first.match, "policy": first.policy, "target": first.target})
    texts = {key: _legacy_text(parameters.BY_NAME[name], parts) for key, name in LEGACY_KEYS.items()}
    return {key: text for key, text in texts.items() if text or key in ALWAYS_WRITTEN}


def _legacy_text(row: Parameter, parts: Mapping[str, object]) -> str:
    value = getattr(parts[row.part], row.field) if row.part in parts else row.default
    return "" if value == row.default and not isinstance(value, bool) else _text(value)


def from_legacy(service: str, keys: Mapping[str, str]) -> ServiceSpec:
    """The spec that the keys of 2016 describe; raises InvalidRequest."""
    texts = {name: [keys[key]] for key, name in LEGACY_KEYS.items() if keys.get(key)}
    if "outboundHostname" in texts and "port" not in texts:
        del texts["outboundHostname"]  # written without a port it never had an effect
    return parse_request({"serviceName": [service], **texts}).spec

