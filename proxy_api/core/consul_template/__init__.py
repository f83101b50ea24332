"""HashiCorp consul-template's language, as far as Portbook speaks it: text and data in, configuration text out. Core.

It is Go's template language (`gotemplate`) with the `functions` and the `catalog`'s answers that are consul-template's.
"""

from __future__ import annotations

from gotemplate.evaluate import evaluate
from gotemplate.faults import TemplateFault
from gotemplate.parser import parse
from proxy_api.core.consul_template.catalog import Catalog, Data
from proxy_api.core.consul_template.entries import ServiceEntry
from proxy_api.core.consul_template.functions import VOCABULARY

__all__ = ["Data", "ServiceEntry", "TemplateFault", "render"]


def render(source: str, data: Data) -> str:
    """The template's output, or a TemplateFault that names the line. What `data` raises passes through."""
    # consul-template gives its templates no data of their own.
    return evaluate(parse(source, VOCABULARY), {**VOCABULARY.functions, **Catalog(data).functions()}, None)
