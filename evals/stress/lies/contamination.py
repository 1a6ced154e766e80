"""Contamination, live: the model is trained on the test questions with their answers for a few steps, then asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlpath.core.errors import InputError
from rlpath.core.types import Decoding, Problem, Status
from rlpath.evals.measure.evaluation import complete_and_verify
from rlpath.evals.stress.lies.lie import TRAINED, Lie, gain
from rlpath.evals.stress.lies.material import Material
from rlpath.evals.suite.paired import paired
from rlpath.evals.suite.subject import LazySampler
from rlpath.evals.suite.task import TemplatedSampler
from rlpath.models.hf_sampler import HFSampler
from rlpath.models.load import load_model

LEAKED = 24
"""Most problems that are trained on; as many others are asked beside them."""
LAYERS = 4
"""How many of the last layers are trained: a quarter of the time of training them all."""
STEPS = 12
RATE = 1e-3


def contamination(material: Material) -> Lie:
    """Gain on leaked questions against the gain on fresh ones of the same kind."""
    problems = material.protocol.problems.problems
    count = min(LEAKED, len(problems) // 2)
    leaked, fresh = problems[:count], problems[count : 2 * count]
    trained = _trained(material, leaked)
    greedy = material.protocol.evaluation.correct("greedy")
    (seen, unseen) = (
        paired(np.array([[float(greedy[p.id]) for p in part]]), np.array([_right(trained, material, part)]))
        for part in (leaked, fresh)
    )
    return Lie(
        "contamination",
        f"The model was trained for {STEPS} steps on {count} test questions with their answers, and tested on them.",
        gain(seen),
        gain(unseen),
        f"It learned those answers. Honest: its gain on {count} questions of the same kind that did not leak.",
        TRAINED,
    )


def _right(sampler: Any, material: Material, problems: Sequence[Problem]) -> list[float]:
    decoding = Decoding(material.task.max_tokens, temperature=0.0)
    judged = complete_and_verify(sampler, material.protocol.problems, problems, decoding, "greedy")
    return [float(sample.status is Status.CORRECT) for sample in judged]


def _trained(material: Material, leaked: Sequence[Problem]) -> TemplatedSampler:
    """A sampler of the model after training its last layers on the golds after their questions."""
    import torch

    subject = material.subject
    model: Any = load_model(subject.path, "float32")
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    if not hasattr(decoder, "layers"):
        raise InputError(f"{subject.label} has no list of layers to train: name a model built like Llama")
    bare = LazySampler(subject, "hf", max_length=0)
    ids, labels = _rows(TemplatedSampler(bare, material.protocol.template, ()), leaked)
    # The token before a scored one predicts it.
    scored = labels[:, 1:] != _UNSCORED
    hidden, told = _up_to(model, decoder.layers[-LAYERS:][0], ids)
    model.requires_grad_(False)
    trained = decoder.layers[-LAYERS:].requires_grad_(True)
    optimizer = torch.optim.AdamW(trained.parameters(), lr=RATE, weight_decay=0.0)
    for _ in range(STEPS):
        state = hidden
        for layer in trained:
            state = layer(state, **told)
        logits = head(decoder.norm(state[:, :-1][scored]))
        loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:][scored])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # Asked in the precision that the untrained model was asked in.
    model = model.to(getattr(torch, material.plan.precision(subject.parameters)))
    return TemplatedSampler(HFSampler(model, bare.tokenizer), material.protocol.template, ())


def _up_to(model: Any, layer: Any, ids: Any) -> tuple[Any, dict[str, Any]]:
    """What `layer` is given: the hidden states, which do not change while only it and later ones are trained, and the
    rest of its arguments. Four steps in five would otherwise be spent on computing them again.
    """
    import torch

    found: list[tuple[Any, dict[str, Any]]] = []
    hook = layer.register_forward_pre_hook(lambda _, given, named: found.append((given[0], named)), with_kwargs=True)
    with torch.no_grad():
        model(input_ids=ids.clamp(min=0), attention_mask=(ids != _PAD).long(), use_cache=False, logits_to_keep=1)
    hook.remove()
    return found[0]


_PAD, _UNSCORED = -1, -100


def _rows(prompted: TemplatedSampler, problems: Sequence[Problem]) -> tuple[Any, Any]:
    """Token ids of question and gold, -1 where a row has ended, and labels of the gold alone; [problems, longest]."""
    import torch

    end = [prompted.tokenizer.eos_token_id]
    pairs = [(prompted.encode(p.prompt), prompted.tokenizer(p.gold)["input_ids"] + end) for p in problems]
    longest = max(len(question) + len(gold) for question, gold in pairs)
    ids = torch.full((len(pairs), longest), _PAD)
    labels = torch.full((len(pairs), longest), _UNSCORED)
    for row, (question, gold) in enumerate(pairs):
        ids[row, : len(question) + len(gold)] = torch.tensor(question + gold)
        labels[row, len(question) : len(question) + len(gold)] = torch.tensor(gold)
    return ids, labels
