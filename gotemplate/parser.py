"""Builds the tree from an action's tokens, and refuses what the subset lacks before anything is evaluated. Pure.

A function that is not there is refused even in a branch that is never taken: a template is right or wrong as a
whole, not by today's data. The grammar is that of text/template (parse/parse.go).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from gotemplate import tree
from gotemplate.faults import TemplateFault, Unfit
from gotemplate.functions import Vocabulary, check_count, check_first
from gotemplate.lexer import Kind, Token, Tokens, cut
from gotemplate.values import shorten

MAX_SOURCE = 1024 * 1024  # characters
MAX_DEPTH = 50  # blocks and parentheses together; keeps recursion far from Python's own limit

MAX_VARIABLES = 100  # visible at one place; each use searches them

_LACKING = ("define", "template", "block", "break", "continue")
_KEYWORDS = ("if", "else", "end", "range", "with", *_LACKING)
_LITERALS = (Kind.NUMBER, Kind.STRING, Kind.RAW)


def parse(source: str, vocabulary: Vocabulary) -> tree.Block:
    """The whole template as a tree, with calls of the vocabulary's functions only."""
    if len(source) > MAX_SOURCE:
        raise TemplateFault(1, f"the template is longer than {MAX_SOURCE} characters")
    return _Parser(vocabulary).parse(source)


@dataclass
class _Open:
    """A block whose `end` has not been seen yet."""

    line: int
    keyword: str
    outside: int  # how many variables were visible before it
    inside: int  # and how many within it, its own pipeline's included
    pipeline: tree.Pipeline
    arms: list[tuple[tree.Pipeline, tree.Block]] = field(default_factory=list)
    nodes: list[tree.Node] = field(default_factory=list)
    in_else: bool = False

    def finish_arm(self) -> None:
        self.arms.append((self.pipeline, tuple(self.nodes)))
        self.nodes = []

    def close(self) -> tree.Node:
        otherwise: tree.Block = ()
        if self.in_else:
            otherwise = tuple(self.nodes)
        else:
            self.finish_arm()
        if self.keyword == "if":
            return tree.If(self.line, tuple(self.arms), otherwise)
        pipeline, body = self.arms[0]
        if self.keyword == "with":
            return tree.With(self.line, pipeline, body, otherwise)
        return tree.Range(self.line, pipeline, body, otherwise)


class _Cursor:
    """A place in one action's tokens. The closing delimiter is never passed."""

    def __init__(self, tokens: Tokens) -> None:
        self._items = tokens.items
        self._at = 0

    def peek(self, ahead: int = 0) -> Token:
        return self._items[min(self._at + ahead, len(self._items) - 1)]

    def take(self) -> Token:
        token = self.peek()
        self._at += 1
        return token


