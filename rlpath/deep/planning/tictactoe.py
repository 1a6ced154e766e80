"""Tic-tac-toe, solved exactly, and what a fixed player earns against any, a perfect or a random opponent.

A board is nine numbers as the player to move sees it: 1 their own stone, −1 the other's, 0 empty. With perfect play the
game is a draw (value 0). A player here is a function from a board to a square, always the same for the same board, so
that what it earns is computed over all games there are, without drawing any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

Board = tuple[int, ...]
Player = Callable[[Board], int]
Opponent = Literal["any", "perfect", "random"]
"""The one that does most harm; one that draws among its best moves; one that draws among all."""
EMPTY: Board = (0,) * 9
LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


def moves(board: Board) -> list[int]:
    """The empty squares."""
    return [square for square, stone in enumerate(board) if stone == 0]


def play(board: Board, square: int) -> Board:
    """The board after a stone on `square`, as the other player sees it."""
    return tuple(-1 if at == square else -stone for at, stone in enumerate(board))


@cache
def outcome(board: Board) -> int | None:
    """−1 where the player to move has lost, 0 for a full board, None while the game goes on."""
    if any(board[a] == board[b] == board[c] == -1 for a, b, c in LINES):
        return -1
    return None if 0 in board else 0


@cache
def minimax(board: Board) -> int:
    """The value of a board to the player to move, both playing perfectly."""
    ended = outcome(board)
    return max(-minimax(play(board, square)) for square in moves(board)) if ended is None else ended


def best_moves(board: Board) -> list[int]:
    """Every move that keeps the value."""
    return [square for square in moves(board) if -minimax(play(board, square)) == minimax(board)]


def against(player: Player, opponent: Opponent, first: bool) -> dict[int, float]:
    """How probable a win (1), a draw (0) and a loss (−1) of `player` are; against "any" one of them has all."""

    @cache
    def to_move(board: Board) -> tuple[float, float, float]:
        ended = outcome(board)
        return replies(play(board, player(board))) if ended is None else _certain(ended)

    @cache
    def replies(board: Board) -> tuple[float, float, float]:
        ended = outcome(board)
        if ended is not None:
            return _certain(-ended)
        tried = best_moves(board) if opponent == "perfect" else moves(board)
        led = [to_move(play(board, square)) for square in tried]
        if opponent == "any":
            return max(led, key=lambda chances: chances[2] - chances[0])
        won, drawn, lost = (sum(column) / len(led) for column in zip(*led, strict=True))
        return (won, drawn, lost)

    return dict(zip((1, 0, -1), (to_move if first else replies)(EMPTY), strict=True))


def _certain(result: int) -> tuple[float, float, float]:
    return (float(result == 1), float(result == 0), float(result == -1))


@cache
def most_wins(board: Board = EMPTY, ours: bool = True) -> float:
    """The probability of a win against a random opponent that the best player for it has; `ours`: we are to move."""
    ended = outcome(board)
    if ended is not None:
        return float(ended == -1 and not ours)
    led = [most_wins(play(board, square), not ours) for square in moves(board)]
    return max(led) if ours else sum(led) / len(led)


def undecided(boards: Sequence[Board] = (EMPTY,)) -> list[Board]:
    """Every board that play can reach from `boards` and on which somebody is to move."""
    found: dict[Board, None] = {}
    waiting = list(boards)
    while waiting:
        board = waiting.pop()
        if board not in found and outcome(board) is None:
            found[board] = None
            waiting += [play(board, square) for square in moves(board)]
    return list(found)
