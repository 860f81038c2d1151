"""The changes that may be made to a module's syntax tree, one at a time.

Not changed: text (strings, f-strings, docstrings), types, decorators and imports.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_FUNCTIONS = {"max": "min", "min": "max", "any": "all", "all": "any", "sorted": "list"}
_SHOWN = 60
"""Characters of an expression that is shown for a number in it."""
_UNCHANGED = (ast.JoinedStr, ast.Import, ast.ImportFrom)
_UNCHANGED_FIELDS = ("annotation", "returns", "decorator_list", "bases")


@dataclass(frozen=True)
class Site:
    """One node of a module, as the value of its parent's field or as one element of it."""

    function: str
    """Where it is: the names of the functions and classes around it, or of the constant, with dots."""
    parent: ast.AST
    field: str
    index: int | None
    node: ast.AST

    def put(self, node: ast.AST) -> None:
        """Put another node in its place."""
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def sites(parent: ast.AST, function: str = "") -> Iterator[Site]:
    """Every node below `parent` that may be changed, parents first."""
    for field, value in ast.iter_fields(parent):
        if field in _UNCHANGED_FIELDS:
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or isinstance(node, _UNCHANGED) or _is_for_types(node):
                continue
            yield Site(function, parent, field, index, node)
            yield from sites(node, f"{function}.{_name(parent, node)}".strip("."))


def _name(parent: ast.AST, node: ast.AST) -> str:
    """What a function, a class, or a constant outside of functions is called; nothing else has a name."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name if isinstance(parent, ast.Module | ast.ClassDef) else ""
    return ""


def changes(site: Site) -> Iterator[ast.AST]:
    """What may stand in the site's place, one change at a time."""
    if site.field in ("test", "guard", "ifs"):
        yield from (ast.Constant(True), ast.Constant(False))
    if isinstance(site.node, ast.expr):
        yield from _expressions(site.node)
    if isinstance(site.node, ast.stmt):
        yield from _statements(site.node)


def describe(site: Site, changed: ast.AST) -> str:
    """A change in words that stay the same until its own expression is written anew.

    A number is shown with the expression around it, where that is short.
    """
    node = site.node
    if isinstance(node, ast.Call) and isinstance(changed, ast.Call):
        lost = [each for each in node.keywords if each not in changed.keywords]
        if lost:
            return f"{ast.unparse(node.func)}(...) without {lost[0].arg}"
    if not isinstance(node, ast.Constant) or len(ast.unparse(site.parent)) > _SHOWN:
        return f"{ast.unparse(node)} -> {ast.unparse(changed)}"
    before = ast.unparse(site.parent)
    site.put(changed)
    after = ast.unparse(site.parent)
    site.put(node)
    return f"{before} -> {after}".strip()


def _expressions(node: ast.expr) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=operators):
            for index, operator in enumerate(operators):
                yield _with(node, "ops", index, _COMPARISONS[type(operator)]())
        case ast.BoolOp(op=operator, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
            for index in range(len(values)):
                left = values[:index] + values[index + 1 :]
                yield left[0] if len(left) == 1 else ast.BoolOp(operator, left)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.BinOp(op=operator, left=left, right=right) if type(operator) in _OPERATORS:
            yield ast.BinOp(left, _OPERATORS[type(operator)](), right)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords):
            if name in _FUNCTIONS:
                yield ast.Call(ast.Name(_FUNCTIONS[name], ast.Load()), arguments, keywords)
    if isinstance(node, ast.Call):
        for index in range(len(node.keywords)):
            yield _with(node, "keywords", index, None)


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.AugAssign(op=operator) if type(operator) in _OPERATORS:
            yield ast.AugAssign(node.target, _OPERATORS[type(operator)](), node.value)
        case ast.Return(value=ast.expr() as value) if not _is_nothing(value):
            yield ast.Return(ast.Constant(None))
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()
    if _is_effect(node):
        yield ast.Pass()


def _is_nothing(node: ast.expr) -> bool:
    """Whether a value counts as false already, as None would."""
    return isinstance(node, ast.Constant) and not node.value


def _is_effect(node: ast.stmt) -> bool:
    """Whether a statement may be left out and leaves no name unknown."""
    if isinstance(node, ast.Assign):
        return not isinstance(node.targets[0], ast.Name | ast.Tuple)
    effect = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
    return effect or isinstance(node, ast.AugAssign | ast.Raise)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _with(node: ast.AST, field: str, index: int, element: ast.AST | None) -> Any:  # noqa: ANN401 - as node
    """A copy in which one element of a list is another one, or left out."""
    changed = copy.copy(node)
    elements = list(getattr(node, field))
    elements[index : index + 1] = [] if element is None else [element]
    setattr(changed, field, elements)
    return changed
