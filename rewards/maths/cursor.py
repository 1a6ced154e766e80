"""A cursor over the tokens of an answer, which the rules of the grammar move."""

from __future__ import annotations

from collections.abc import Callable

from rlpath.rewards.maths.lexer import Token
from rlpath.rewards.maths.tree import MAX_DEPTH, Node, Unreadable

END = Token("end", "")


class Cursor:
    """Where the grammar stands among the tokens; each rule built on it leaves the cursor behind what it has read."""

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
