"""The value of `-tags`: plain tags, or Registrator's Go template over a container's inspect document. Pure.

A template is cut at the commas that stand in its plain text, so that a tag which cannot be made for a container is left
out and the others are there all the same. What it makes is then split like any list of tags.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gotemplate import tree
from gotemplate.evaluate import Evaluation
from gotemplate.faults import TemplateFault, Unfit
from gotemplate.functions import Function
from gotemplate.parser import parse
from gotemplate.values import Value
from registrar.core import inspect_fields
from registrar.core.grammar import SEPARATOR, hide_passwords, split_list
from registrar.core.tag_functions import VOCABULARY, check_url, json_at


@dataclass(frozen=True, slots=True)
class Page:
    """What is known of a URL: its `text`, or None as long as there is none; and what went wrong with it last."""

    text: str | None = None
    fault: str = ""


MAX_STEPS = 100_000  # of evaluation, for one container; a tenth of a second, during which no event is handled

LookUp = Callable[[str], Page]


def nothing_yet(url: str) -> Page:
    """A page that nobody fetches."""
    return Page()


@dataclass(frozen=True, slots=True)
class TagTemplate:
    """What `-tags` says: `plain` tags, or the parts of a template."""

    source: str = ""
    plain: tuple[str, ...] = ()
    parts: tuple[tree.Block, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.plain or self.parts)

    @property
    def shown(self) -> str:
        """The source for a log, without passwords that may stand in a URL."""
        return hide_passwords(self.source)


@dataclass(frozen=True, slots=True)
class Tags:
    """What came of it for one container. `unsettled` says that some are left out until a page can be read."""

    tags: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    unsettled: bool = False


def read_tags(text: str) -> TagTemplate:
    """Plain tags, or a template. Raises ValueError with the function or construct that cannot be had."""
    if "{{" not in text:
        return TagTemplate(text, plain=split_list(text))
    try:
        template = parse(text, VOCABULARY)
        inspect_fields.check(template)
    except TemplateFault as fault:
        raise ValueError(fault.reason) from None
    return TagTemplate(text, parts=tuple(_parts(template)))


def tags_of(template: TagTemplate, document: Mapping[str, Any], look_up: LookUp) -> Tags:
    """The template's tags for the container with this document."""
    if not template.parts:
        return Tags(template.plain)
    return _Making(document, look_up).make(template)


def _parts(template: tree.Block) -> Iterator[tree.Block]:
    nodes: list[tree.Node] = []
    for node in template:
        pieces = SEPARATOR.split(node.text) if isinstance(node, tree.Text) else ()
        for piece in pieces[:-1]:
            yield (*nodes, tree.Text(node.line, piece))
            nodes = []
        nodes.append(tree.Text(node.line, pieces[-1]) if pieces else node)
    yield tuple(nodes)


class _NotYet(Exception):
    """A page is being fetched."""


class _Making:
    """The tags of one container in the making."""

    def __init__(self, document: Mapping[str, Any], look_up: LookUp) -> None:
        self._document, self._look_up = document, look_up
        self._rules: list[str] = []
        self._unsettled = False

    def make(self, template: TagTemplate) -> Tags:
        evaluation = Evaluation(self._functions(), inspect_fields.root(self._document), MAX_STEPS)
        made = []
        for part in template.parts:
            try:
                made.append(evaluation.render(part))
            except TemplateFault as fault:
                self._rules.append(f"{fault.reason}: the tag is left out")
            except _NotYet:
                self._unsettled = True
        tags = split_list(",".join(made))
        printable = tuple(tag for tag in tags if tag.isprintable())
        if printable != tags:
            self._rules.append("tags have printable characters only: the others are left out")
        return Tags(printable, tuple(dict.fromkeys(self._rules)), self._unsettled)

    def _functions(self) -> Mapping[str, Function]:
        known = VOCABULARY.functions
        return {**known, "httpGet": replace(known["httpGet"], run=self._http_get),
                "jsonParse": replace(known["jsonParse"], run=self._json_parse)}

    def _http_get(self, url: str) -> Value:
        check_url(url)
        page = self._look_up(url)
        if page.text is None:
            self._unsettled = True
            if page.fault:
                raise Unfit(page.fault)
            raise _NotYet
        if page.fault:
            self._rules.append(f"httpGet: {page.fault}: what it gave before is used")
        return page.text

    def _json_parse(self, text: str, path: str) -> Value:
        """As in Registrator, what is not there is empty text, and said."""
        try:
            return json_at(text, path)
        except KeyError as fault:
            self._rules.append(f"jsonParse: there is no {fault.args[0]}: taken for empty")
            return ""
