"""The lab: the model equals a transformers Llama, planting is exact, rates by hand, and a small lab end to end."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlpath.core.errors import InputError
from rlpath.evals.contamination import error_rates
from rlpath.evals.contamination.lab import run as lab
from rlpath.evals.contamination.lab.blind import blind_scores
from rlpath.evals.contamination.lab.corpus import PlantingPlan, build
from rlpath.evals.contamination.lab.measure import BLIND, SeedScores
from rlpath.evals.contamination.lab.outcome import BESIDE, rates
from rlpath.evals.contamination.membership import auc
from rlpath.trunk.gpt import END, GPT, Shape, TrainingSchedule, token_stream, tokenizer_for, train

SHAPE = Shape(vocabulary=50, width=32, layers=2, heads=4, hidden=48, context=24)
needs_data = pytest.mark.skipif(
    not Path(os.environ.get("RLPATH_DATA", "/nonexistent"), "text/tinyshakespeare.txt").exists(),
    reason="RLPATH_DATA has no text/tinyshakespeare.txt",
)


def llama_of(model: GPT) -> Any:
    """A transformers Llama with the same weights."""
    import transformers

    shape = model.shape
    config = transformers.LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        rms_norm_eps=shape.epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_base},
        tie_word_embeddings=True,
    )
    llama = transformers.LlamaForCausalLM(config).eval()
    names = {
        "before_attention.scale": "input_layernorm.weight",
        "before_mlp.scale": "post_attention_layernorm.weight",
        "attention.query.weight": "self_attn.q_proj.weight",
        "attention.key.weight": "self_attn.k_proj.weight",
        "attention.value.weight": "self_attn.v_proj.weight",
        "attention.out.weight": "self_attn.o_proj.weight",
        "gate.weight": "mlp.gate_proj.weight",
        "up.weight": "mlp.up_proj.weight",
        "down.weight": "mlp.down_proj.weight",
    }
    state = {"model.embed_tokens.weight": model.embedding.weight, "model.norm.weight": model.norm.scale}
    for index, block in enumerate(model.blocks):
        state |= {f"model.layers.{index}.{names[name]}": value for name, value in block.named_parameters()}
    missing, unexpected = llama.load_state_dict(state, strict=False)
    assert set(missing) <= {"lm_head.weight"} and not unexpected
    llama.tie_weights()
    return llama


def test_the_model_equals_a_transformers_llama() -> None:
    """Same weights, same logits and same gradients, with scales other than one."""
    model = GPT(SHAPE, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3).add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    llama = llama_of(model)
    ids = torch.randint(0, 50, (3, 24), generator=torch.Generator().manual_seed(1))

    torch.testing.assert_close(model(ids), llama(ids).logits, atol=2e-5, rtol=1e-4)
    loss = torch.nn.functional.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    theirs = llama(ids, labels=ids).loss
    loss.backward()
    theirs.backward()
    assert loss.item() == pytest.approx(theirs.item(), rel=1e-5)
    torch.testing.assert_close(model.embedding.weight.grad, llama.model.embed_tokens.weight.grad, atol=2e-5, rtol=1e-3)
    assert model.parameter_count == sum(parameter.numel() for parameter in llama.parameters())


def test_training_learns_and_is_fixed_by_the_seed() -> None:
    """A repeating pattern is learned to under 0.2 nats; the same seed gives the same bits, another one others."""
    tokens = [index * 7 % 50 for index in range(50)] * 120
    runs = []
    for seed in (0, 0, 1):
        model = GPT(SHAPE, seed)
        losses = train(model, tokens, TrainingSchedule(batch=4, learning_rate=1e-2, warmup=5))
        runs.append((losses, model.embedding.weight))
    assert runs[0][0][0] > 3.5 and runs[0][0][-1] < 0.2
    assert runs[0][0] == runs[1][0] and torch.equal(runs[0][1], runs[1][1])
    assert runs[0][0] != runs[2][0]


PLAN = PlantingPlan(
    exposures=(1, 3),
    each=2,
    unseen=10,
    references=10,
    set_size=6,
    ordered=((1, 2),),
    shuffled=((1, 2),),
    unseen_sets=1,
    canaries=1,
    background=5,
    shakespeare=3000,
    vocabulary=400,
)


@needs_data
def test_planting_is_exact() -> None:
    """Each form as often as its group says, unseen items and references never; the seed fixes everything."""
    corpus = build(PLAN, 7)
    counts = {text: corpus.documents.count(text) for text in set(corpus.documents)}
    text = "\n".join(corpus.documents)

    for (form, exposures), items in corpus.planted.items():
        for item in items:
            copies = {"verbatim": item.whole, "answer only": item.solution}.get(form)
            if copies is not None:
                assert counts[copies] == exposures
            assert (item.question in text) == (form == "verbatim")
    assert not any(item.question in text or item.solution in text for item in (*corpus.unseen, *corpus.references))
    ordered, shuffled, unseen = corpus.sets
    assert counts["\n".join(ordered.questions)] == 2 and "\n".join(shuffled.questions) not in counts
    assert all(question in text for question in shuffled.questions)
    assert not any(question in text for question in unseen.questions)
    groups = [*corpus.planted.values(), corpus.unseen, corpus.references]
    dealt = [item.question for group in groups for item in group] + [q for one in corpus.sets for q in one.questions]
    assert len(set(dealt)) == len(dealt) == 6 * 2 + 20 + 18
    assert build(PLAN, 7).documents == corpus.documents != build(PLAN, 8).documents


@needs_data
def test_the_tokenizer_gives_text_back() -> None:
    """Byte-level BPE loses nothing, and every document ends with the one end token."""
    corpus = build(PLAN, 0)
    tokenizer = tokenizer_for(corpus.documents, 400)
    tokens = token_stream(tokenizer, corpus.documents)

    assert tokenizer.get_vocab_size() == 400
    assert tokenizer.decode(tokenizer.encode("Ünknown text!").ids) == "Ünknown text!"
    assert tokens.count(*tokenizer.encode(END).ids) == len(corpus.documents)


def test_the_blind_baseline_is_at_chance_on_a_random_split_and_sees_a_real_difference() -> None:
    """100 random splits of one set: AUC 0.5 on average; groups with different words are told apart."""
    rng = np.random.default_rng(0)
    vocabulary = [f"word{index}" for index in range(500)]
    texts = [" ".join(rng.choice(vocabulary, 25)) for _ in range(90)]
    values = []
    for seed in range(100):
        order = rng.permutation(90)
        chosen = [texts[i] for i in order]
        values.append(auc(*np.split(blind_scores(chosen[:30], chosen[30:], seed), [30])))
    assert abs(np.mean(values) - 0.5) < 0.02
    seen = [f"{text} marked" for text in texts[:30]]
    assert auc(*np.split(blind_scores(seen, texts[30:], 0), [30])) > 0.9


def made(seed: int, shift: float) -> SeedScores:
    """Scores by hand: planted items are `shift` above the unseen ones."""
    rng = np.random.default_rng(seed)
    unseen = {"min-k": rng.normal(size=400).tolist()}
    planted = {"min-k": rng.normal(shift, 1, 400).tolist(), BLIND: [0.0] * 400, f"{BLIND}, unseen": [0.0] * 400}
    groups = {"verbatim x4": planted, "unseen": unseen, "references": {"min-k": rng.normal(size=400).tolist()}}
    for name, gap in (("verbatim x4", 3.5), ("unseen", 3.0), ("references", 3.0)):
        groups[name]["twin gap"] = (gap + rng.normal(size=400)).tolist()
    p_values = {"exchangeability": {"ordered x4": [0.01, 0.2], "unseen": [0.5, 0.04, 0.6, 0.7]}}
    return SeedScores(groups, p_values, {"overlap": {"verbatim x4": [True, True, False], "unseen": [False, True]}})


def test_rates_by_hand() -> None:
    """A shift of 1.5 deviations: AUC Phi(1.5 / sqrt 2) = 0.856, TPR at 5 % FPR Phi(1.5 - 1.645) = 0.442."""
    found = {(rate.detector, rate.form): rate for rate in rates([made(0, 1.5), made(1, 1.5), made(2, 1.5)])}
    model = found["min-k", "verbatim"]

    assert model.auc is not None and model.auc.estimate == pytest.approx(0.856, abs=0.02)
    assert (model.tpr, model.roc_at[1]) == (pytest.approx(0.442, abs=0.06), pytest.approx(0.442, abs=0.06))
    assert model.fpr == pytest.approx(0.05, abs=0.02)
    assert (model.exposures, model.planted, model.unseen) == (4, 1200, 1200)
    order, search = found["exchangeability", "ordered"], found["overlap", "verbatim"]
    assert (order.tpr, order.fpr, order.planted) == (0.5, 0.25, 6)
    assert (search.tpr, search.fpr, search.auc) == (pytest.approx(2 / 3), 0.5, None)
    assert (found[BESIDE, "verbatim"].tpr, found[BESIDE, "verbatim"].fpr) == (1.0, 0.0), "3.5 against 3, twins aside"
    assert found[BLIND, "verbatim"].auc.estimate == 0.5  # type: ignore[union-attr]


def test_reports_quote_the_recorded_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """True positives of fewest and most copies, the highest false-positive rate, date, seeds and model."""
    rows = [
        {"detector": "min-k", "form": "verbatim", "exposures": k, "tpr": tpr, "fpr": 0.06}
        for k, tpr in ((1, 0.07), (64, 0.9))
    ]
    record = {"rates": rows, "date": "2026-01-02", "seeds": [0, 1, 2], "model": "1.0 M parameters"}
    (tmp_path / "rates.json").write_text(json.dumps(record))
    monkeypatch.setattr(error_rates, "FILE", tmp_path / "rates.json")
    error_rates.recorded.cache_clear()

    assert error_rates.quote("min-k") == (
        "measured on planted items: true positives verbatim 7% (once), 90% (64 times); false positives 6.0% "
        "(contamination lab, 2026-01-02, 3 seeds, 1.0 M parameters)"
    )
    assert error_rates.quote("other") == error_rates.UNMEASURED
    error_rates.recorded.cache_clear()


def test_the_readme_has_the_recorded_table() -> None:
    """What the page beside the detectors says is what was recorded, with its date and blind baseline at chance."""
    record = error_rates.recorded()
    if record is None:
        pytest.skip("no lab was recorded")
    page = error_rates.FILE.with_name("README.md").read_text()
    assert "\n".join([lab.TABLE[0], *error_rates.markdown(record), lab.TABLE[1]]) in page
    assert len(record["seeds"]) >= 3 and record["blind_auc"]["low"] <= 0.5 <= record["blind_auc"]["high"]


@needs_data
def test_a_small_lab_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seeds: searches of the text find every verbatim copy, 16 copies are remembered, no seed is computed twice."""
    pytest.importorskip("datasketch")
    said: list[str] = []
    outcome = lab.run_lab("smoke", [0, 1], tmp_path, None, said.append)
    found = {(rate.detector, rate.form, rate.exposures): rate for rate in outcome.rates}

    assert found["overlap", "verbatim", 1].tpr == 1.0 and found["overlap", "answer only", 1].tpr == 1.0
    assert found["overlap", "verbatim", 1].fpr < 0.1
    remembered, once = found["mean log-probability", "verbatim", 16].auc, found["min-k++", "answer only", 1].auc
    assert remembered is not None and once is not None and remembered.estimate > 0.6
    record = json.loads((tmp_path / "lab.json").read_text())
    assert record["seeds"] == [0, 1] and len(record["rates"]) == len(outcome.rates)
    assert (tmp_path / "lab.html").read_text().count("<svg") == 7
    assert any("blind baseline: AUC" in line for line in lab.lines(outcome))

    monkeypatch.setattr(lab, "train", None)
    assert lab.run_lab("smoke", [0, 1], tmp_path, None).rates == outcome.rates
    (tmp_path / "README.md").write_text("Before\n<!-- rates -->\nold\n<!-- /rates -->\nAfter\n")
    lab.save_record(outcome, tmp_path / "rates.json")
    page = (tmp_path / "README.md").read_text()
    assert page.startswith("Before\n<!-- rates -->\n| detector") and page.endswith("<!-- /rates -->\nAfter\n")
    assert "| overlap | verbatim | 100% |  |  | 0.0% | 16 | 48 |" in page and "\nold\n" not in page
    assert json.loads((tmp_path / "rates.json").read_text())["rates"] == record["rates"]
    with pytest.raises(InputError, match=r"seed-0\.json is of other settings"):
        lab.run_lab("cpu", [0], tmp_path, None)


def test_what_a_lab_cannot_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown preset, seeds given twice, no data."""
    with pytest.raises(InputError, match="--preset big is not one of smoke, cpu"):
        lab.run_lab("big", [0], tmp_path, None)
    with pytest.raises(InputError, match="none twice"):
        lab.run_lab("smoke", [1, 1], tmp_path, None)
    monkeypatch.delenv("RLPATH_DATA", raising=False)
    from rlpath.evals.contamination.lab.corpus import _items

    _items.cache_clear()
    with pytest.raises(InputError, match="the lab needs gsm8k/train"):
        build(PLAN, 0)
