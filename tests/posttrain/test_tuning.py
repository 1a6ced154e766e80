"""The SFT, DPO and reward-model recipes as a user starts them: what they leave, survive and refuse; cards and adapters.

Adapters are taken as others take them: by plain PEFT, merged, as the next stage's model, and (slow) by vLLM.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlpath.core.errors import InputError
from rlpath.evals.report.card import write_card
from rlpath.models.load import load_model, load_tokenizer, pad_stands_in, resolve_model
from rlpath.models.vllm_sampler import vllm_installed
from rlpath.models.weights import sampler_weights
from rlpath.posttrain.rejection import accepted_answers
from rlpath.rewards.combine.reward_model import RewardModelReward
from rlpath.runs.run_folder import RunRecord, read_run
from tests.house.test_pages import unexplained

ROOT = Path(__file__).parents[2]
SFT, CHAT, DPO, REJECTION, REWARD, LADDER = (
    str(ROOT / "recipes" / f"{name}.py")
    for name in ("sft_gsm8k", "sft_chat", "dpo", "rejection_sampling", "reward_model", "ladder")
)
Launch = Callable[..., Any]
SMOKE = ("--smoke", "--data", "arithmetic:add-1", "--steps", "4", "--learning-rate", "0.01")


@pytest.fixture(scope="module")
def digit_folder(digit_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model stored in bf16, as published models are: what is merged is then what was evaluated, to the bit."""
    folder = tmp_path_factory.mktemp("digit-bf16")
    shutil.copytree(digit_folder, folder, dirs_exist_ok=True)
    load_model(digit_folder, "bfloat16").save_pretrained(folder)
    return folder


def only_run(root: Path, recipe: str) -> RunRecord:
    (path,) = root.glob(f"{recipe}/*/seed-0")
    return read_run(path)


def contents(run: RunRecord) -> dict[str, Any]:
    """All that a run found, without times."""
    files = ("findings.json", "evaluations/before.jsonl", "evaluations/after.jsonl", "evaluations/own_samples.jsonl")
    found: dict[str, Any] = {n: (run.path / n).read_text() for n in files if (run.path / n).exists()}
    found["adapter"] = (run.path / "model" / "adapter_model.safetensors").read_bytes()
    drop = ("wall_s", "seconds/step")
    found["metrics"] = [{k: v for k, v in row.items() if k not in drop} for row in run.metrics]
    return found


