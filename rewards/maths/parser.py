r"""From the text of an answer to its syntax tree, by recursive descent with bounds on size and depth.

Nothing is evaluated and nothing is handed to another parser: what this grammar does not know is `Unreadable`.

>>> from rlpath.rewards.maths.tree import key
>>> key(parse(r"\frac{x+1}{2}")), key(parse("(1+x)/2"))
('div(add(1,x),2)', 'div(add(1,x),2)')
"""

from __future__ import annotations

import re

from rlpath.rewards.maths.build import negated, nested_rows, normal_words, number
from rlpath.rewards.maths.cursor import END
from rlpath.rewards.maths.lexer import tokens
from rlpath.rewards.maths.terms import ExpressionParser
from rlpath.rewards.maths.tree import (
    INTEGER,
    NATURAL,
    Interval,
    Matrix,
    Node,
    Num,
    Op,
    Relation,
    Seq,
    Sym,
    Text,
    Unreadable,
    check_size,
    children,
    renamed,
    symbols,
)
from rlpath.rewards.reading.vocabulary import names_a_value

_RELATIONS = frozenset(["=", "<", ">", "<=", ">=", "!=", "≈", "in"])
_SEPARATORS = frozenset({",", ";", "and", "or"})
_CLOSING = {"(": (")", "]"), "[": ("]", ")"), "<(": (")>",)}
_MATRICES = frozenset(["pmatrix", "bmatrix", "matrix", "smallmatrix", "array", "Bmatrix"])
_STATES = re.compile(r" (?:is|are|has|have|equals)$")
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def parse(text: str) -> Node:
    """The tree of `text`; raises `Unreadable` with the reason where there is none."""
    if _PLAIN_NUMBER.fullmatch(text):
        return negated(number(text[1:])) if text[0] == "-" else number(text)
    parser = _Parser(tokens(text))
    node = parser.answer()
    if parser.peek() is not END:
        raise Unreadable(f"unexpected {parser.peek().text!r}")
    return check_size(node)


