"""The grammar of expressions: sums, products, powers, functions and what they are made of."""

from __future__ import annotations

from fractions import Fraction

from rlpath.rewards.maths.build import (
    added,
    as_unit,
    divided,
    is_measured,
    multiplied,
    negated,
    normal_words,
    number,
    raised,
)
from rlpath.rewards.maths.cursor import Cursor
from rlpath.rewards.maths.lexer import FUNCTIONS, GREEK_NAMES, Token
from rlpath.rewards.maths.tree import Based, Interval, Matrix, Node, Num, Op, Relation, Seq, Sym, Text, Unit, Unreadable
from rlpath.rewards.reading.numerals import words_to_number
from rlpath.rewards.reading.vocabulary import counted

_SYMBOL_COMMANDS = GREEK_NAMES | frozenset([
    "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega", "hbar", "ell", "odot",
    "angle", "triangle", "star", "oplus", "parallel", "perp", "nabla", "dagger", "Pr",
])  # fmt: skip
_SETS = {"mathbbR": "R", "mathbbZ": "Z", "mathbbN": "N", "mathbbQ": "Q", "mathbbC": "C"}
_POSTFIX = frozenset({"!", "!!", "%", "degree", "'"})
_NO_ATOM = frozenset([
    "cup", "cap", "setminus", "in", "and", "or", "pm", "mp", "choose", "over", "not", "degree", "rfloor", "rceil",
    "pmod",
])  # fmt: skip


class ExpressionParser(Cursor):
    """Reads expressions; what brackets hold may be any answer, so `structure` is left to the grammar of answers."""

    def structure(self, opening: str) -> Node:
        """What the bracket, the bar or the environment `opening` begins."""
        raise NotImplementedError

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
        return self.structure(token.text)

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


def _chosen(name: str, exponent: Node) -> Node | None:
    """The number of combinations or arrangements that C_n^k, or A_n^k and P_n^k, writes."""
    kind, _, total = name.partition("_")
    if kind == "C" and (total.isdecimal() or total in ("n", "m", "N")) and isinstance(exponent, Num):
        return Op("binom", (number(total) if total.isdecimal() else Sym(total), exponent))
    if kind in ("A", "P") and total.isdecimal() and isinstance(exponent, Num) and exponent.value <= int(total):
        return Op("div", (Op("fact", (number(total),)), Op("fact", (Num(int(total) - exponent.value),))))
    return None
