"""What an expression is worth: exactly as a fraction where it is rational, else as a complex number to many digits.

Sizes are checked before anything is computed: a factorial, power or exponential whose value would not fit the bounds
raises `TooLarge` instead of being started, and a deadline is looked at before every operation. So an evaluation ends
in time in any thread, without signals.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from mpmath.ctx_mp import MPContext

from rlpath.rewards.maths.tree import Based, Matrix, Node, Num, Op, Sym, Unit, Unreadable

MAX_BITS = 20_000
MAX_ROOT_BITS = 8_000
MAX_FACTORIAL = 3000
MAX_DIGITS = 6000
MAX_SECONDS = 1.0


class TooLarge(Exception):
    """The value, or a step towards it, is beyond the bounds."""


class Undefined(Exception):
    """A division by zero, a logarithm of zero and the like."""


class Clock:
    """A limit on this thread's processor time, looked at between operations, each of which is short.

    Not wall time: a verdict must not depend on what else the machine does. To read the time costs more than most
    operations, so it is read at every sixteenth of them, from the first sixteen on.
    """

    def __init__(self, seconds: float = MAX_SECONDS) -> None:
        self.seconds = seconds
        self.end = 0.0
        self.operations = 0

    def check(self) -> None:
        self.operations += 1
        if self.operations % 16:
            return
        now = time.thread_time()
        self.end = self.end or now + self.seconds
        if now > self.end:
            raise TooLarge("more work than the time limit allows")


# exact values


def exact(node: Node, clock: Clock | None = None, at: Mapping[str, Fraction] | None = None) -> Fraction | None:
    """The value of `node` as a fraction, its variables set as in `at`; None where it is not known to be rational."""
    if clock is not None:
        clock.check()
    match node:
        case Num(value):
            return value
        case Sym(name):
            return at.get(name) if at else None
        case Based(digits, base):
            return Fraction(int(digits, base))
        case Op(name, args):
            parts = [exact(a, clock, at) for a in args]
            if any(p is None for p in parts):
                return None
            return _exact_operation(name, [p for p in parts if p is not None])
    return None


def _exact_operation(name: str, args: list[Fraction]) -> Fraction | None:
    match name, args:
        case "add", _:
            return _exact_sum(args)
        case "mul", _:
            return _exact_product(args)
        case _, [a] if name in _ROUNDINGS:
            return Fraction(_ROUNDINGS[name](a))
        case "neg", [a]:
            return -a
        case "div", [a, b]:
            if b == 0:
                raise Undefined("division by zero")
            return a / b
        case "pow", [a, b]:
            return exact_power(a, b)
        case "sqrt", [a] if bits(a) <= MAX_ROOT_BITS:
            return _exact_root(a, 2)
        case "root", [a, n] if n.denominator == 1 and 1 < n <= 100 and bits(a) <= MAX_ROOT_BITS:
            return _exact_root(a, int(n))
        case "percent", [a]:
            return a / 100
        case (("fact" | "fact2"), [a]):
            return _factorial(a, 1 if name == "fact" else 2)
        case "binom", [n, k]:
            return _binomial(n, k)
        case (("max" | "min"), _):
            return max(args) if name == "max" else min(args)
        case (("gcd" | "lcm"), _) if all(a.denominator == 1 for a in args):
            return Fraction((math.gcd if name == "gcd" else math.lcm)(*(int(a) for a in args)))
    return None


_ROUNDINGS: dict[str, Callable[[Fraction], Fraction | int]] = {"abs": abs, "floor": math.floor, "ceil": math.ceil}


def bits(value: Fraction) -> int:
    """The size of a fraction: bits of its numerator and denominator together."""
    return value.numerator.bit_length() + value.denominator.bit_length()


def _exact_sum(args: list[Fraction]) -> Fraction:
    total = Fraction(0)
    for a in args:
        total += a
        if bits(total) > MAX_BITS:
            raise TooLarge("a sum beyond the bounds")
    return total


def _exact_product(args: list[Fraction]) -> Fraction:
    if sum(bits(a) for a in args) > MAX_BITS:
        raise TooLarge("a product beyond the bounds")
    return math.prod(args, start=Fraction(1))


def exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    """`base ** exponent` where it is rational, checked for size first."""
    if base == 0 and exponent <= 0:
        raise Undefined("zero to a power that is not positive")
    if exponent.denominator == 1:
        if base not in (0, 1, -1) and abs(exponent) * bits(base) > MAX_BITS:
            raise TooLarge("a power beyond the bounds")
        return base ** int(exponent) if base not in (1, -1) else Fraction(1 if base == 1 or exponent % 2 == 0 else -1)
    if exponent.denominator > 100 or base < 0 or bits(base) > MAX_ROOT_BITS:
        return None
    root = _exact_root(base, exponent.denominator)
    return None if root is None else exact_power(root, Fraction(exponent.numerator))


def _exact_root(value: Fraction, degree: int) -> Fraction | None:
    if value < 0:
        if degree % 2 == 0:
            return None
        root = _exact_root(-value, degree)
        return None if root is None else -root
    top, bottom = _integer_root(value.numerator, degree), _integer_root(value.denominator, degree)
    return None if top is None or bottom is None else Fraction(top, bottom)


def _integer_root(value: int, degree: int) -> int | None:
    if degree == 2:
        root = math.isqrt(value)
        return root if root * root == value else None
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle - 1)
    return low if low**degree == value else None


def _factorial(n: Fraction, step: int) -> Fraction | None:
    if n.denominator != 1 or n < 0:
        return None
    if n > MAX_FACTORIAL:
        raise TooLarge("a factorial beyond the bounds")
    return Fraction(math.prod(range(int(n), 0, -step)))


def _binomial(n: Fraction, k: Fraction) -> Fraction | None:
    if n.denominator != 1 or k.denominator != 1 or n < 0 or k < 0:
        return None
    if n > 10 * MAX_FACTORIAL or min(k, n - k) > MAX_FACTORIAL:
        raise TooLarge("a binomial coefficient beyond the bounds")
    return Fraction(math.comb(int(n), int(k)))


# numbers to many digits


class Evaluator:
    """Evaluates trees at one precision and notes the range of magnitudes it met.

    `low` and `high` are the base-10 exponents of the smallest and largest intermediate results: their distance says
    how many digits it takes to see a term that small beside one that large. `real` is False once any intermediate
    result was not real.
    """

    _local = threading.local()

    def __init__(self, digits: int, at: Mapping[str, Any], clock: Clock) -> None:
        if digits > MAX_DIGITS:
            raise TooLarge("more digits than the bounds allow")
        if not hasattr(self._local, "context"):
            self._local.context = MPContext()
        self.context: Any = self._local.context
        self.context.dps = digits
        self.digits, self.at, self.clock = digits, at, clock
        self.low, self.high, self.real = 0.0, 0.0, True

    def value(self, node: Node) -> Any:
        """The value of `node`, an mpf or mpc."""
        self.clock.check()
        try:
            result = self._value(node)
        except (ZeroDivisionError, ValueError, self.context.NoConvergence) as error:
            raise Undefined(str(error)) from None
        except (OverflowError, MemoryError) as error:
            raise TooLarge(str(error)) from None
        if not self.context.isfinite(result):
            raise Undefined("not finite")
        if self.context.im(result) != 0:
            self.real = False
        self._note(node, result)
        return result

    def _note(self, node: Node, result: Any) -> None:
        if not result:
            return
        magnitude = float(self.context.mag(result)) * 0.30103
        self.high = max(self.high, magnitude)
        if not (isinstance(node, Op) and node.name in ("add", "sin", "cos", "tan", "mul", "div", "neg")):
            self.low = min(self.low, magnitude)

    def _value(self, node: Node) -> Any:
        c = self.context
        match node:
            case Num(value):
                if bits(value) > MAX_BITS:
                    raise TooLarge("a number beyond the bounds")
                return c.mpf(value.numerator) / value.denominator
            case Sym("pi"):
                return +c.pi
            case Sym("e"):
                return +c.e
            case Sym("i"):
                return c.mpc(0, 1)
            case Sym(name) if name in self.at:
                return c.mpf(self.at[name].numerator) / self.at[name].denominator
            case Based(digits, base):
                return c.mpf(int(digits, base))
            case Unit("degree" | "degrees"):
                return c.pi / 180
            case Matrix("det", rows) if len(rows) == len(rows[0]) <= 5:
                return c.det(c.matrix([[self.value(cell) for cell in row] for row in rows]))
            case Op("pow", (Sym("e"), exponent)):
                return self._exp(self.value(exponent))
            case Op(name, args):
                return self._operation(name, [self.value(a) for a in args], node)
        raise Unreadable("not an expression")

    def _operation(self, name: str, args: list[Any], node: Op) -> Any:
        c = self.context
        match name, args:
            case "add", _:
                return sum(args[1:], args[0])
            case "mul", _:
                return math.prod(args[1:], start=args[0])
            case "neg", [a]:
                return -a
            case "div", [a, b]:
                return a / b
            case "pow", [a, b]:
                # As in school, x^(1/3) is the real root: the same value as the root sign gives, in either order.
                match node.args[1]:
                    case Op("div", (Num(p), Num(q))) if q.denominator == 1 and q % 2 == 1 and p.denominator == 1:
                        return self._root(self._power(a, c.mpf(int(p))) if p != 1 else a, c.mpf(int(q)))
                return self._power(a, b)
            case "sqrt", [a]:
                return c.sqrt(a)
            case "root", [a, n]:
                return self._root(a, n)
            case "percent", [a]:
                return a / 100
            case (("fact" | "binom" | "fact2"), _):
                return self._combinatorial(name, args)
            case "log", [a, *base]:
                return c.log(a) / c.log(base[0] if base else 10)
            case (("max" | "min"), _) if all(c.im(a) == 0 for a in args):
                return (max if name == "max" else min)(c.re(a) for a in args)
            case (("floor" | "ceil"), [a]):
                return getattr(c, name)(a)
            case _, [a] if name in _FUNCTIONS:
                return self._function(name, a)
        if name.startswith("app:"):
            return self._opaque(node, args)
        raise Unreadable(f"the operation {name}")

    def _exp(self, exponent: Any) -> Any:
        if abs(exponent) > 2.3 * MAX_DIGITS:
            raise TooLarge("an exponential beyond the bounds")
        return self.context.exp(exponent)

    def _power(self, base: Any, exponent: Any) -> Any:
        c = self.context
        if base == 0:
            if c.re(exponent) <= 0:
                raise Undefined("zero to a power that is not positive")
            return base
        if abs(exponent) > 10**9 or abs(exponent * c.log(base)) > 2.3 * MAX_DIGITS:
            raise TooLarge("a power beyond the bounds")
        return base**exponent

    def _root(self, value: Any, degree: Any) -> Any:
        c = self.context
        if c.im(value) == 0 and c.re(value) < 0 and c.isint(degree) and int(c.re(degree)) % 2 == 1:
            return -self._power(-value, 1 / degree)
        return self._power(value, 1 / degree)

    def _combinatorial(self, name: str, args: list[Any]) -> Any:
        c = self.context
        if any(abs(a) > MAX_FACTORIAL for a in args):
            raise TooLarge("a factorial beyond the bounds")
        if self.digits > 400 and not all(c.isint(a) for a in args):
            raise TooLarge("a gamma function to too many digits")
        return {"fact": c.factorial, "fact2": c.fac2, "binom": c.binomial}[name](*args)

    def _function(self, name: str, a: Any) -> Any:
        if abs(a) > 1e30 or (name in _EXPONENTIALS and abs(a) > 2.3 * MAX_DIGITS):
            raise TooLarge(f"{name} of a number beyond the bounds")
        return getattr(self.context, _FUNCTIONS[name])(a)

    def _opaque(self, node: Op, args: list[Any]) -> Any:
        """An unknown function: any fixed value that depends on its name and its arguments."""
        total = self.context.mpf(sum(ord(ch) * (n + 1) for n, ch in enumerate(node.name)) % 97 + 2)
        return total + sum((n + 2) * self.context.sqrt(a * a + a + n + 1) for n, a in enumerate(args))


_EXPONENTIALS = frozenset({"exp", "sinh", "cosh", "tanh", "coth", "sech", "csch"})
# The names of mpmath's functions, where they are not ours.
_FUNCTIONS = {name: name for name in (
    "sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "sech", "csch", "exp", "ln", "arg", "re",
    "im", "asinh", "acosh", "atanh",
)} | {
    "abs": "fabs", "Re": "re", "Im": "im", "det": "re",
    **{f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh")},
}  # fmt: skip
_BASE_DIGITS = 50


def same_value(left: Node, right: Node, at: Mapping[str, Fraction], clock: Clock, *, real: bool = False) -> bool | None:
    """Whether two expressions have one value at the point `at`, to as many digits as it takes to tell.

    Both are evaluated to enough digits to see their smallest intermediate result beside the largest; they count as
    equal where they agree to that many digits and again to twice as many. None where `real` is asked for and an
    intermediate result is not real.
    """
    digits = _BASE_DIGITS
    for _ in range(4):
        run = Evaluator(digits, at, clock)
        a, b = run.value(left), run.value(right)
        if real and not run.real:
            return None
        difference = run.context.fabs(a - b)
        noise = run.high - digits + 12
        if difference and float(run.context.mag(difference)) * 0.30103 > noise:
            return False
        needed = int(run.high - run.low) + _BASE_DIGITS
        if digits >= 2 * needed:
            return True
        digits = 2 * needed
    return True


def numeric(node: Node, clock: Clock) -> complex:
    """The value of a constant expression as a Python number, for ordering only."""
    return complex(Evaluator(30, {}, clock).value(node))
