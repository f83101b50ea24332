"""A call's parameters, parsed and checked: every fault at once, each under the name of its parameter. Core."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from proxy_api.core import grammar, parameters
from proxy_api.core.errors import Fault, InvalidRequest
from proxy_api.core.parameters import call, matching, predecessor, service, target, templates
from proxy_api.core.parameters.row import Parameter, Part
from proxy_api.core.spec import Destination, Http, Policy, ServiceSpec, Target, Templates

MAX_ENTRIES = 4096  # paths times domains of one service: each is an entry of a map, made anew at every change
MAX_PARAMETERS = 1000  # each unknown one is compared with the known ones, and shown
_INDEXED = re.compile(r"(.+)\.([0-9]+)", re.DOTALL)

Given = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Steering:
    """How a call is to be taken: a field for each row of `parameters.call`."""

    distribute: bool = False
    strict: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed reconfigure: the spec, what is worth telling the caller, and what only steers the call."""

    spec: ServiceSpec
    warnings: tuple[str, ...]
    steering: Steering = Steering()


@dataclass(frozen=True, slots=True)
class Removal:
    """A parsed remove call."""

    service: str
    warnings: tuple[str, ...]
    steering: Steering = Steering()


def parse_request(given: Given, strict: bool = False) -> Request:
    """Parse the parameters of a reconfigure call; raises InvalidRequest with every fault there is."""
    faults: list[Fault] = []
    once = _once(given, faults)
    steering = _steering(once, faults)
    values = _Values(once, faults)
    warnings = _unknown(once, strict or steering.strict, faults)
    faults.extend(_together(values))
    spec = _spec(values, faults)
    if faults:
        raise InvalidRequest(tuple(faults))
    return Request(spec, (*warnings, *_remarks(spec, values)), steering)


def parse_removal(given: Given, strict: bool = False) -> Removal:
    """Parse the parameters of a remove call; raises InvalidRequest."""
    faults: list[Fault] = []
    once = _once(given, faults)
    steering = _steering(once, faults)
    name = _value(service.NAME, once.get(service.NAME.name, ""), service.NAME.name, faults)
    # What the predecessor has about a route means nothing to its removal.
    others = {n: t for n, t in once.items() if predecessor.absent(n) is None}
    warnings = _unknown(others, strict or steering.strict, faults)
    if faults:
        raise InvalidRequest(tuple(faults))
    return Removal(name, warnings, steering)


def asks_for_dry_run(given: Given) -> bool:
    """Whether a call is a dry run, as far as can be told before it is parsed."""
    return _steering({name: texts[0] for name, texts in given.items() if texts}, []).dry_run


# --- texts to values -------------------------------------------------------------------------------------------------

def _once(given: Given, faults: list[Fault]) -> dict[str, str]:
    if len(given) > MAX_PARAMETERS:
        raise InvalidRequest((Fault("request", f"has {len(given)} parameters", f"give at most {MAX_PARAMETERS}"),))
    for name, texts in given.items():
        if len(texts) > 1 and _row(name) is not None:
            faults.append(Fault(name, f"is given {len(texts)} times", "give it once, a list separated by commas"))
    return {name: texts[0] for name, texts in given.items() if texts}


def _row(name: str) -> tuple[Parameter, int] | None:
    """The row of a parameter's name and the number of the destination behind it; None where there is none."""
    if name in parameters.BY_NAME:
        return parameters.BY_NAME[name], 0
    found = _INDEXED.fullmatch(name)
    row = parameters.BY_NAME.get(found[1]) if found else None
    # Written otherwise, one number would have two names.
    return (row, int(found[2])) if found and row and row.indexed and re.fullmatch("[1-9][0-9]{0,5}", found[2]) else None


def _numbered(name: str, index: int) -> str:
    return f"{name}.{index}" if index else name


def _value(row: Parameter, text: str, name: str, faults: list[Fault]) -> Any:
    try:
        return row.rule(text)
    except ValueError as fault:
        faults.append(Fault(name, *fault.args))
        return row.default


def _steering(once: Mapping[str, str], faults: list[Fault]) -> Steering:
    # To take an empty dryRun for none would make the change that was only to be looked at.
    return Steering(**{row.field: _value(row, once[row.name], row.name, faults) for row in parameters.CALL
                       if once.get(row.name) or (row is call.DRY_RUN and row.name in once)})


class _Values:
    """The values of a call's parameters by row and destination. An empty text means "not given", as it does for the
    clients of 2016; a name is never optional.
    """

    def __init__(self, once: Mapping[str, str], faults: list[Fault]) -> None:
        before = len(faults)
        self._texts = {(known[0].name, known[1]): text for name, text in once.items()
                       if text and (known := _row(name)) and known[0].scope != "call"}
        self._texts.setdefault((service.NAME.name, 0), "")
        self._found = {(name, index): _value(parameters.BY_NAME[name], text, _numbered(name, index), faults)
                       for (name, index), text in self._texts.items()}
        self._faulty = {fault.name for fault in faults[before:]}
        numbers = sorted({index for _, index in self._found if index})
        self.gap = next((n for n, index in enumerate(numbers, 1) if n != index), 0)
        # Where destinations are numbered, the plain parameters are their defaults.
        self.indexes: tuple[int, ...] = tuple(numbers) or (0,)

    def _key(self, row: Parameter, index: int) -> tuple[str, int]:
        """The destination's own value, else the plain one."""
        return (row.name, index if (row.name, index) in self._found else 0)

    def has(self, row: Parameter, index: int = 0) -> bool:
        """Whether it is given, for this destination or for all."""
        return self._key(row, index) in self._found

    def part(self, part: Part, index: int = 0) -> dict[str, Any]:
        """The fields of a part of the model."""
        return {row.field: self._found.get(self._key(row, index), row.default)
                for row in parameters.SPEC if row.part == part}

    def paths(self, index: int, path_type: str, faults: list[Fault]) -> tuple[str, ...]:
        """The paths, by the rule of their type. A domain alone means all of it (2017-04-06)."""
        key = self._key(matching.PATHS, index)
        name = _numbered(*key)
        if key not in self._texts or name in self._faulty:
            return ("/",)
        rule = replace(matching.PATHS, rule=grammar.items(grammar.path_rule(path_type)))
        found: tuple[str, ...] = _value(rule, self._texts[key], name, faults)
        return found