@pytest.fixture(scope="module")
def sft(launch: Launch, digit_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """One SFT run without interruption."""
    root = tmp_path_factory.mktemp("sft")
    done = launch(SFT, *SMOKE, "--model", str(digit_folder), "--root", str(root))
    assert done.status == 0, done.err
    assert "step 4/4: loss" in done.out
    assert "held-out loss" in done.out
    return only_run(root, "sft_gsm8k")


def test_sft_leaves_everything_it_should(sft: RunRecord, digit_folder: Path) -> None:
    """Four steps with falling loss, held-out loss before and after, the evaluation of problems, report and card."""
    assert sft.finished
    assert [row["step"] for row in sft.metrics] == [1, 2, 3, 4]
    assert unexplained(sft.metrics[0]) == []
    assert sft.metrics[-1]["loss"] < sft.metrics[0]["loss"]
    assert {"git", "packages", "hardware", "data"} <= sft.manifest.keys()
    assert [row["split"] for row in sft.manifest["data"]] == ["train", "validation", "validation"]
    (finding,) = json.loads((sft.path / "findings.json").read_text())
    before, after = (float(cell.split(" [")[0]) for cell in finding["rows"][0][1:3])
    assert after < before
    report = (sft.path / "report.html").read_text()
    assert "Held-out loss" in report
    assert "Training loss" in report
    config = json.loads((sft.path / "model" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(digit_folder)


def test_sft_killed_at_every_stage_ends_as_if_it_had_not_been(
    launch: Launch, sft: RunRecord, digit_folder: Path, tmp_path: Path
) -> None:
    """kill -9 in both evaluations, half-way through a line of metrics, and before a checkpoint is marked complete."""
    command = (SFT, *SMOKE, "--model", str(digit_folder), "--root", str(tmp_path))
    for stage in ("evaluation before", "half a metrics line", "unmarked checkpoint", "evaluation after"):
        assert launch(*command, at=stage).status == -9, stage
    done = launch(*command)

    assert done.status == 0, done.err
    assert contents(only_run(tmp_path, "sft_gsm8k")) == contents(sft)


def test_the_card_says_where_the_adapter_comes_from(sft: RunRecord, digit_folder: Path) -> None:
    """Base with hash, data with hashes, command, seed, figures with intervals, contamination, limits."""
    card = (sft.path / "model" / "README.md").read_text()

    front: Any = ModelCard(card).data
    assert front.base_model == str(digit_folder)
    assert front.library_name == "peft"
    assert front.tags == ["rlpath", "trl", "sft", "lora"]
    for text in (
        *sft.manifest["model"]["sha256"].values(),
        *(row["sha256"] for row in sft.manifest["data"]),
        "recipes/sft_gsm8k.py --smoke",
        "| seed | 0 |",
        "### Held-out loss",
        "pass@1",
        "[",
        "Overlap with arithmetic:add-1 (validation): 0 of 80 training examples match 0 test items",
        "One training seed",
    ):
        assert text in card


def test_a_card_says_where_nothing_was_checked(sft: RunRecord, tmp_path: Path) -> None:
    """A manifest without the screen's record: contamination is unchecked, and not passed over."""
    shutil.copytree(sft.path, tmp_path / "run")
    manifest = {name: value for name, value in sft.manifest.items() if name != "contamination"}
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))

    assert "Unchecked: no comparison" in write_card(tmp_path / "run").read_text()


def test_the_card_s_example_loads_the_adapter(sft: RunRecord, tmp_path: Path) -> None:
    """The Python block of the card runs as it stands but for the folder, and the adapter is not idle."""
    card = (sft.path / "model" / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0].replace("THIS_FOLDER", str(sft.path / "model"))
    (tmp_path / "example.py").write_text(code)
    found = runpy.run_path(str(tmp_path / "example.py"))

    idle = [p.abs().max() == 0 for n, p in found["model"].named_parameters() if "lora_B" in n]
    assert len(idle) == 14
    assert not any(idle)


def test_an_adapter_loads_merges_and_is_a_model_of_its_own(sft: RunRecord, digit_folder: Path, tmp_path: Path) -> None:
    """Plain PEFT, merged by PEFT, and named as a model: the same logits; the last one to the bit what was evaluated."""
    ids = torch.tensor([[5, 9, 40, 7, 3]])
    policy = PeftModel.from_pretrained(load_model(digit_folder, "bfloat16"), str(sft.path / "model")).eval()
    folder = resolve_model(str(sft.path / "model"), cache=tmp_path)
    named: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="bfloat16")
    expected = {name: value.clone() for name, value in sampler_weights(policy)}
    assert all(torch.equal(named.get_parameter(name), value) for name, value in expected.items())
    plain: Any = load_model(digit_folder, "bfloat16")
    with torch.no_grad():
        adapted, start, alone = (model(input_ids=ids).logits.float() for model in (policy, plain, named.eval()))
        merged = policy.merge_and_unload()(input_ids=ids).logits.float()

    assert (adapted - start).abs().max() > 0.1
    assert (adapted - merged).abs().max() < 0.1
    assert (adapted - alone).abs().max() < 0.1
    assert resolve_model(str(sft.path / "model"), cache=tmp_path) == folder
    assert AutoTokenizer.from_pretrained(folder).chat_template is not None


def copied(source: Path, to: Path, **changes: Any) -> Path:
    """A copy of an adapter with another configuration."""
    shutil.copytree(source, to)
    config = json.loads((to / "adapter_config.json").read_text())
    (to / "adapter_config.json").write_text(json.dumps({**config, **changes}))
    return to


