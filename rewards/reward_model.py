"""A trained reward model as a reward. It is the only part of `rlpath.rewards` that needs torch, and only when built."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlpath.errors import InputError
from rlpath.rewards.trl import Message, completion_text


class RewardModelReward:
    """Scores of a sequence classifier with one output, such as TRL's `RewardTrainer` saves, as a TRL reward function.

    `model` is a folder or a name that transformers can load. A completion is scored behind its prompt, through the
    tokenizer's chat template where it has one. Scores are the raw outputs divided by `scale`, clipped to
    [-`clip`, `clip`] where `clip` is given: an unbounded learned reward is the first thing a policy exploits.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        scale: float = 1.0,
        clip: float | None = None,
        batch_size: int = 8,
        max_length: int = 2048,
        device: str = "cpu",
    ) -> None:
        # Imported by name, so that neither importing rlpath.rewards nor reading its imports brings in torch.
        self.torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
        try:
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(str(model))
            self.model: Any = transformers.AutoModelForSequenceClassification.from_pretrained(str(model))
        except OSError as error:
            raise InputError(f"cannot load the reward model {str(model)!r}: {str(error).splitlines()[0]}") from None
        if self.model.config.num_labels != 1:
            raise InputError(
                f"the reward model {str(model)!r} has {self.model.config.num_labels} outputs; one is needed"
            )
        self.model.to(device).eval()
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.model.config.pad_token_id = self.tokenizer.pad_token_id
        self.scale, self.clip, self.batch_size, self.max_length = scale, clip, batch_size, max_length
        self.device = device
        self.__name__ = f"reward_model_{Path(str(model)).name}"

    def __call__(
        self,
        prompts: Sequence[str | list[Message]],
        completions: Sequence[str | list[Message]],
        **columns: Any,
    ) -> list[float]:
        """One score per completion, in order."""
        texts = [self._text(p, c) for p, c in zip(prompts, completions, strict=True)]
        scores: list[float] = []
        for start in range(0, len(texts), self.batch_size):
            scores += self._scores(texts[start : start + self.batch_size])
        return scores

    def _text(self, prompt: str | list[Message], completion: str | list[Message]) -> str:
        said = completion_text(completion)
        if isinstance(prompt, str):
            return prompt + said
        messages = [*prompt, {"role": "assistant", "content": said}]
        if self.tokenizer.chat_template is None:
            return "\n\n".join(str(m.get("content", "")) for m in messages)
        return self.tokenizer.apply_chat_template(messages, tokenize=False)

    def _scores(self, texts: list[str]) -> list[float]:
        inputs = self.tokenizer(
            texts, return_tensors="pt", padding=True, truncation=True, max_length=self.max_length
        ).to(self.device)
        with self.torch.no_grad():
            raw_B = self.model(**inputs).logits[:, 0].float().div(self.scale)
        if self.clip is not None:
            raw_B = raw_B.clamp(-self.clip, self.clip)
        return raw_B.tolist()
