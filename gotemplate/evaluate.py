"""Walks the tree and writes the output, within bounds on its size and on the work done. Pure.

Variables live on a stack as in text/template (exec.go): a block's are dropped at its end, a range's body's after
each turn. The parser has already made sure that every variable and every function that is named exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gotemplate import tree
from gotemplate.faults import TemplateFault, Unfit
from gotemplate.functions import SHORT_CIRCUITS, Function, call
from gotemplate.values import MAX_OUTPUT, GoMap, Record, Value, is_true, show, type_name, weight

MAX_STEPS = 1_000_000  # nodes and values visited, turns of loops and calls; seconds of work, whatever they do
_TEXT_PER_STEP = 20  # so many characters or elements handled count as one further step


def evaluate(template: tree.Block, functions: Mapping[str, Function], root: Value) -> str:
    """The template's output; `root` is what the dot and `$` are at its beginning."""
    return Evaluation(functions, root).render(template)


class Evaluation:
    """What one render has written, remembered and spent so far."""

    def __init__(self, functions: Mapping[str, Function], root: Value, max_steps: int = MAX_STEPS) -> None:
        self._output: list[str] = []
        self._root, self._max_steps = root, max_steps
        self._functions = functions
        self._variables: list[tuple[str, Value]] = [("$", root)]
        self._size = 0
        self._steps = 0

    def render(self, block: tree.Block) -> str:
        """The output of one part of a template; the next part sees the variables of this one, and shares its bounds."""
        self._output = []
        self._walk(block, self._root)
        return "".join(self._output)

    def _walk(self, block: tree.Block, dot: Value) -> None:
        for node in block:
            self._spend(node.line)
            match node:
                case tree.Text(text=text):
                    self._write(node.line, text)
                case tree.Action(pipeline=pipeline):
                    self._act(pipeline, dot)
                case tree.If() | tree.With() | tree.Range():
                    mark = len(self._variables)
                    try:
                        self._walk_control(node, dot)
                    finally:
                        del self._variables[mark:]

    def _walk_control(self, node: tree.If | tree.With | tree.Range, dot: Value) -> None:
        match node:
            case tree.If():
                for pipeline, body in node.arms:
                    if is_true(self._pipeline(pipeline, dot)):
                        return self._walk(body, dot)
                self._walk(node.otherwise, dot)
            case tree.With():
                value = self._pipeline(node.pipeline, dot)
                if is_true(value):
                    self._walk(node.body, value)
                else:
                    self._walk(node.otherwise, dot)
            case tree.Range():
                self._range(node, dot)

    def _range(self, node: tree.Range, dot: Value) -> None:
        value = self._pipeline(node.pipeline, dot)
        turns: Iterable[tuple[Value, Value]] = ()
        if isinstance(value, tuple):
            turns = enumerate(value)
        elif isinstance(value, GoMap):
            turns = ((key, value[key]) for key in sorted(value))
        elif value is not None:
            raise TemplateFault(node.line, f"range cannot go over {type_name(value)}, only over a list or a map")
        mark = len(self._variables)
        turned = False
        for key, item in turns:
            turned = True
            self._spend(node.line)
            self._set_turn(node.pipeline, key, item, mark)
            self._walk(node.body, item)
            del self._variables[mark:]
        if not turned:
            self._walk(node.otherwise, dot)

    def _set_turn(self, pipeline: tree.Pipeline, key: Value, item: Value, mark: int) -> None:
        """One variable takes the element; of two, the first takes the index or key."""
        values = (key, item)[-len(pipeline.targets) :] if pipeline.targets else ()
        first = mark - len(values)
        for offset, (name, value) in enumerate(zip(pipeline.targets, values, strict=True)):
            if pipeline.declares:
                self._variables[first + offset] = (name, value)
            else:
                self._assign(name, value, pipeline.line)

    def _act(self, pipeline: tree.Pipeline, dot: Value) -> None:
        value = self._pipeline(pipeline, dot)
        if pipeline.targets:
            return
        try:
            text = show(value)
        except Unfit as unfit:
            raise TemplateFault(pipeline.line, unfit.reason) from None
        self._spend(pipeline.line, len(text))
        self._write(pipeline.line, text)

    def _pipeline(self, pipeline: tree.Pipeline, dot: Value) -> Value:
        value: Value = None
        for position, command in enumerate(pipeline.commands):
            if isinstance(command, tree.Call):
                value = self._call(command, dot, (value,) if position else ())
            else:
                value = self._term(command, dot)
        for name in pipeline.targets:
            if pipeline.declares:
                self._variables.append((name, value))
            else:
                self._assign(name, value, pipeline.line)
        return value

    def _term(self, term: tree.Term, dot: Value) -> Value:
        self._spend(term.line)
        match term:
            case tree.Literal(value=value):
                return value
            case tree.Dot():
                return dot
            case tree.Variable(name=name):
                return self._variables[self._find(name, term.line)][1]
            case tree.Call():
                return self._call(term, dot, ())
            case tree.Fields(base=base, names=names):
                return _read_fields(self._term(base, dot), names, term.line)
            case tree.Pipeline():
                return self._pipeline(term, dot)

    def _call(self, node: tree.Call, dot: Value, piped: tuple[Value, ...]) -> Value:
        if node.name in SHORT_CIRCUITS:
            return self._short_circuit(node, dot, piped)
        arguments = (*(self._term(argument, dot) for argument in node.arguments), *piped)
        self._spend(node.line, sum(map(weight, arguments)))
        try:
            value = call(node.name, self._functions[node.name], arguments)
        except Unfit as unfit:
            raise TemplateFault(node.line, unfit.reason) from None
        self._spend(node.line, weight(value))
        return value

    def _short_circuit(self, node: tree.Call, dot: Value, piped: tuple[Value, ...]) -> Value:
        """The first value that settles it, or the last; what comes after is not evaluated."""
        self._spend(node.line)
        if not node.arguments and not piped:
            raise TemplateFault(node.line, f"{node.name} wants at least 1 argument, got 0")
        value: Value = None
        for argument in node.arguments:
            value = self._term(argument, dot)
            if is_true(value) == (node.name == "or"):
                return value
        return piped[0] if piped else value

    def _find(self, name: str, line: int) -> int:
        for at in range(len(self._variables) - 1, -1, -1):
            if self._variables[at][0] == name:
                return at
        raise TemplateFault(line, f"the variable {name} has no value, because what was to set it failed")

    def _assign(self, name: str, value: Value, line: int) -> None:
        self._variables[self._find(name, line)] = (name, value)

    def _write(self, line: int, text: str) -> None:
        self._size += len(text)
        if self._size > MAX_OUTPUT:
            raise TemplateFault(line, f"the output is longer than {MAX_OUTPUT} characters")
        self._output.append(text)

    def _spend(self, line: int, handled: int = 0) -> None:
        self._steps += 1 + handled // _TEXT_PER_STEP
        if self._steps > self._max_steps:
            raise TemplateFault(line, f"the template takes more than {self._max_steps} steps")


def _read_fields(value: Value, names: tuple[str, ...], line: int) -> Value:
    for name in names:
        if value is None:
            return None  # exec.go, evalField: a field of no value is no value
        if isinstance(value, GoMap):
            value = value.get(name)
            continue
        try:
            if not isinstance(value, Record):
                raise Unfit(f"{type_name(value)} has no field {name}")
            value = value.member(name)
        except Unfit as unfit:
            raise TemplateFault(line, unfit.reason) from None
    return value
