"""How a template is refused: one exception, which names the line and the reason. Pure.

Nothing in this package raises anything else on account of a template's text. What a user's own function raises (a
catalog that cannot be reached) passes through untouched, because that is nobody's mistake in a template.
"""

from __future__ import annotations


class TemplateFault(Exception):
    """The template cannot be rendered, and the operator who wrote it can see where and why."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(line, reason)
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


class Unfit(Exception):
    """A value or an argument that a rule forbids. Whoever knows the line turns it into a TemplateFault."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
