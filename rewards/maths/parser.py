r"""From the text of an answer to its syntax tree, by recursive descent with bounds on size and depth.

Nothing is evaluated and nothing is handed to another parser: what this grammar does not know is `Unreadable`.

>>> from rlpath.rewards.maths.tree import key
>>> key(parse(r"\frac{x+1}{2}")), key(parse("(1+x)/2"))
('div(add(1,x),2)', 'div(add(1,x),2)')
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from rlpath.rewards.maths.build import (
    added,
    as_unit,
    divided,
    is_measured,
    multiplied,
    negated,
    nested_rows,
    normal_words,
    number,
    raised,
)
from rlpath.rewards.maths.lexer import FUNCTIONS, GREEK_NAMES, Token, tokens
from rlpath.rewards.maths.tree import (
    INTEGER,
    MAX_DEPTH,
    NATURAL,
    Based,
    Interval,
    Matrix,
    Node,
    Num,
    Op,
    Relation,
    Seq,
    Sym,
    Text,
    Unit,
    Unreadable,
    check_size,
    children,
    renamed,
    symbols,
)
from rlpath.rewards.reading.numerals import words_to_number
from rlpath.rewards.reading.vocabulary import counted, names_a_value

_RELATIONS = frozenset(["=", "<", ">", "<=", ">=", "!=", "≈", "in"])
_SEPARATORS = frozenset({",", ";", "and", "or"})
_CLOSING = {"(": (")", "]"), "[": ("]", ")"), "<(": (")>",)}
_SYMBOL_COMMANDS = GREEK_NAMES | frozenset([
    "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega", "hbar", "ell", "odot",
    "angle", "triangle", "star", "oplus", "parallel", "perp", "nabla", "dagger", "Pr",
])  # fmt: skip
_SETS = {"mathbbR": "R", "mathbbZ": "Z", "mathbbN": "N", "mathbbQ": "Q", "mathbbC": "C"}
_MATRICES = frozenset(["pmatrix", "bmatrix", "matrix", "smallmatrix", "array", "Bmatrix"])
_POSTFIX = frozenset({"!", "!!", "%", "degree", "'"})
_NO_ATOM = frozenset([
    "cup", "cap", "setminus", "in", "and", "or", "pm", "mp", "choose", "over", "not", "degree", "rfloor", "rceil",
    "pmod",
])  # fmt: skip
_STATES = re.compile(r" (?:is|are|has|have|equals)$")
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
END = Token("end", "")


def parse(text: str) -> Node:
    """The tree of `text`; raises `Unreadable` with the reason where there is none."""
    if _PLAIN_NUMBER.fullmatch(text):
        return negated(number(text[1:])) if text[0] == "-" else number(text)
    parser = _Parser(tokens(text))
    node = parser.answer()
    if parser.peek() is not END:
        raise Unreadable(f"unexpected {parser.peek().text!r}")
    return check_size(node)


class _Parser:
    """A cursor over tokens; each method reads one grammar rule and leaves the cursor behind it."""

    def __init__(self, stream: list[Token]) -> None:
        self.stream = [*stream, END]
        self.position = 0
        self.depth = 0
        self.bars = 0

    def peek(self, ahead: int = 0) -> Token:
        index = self.position + ahead
        return self.stream[index] if index < len(self.stream) else END

    def next(self) -> Token:
        token = self.stream[self.position]
        if token is END:
            raise Unreadable("it stops in the middle")
        self.position += 1
        return token

    def at(self, *texts: str) -> bool:
        token = self.stream[self.position]
        return token.text in texts and token.kind != "text"

    def take(self, *texts: str) -> bool:
        token = self.stream[self.position]
        if token.text in texts and token.kind != "text":
            self.position += 1
            return True
        return False

    def expect(self, *texts: str) -> str:
        token = self.next()
        if token.text not in texts:
            raise Unreadable(f"expected {texts[0]!r}, found {token.text!r}")
        return token.text

    def deeper(self, rule: Callable[[], Node]) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deep")
        node = rule()
        self.depth -= 1
        return node

    # answers, lists, relations

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

    # sums, products, powers

    def sum(self) -> Node:
        terms: list[Node] = [self.signed_term()]
        while self.at("+", "-", "pm", "mp"):
            if self.at("pm", "mp"):
                op = self.next().text
                terms = [Op(op, (added(terms), self.product()))]
            else:
                terms.append(self.signed_term())
        match terms:
            case [Sym("set:R") as reals, Op("neg", (Seq("set", _) as removed,))]:
                return Op("setminus", (reals, removed))
        return divided(added(terms), self.sum()) if self.take("over") else added(terms)

    def signed_term(self) -> Node:
        negative, sign = False, ""
        while self.at("+", "-", "pm", "mp"):
            token = self.next().text
            negative ^= token == "-"
            sign = token if token in ("pm", "mp") else sign
        node = self.product()
        node = negated(node) if negative else node
        return Op(sign, (node,)) if sign else node

    def product(self) -> Node:
        node = self.deeper(self.power)
        while True:
            if self.take("*"):
                node = multiplied(node, as_unit(self.deeper(self.signed_power)))
            elif self.take("/"):
                node = divided(node, as_unit(self.deeper(self.signed_power)))
            elif self.starts_atom():
                node = self.juxtaposed(node)
            else:
                return node

    def signed_power(self) -> Node:
        if self.take("-"):
            return Op("neg", (self.power(),))
        self.take("+")
        return self.power()

    def juxtaposed(self, left: Node) -> Node:
        token = self.peek()
        before = self.peek(-1)
        if token.kind == "num":
            if is_measured(left):
                return self.second_amount(left)
            if before.kind == "num" and token.spaced and self.peek(1).text == "/" and self.peek(2).kind == "num":
                return self.postfix(self.mixed_number(left))
            if before.text not in (")", "!", "!!") and not (before.kind == "sym" and self.peek(1).text == "^"):
                raise Unreadable("two numbers side by side")
        mixed = token.text == "frac" and before.kind == "num" and isinstance(left, Num) and left.decimals < 0
        if mixed:
            right = self.deeper(self.atom)
            if isinstance(right, Op) and right.name == "div" and all(isinstance(a, Num) for a in right.args):
                whole = Op("add", (left, right))
                if self.at("^") and self.peek(1).text in ("degree", "{") and self.take("^") and self.degrees():
                    whole = multiplied(whole, Unit("degree"))
                return self.postfix(whole)
        else:
            right = self.deeper(self.power)
        if isinstance(left, Sym) and isinstance(right, Interval) and not (right.closed_low or right.closed_high):
            return Op(f"app:{left.name}", (right.low, right.high))
        if isinstance(left, Sym) and isinstance(right, Seq):
            return Op(f"app:{left.name}", right.items)
        if isinstance(right, Matrix) and right.kind == "matrix" and not isinstance(left, Text):
            return Matrix("matrix", tuple(tuple(multiplied(left, cell) for cell in row) for row in right.rows))
        match right:
            case Op("div", (Text(top), Text(bottom))) if isinstance(left, Num):
                return Op("div", (multiplied(left, Unit(top)), Unit(bottom)))
        if isinstance(right, Text) and not isinstance(left, Text) and not counted(right.words):
            raise Unreadable("words about a number that are no unit")
        right = as_unit(right)
        if isinstance(left, Text) or isinstance(right, Seq | Interval | Relation):
            raise Unreadable("words and formulas side by side")
        return multiplied(left, right)

    def second_amount(self, first: Node) -> Node:
        """The minutes behind the hours: "2 hours 30 minutes"."""
        second = self.deeper(self.power)
        if self.peek().kind == "text":
            second = self.juxtaposed(second)
        if not is_measured(second):
            raise Unreadable("two numbers side by side")
        return Op("add", (first, second))

    def mixed_number(self, whole: Node) -> Node:
        top = self.atom()
        self.expect("/")
        bottom = self.atom()
        if not (isinstance(whole, Num) and whole.decimals < 0):
            raise Unreadable("two numbers side by side")
        return Op("add", (whole, Op("div", (top, bottom))))

    def starts_atom(self) -> bool:
        token = self.stream[self.position]
        if token.kind in ("num", "sym", "text"):
            return True
        if token.kind == "cmd":
            return token.text not in _NO_ATOM and not token.text.startswith("scale")
        if token.text == "|":
            return self.bars == 0
        return token.text in ("(", "[", "{", "\\{", "<(") or token.text.startswith("begin:")

    def power(self) -> Node:
        base = self.postfix(self.deeper(self.atom))
        if not self.take("^"):
            return base
        if self.degrees():
            return self.postfix(multiplied(base, Unit("degree")))
        if isinstance(base, Sym) and self.peek().kind == "num" and self.peek(1).text == "_":
            exponent = number(self.next().text)
            return raised(self.subscripted(base.name), exponent)
        exponent = self.deeper(self.exponent)
        if isinstance(base, Sym) and base.name in ("f", "g") and exponent == Num(Fraction(-1)) and self.at("("):
            return self.applied(Sym(f"{base.name}^-1"))
        if isinstance(base, Matrix) and exponent in (Sym("T"), Sym("top"), Text("t")):
            return Matrix(base.kind, tuple(zip(*base.rows, strict=True)))
        if isinstance(base, Sym) and (chosen := _chosen(base.name, exponent)):
            return self.postfix(chosen)
        return self.postfix(raised(base, exponent))

    def degrees(self) -> bool:
        """Read the ring of degrees in an exponent, if there is one."""
        braced = self.at("{") and self.peek(1).text == "degree" and self.peek(2).text == "}"
        self.position += 3 if braced else self.at("degree")
        return braced or self.peek(-1).text == "degree"

    def exponent(self) -> Node:
        if self.take("-"):
            return negated(self.deeper(self.exponent))
        self.take("+")
        return self.power()

    def postfix(self, node: Node) -> Node:
        while (token := self.stream[self.position]).text in _POSTFIX or token.text.startswith("scale"):
            if self.take("!!"):
                node = Op("fact2", (node,))
            elif self.take("!"):
                node = Op("fact", (node,))
            elif self.take("%"):
                node = Op("percent", (node,))
            elif self.take("degree"):
                node = multiplied(node, Unit("degree"))
            elif self.at("'") and isinstance(node, Sym):
                self.next()
                node = Sym(node.name + "'")
            elif self.at("'") and isinstance(node, Num):
                self.next()
                node = multiplied(node, Unit("arcsecond" if self.take("'") else "arcminute"))
            elif token.kind == "cmd" and token.text.startswith("scale"):
                node = multiplied(node, Num(Fraction(10) ** int(self.next().text[5:])))
            else:
                break
        return node

    # atoms

    def atom(self) -> Node:
        token = self.next()
        match token.kind:
            case "num":
                return self.numeral(token.text)
            case "sym":
                name = self.subscripted(token.text)
                return self.applied(name) if self.at("(") and token.text in ("f", "g") else name
            case "text":
                return Text(normal_words(token.text))
            case "cmd":
                return self.command(token.text)
        match token.text:
            case "(" | "[" | "<(":
                return self.bracketed(token.text)
            case "{":
                return self.braced()
            case "\\{":
                return self.set_of("\\}")
            case "|":
                return self.absolute()
        if token.text.startswith("begin:"):
            return self.matrix(token.text[6:])
        raise Unreadable(f"unexpected {token.text!r}")

    def applied(self, function: Node) -> Node:
        """`f(...)`, an application and no product."""
        assert isinstance(function, Sym)
        return Op(f"app:{function.name}", self.arguments())

    def numeral(self, digits: str) -> Node:
        if self.take("_"):
            return self.based(digits)
        return number(digits)

    def based(self, digits: str) -> Node:
        depth = 0
        while self.take("{"):
            depth += 1
        token = self.next()
        base = int(token.text) if token.text.isdecimal() and len(token.text) < 3 else words_to_number(token.text) or 0
        for _ in range(depth):
            self.expect("}")
        if not 2 <= base <= 36 or any(int(d, 36) >= base for d in digits if d.isalnum()) or "." in digits:
            raise Unreadable("a numeral that its base does not have")
        return Based(digits.lstrip("0") or "0", int(base))

    def subscripted(self, name: str) -> Node:
        if not self.take("_"):
            return Sym(name)
        if not self.take("{"):
            return Sym(f"{name}_{self.next().text}")
        parts, depth = [], 1
        while True:
            token = self.next()
            depth += (token.text == "{") - (token.text == "}")
            if depth == 0:
                return Sym(f"{name}_{''.join(p for p in parts if p not in '{}')}")
            parts.append(token.text.strip())

    def command(self, name: str) -> Node:
        if name in FUNCTIONS:
            return self.function(name)
        if name in ("pi", "oo"):
            return Sym(name)
        if name in _SETS or name == "emptyset":
            return Sym(f"set:{_SETS.get(name, '0')}")
        if name in _SYMBOL_COMMANDS:
            return self.subscripted(name)
        if name == "dollar":
            return multiplied(self.deeper(self.power), Unit("dollar"))
        if name in ("lfloor", "lceil"):
            inner = self.sum()
            self.expect("rfloor" if name == "lfloor" else "rceil")
            return Op("floor" if name == "lfloor" else "ceil", (inner,))
        raise Unreadable(f"the command {name}")

    def function(self, name: str) -> Node:
        if name in ("frac", "binom"):
            top, bottom = self.argument(), self.argument()
            return divided(top, bottom) if name == "frac" else Op("binom", (top, bottom))
        if name in ("sqrt", "cbrt"):
            return self.root(name)
        base = None
        if self.take("_"):
            base = self.argument()
        exponent = self.deeper(self.exponent_group) if self.take("^") else None
        args = self.arguments()
        if name == "log" and base is not None:
            args = (*args, base)
        elif base is not None:
            raise Unreadable("a subscript on a function")
        if exponent == Num(Fraction(-1)) and name in ("sin", "cos", "tan", "cot", "sec", "csc"):
            return Op(f"arc{name}", args)
        node = Op({"asin": "arcsin", "acos": "arccos", "atan": "arctan", "lg": "log"}.get(name, name), args)
        return node if exponent is None else raised(node, exponent)

    def exponent_group(self) -> Node:
        if self.take("-"):
            return negated(self.atom())
        return self.atom()

    def root(self, name: str) -> Node:
        degree: Node = Num(Fraction(3 if name == "cbrt" else 2))
        if self.at("[") and name == "sqrt":
            self.next()
            degree = self.sum()
            self.expect("]")
        inner = self.deeper(self.atom)
        return Op("sqrt", (inner,)) if degree == Num(Fraction(2)) else Op("root", (inner, degree))

    def argument(self) -> Node:
        """One TeX argument: a group, or a single digit or symbol."""
        token = self.peek()
        if token.kind == "num" and token.text.isdecimal() and len(token.text) > 1:
            self.stream[self.position] = Token("num", token.text[1:])
            return Num(Fraction(token.text[0]))
        return self.deeper(self.atom)

    def arguments(self) -> tuple[Node, ...]:
        if self.at("(", "[", "{", "\\{"):
            inner = self.deeper(self.atom)
            match inner:
                case Interval(low, high):
                    return (low, high)
                case Seq(_, items):
                    return items
            return (inner,)
        node = self.deeper(self.power)
        while self.starts_atom() and not (
            self.peek().kind == "cmd" and self.peek().text in FUNCTIONS - {"sqrt", "frac"}
        ):
            if self.peek().kind == "num" or self.at("(", "[", "|"):
                break
            node = multiplied(node, self.deeper(self.power))
        return (node,)

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


def _chosen(name: str, exponent: Node) -> Node | None:
    """The number of combinations or arrangements that C_n^k, or A_n^k and P_n^k, writes."""
    kind, _, total = name.partition("_")
    if kind == "C" and (total.isdecimal() or total in ("n", "m", "N")) and isinstance(exponent, Num):
        return Op("binom", (number(total) if total.isdecimal() else Sym(total), exponent))
    if kind in ("A", "P") and total.isdecimal() and isinstance(exponent, Num) and exponent.value <= int(total):
        return Op("div", (Op("fact", (number(total),)), Op("fact", (Num(int(total) - exponent.value),))))
    return None
