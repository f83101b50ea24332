"""What a parsed template is: frozen nodes, each with the line to name in a fault. No rules live here. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Literal:
    line: int
    value: bool | int | float | str | None


@dataclass(frozen=True)
class Dot:
    line: int


@dataclass(frozen=True)
class Variable:
    line: int
    name: str  # with its dollar sign; "$" alone is the root


@dataclass(frozen=True)
class Call:
    """A function's name where it stands: with its arguments as a command, without any as an argument."""

    line: int
    name: str
    arguments: tuple[Term, ...] = ()


@dataclass(frozen=True)
class Fields:
    """`.A.B` on what `base` gives."""

    line: int
    base: Term
    names: tuple[str, ...]


@dataclass(frozen=True)
class Pipeline:
    """Commands left to right, each result being the last argument of the next; then perhaps kept in variables."""

    line: int
    commands: tuple[Term, ...]
    targets: tuple[str, ...] = ()
    declares: bool = True  # `:=` rather than `=`


Term: TypeAlias = Literal | Dot | Variable | Call | Fields | Pipeline


@dataclass(frozen=True)
class Text:
    line: int
    text: str


@dataclass(frozen=True)
class Action:
    line: int
    pipeline: Pipeline


@dataclass(frozen=True)
class If:
    """`if`, then each `else if`, in order; `otherwise` is the plain `else`."""

    line: int
    arms: tuple[tuple[Pipeline, Block], ...]
    otherwise: Block


@dataclass(frozen=True)
class With:
    line: int
    pipeline: Pipeline
    body: Block
    otherwise: Block


@dataclass(frozen=True)
class Range:
    line: int
    pipeline: Pipeline
    body: Block
    otherwise: Block


Node: TypeAlias = Text | Action | If | With | Range
Block: TypeAlias = tuple[Node, ...]
