"""What a request parameter is: a row. Core."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

# What a parameter speaks about: the whole service, one destination of it, or only the call.
Scope = Literal["service", "destination", "call"]
# The value of the model that it belongs to: see `spec`.
Part = Literal["spec", "templates", "match", "policy", "target", "call"]
_SCOPES: dict[Part, Scope] = {"spec": "service", "templates": "service", "match": "destination",
                              "policy": "destination", "target": "destination", "call": "call"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A request parameter, and the field of a part of the model that it fills.

    `rule` takes the text and gives the value, or raises ValueError("what is wrong", "what would be right"). An
    `indexed` one may carry the number of a destination, as in `servicePath.2`; where that is missing, the destination
    has the value of the plain one.
    """

    name: str
    part: Part
    field: str
    rule: Callable[[str], Any]
    default: Any
    help: str
    example: str
    indexed: bool = False

    @property
    def scope(self) -> Scope:
        return _SCOPES[self.part]