def test_an_adapter_of_another_model_is_refused(
    launch: Launch, sft: RunRecord, tiny_model: Callable[..., Any], tmp_path: Path
) -> None:
    """Wider, missing or other layers, another kind of adapter, no base: one sentence each that names the remedy."""
    saved = sft.path / "model"
    wide, short, other = tmp_path / "wide", tmp_path / "short", tmp_path / "other"
    tiny_model(hidden_size=64).save_pretrained(wide)
    tiny_model(num_hidden_layers=1).save_pretrained(short)
    tiny_model(seed=7, tie_word_embeddings=False).save_pretrained(other)
    cases = (
        ({"base_model_name_or_path": str(wide)}, "belongs to another base model than .*wide: it adapts model.layers"),
        ({"base_model_name_or_path": str(short)}, "the base has no such layer; name the model it was trained on"),
        (
            {"base_model_name_or_path": str(other)},
            "other: the weights there are not those of",
        ),
        ({"use_dora": True}, "lacks 14 tensors that .* asks for, first .*lora_magnitude_vector"),
        ({"peft_type": "PROMPT_TUNING"}, "cannot be merged into its base"),
        ({"base_model_name_or_path": None}, "names no base model"),
    )
    for number, (changes, words) in enumerate(cases):
        with pytest.raises(InputError, match=words):
            resolve_model(str(copied(saved, tmp_path / str(number), **changes)), cache=tmp_path)
    done = launch(DPO, "--smoke", "--model", str(tmp_path / "2"), "--root", str(tmp_path / "runs"))
    assert done.status == 2
    assert done.err.startswith("error: the adapter in ")
    bare = copied(saved, tmp_path / "bare")
    (bare / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"adapter_model\.safetensors is missing"):
        resolve_model(str(bare), cache=tmp_path)


def test_a_tokenizer_without_padding_gets_its_end_token(tiny_folder: Path, tmp_path: Path) -> None:
    """And says so; without either, or without a chat template, it is refused."""
    assert not pad_stands_in(load_tokenizer(tiny_folder))
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path / "no-pad")
    found = load_tokenizer(tmp_path / "no-pad")
    assert found.pad_token == "<|im_end|>"
    assert pad_stands_in(found)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path / "neither")
    with pytest.raises(InputError, match="neither a padding nor an end token"):
        load_tokenizer(tmp_path / "neither")


def test_dpo_learns_from_a_verifier_s_pairs_and_starts_where_sft_ended(
    launch: Launch, sft: RunRecord, digit_folder: Path, tmp_path: Path
) -> None:
    """From the SFT adapter: before training it answers word for word as SFT did after; killed and resumed, the same."""
    cache = str(tmp_path / "cache")
    flags = ("--smoke", "--steps", "4", "--prompts", "40", "--eval-problems", "20", "--eval-samples", "8")
    command = (DPO, *flags, "--learning-rate", "0.01", "--model", str(sft.path / "model"))
    done = launch(*command, "--root", str(tmp_path / "a"), RLPATH_CACHE=cache)
    assert done.status == 0, done.err
    run = only_run(tmp_path / "a", "dpo")
    assert "training pairs" in done.out
    pairs = json.loads((run.path / "pairs.json").read_text())
    sampled = [json.loads(line) for line in (run.path / "evaluations" / "own_samples.jsonl").read_text().splitlines()]
    assert len(sampled) == 40 * 4
    assert pairs["generated_tokens"] == sum(row["tokens"] for row in sampled)
    assert run.metrics[0]["loss"] == pytest.approx(0.6931, abs=0.01)
    assert run.metrics[0]["pairs/margin"] == pytest.approx(0, abs=0.02)
    assert unexplained(run.metrics[0]) == []
    assert run.metrics[-1]["pairs/margin"] > 0.05
    assert "Held-out preference accuracy" in (run.path / "report.html").read_text()

    assert launch(*command, "--root", str(tmp_path / "b"), at="unmarked checkpoint", RLPATH_CACHE=cache).status == -9
    assert launch(*command, "--root", str(tmp_path / "b"), RLPATH_CACHE=cache).status == 0
    assert contents(only_run(tmp_path / "b", "dpo")) == contents(run)

    again = ("--learning-rate", "1e-9", "--model", str(sft.path / "model"), "--root", str(tmp_path / "c"))
    evaluated = ("--steps", "1", "--eval-problems", "2", "--eval-samples", "2", "--max-completion-length", "8")
    done = launch(SFT, *SMOKE[:3], *again, *evaluated, RLPATH_CACHE=cache)
    assert done.status == 0, done.err
    start = (only_run(tmp_path / "c", "sft_gsm8k").path / "evaluations" / "before.jsonl").read_text().splitlines()[1:]
    assert start == (sft.path / "evaluations" / "after.jsonl").read_text().splitlines()[1:]