# --- values to a spec ------------------------------------------------------------------------------------------------

def _spec(values: _Values, faults: list[Fault]) -> ServiceSpec:
    asked = Templates(**values.part("templates"))
    body: tuple[Destination, ...] | Templates = asked
    if asked == Templates():
        body = tuple(_destination(values, index, faults) for index in values.indexes)
    spec = ServiceSpec(body=body, **values.part("spec"))
    counts = [(len(d.match.paths), len(d.match.domains)) for d in spec.destinations]
    entries = sum(paths * max(1, domains) for paths, domains in counts)
    if entries > MAX_ENTRIES:
        paths, domains = (sum(count) for count in zip(*counts, strict=True))
        faults.append(Fault(matching.PATHS.name, f"has {paths} items for {domains} of serviceDomain, {entries} "
                            "together", f"use at most {MAX_ENTRIES}, or several services"))
    return spec


def _destination(values: _Values, index: int, faults: list[Fault]) -> Destination:
    match = values.part("match", index)
    match["paths"] = values.paths(index, match["path_type"], faults)
    return Destination(index, Http(**match), Policy(**values.part("policy", index)),
                       Target(**values.part("target", index)))


def _unknown(once: Mapping[str, str], strict: bool, faults: list[Fault]) -> tuple[str, ...]:
    warnings = []
    for name in sorted(name for name in once if _row(name) is None):
        shown = grammar.shown(name).strip("'")
        if (row := predecessor.absent(name)) is not None:
            if not predecessor.is_without_effect(row, once[name]):
                faults.append(Fault(shown, *predecessor.refusal(row)))
            elif strict:
                faults.append(Fault(shown, "is not a parameter of this version", "leave it out: it has no effect"))
            elif once[name]:
                warnings.append(predecessor.remark(row, name))
            continue
        found = _INDEXED.fullmatch(name)
        if found and (known := parameters.BY_NAME.get(found[1])) is not None:
            faults.append(Fault(shown, "is numbered", "number the destinations 1, 2, 3, …" if known.indexed else
                                f"{known.name} is about the whole {known.scope}: give it without a number"))
            continue
        near = ([call.DRY_RUN.name] if re.sub(r"[^a-z]", "", name.lower()) == call.DRY_RUN.name.lower()
                else difflib.get_close_matches(name[:64], parameters.NAMES, n=1))
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(parameters.NAMES)}"
        if strict or near == [call.DRY_RUN.name]:
            faults.append(Fault(shown, "is not a known parameter", hint))
        else:
            warnings.append(f"{grammar.shown(name)} is not a known parameter and was ignored: {hint}")
    return tuple(warnings)


def _together(values: _Values) -> Iterable[Fault]:
    """The rules about parameters that need or exclude each other, as far as what is given alone tells."""
    pair = (templates.FRONTEND, templates.BACKEND)
    given = [row for row in pair if values.has(row)]
    if len(given) == 1:
        missing, = (row for row in pair if row not in given)
        yield Fault(missing.name, "is missing", "give consulTemplateFePath and consulTemplateBePath together")
    if values.has(templates.SECTIONS) and given:
        yield Fault(templates.SECTIONS.name, "is given beside the pair of templates", "give one form or the other")
    if values.gap:
        yield Fault(matching.PATHS.name,
                    f"has a destination {values.indexes[-1]} and none with the number {values.gap}",
                    "number the destinations 1, 2, 3, … without a gap")
    templated = bool(given) or values.has(templates.SECTIONS)
    domain = parameters.BY_NAME["serviceDomain"]
    for index in values.indexes:
        if not templated and not values.has(matching.PATHS, index) and not values.has(domain, index):
            yield Fault(_numbered(matching.PATHS.name, index), "is missing",
                        "give serviceName and servicePath, or serviceName, consulTemplateFePath and "
                        "consulTemplateBePath")
        if values.has(target.HOST, index) and not values.has(target.PORT, index):
            yield Fault(_numbered(target.PORT.name, index), "is missing", "outboundHostname needs the port to send to")


def _remarks(spec: ServiceSpec, values: _Values) -> Iterable[str]:
    if spec.templated:
        ignored = [row.name for row in (*matching.ROWS, target.HOST)
                   if any(values.has(row, index) for index in values.indexes)]
        if ignored:
            yield "servicePath, serviceDomain, pathType and outboundHostname have no effect beside a template"
    for name, destination in spec.backends():
        if destination.target.port and not destination.target.host:
            yield f"port names the backend {name}; the instances' own ports come from the catalog"
