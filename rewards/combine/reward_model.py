"""A trained reward model as a reward. It is the only part of `rlpath.rewards` that needs torch, and only when built."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.rewards.combine.trl import Message, completion_text

MERGED = "merged"
"""The folder in a reward model's run that holds base and adapter as one classifier."""


class RewardModelReward:
    """Scores of a sequence classifier with one output, such as TRL's `RewardTrainer` saves, as a TRL reward function.

    `model` is a folder or a name that transformers can load, or what `recipes/reward_model.py` wrote: its run folder,
    or the adapter in it. It computes on `device`, by default this process's GPU where there is one. A completion is
    scored behind its prompt, through the tokenizer's chat template where it has one. Scores are the raw outputs divided
    by `scale`, clipped to [-`clip`, `clip`] where `clip` is given: an unbounded learned reward is the first thing a
    policy exploits.

    What is longer than `max_length` tokens, or than the model can read, is not cut: its score is None, and `too_long`
    counts it.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        scale: float = 1.0,
        clip: float | None = None,
        batch_size: int = 8,
        max_length: int = 2048,
        device: str | None = None,
    ) -> None:
        # Imported by name, so that neither importing rlpath.rewards nor reading its imports brings in torch.
        self.torch: Any = importlib.import_module("torch")
        device = device or ("cuda" if self.torch.cuda.is_available() else "cpu")
        name, model = model, merged_classifier(model)
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
        self.scale, self.clip, self.batch_size, self.device = scale, clip, batch_size, device
        self.max_length = min(max_length, getattr(self.model.config, "max_position_embeddings", max_length))
        self.too_long = 0
        self.__name__ = f"reward_model_{Path(str(name)).name}"

    def __call__(
        self,
        prompts: Sequence[str | list[Message]],
        completions: Sequence[str | list[Message]],
        **columns: Any,
    ) -> list[float | None]:
        """One score per completion, in order; None where it is too long."""
        rows = [self._tokens(p, c) for p, c in zip(prompts, completions, strict=True)]
        fitting = [at for at, row in enumerate(rows) if len(row) <= self.max_length]
        self.too_long += len(rows) - len(fitting)
        scores: dict[int, float] = {}
        for start in range(0, len(fitting), self.batch_size):
            part = fitting[start : start + self.batch_size]
            scores.update(zip(part, self._scores([rows[at] for at in part]), strict=True))
        return [scores.get(at) for at in range(len(rows))]

    def _tokens(self, prompt: str | list[Message], completion: str | list[Message]) -> list[int]:
        said = completion_text(completion)
        if isinstance(prompt, str):
            return self.tokenizer(prompt + said)["input_ids"]
        messages = [*prompt, {"role": "assistant", "content": said}]
        if self.tokenizer.chat_template is None:
            return self.tokenizer("\n\n".join(str(m.get("content", "")) for m in messages))["input_ids"]
        # The template writes the special tokens itself.
        return self.tokenizer.apply_chat_template(messages, return_dict=False)

    def _scores(self, rows: list[list[int]]) -> list[float]:
        inputs = self.tokenizer.pad({"input_ids": rows}, return_tensors="pt").to(self.device)
        with self.torch.no_grad():
            raw_B = self.model(**inputs).logits[:, 0].float().div(self.scale)
        if not raw_B.isfinite().all():
            at = int((~raw_B.isfinite()).nonzero()[0, 0])
            text = self.tokenizer.decode(rows[at], skip_special_tokens=True)
            raise InputError(
                f"the reward model gives {raw_B[at].item()} for the text beginning {text[:80]!r}: its weights "
                "are broken or have diverged; train it again with a lower --learning-rate"
            )
        if self.clip is not None:
            raw_B = raw_B.clamp(-self.clip, self.clip)
        return raw_B.tolist()


def merged_classifier(model: str | Path) -> str | Path:
    """The whole classifier of a reward-model run that `model` names by its folder or by the adapter in it.

    Raises `InputError` for an adapter without one: a scoring head and an adapter alone say nothing.
    """
    folder = Path(model).expanduser()
    if (folder / "config.json").is_file() or not folder.is_dir():
        return model
    for place in (folder, folder.parent):
        if (place / MERGED / "config.json").is_file():
            return place / MERGED
    if (folder / "adapter_config.json").is_file():
        raise InputError(
            f"{folder} holds an adapter and no {MERGED}/ beside it: merge it into its base, save the classifier with "
            "save_pretrained(), and give that folder"
        )
    return model
