"""A wish becomes a release: exactly the instances (and template data) that the catalog has now. Core.

Where the data comes from is the caller's affair; nothing is read here but through `Source`.
"""

from collections.abc import Sequence
from dataclasses import replace

from proxy_api.core import operator_templates
from proxy_api.core.errors import WouldEmpty
from proxy_api.core.operator_templates import Recorder, Source
from proxy_api.core.release import Release, Template, admit
from proxy_api.core.spec import ServiceSpec


def make_release(spec: ServiceSpec, templates: Sequence[Template], source: Source, previous: Release | None,
                 shared_binds: Sequence[str]) -> Release:
    """Admit what `spec` asks for. Raises InvalidTemplate, and WouldEmpty where servers would be replaced by none."""
    if templates:
        made = _templated(spec, templates, source, previous, shared_binds)
    elif not spec.uses_catalog:
        return Release(spec)
    else:
        before = {a.service: a for a in previous.admissions} if previous else {}
        # What the checks say now is no part of a plain release: HAProxy checks for itself.
        found = [replace(i, status="") for i in source.instances(spec.catalog_name)]
        made = Release(spec, (admit(spec.catalog_name, "any", found, before.get(spec.catalog_name)),))
    if made.admissions and not made.members() and previous is not None and (had := len(previous.members())):
        names = ", ".join(sorted({a.service for a in made.admissions}))
        raise WouldEmpty(f"the catalog has no instance of {names}; the release in service keeps its {had} "
                         f"server{'s' if had != 1 else ''}. To take {spec.name} out of the proxy, use remove")
    return made


def renewed(release: Release, source: Source, shared_binds: Sequence[str]) -> Release:
    """A release of templates admitted anew from what Consul has now, with the templates as they were. Raises
    InvalidTemplate.
    """
    return _templated(release.spec, release.templates, source, release, shared_binds)


def _templated(spec: ServiceSpec, templates: Sequence[Template], source: Source, previous: Release | None,
               shared_binds: Sequence[str]) -> Release:
    recorder = Recorder(source, previous)
    operator_templates.render(templates, recorder, shared_binds)
    return Release(
        spec,
        admissions=tuple(recorder.admissions[key] for key in sorted(recorder.admissions)),
        templates=tuple(templates),
        keys=tuple(sorted(recorder.keys.items())),
        listing=recorder.listing,
    )


def empty_warning(made: Release) -> tuple[str, ...]:
    """What to tell the caller about a release that has nothing to send to."""
    if not made.admissions or made.members():
        return ()
    names = ", ".join(sorted({a.service for a in made.admissions}))
    return (f"the catalog has no instance of {names}: requests get 503 until it has some and reconfigure is called",)