def test_rejection_sampling_imitates_what_was_accepted(
    launch: Launch, sft: RunRecord, digit_folder: Path, tmp_path: Path
) -> None:
    """Only correct answers are kept; killed while it samples and resumed, the same."""
    flags = ("--smoke", "--steps", "4", "--prompts", "40", "--eval-problems", "20", "--learning-rate", "0.01")
    command = (REJECTION, *flags, "--model", str(sft.path / "model"))
    cache = str(tmp_path / "cache")
    done = launch(*command, "--root", str(tmp_path / "a"), RLPATH_CACHE=cache)
    assert done.status == 0, done.err
    run = only_run(tmp_path / "a", "rejection_sampling")
    sampled = [json.loads(line) for line in (run.path / "evaluations" / "own_samples.jsonl").read_text().splitlines()]
    correct = {(row["problem_id"], row["completion"]) for row in sampled if row["status"] == "correct"}
    accepted = json.loads((run.path / "accepted.json").read_text())
    assert accepted["sampled"] == len(sampled) == 40 * 4
    assert accepted["kept"] == len(correct) > 0
    assert accepted["data"][0]["n"] == len(correct)

    assert launch(*command, "--root", str(tmp_path / "b"), at="own samples", RLPATH_CACHE=cache).status == -9
    assert launch(*command, "--root", str(tmp_path / "b"), RLPATH_CACHE=cache).status == 0
    assert contents(only_run(tmp_path / "b", "rejection_sampling")) == contents(run)


def test_accepted_answers_are_different_and_bounded() -> None:
    """A text counts once, wrong and truncated ones not at all, and easy problems do not fill the data."""
    rows = [
        {"problem_id": problem, "prompt": problem, "completion": text, "status": status}
        for problem, text, status in (
            *(("easy", str(i % 6), "correct") for i in range(12)),
            ("hard", "x", "wrong"),
            ("hard", "y", "truncated"),
            ("hard", "z", "correct"),
        )
    ]
    found = accepted_answers(rows, per_prompt=4)
    assert [answer.id for answer in found] == ["easy/0", "easy/1", "easy/2", "easy/3", "hard/0"]
    assert len({answer.completion for answer in found[:4]}) == 4
    assert found[4].completion == "z"
    assert accepted_answers(rows, per_prompt=4) == found
    assert accepted_answers(rows, per_prompt=4, seed=1) != found


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pairs whose better answer is the one that says please."""
    path = tmp_path_factory.mktemp("pairs") / "manners.jsonl"
    rows = [{"prompt": f"Ask for {i}.", "chosen": f"{i}, please.", "rejected": f"{i}, now!!"} for i in range(40)]
    rows.append({"prompt": "Ask " * 900, "chosen": "a", "rejected": "b"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_reward_model_is_measured_and_can_be_used(
    launch: Launch, digit_folder: Path, pairs_file: Path, tmp_path: Path
) -> None:
    """Accuracy beside baselines, calibration, length; `merged/` scores as the trainer did; killed and resumed alike."""
    flags = ("--smoke", "--data", str(pairs_file), "--steps", "8", "--batch", "8", "--learning-rate", "0.01")
    command = (REWARD, *flags, "--micro-batch", "8", "--model", str(digit_folder))
    done = launch(*command, "--root", str(tmp_path / "a"))
    assert done.status == 0, done.err
    run = only_run(tmp_path / "a", "reward_model")
    assert run.metrics[-1]["loss"] < run.metrics[0]["loss"]
    findings = {row["title"]: row for row in json.loads((run.path / "findings.json").read_text())}
    assert list(findings) == ["Held-out pairs of manners", "Calibration", "By difference in length"]
    assert findings["Held-out pairs of manners"]["rows"][0][0] == "reward model"
    assert "<svg" in findings["Calibration"]["figures"][0]
    assert "left out whole" in done.out
    assert "left out whole" in (run.path / "model" / "README.md").read_text()
    reward = RewardModelReward(run.path / "merged")
    polite, rude = reward(["Ask for 3.", "Ask for 3."], ["3, please.", "3, now!!"])
    assert polite is not None and rude is not None
    assert polite > rude

    assert launch(*command, "--root", str(tmp_path / "b"), at="unmarked checkpoint").status == -9
    assert launch(*command, "--root", str(tmp_path / "b")).status == 0
    assert contents(only_run(tmp_path / "b", "reward_model")) == contents(run)


def test_chat_answers_and_human_pairs_from_files(
    launch: Launch, digit_folder: Path, pairs_file: Path, tmp_path: Path
) -> None:
    """Instruction data and preferences of one's own; no problems are completed where there is no verifier."""
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps({"prompt": f"Say {i}", "completion": f"{i}."}) + "\n" for i in range(40)))
    common = ("--model", str(digit_folder), "--root", str(tmp_path / "runs"))

    done = launch(CHAT, "--smoke", "--file", str(answers), *common)
    assert done.status == 0, done.err
    assert only_run(tmp_path / "runs", "sft_chat").finished
    done = launch(DPO, "--smoke", "--data", str(pairs_file), *common)
    assert done.status == 0, done.err
    run = only_run(tmp_path / "runs", "dpo")
    assert not (run.path / "evaluations" / "before.jsonl").exists()
    assert "There is no verdict" not in (run.path / "report.html").read_text()


