"""Continuous batching on a CPU: sequences that end leave the batch, and waiting ones take their places.

The longest prefix that all prompts of a call share (a system turn, solved examples) is read once and its keys and
values are shared. A prompt is read once for all its completions; nothing is padded, and the vocabulary projection is
computed where a token is drawn alone. In fp32 a completion is what transformers would generate for its prompt alone.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rlpath.core.types import Decoding
from rlpath.models.drawing import choose
from rlpath.models.layers import shares_keys
from rlpath.models.ragged import AttentionPlan, KeyValues, PromptReading, Store, TokenReading, join, length, ragged
from rlpath.models.stopping import Stops

CHUNK = 512
"""Tokens of prompts that are read in one forward."""
LEAST = 16
"""Tokens from which on a common prefix is kept apart."""
Row = tuple[list[int], list[float]]
"""Tokens and log-probabilities of one completion."""


class ContinuousDecoder:
    """Decodes with `model` on a CPU, at most `max_batch` sequences at once. See `serves` for which models it can."""

    def __init__(self, model: Any, max_batch: int) -> None:
        self.model, self.max_batch = model, max_batch
        self.prefix_tokens: list[int] = []
        self.prefix: KeyValues = {}

    def forget(self) -> None:
        """Drop what was read with other weights."""
        self.prefix_tokens, self.prefix = [], {}

    @torch.inference_mode()
    def decode(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, uniforms_B_T: torch.Tensor, stops: Stops
    ) -> list[Row]:
        """`decoding.n` completions of each prompt, in order; row B of the uniforms belongs to completion B."""
        with ragged(self.model):
            shared = self.read_prefix(prompts)
            return _Call(self, [list(prompt)[shared:] for prompt in prompts], decoding, uniforms_B_T, stops).rows()

    def read_prefix(self, prompts: Sequence[Sequence[int]]) -> int:
        """Read what all prompts begin with, unless it is what the last call read; returns its length.

        The last token of a prompt is never part of it: after that one the first token is drawn.
        """
        # What the first and the last in alphabetical order share, all share.
        ordered = sorted(list(prompt) for prompt in prompts)
        limit = min(map(len, ordered)) - 1
        same = next((at for at in range(limit) if ordered[0][at] != ordered[-1][at]), limit)
        tokens = ordered[0][:same] if same >= LEAST else []
        if tokens != self.prefix_tokens:
            self.forget()
            self.prefix = self.read_long(tokens, {})
            self.prefix_tokens = tokens
        return len(tokens)

    def read_long(self, tokens: Sequence[int], before: KeyValues) -> KeyValues:
        """Keys and values of a text of any length."""
        read: KeyValues = {}
        for start in range(0, len(tokens), CHUNK):
            found, _ = self.read([tokens[start : start + CHUNK]], [join(before, read)])
            read = join(read, found[0])
        return read

    def read(self, texts: Sequence[Sequence[int]], before: Sequence[KeyValues]) -> tuple[list[KeyValues], torch.Tensor]:
        """Keys and values of texts in one forward, and the logits [texts, V] after each."""
        counts = [len(text) for text in texts]
        reading = PromptReading(before, counts)
        positions = [length(b) + at for b, count in zip(before, counts, strict=True) for at in range(count)]
        last = torch.tensor(counts).cumsum(0) - 1
        logits = self.forward([token for text in texts for token in text], positions, reading, last)
        return reading.read, logits

    def forward(
        self, tokens: Any, positions: Any, reading: AttentionPlan, keep: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits of the tokens, or of those at `keep`."""
        chosen = {} if keep is None else {"logits_to_keep": keep}
        ids_N, positions_N = torch.as_tensor(tokens)[None], torch.as_tensor(positions)[None]
        output = self.model(input_ids=ids_N, position_ids=positions_N, use_cache=False, reading=reading, **chosen)
        return output.logits[0]


@dataclass(slots=True)
class _Prompt:
    """A prompt that was read: its own keys and values, the logits after it, and completions yet to begin."""

    text: KeyValues
    logits_V: torch.Tensor
    waiting: int


