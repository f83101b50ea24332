"""An operator's templates rendered with a release's own data, in consul-template's language or Jinja2. Core.

A template is rendered twice in its life with the same function: when the release is made, with a `Recorder` that notes
what it read, and from then on with `Recorded`, which gives it exactly that again, moved to where instances are now.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from catalog.model import Instance
from proxy_api.core import consul_template, merged_frontend, sections
from proxy_api.core.consul_template import Data, ServiceEntry, TemplateFault
from proxy_api.core.consul_template.catalog_text import is_unfit, unfit
from proxy_api.core.errors import InvalidTemplate
from proxy_api.core.release import Admission, Release, Template, admit
from proxy_api.core.sections import Custom

_OUR_FRONTENDS = ("services", "stats")
_DEFAULT_FILTERS = "passing"  # consul-template's, when a template names none


class Source(Protocol):
    """Where a template's data comes from at admission: Consul, read now."""

    def instances(self, service: str) -> Sequence[Instance]: ...

    def services(self) -> Mapping[str, Sequence[str]]: ...

    def key(self, name: str) -> str | None: ...


class Recorder:
    """Reads for a template and notes what was read, so that the release can hold it."""

    def __init__(self, source: Source, previous: Release | None) -> None:
        self._source = source
        self._previous = {(a.service, a.filters): a for a in previous.admissions} if previous else {}
        self._found: dict[str, Sequence[Instance]] = {}
        self.admissions: dict[tuple[str, str], Admission] = {}
        self.keys: dict[str, str | None] = {}
        self.listing: tuple[tuple[str, tuple[str, ...]], ...] | None = None

    def service(self, name: str, filters: str | None) -> Sequence[ServiceEntry]:
        asked = name, filters or _DEFAULT_FILTERS
        if asked not in self.admissions:
            if name not in self._found:
                self._found[name] = self._source.instances(name)
            wanted = [i for i in self._found[name] if asked[1] == "any" or i.status in asked[1].split(",")]
            self.admissions[asked] = admit(*asked, wanted, self._previous.get(asked))
        return _entries(self.admissions[asked])

    def services(self) -> Sequence[tuple[str, tuple[str, ...]]]:
        if self.listing is None:
            self.listing = tuple(sorted((n, tuple(tags)) for n, tags in self._source.services().items()))
        return self.listing

    def key(self, name: str) -> str | None:
        if name not in self.keys:
            self.keys[name] = self._source.key(name)
        return self.keys[name]


class Recorded:
    """Gives a template what its release holds, and nothing else."""

    def __init__(self, release: Release) -> None:
        self._admissions = {(a.service, a.filters): a for a in release.admissions}
        self._keys = dict(release.keys)
        self._listing = release.listing

    def service(self, name: str, filters: str | None) -> Sequence[ServiceEntry]:
        asked = name, filters or _DEFAULT_FILTERS
        return _entries(self._admissions[asked]) if asked in self._admissions else ()

    def services(self) -> Sequence[tuple[str, tuple[str, ...]]]:
        return self._listing or ()

    def key(self, name: str) -> str | None:
        return self._keys.get(name)


def _entries(admission: Admission) -> tuple[ServiceEntry, ...]:
    """Instances as a template sees them, by node and id as the predecessor had them."""
    instances = sorted((m.instance for m in admission.members), key=lambda i: (i.node, i.id))
    return tuple(
        ServiceEntry(Node=i.node, Address=i.address, Port=i.port, ID=i.id, Name=i.service, Tags=i.tags,
                     NodeAddress=i.node_address, Status=i.status or "passing")
        for i in instances
    )


def render(templates: Sequence[Template], data: Data, shared_binds: Sequence[str]) -> Custom:
    """What the templates of one service add to the configuration; raises InvalidTemplate with file and line."""
    frontend: list[str] = []
    own: list[sections.Section] = []
    warnings: list[str] = []
    for template in templates:
        try:
            text = _render_text(template, data)
            if template.kind == "frontend":
                frontend.extend(sections.parse_inside(text))
                continue
            custom = merged_frontend.merge(sections.parse_sections(text), shared_binds)
        except InvalidTemplate as fault:
            raise InvalidTemplate(f"{template.path}: {fault}") from None
        frontend.extend(custom.frontend)
        own.extend(custom.sections)
        warnings.extend(custom.warnings)
    warnings.extend(sections.refused_later(own, _OUR_FRONTENDS))
    return Custom(tuple(frontend), tuple(own), tuple(warnings))


def _render_text(template: Template, data: Data) -> str:
    try:
        if template.path.endswith(".j2"):
            return _render_jinja(template.text, data)
        return consul_template.render(template.text, data)
    except TemplateFault as fault:
        raise InvalidTemplate(str(fault)) from None


def _render_jinja(text: str, data: Data) -> str:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    try:
        return environment.from_string(text).render(**_jinja_functions(data))
    except (TemplateFault, InvalidTemplate):
        raise
    except TemplateError as fault:
        line = getattr(fault, "lineno", None)
        raise InvalidTemplate(f"{f'line {line}: ' if line else ''}{fault.message or fault}") from None
    except Exception as fault:  # whatever an expression of the template raises is the template's fault
        raise InvalidTemplate(f"{type(fault).__name__}: {fault}") from None


class _Unprintable:
    """Text from the catalog that is no plain word, as Jinja2 gets it: it can be compared and nothing else.

    No `str`, since the methods, filters and operators of one would all be ways to the output.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def __eq__(self, other: object) -> bool:
        return self._text == (other._text if isinstance(other, _Unprintable) else other)

    def __hash__(self) -> int:
        return hash(self._text)

    def __str__(self) -> str:
        raise InvalidTemplate(unfit(self._text))

    __repr__ = __str__


def _word(text: str) -> Any:
    return _Unprintable(text) if is_unfit(text) else text


def _jinja_functions(data: Data) -> Mapping[str, Callable[..., Any]]:
    """The data of consul-template's functions, under the same names."""

    def service(name: str, filters: str | None = None) -> Sequence[ServiceEntry]:
        return tuple(
            replace(e, Node=_word(e.Node), Address=_word(e.Address), ID=_word(e.ID), Name=_word(e.Name),
                    NodeAddress=_word(e.NodeAddress), Tags=tuple(_word(tag) for tag in e.Tags))
            for e in data.service(name, filters))

    def services() -> Sequence[tuple[Any, tuple[Any, ...]]]:
        return tuple((_word(name), tuple(_word(tag) for tag in tags)) for name, tags in data.services())

    def key(name: str) -> str:
        value = data.key(name)
        if value is None:
            raise InvalidTemplate(f"the key {name!r} does not exist")
        return value

    def key_or_default(name: str, default: str) -> str:
        value = data.key(name)
        return default if value is None else value

    return {"service": service, "services": services, "key": key, "keyOrDefault": key_or_default,
            "keyExists": lambda name: data.key(name) is not None}