def test_what_cannot_work_is_refused_in_one_sentence(
    launch: Launch, digit_folder: Path, tiny_folder: Path, pairs_file: Path, tmp_path: Path
) -> None:
    """Sizes, lengths, quantization without a GPU, one-sided samples, empty files, tokenizers: status 2 and one line."""
    (tmp_path / "empty.jsonl").touch()
    bare = tmp_path / "bare"
    shutil.copytree(digit_folder, bare)
    (bare / "chat_template.jinja").unlink()
    one = tmp_path / "one.jsonl"
    one.write_text('{"prompt": "a", "chosen": "b"}\n')
    same = tmp_path / "same.jsonl"
    same.write_text('{"prompt": "a", "chosen": "b", "rejected": "b"}\n' * 3)
    cases = (
        (SFT, ("--max-length", "5"), "are longer than --max-length 5 tokens"),
        (SFT, ("--max-length", "4096"), "--max-length 4096 is more than the 2048 tokens"),
        (SFT, ("--quantize", "4bit"), "needs a CUDA GPU"),
        (SFT, ("--batch", "0"), "--batch 0 must be at least 1"),
        (SFT, ("--micro-batch", "3"), "--micro-batch 3 does not divide"),
        (SFT, ("--learning-rate", "-1"), "--learning-rate -1.0 must be positive"),
        (SFT, ("--data", "nothing"), "'nothing' is no problem set"),
        (SFT, ("--model", str(bare)), "has no chat template"),
        (CHAT, ("--file", str(tmp_path / "empty.jsonl")), "empty.jsonl is empty"),
        (DPO, ("--model", str(tiny_folder), "--samples", "2"), "are one-sided"),
        (DPO, ("--label-smoothing", "0.1"), "choose --loss robust"),
        (DPO, ("--samples", "1"), "--samples 1 must be at least 2"),
        (DPO, ("--data", str(one)), "line 1: the field 'rejected' is missing"),
        (REWARD, ("--data", str(same)), "has 0 train pairs"),
        (REWARD, ("--data", str(tmp_path / "empty.jsonl")), "empty.jsonl is empty"),
        (REWARD, ("--data", str(pairs_file), "--quantize", "4bit"), "--quantize 4bit is for sft and dpo"),
        (LADDER, ("--tasks", "poetry"), "--tasks poetry: name some of"),
        (LADDER, ("--seeds", "1", "1"), "--seeds must be different"),
    )
    for recipe, flags, words in cases:
        data = ("--data", "arithmetic:add-1") if recipe == SFT and "--data" not in flags else ()
        done = launch(recipe, "--smoke", "--model", str(digit_folder), "--root", str(tmp_path / "r"), *data, *flags)
        lines = [line for line in done.err.splitlines() if line and "triton" not in line.lower()]
        assert done.status == 2, (flags, done)
        assert len(lines) == 1, done.err
        assert words in lines[0], lines[0]