class _Call:
    """One call of `decode`. Sequences under way lie at the front of the store, in the order of `row_R`."""

    def __init__(
        self,
        decoder: ContinuousDecoder,
        texts: list[list[int]],
        decoding: Decoding,
        uniforms_B_T: torch.Tensor,
        stops: Stops,
    ) -> None:
        self.decoder, self.texts, self.decoding, self.uniforms, self.stops = (
            decoder,
            texts,
            decoding,
            uniforms_B_T,
            stops,
        )
        count = len(texts) * decoding.n
        self.waiting = deque(range(count))
        self.places = min(decoder.max_batch, count)
        self.store = Store(self.places, max(map(len, texts)) + decoding.max_tokens)
        self.tokens = torch.full((count, decoding.max_tokens), -1)
        self.logprobs = torch.zeros(count, decoding.max_tokens)
        self.ready: dict[int, _Prompt] = {}
        self.row_R = self.length_R = self.made_R = self.token_R = torch.empty(0, dtype=torch.long)

    def rows(self) -> list[Row]:
        """Decode to the end."""
        while True:
            self.admit()
            if not len(self.row_R):
                break
            self.step()
        made = (self.tokens >= 0).sum(1).tolist()
        pairs = zip(self.tokens.tolist(), self.logprobs.tolist(), made, strict=True)
        return [(tokens[:count], logprobs[:count]) for tokens, logprobs, count in pairs]

    def step(self) -> None:
        """One more token for every sequence."""
        prefix = self.decoder.prefix
        reading = TokenReading(self.store, prefix, self.length_R)
        logits = self.decoder.forward(self.token_R, length(prefix) + self.length_R, reading)
        self.length_R = self.length_R + 1
        self.token_R, going = self.draw(logits, self.row_R, self.made_R)
        self.made_R = self.made_R + 1
        if not going.all():
            self.close_up(going)

    def draw(self, logits: torch.Tensor, rows: torch.Tensor, made: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The next token of `rows`, which have `made` ones, written down; and which of them go on."""
        token, logprob = choose(logits, self.uniforms[rows, made], self.decoding)
        self.tokens[rows, made], self.logprobs[rows, made] = token, logprob
        going = ~self.stops.at(token) & (made + 1 < self.decoding.max_tokens)
        if self.stops.texts:
            for at in going.nonzero().flatten().tolist():
                tail = self.tokens[rows[at], max(0, int(made[at]) + 1 - self.stops.reach) : int(made[at]) + 1]
                going[at] = not self.stops.within(tail.tolist())
        return token, going

    def close_up(self, going: torch.Tensor) -> None:
        """Take out the sequences that ended; the last ones move into their places."""
        count = int(going.sum())
        order = torch.arange(count)
        holes = (~going[:count]).nonzero().flatten()
        order[holes] = going[count:].nonzero().flatten() + count
        self.store.move(holes, order[holes])
        self.row_R, self.length_R = self.row_R[order], self.length_R[order]
        self.made_R, self.token_R = self.made_R[order], self.token_R[order]

    def admit(self) -> None:
        """Let waiting sequences begin wherever there is a place."""
        while self.waiting and len(self.row_R) < self.places:
            rows = [self.waiting.popleft() for _ in range(min(self.places - len(self.row_R), len(self.waiting)))]
            self.read_prompts([row // self.decoding.n for row in rows])
            # Some prompts may not have been read yet: their sequences wait for the next round.
            now = [row for row in rows if row // self.decoding.n in self.ready]
            self.waiting.extendleft(reversed(rows[len(now) :]))
            self.begin(now)

    def read_prompts(self, numbers: list[int]) -> None:
        """Read the next prompts, as many as make one forward."""
        new, size = [], 0
        for number in dict.fromkeys(number for number in numbers if number not in self.ready):
            size += len(self.texts[number])
            if new and size > CHUNK:
                break
            new.append(number)
        if not new:
            return
        prefix = self.decoder.prefix
        # What does not fit into one forward with its end is read before.
        starts = [(len(self.texts[number]) - 1) // CHUNK * CHUNK for number in new]
        early = [self.decoder.read_long(self.texts[n][:start], prefix) for n, start in zip(new, starts, strict=True)]
        ends = [self.texts[number][start:] for number, start in zip(new, starts, strict=True)]
        read, logits = self.decoder.read(ends, [join(prefix, text) for text in early])
        for number, text, end, logits_V in zip(new, early, read, logits, strict=True):
            self.ready[number] = _Prompt(join(text, end), logits_V, self.decoding.n)

    def begin(self, rows: list[int]) -> None:
        """Draw the first token of each of `rows`, and give a place to those that go on."""
        numbers = [row // self.decoding.n for row in rows]
        logits = torch.stack([self.ready[number].logits_V for number in numbers])
        rows_B, none = torch.tensor(rows), torch.zeros(len(rows), dtype=torch.long)
        token_B, going = self.draw(logits, rows_B, none)
        going_rows = going.nonzero().flatten()
        first = len(self.row_R)
        places = iter(range(first, first + len(going_rows)))
        for at, number in enumerate(numbers):
            prompt = self.ready[number]
            if going[at]:
                self.store.put(torch.tensor([next(places)]), prompt.text)
            prompt.waiting -= 1
            if not prompt.waiting:
                del self.ready[number]
        lengths = torch.tensor([len(self.texts[number]) for number in numbers])
        self.row_R = torch.cat([self.row_R, rows_B[going_rows]])
        self.length_R = torch.cat([self.length_R, lengths[going_rows]])
        self.made_R = torch.cat([self.made_R, none[going_rows] + 1])
        self.token_R = torch.cat([self.token_R, token_B[going_rows]])


TOLERANCE = {torch.float32: 1e-2}
NARROW_TOLERANCE = 0.3
"""Nats by which the log-probability of a token may differ from the model's own forward: rounding, and no more."""


@torch.inference_mode()
def serves(model: Any) -> bool:
    """Whether the decoder computes what `model` does: found out on two short prompts that share a prefix.

    A model with attention of its own, layers that read another's keys, or no place for positions is left to the other
    decoder.
    """
    parameters = inspect.signature(model.forward).parameters
    takes_more = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    replaceable = getattr(model, "_supports_attention_backend", False) and "position_ids" in parameters and takes_more
    if model.device.type != "cpu" or not replaceable or shares_keys(model):
        return False
    vocabulary = model.config.get_text_config().vocab_size
    prompts = [[(7 * at + 3) % vocabulary for at in range(LEAST + 3)] for _ in range(2)]
    prompts[1] = [*prompts[1][: LEAST + 1], 5 % vocabulary]
    decoding = Decoding(3, temperature=0)
    rows = ContinuousDecoder(model, 2).decode(prompts, decoding, torch.zeros(2, 3), Stops())
    tolerance = TOLERANCE.get(model.dtype, NARROW_TOLERANCE)
    for prompt, (tokens, logprobs) in zip(prompts, rows, strict=True):
        ids = torch.tensor([[*prompt, *tokens]])
        logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].float()
        own = logits.log_softmax(-1).gather(-1, ids[0, len(prompt) :, None])[:, 0]
        if not (own - torch.tensor(logprobs)).abs().max() < tolerance:
            return False
    return True