class _Parser:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self._names, self._vocabulary = vocabulary.names, vocabulary
        self._open: list[_Open] = []
        self._top: list[tree.Node] = []
        self._visible: list[str] = ["$"]

    def parse(self, source: str) -> tree.Block:
        for piece in cut(source):
            if isinstance(piece, tree.Text):
                self._nodes().append(piece)
            else:
                self._action(_Cursor(piece))
        if self._open:
            unclosed = self._open[-1]
            raise TemplateFault(unclosed.line, f"{unclosed.keyword} is not closed with end")
        return tuple(self._top)

    def _nodes(self) -> list[tree.Node]:
        return self._open[-1].nodes if self._open else self._top

    def _action(self, cursor: _Cursor) -> None:
        first = cursor.peek()
        keyword = first.text if first.kind is Kind.WORD else ""
        if keyword in _LACKING:
            raise TemplateFault(first.line, f"{keyword} is not supported, only if, else, end, range, with")
        if keyword not in _KEYWORDS:
            self._nodes().append(tree.Action(first.line, self._pipeline(cursor, Kind.CLOSE)))
            return
        cursor.take()
        if keyword == "end":
            self._end(cursor, first.line)
        elif keyword == "else":
            self._else(cursor, first.line)
        else:
            self._begin(cursor, first)

    def _begin(self, cursor: _Cursor, keyword: Token) -> None:
        if len(self._open) == MAX_DEPTH:
            raise TemplateFault(keyword.line, f"blocks are nested more than {MAX_DEPTH} deep")
        outside = len(self._visible)
        pipeline = self._pipeline(cursor, Kind.CLOSE, names=2 if keyword.text == "range" else 1)
        self._open.append(_Open(keyword.line, keyword.text, outside, len(self._visible), pipeline))

    def _end(self, cursor: _Cursor, line: int) -> None:
        if not self._open:
            raise TemplateFault(line, "end closes nothing")
        self._expect_close(cursor, "end")
        closed = self._open.pop()
        del self._visible[closed.outside :]
        self._nodes().append(closed.close())

    def _else(self, cursor: _Cursor, line: int) -> None:
        if not self._open:
            raise TemplateFault(line, "else belongs to nothing")
        block = self._open[-1]
        if block.in_else:
            raise TemplateFault(line, f"the {block.keyword} has its else already")
        del self._visible[block.inside :]
        block.finish_arm()
        follower = cursor.peek()
        if follower.kind is Kind.WORD and follower.text == "if" and block.keyword == "if":
            cursor.take()
            block.pipeline = self._pipeline(cursor, Kind.CLOSE)
            # Go sees {{else}}{{if}} here, so what an arm's pipeline declared is visible in all later arms.
            block.inside = len(self._visible)
            return
        block.in_else = True
        self._expect_close(cursor, "else")

    def _expect_close(self, cursor: _Cursor, after: str) -> None:
        token = cursor.take()
        if token.kind is not Kind.CLOSE:
            _refuse(token, f"after {after}")

    def _pipeline(self, cursor: _Cursor, until: Kind, names: int = 1, depth: int = 0) -> tree.Pipeline:
        line = cursor.peek().line
        targets, declares = self._targets(cursor, names) if until is Kind.CLOSE else ((), True)
        commands: list[tree.Term] = []
        while True:
            commands.append(self._command(cursor, depth, is_first=not commands))
            token = cursor.take()
            if token.kind is until:
                break
            if token.kind is not Kind.PIPE:
                _refuse(token, "in a pipeline")
        if declares:
            self._visible.extend(targets)
            if len(self._visible) > MAX_VARIABLES:
                raise TemplateFault(line, f"more than {MAX_VARIABLES} variables at once")
        return tree.Pipeline(line, tuple(commands), targets, declares)

    def _targets(self, cursor: _Cursor, names: int) -> tuple[tuple[str, ...], bool]:
        """`$x :=`, `$x =`, or for range also `$i, $e :=`. Nothing is taken if none of these stands here."""
        width = 3 if cursor.peek(1).kind is Kind.COMMA else 1
        operator = cursor.peek(width)
        if cursor.peek().kind is not Kind.VARIABLE or (width == 1 and operator.kind not in (Kind.DECLARE, Kind.ASSIGN)):
            return (), True
        found = [cursor.take()]
        if width == 3:
            comma = cursor.take()
            if names < 2 or cursor.peek().kind is not Kind.VARIABLE:
                _refuse(comma, "between variables: only range sets two")
            found.append(cursor.take())
            if operator.kind not in (Kind.DECLARE, Kind.ASSIGN):
                _refuse(operator, "where range needs := or =")
        cursor.take()
        declares = operator.kind is Kind.DECLARE
        for token in found:
            if token.text == "$":
                raise TemplateFault(token.line, "$ is the root and cannot be set")
            if not declares:
                self._require_visible(token)
        return tuple(token.text for token in found), declares

    def _require_visible(self, token: Token) -> None:
        if token.text not in self._visible:
            raise TemplateFault(token.line, f"undefined variable {shorten(token.text)}")

    def _command(self, cursor: _Cursor, depth: int, is_first: bool) -> tree.Term:
        token = cursor.peek()
        operands = list(self._operands(cursor, depth))
        if not operands:
            if token.kind in (Kind.CLOSE, Kind.SHUT, Kind.PIPE):
                raise TemplateFault(token.line, "a value is missing in the action")
            _refuse(token, "in a command")
        head, *arguments = operands
        for argument in arguments:
            base = argument.base if isinstance(argument, tree.Fields) else argument
            if isinstance(base, tree.Call):
                self._check_call(base, len(base.arguments))
        if isinstance(head, tree.Call):
            call = tree.Call(head.line, head.name, tuple(arguments))
            self._check_call(call, len(arguments) + (not is_first))
            return call
        if arguments or not is_first:
            named = head.names[-1] if isinstance(head, tree.Fields) else token.text
            raise TemplateFault(token.line, f"{shorten(named)} is no function and takes no arguments")
        if isinstance(head, tree.Literal) and head.value is None:
            raise TemplateFault(token.line, "nil is not a command")
        return head

    def _check_call(self, call: tree.Call, count: int) -> None:
        """What is wrong with it whatever the data. Functions that are only given later are checked then."""
        function = self._vocabulary.functions.get(call.name)
        if function is None:
            return
        try:
            check_count(call.name, function, count)
            first = call.arguments[0] if call.arguments else None
            if isinstance(first, tree.Literal) and isinstance(first.value, str):
                check_first(call.name, function, first.value)
        except Unfit as unfit:
            raise TemplateFault(call.line, unfit.reason) from None

    def _operands(self, cursor: _Cursor, depth: int) -> Iterator[tree.Term]:
        while True:
            term = self._term(cursor, depth)
            if term is None:
                return
            names: list[str] = []
            while cursor.peek().kind is Kind.FIELD and not cursor.peek().spaced:
                names.append(cursor.take().text)
            if names and isinstance(term, tree.Literal | tree.Dot):
                raise TemplateFault(term.line, f"unexpected .{names[0]} after a value that has no fields")
            yield tree.Fields(term.line, term, tuple(names)) if names else term
            follower = cursor.peek()
            if not follower.spaced and follower.kind not in (Kind.CLOSE, Kind.SHUT, Kind.PIPE):
                _refuse(follower, "right after an operand")

    def _term(self, cursor: _Cursor, depth: int) -> tree.Term | None:
        token = cursor.peek()
        if token.kind is Kind.WORD:
            if token.text in _KEYWORDS:
                return None
            cursor.take()
            return self._word(token)
        if token.kind is Kind.FIELD:
            cursor.take()
            return tree.Fields(token.line, tree.Dot(token.line), (token.text,))
        if token.kind is Kind.OPEN:
            if depth + len(self._open) >= MAX_DEPTH:
                raise TemplateFault(token.line, f"parentheses are nested more than {MAX_DEPTH} deep")
            cursor.take()
            return self._pipeline(cursor, Kind.SHUT, depth=depth + 1)
        if token.kind is Kind.VARIABLE:
            self._require_visible(token)
            cursor.take()
            return tree.Variable(token.line, token.text)
        if token.kind is Kind.DOT:
            cursor.take()
            return tree.Dot(token.line)
        if token.kind in _LITERALS:
            cursor.take()
            return tree.Literal(token.line, token.value)
        return None

    def _word(self, token: Token) -> tree.Term:
        if token.text in ("true", "false"):
            return tree.Literal(token.line, token.text == "true")
        if token.text == "nil":
            return tree.Literal(token.line, None)
        if token.text not in self._names:
            raise TemplateFault(token.line, self._vocabulary.why_refused(token.text))
        return tree.Call(token.line, token.text)



def _refuse(token: Token, where: str) -> NoReturn:
    written = token.kind.value if token.kind in (Kind.CLOSE, Kind.PIPE) else token.text
    raise TemplateFault(token.line, f"unexpected {shorten(written)} {where}")
