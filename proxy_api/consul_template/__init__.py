"""HashiCorp consul-template's language, as far as Portbook speaks it: text and data in, configuration text out.

`lexer` cuts the text, `parser` builds the `tree`, `evaluate` walks it with the `functions` and the `catalog`'s
answers; `values` and `printf` know how Go tests and prints. Anything outside the subset is refused by name.
"""

from __future__ import annotations

from proxy_api.consul_template.catalog import Data
from proxy_api.consul_template.evaluate import evaluate
from proxy_api.consul_template.faults import TemplateFault
from proxy_api.consul_template.parser import parse
from proxy_api.consul_template.values import ServiceEntry

__all__ = ["Data", "ServiceEntry", "TemplateFault", "render"]


def render(source: str, data: Data) -> str:
    """The template's output, or a TemplateFault that names the line. What `data` raises passes through."""
    return evaluate(parse(source), data)