class _Parser(ExpressionParser):
    """Reads whole answers: lists, relations, brackets, sets and matrices around expressions."""

    def answer(self) -> Node:
        items = _bound(self.items())
        inequalities = all(isinstance(i, Relation) and i.ops[0] not in ("=", "in", "≈") for i in items)
        if len(items) > 1 and inequalities and any(t.kind == "cmd" and t.text == "or" for t in self.stream):
            return Seq("either", tuple(items))
        return items[0] if len(items) == 1 else Seq("list", tuple(items))

    def items(self) -> list[Node]:
        found = [self.item()]
        while self.at(*_SEPARATORS):
            self.next()
            while self.at("and", "or"):
                self.next()
            found.append(self.item())
        return found

    def item(self) -> Node:
        """One answer: a relation, a ratio, or either behind its name ("Paolo: 18", "minimum 1")."""
        if name := self.name():
            return Relation(("=",), (Text(normal_words(name)), self.relation()))
        parts = [self.relation()]
        while self.take(":"):
            parts.append(self.relation())
        ratio = parts[0] if len(parts) == 1 else Seq("ratio", tuple(parts))
        equal = next((n for n, part in enumerate(parts) if isinstance(part, Relation) and part.ops == ("=",)), None)
        if len(parts) > 1 and equal is not None and all(isinstance(n, Sym) for n in parts[:equal]):
            name, first = children(parts[equal])  # "k = 3:4" or "a:b = 3:4"
            ratio = Seq("ratio", (first, *parts[equal + 1 :]))
            return Relation(("=",), (name, ratio)) if equal == 0 else ratio
        return ratio

    def name(self) -> str:
        """The words that name the value behind them; an empty string, and nothing read, where there are none."""
        token, following = self.peek(), self.peek(1)
        named = token.kind == "text" and names_a_value(_STATES.sub("", token.text))
        if following.text == ":" and named:
            self.position += 2
        elif named and (following.kind == "num" or following.text in ("-", "frac", "sqrt", "pm", "dollar")):
            self.position += 1
        else:
            return ""
        return token.text

    def relation(self) -> Node:
        node = self.comparison()
        if self.at("pmod") or (self.at("(") and self.peek(1).text == "pmod"):
            self.take("(")
            return self.congruence(node)
        return node

    def congruence(self, node: Node) -> Node:
        """Read "(mod m)" behind a residue or behind "x = residue"."""
        self.next()
        modulus = self.deeper(self.sum) if not self.at("{") else self.argument()
        self.take(")")
        residue = node.sides[-1] if isinstance(node, Relation) else node
        return Op("mod", (residue, modulus))

    def comparison(self) -> Node:
        sides, ops = [self.deeper(self.union)], []
        while self.at(*_RELATIONS):
            op = self.next().text
            ops.append(op)
            sides.append(self.deeper(self.union))
        return Relation(tuple(ops), tuple(sides)) if ops else sides[0]

    def union(self) -> Node:
        node = self.sum()
        while self.at("cup", "cap", "setminus"):
            op = self.next().text
            node = Op(op, (node, self.sum()))
        return node

    # brackets, sets, matrices

    def structure(self, opening: str) -> Node:
        match opening:
            case "(" | "[" | "<(":
                return self.bracketed(opening)
            case "{":
                return self.braced()
            case "\\{":
                return self.set_of("\\}")
            case "|":
                return self.absolute()
        if opening.startswith("begin:"):
            return self.matrix(opening[6:])
        raise Unreadable(f"unexpected {opening!r}")

    def bracketed(self, opening: str) -> Node:
        bars, self.bars = self.bars, 0
        items = self.items()
        closing = self.expect(*_CLOSING[opening])
        self.bars = bars
        if len(items) == 1:
            if (opening == "[") != (closing == "]"):
                raise Unreadable("brackets that do not match")
            inner = items[0]
            if isinstance(inner, Num) and inner.decimals < 0 and opening == "(" and self.take("_"):
                return self.based(str(inner.value))
            return inner
        if opening == "[" and closing == "]" and all(isinstance(i, Interval | Seq) for i in items):
            return nested_rows(items)
        if len(items) == 2 and opening != "<(":
            return Interval(items[0], items[1], opening == "[", closing == "]")
        if opening == "(" and closing != ")":
            raise Unreadable("brackets that do not match")
        return Seq("array" if opening == "[" else "tuple", tuple(items))

    def braced(self) -> Node:
        if self.take("}"):
            return Sym("set:0")
        items = self.items()
        if self.take("choose"):
            bottom = self.sum()
            self.expect("}")
            return Op("binom", (items[0], bottom))
        self.expect("}")
        return items[0] if len(items) == 1 else Seq("set", tuple(items))

    def set_of(self, closing: str) -> Node:
        if self.take(closing):
            return Sym("set:0")
        bars, self.bars = self.bars, 1
        first = self.relation()
        if self.take("|", ":"):
            condition = self.items()
            self.bars = bars
            self.expect(closing)
            of_reals = isinstance(first, Sym) or (
                isinstance(first, Relation) and first.ops == ("in",) and first.sides[1] == Sym("set:R")
            )
            match _bound([first, *condition]):
                case [family] if not isinstance(first, Relation):
                    return family  # {pi/4 + k pi | k in Z}
                case [Sym(name), Relation(("=",), (Sym(same), family))] if name == same:
                    return family  # {x | x = pi/4 + k pi, k in Z}
            if not of_reals:
                raise Unreadable("a set of something else than the real numbers with a property")
            variable = first.sides[0] if isinstance(first, Relation) else first
            name = variable.name if isinstance(variable, Sym) else ""
            condition = [renamed(part, {name: ""}) for part in condition]  # the variable is bound: any name will do
            return condition[0] if len(condition) == 1 else Seq("list", tuple(condition))
        items = [first]
        while self.take(*_SEPARATORS):
            items.append(self.item())
        self.bars = bars
        self.expect(closing)
        return Seq("set", tuple(items))

    def absolute(self) -> Node:
        bars, self.bars = self.bars, 1
        inner = self.sum()
        self.expect("|")
        self.bars = bars
        return Op("abs", (inner,))

    def matrix(self, name: str) -> Node:
        if name not in _MATRICES | {"vmatrix", "cases"}:
            raise Unreadable(f"the environment {name}")
        rows: list[list[Node]] = [[self.relation()]]
        while not self.take(f"end:{name}"):
            separator = self.expect("&", "\\\\")
            if separator == "&":
                rows[-1].append(self.relation())
            elif not self.at(f"end:{name}"):
                rows.append([self.relation()])
        if len({len(row) for row in rows}) > 1:
            raise Unreadable("rows of different length")
        if name == "cases":
            if len(rows[0]) != 1:
                raise Unreadable("a function by cases")
            return Seq("list", tuple(row[0] for row in rows))
        return Matrix("det" if name == "vmatrix" else "matrix", tuple(tuple(row) for row in rows))


def _bound(items: list[Node]) -> list[Node]:
    """`items` without a last "k in Z", and with the variable that it declares named for what it is."""
    match items:
        case [*rest, Relation(("in",), (Sym(name), Sym("set:Z" | "set:N" as of)))] if rest:
            if any(name in symbols(item) for item in rest):
                return [renamed(item, {name: INTEGER if of == "set:Z" else NATURAL}) for item in rest]
    return items