def test_a_diverging_run_stops_and_keeps_its_checkpoint(launch: Launch, digit_folder: Path, tmp_path: Path) -> None:
    """A learning rate of 1e30: one sentence with the step, and what was saved before is still there."""
    flags = ("--smoke", "--data", "arithmetic:add-1", "--steps", "6", "--learning-rate", "1e30")
    done = launch(SFT, *flags, "--model", str(digit_folder), "--root", str(tmp_path))

    assert done.status == 2, done
    assert "is not finite at step" in done.err
    run = only_run(tmp_path, "sft_gsm8k")
    assert not run.finished
    for checkpoint in run.path.glob("checkpoints/checkpoint-*"):
        assert (checkpoint / "complete").is_file()


@pytest.mark.slow
def test_the_ladder_climbs_and_goes_on(digit_folder: Path, tmp_path: Path) -> None:
    """Every stage of one seed, from the base to the table; a second start finds all of it finished."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, LADDER, "--smoke", "--model", str(digit_folder), "--root", str(tmp_path)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (table,) = tmp_path.glob("ladder/*/ladder.json")
    rows = json.loads(table.read_text())["digits"]
    assert [row["stage"] for row in rows] == ["base", "sft", "rejection", "dpo", "ppo", "grpo"]
    assert min(row["generated_tokens"] for row in rows[2:]) > 0
    # Each stage answered before training as the stage it starts from did after.
    assert "differ from those" not in (table.parent / "ladder.md").read_text()
    again = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert again.stdout.count("finished before") == 5


VLLM = """
import sys
from transformers import AutoTokenizer
from rlpath.models.vllm_sampler import prepare_environment


def main():
    prepare_environment(cpu_cache_gib=1)
    import vllm
    from vllm.lora.request import LoRARequest

    base, adapter = sys.argv[1:3]
    lora = {"enable_lora": True, "max_lora_rank": 32}
    llm = vllm.LLM(model=base, dtype="float32", max_model_len=64, enforce_eager=True, **lora)
    params = vllm.SamplingParams(temperature=0, max_tokens=8)
    prompt = {"prompt_token_ids": [5, 6, 7, 8, 9]}
    lora = LoRARequest("adapter", 1, adapter)
    for request in (None, lora):
        (output,) = llm.generate([prompt], params, lora_request=request, use_tqdm=False)
        print("TOKENS", list(output.outputs[0].token_ids))


if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
@pytest.mark.skipif(not vllm_installed(), reason="vLLM is not installed")
def test_vllm_serves_the_adapter(sft: RunRecord, digit_folder: Path, tmp_path: Path) -> None:
    """vLLM on a CPU with the saved folder as a LoRA: greedily the tokens that PEFT's model gives, not the base's."""
    script = tmp_path / "serve.py"
    script.write_text(VLLM)
    done = subprocess.run(
        [sys.executable, str(script), str(digit_folder), str(sft.path / "model")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    served = [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("TOKENS ")]
    base: Any = load_model(digit_folder, "float32")
    policy = PeftModel.from_pretrained(load_model(digit_folder, "float32"), str(sft.path / "model"))
    prompt = torch.tensor([[5, 6, 7, 8, 9]])
    for model, tokens in zip((base, policy), served, strict=True):
        expected = model.generate(input_ids=prompt, max_new_tokens=8, do_sample=False)[0, 5:].tolist()
        assert tokens == expected[: len(tokens)]
    assert served[0] != served[1]
