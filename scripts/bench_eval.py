"""Time word problems under lm-evaluation-harness and under our suite, and explain every item on which they disagree.

    python scripts/bench_eval.py --model qwen2.5-coder-0.5b-instruct --template few-shot --items 32 --peer-batches 16
    python scripts/bench_eval.py --model qwen2.5-coder-0.5b-instruct --task svamp --template few-shot-text --table

Both ask the same model the same test items under the same prompts, token for token (checked before the clock starts),
greedily, with the same limit, stop strings, precision and threads, each in a process of its own. lm-evaluation-harness
runs its own `simple_evaluate` with its Hugging Face model and the answer patterns of its gsm8k task; batch size 1 is
its default. Ours decodes as many sequences at once as the largest of `--peer-batches`, and the ratio is taken against
the fastest of them. (`batch_size=auto` is left out: it looks for the batch that no longer fits into a GPU's memory, and
on a CPU asks for all that the machine has.) The clock runs over the generation alone there, and from the first prompt
to the last verdict here. Processor seconds are given beside it, which other programs on the machine disturb less.

In bf16 two correct programs part ways at the first near tie. Where completions differ, the gap between the two chosen
tokens is computed in fp32: a difference of arithmetic has a small one. Verdicts are compared on the same text: ours is
also given the completions of lm-evaluation-harness, so that extraction and arithmetic are told apart.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import tyro

from rlpath.core.errors import InputError, run_command
from rlpath.core.files import read_json_lines
from rlpath.core.types import Completion, Decoding, ProblemSet
from rlpath.evals.measure.evaluation import complete_and_verify
from rlpath.evals.suite.agreement import (
    Answered,
    ComparedItem,
    HarnessAnswer,
    first_difference,
    item_table,
    report_completions,
    report_verdicts,
)
from rlpath.evals.suite.own_tasks import find_task
from rlpath.evals.suite.subject import LazySampler, resolve_subject
from rlpath.evals.suite.task import TemplatedSampler
from rlpath.models.load import load_model, resolve_model
from rlpath.models.precision import fast_dtype
from rlpath.rewards.verifiers.number import NumberVerifier
from rlpath.runs.hardware import cores, cpu_name
from rlpath.runs.processes import pinned

TASK = "rlpath_bench"
INSTALL = "pip install -c constraints.txt -e '.[train,math,bench]'"
LONGEST = 4096
# The answer patterns of the task gsm8k of lm-evaluation-harness, version 3 of the task.
FILTERS = {
    "strict": [{"function": "regex", "regex_pattern": r"#### (\-?[0-9\.\,]+)"}, {"function": "take_first"}],
    "flexible": [
        {"function": "regex", "group_select": -1, "regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)"},
        {"function": "take_first"},
    ],
}


@dataclass(frozen=True)
class Args:
    model: str = "smollm2-135m-instruct"
    """folder, hub id or packaged name"""
    items: int = 16
    """problems of the test split, the same for both"""
    task: str = "gsm8k"
    """a task of the suite whose answers are numbers: gsm8k, svamp or arithmetic"""
    template: str = "hash"
    """a prompt of that task: a single user turn, or plain text"""
    max_tokens: int = 256
    """longest completion"""
    peer_batches: tuple[int, ...] = (1, 16)
    """batch sizes of lm-evaluation-harness, each timed"""
    chunk: int = 64
    """problems our suite asks for in one call; 64 is what it does"""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """precision of both; auto is what this machine computes fast in"""
    threads: int = 0
    """of each process; 0: as many as there are cores"""
    seed: int = 0
    """of the choice of items"""
    table: bool = False
    """print every item with what each reading made of it"""

    def __post_init__(self) -> None:
        if not self.peer_batches or min(self.peer_batches) < 1:
            raise InputError("--peer-batches must name at least one batch size, each 1 or more")
        if self.max_tokens < 1 or self.chunk < 1:
            raise InputError(f"--max-tokens is {self.max_tokens} and --chunk {self.chunk}: both must be at least 1")


# Both arms


def load(args: Args) -> tuple[ProblemSet, TemplatedSampler]:
    """The problems, and our sampler under the template; no weights are read yet."""
    task = find_task(args.task)
    problems = task.load(args.items, args.seed)
    if not isinstance(problems.verifier, NumberVerifier):
        raise InputError(f"--task is {args.task!r}, and the patterns of lm-evaluation-harness here read numbers only")
    usable = {template.name: template for template in task.templates if not (template.chat and template.shots)}
    if args.template not in usable:
        raise InputError(f"--template is {args.template!r}: only {', '.join(usable)} can be put to both")
    template = usable[args.template]
    subject, batch = resolve_subject(args.model), max(args.peer_batches)
    sampler = LazySampler(subject, "hf", max_length=LONGEST, dtype=args.dtype, max_batch=batch)
    return problems, TemplatedSampler(sampler, template, task.exemplars() if template.shots else ())


def write_task(args: Args, folder: Path) -> None:
    """The rows both arms read (prompt, its token ids, gold), and the task of lm-evaluation-harness over them."""
    problems, prompted = load(args)
    template = prompted.template
    rows = [
        {
            "id": problem.id,
            "prompt": template.render(problem.prompt) if template.chat else prompted.text(problem.prompt),
            "ids": prompted.encode(problem.prompt),
            "gold": problem.gold,
        }
        for problem in problems.problems
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{gold}}",
        "num_fewshot": 0,
        "generation_kwargs": {
            "until": [*template.stop, prompted.tokenizer.eos_token],
            "do_sample": False,
            "temperature": 0.0,
            "max_gen_toks": args.max_tokens,
        },
        "filter_list": [{"name": name, "filter": steps} for name, steps in FILTERS.items()],
        "metric_list": [
            {
                "metric": "exact_match",
                "aggregation": "mean",
                "higher_is_better": True,
                "ignore_case": True,
                "ignore_punctuation": False,
                "regexes_to_ignore": [",", r"\$", "(?s).*#### ", r"\.$"],
            }
        ],
    }
    # A JSON document is a YAML document.
    (folder / f"{TASK}.yaml").write_text(json.dumps(task), encoding="utf-8")


class Stopwatch:
    """Wall and processor seconds since it was made, until it is stopped."""

    def __init__(self) -> None:
        self.began = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        wall, cpu = self.began
        self.seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


# Ours


class Recorded(TemplatedSampler):
    """Keeps each completion's tokens, of which a `Sample` only has the number."""

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[list[Completion]]:
        groups = super().generate(prompts, decoding)
        self.kept = [*getattr(self, "kept", []), *(group[0] for group in groups)]
        return groups


def run_ours(args: Args) -> dict[str, Any]:
    """Our arm: chunk by chunk, as `evaluate` does, to the last verdict."""
    from rlpath.runs.cpu import prepare_cpu

    prepare_cpu()
    problems, plain = load(args)
    decoding = Decoding(args.max_tokens, temperature=0)
    plain.generate([plain.encode("1 + 1")], replace(decoding, max_tokens=1))
    prompted, clock = Recorded(plain.sampler, plain.template, plain.exemplars), Stopwatch()
    for start in range(0, len(problems), args.chunk):
        list(complete_and_verify(prompted, problems, problems.problems[start : start + args.chunk], decoding, "greedy"))
    clock.stop()
    answers = [Answered(c.text, list(c.token_ids), c.truncated) for c in prompted.kept]
    return {"seconds": clock.seconds, "answers": [asdict(answer) for answer in answers]}


# Theirs


def run_peer(args: Args, folder: Path, batch: int) -> dict[str, Any]:
    """lm-evaluation-harness's own evaluation of the task, with its Hugging Face model."""
    tasks = importlib.import_module("lm_eval.tasks")
    model = watched_model()(pretrained=str(resolve_model(args.model)), dtype=args.dtype, device="cpu", batch_size=batch)
    model.limit = args.max_tokens
    model.model.generate(input_ids=model.tok_batch_encode(["1 + 1"])[0], max_new_tokens=1)
    found = importlib.import_module("lm_eval.evaluator").simple_evaluate(
        model,
        tasks=[TASK],
        task_manager=tasks.TaskManager(include_path=str(folder), include_defaults=False),
        apply_chat_template=load(args)[1].template.chat,
    )
    readings: dict[str, dict[str, Any]] = {}
    for row in found["samples"][TASK]:
        reading = HarnessAnswer(str(row["filtered_resps"][0]), bool(row["exact_match"]))
        readings.setdefault(row["doc"]["id"], {})[row["filter"]] = asdict(reading)
    rows = read_rows(folder)
    return {
        "seconds": model.clock.seconds,
        "answers": [asdict(model.answers[row["id"]]) for row in rows],
        "readings": [readings[row["id"]] for row in rows],
    }


def watched_model() -> Any:
    """The Hugging Face model of lm-evaluation-harness that also checks prompts, takes the time and keeps tokens."""
    base: Any = importlib.import_module("lm_eval.models.huggingface").HFLM

    class Watched(base):
        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            for request in requests:
                if self.tok_batch_encode([request.args[0]])[0][0].tolist() != request.doc["ids"]:
                    raise SystemExit(f"{request.doc['id']}: the prompt is not ours token for token")
            self.raw: dict[tuple[int, ...], list[int]] = {}
            self.clock = Stopwatch()
            texts = super().generate_until(requests, disable_tqdm)
            self.clock.stop()
            self.answers = {
                request.doc["id"]: self.answered(text, self.raw[tuple(request.doc["ids"])])
                for request, text in zip(requests, texts, strict=True)
            }
            return texts

        def answered(self, text: str, row: list[int]) -> Answered:
            ends = [t + 1 for t, token in enumerate(row) if token == self.eot_token_id]
            # Text that is shorter than what its tokens say was cut at a stop string, not by the limit.
            whole = text == self.tok_decode(row)
            return Answered(text, row[: min(ends, default=len(row))], whole and not ends and len(row) == self.limit)

        def _model_generate(self, context: Any, max_length: int, stop: list[str], **options: Any) -> Any:
            output = super()._model_generate(context, max_length, stop, **options)
            for row, prompt, mask in zip(output.tolist(), context, options["attention_mask"], strict=True):
                self.raw[tuple(prompt[mask.bool()].tolist())] = row[len(prompt) :]
            return output

    return Watched


# Together


def run_gaps(args: Args, folder: Path) -> dict[str, float]:
    """By how many nats fp32 weights prefer one of the two tokens at which each pair of completions parts."""
    import torch

    model = load_model(resolve_model(args.model), "float32")
    gaps: dict[str, float] = {}
    with torch.inference_mode():
        for row in json.loads((folder / "parted.json").read_text()):
            logits = model(input_ids=torch.tensor([row["prefix"]]), logits_to_keep=1).logits[0, -1]
            one, other = (logits[token].item() for token in row["tokens"])
            gaps[row["id"]] = abs(one - other)
    return gaps


def parted(items: Sequence[ComparedItem], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What `run_gaps` reads: the tokens before each difference, and the two tokens there."""
    found = []
    for item, row in zip(items, rows, strict=True):
        at = first_difference(item.mine, item.theirs)
        if at is not None and at < min(len(item.mine.tokens), len(item.theirs.tokens)):
            tokens = [item.mine.tokens[at], item.theirs.tokens[at]]
            found.append({"id": item.id, "prefix": row["ids"] + item.mine.tokens[:at], "tokens": tokens})
    return found


def read_rows(folder: Path) -> list[dict[str, Any]]:
    return read_json_lines(folder / "rows.jsonl")


def run_arm(arm: str, args: Args, folder: Path, threads: int) -> dict[str, Any]:
    """One arm in a fresh process that sees no GPU and no network."""
    offline = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder / "cache")}
    words = [sys.executable, __file__, "--arm", arm, json.dumps(asdict(args)), str(folder)]
    done = subprocess.run(
        words, env={**os.environ, **pinned(threads), **offline}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{arm} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads((folder / f"{arm}.json").read_text(encoding="utf-8"))


def time_arm(arm: str, args: Args, folder: Path) -> None:
    """The child process: run the arm and leave its result in the folder."""
    kind, _, batch = arm.partition("-")
    if kind == "peer":
        found = run_peer(args, folder, int(batch))
    else:
        found = run_ours(args) if kind == "ours" else run_gaps(args, folder)
    (folder / f"{arm}.json").write_text(json.dumps(found), encoding="utf-8")


def compare(args: Args, mine: dict[str, Any], theirs: dict[str, Any]) -> list[ComparedItem]:
    """The items of both arms in the order of the rows, our verifier applied to both completions."""
    problems = load(args)[0]
    items = []
    pairs = zip(problems.problems, mine["answers"], theirs["answers"], theirs["readings"], strict=True)
    for problem, a, b, readings in pairs:
        mine_one, theirs_one = Answered(**a), Answered(**b)
        ours, reread = (
            problems.verifier(one.text, problem.gold, question=problem.prompt, truncated=one.truncated)
            for one in (mine_one, theirs_one)
        )
        read = {name: HarnessAnswer(**reading) for name, reading in readings.items()}
        items.append(ComparedItem(problem.id, problem.gold, mine_one, theirs_one, ours, reread, read))
    return items


def time_line(name: str, result: dict[str, Any]) -> str:
    """Seconds, and tokens a second; tokens after the end of a turn are not counted."""
    wall, cpu = result["seconds"]["wall"], result["seconds"]["cpu"]
    tokens = sum(len(answer["tokens"]) for answer in result["answers"])
    truncated = sum(answer["truncated"] for answer in result["answers"])
    return f"{name:32}{wall:9.1f}{cpu:9.1f}{tokens:9,}{tokens / wall:10.1f}{truncated:10}"


def main(args: Args) -> int:
    if importlib.util.find_spec("lm_eval") is None:
        raise InputError(f"lm-evaluation-harness is not installed here; run {INSTALL}")
    threads = args.threads or cores()
    if args.dtype == "auto":
        args = replace(args, dtype=fast_dtype())
    print(f"{args.items} items of {args.task}, template {args.template}, greedy, at most {args.max_tokens} tokens")
    print(f"{args.model}, {args.dtype}, {threads} threads, {cpu_name()}, load {os.getloadavg()[0]:.1f}")
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_task(args, folder)
        print(f"{'':32}{'seconds':>9}{'cpu-s':>9}{'tokens':>9}{'tokens/s':>10}{'truncated':>10}")
        ours = run_arm("ours", args, folder, threads)
        print(time_line("rlpath", ours), flush=True)
        peers: dict[int, dict[str, Any]] = {}
        for batch in args.peer_batches:
            peers[batch] = run_arm(f"peer-{batch}", args, folder, threads)
            print(time_line(f"lm-eval, batch {batch}", peers[batch]), flush=True)
        for line in ratios(ours, peers):
            print(line)
        best = fastest(peers)
        items = compare(args, ours, peers[best])
        (folder / "parted.json").write_text(json.dumps(parted(items, read_rows(folder))), encoding="utf-8")
        gaps = run_arm("gaps", args, folder, threads)
    print(f"beside lm-eval with batch {best}:")
    lines = [*report_completions(items, gaps), *report_verdicts(items, "strict"), *report_verdicts(items, "flexible")]
    print("\n".join([*lines, *report_self(peers, best)]))
    if args.table:
        print("\n".join(item_table(items)))
    return 0


def fastest(peers: dict[int, dict[str, Any]]) -> int:
    """The batch size of the peer that took the least wall time."""
    return min(peers, key=lambda batch: peers[batch]["seconds"]["wall"])


def ratios(ours: dict[str, Any], peers: dict[int, dict[str, Any]]) -> list[str]:
    """How many times as long each setting of the peer took."""
    wall, cpu = ours["seconds"]["wall"], ours["seconds"]["cpu"]
    best = fastest(peers)
    return [
        f"lm-eval with batch {batch} takes {peer['seconds']['wall'] / wall:.1f} times as long, "
        f"and {peer['seconds']['cpu'] / cpu:.1f} times the processor's time"
        + (" (its fastest)" if batch == best else "")
        for batch, peer in peers.items()
    ]


def report_self(peers: dict[int, dict[str, Any]], best: int) -> list[str]:
    """How often the peer agrees with itself under another batch size: what arithmetic alone does to completions."""
    lines = []
    for batch, peer in peers.items():
        if batch != best:
            pairs = zip(peer["answers"], peers[best]["answers"], strict=True)
            equal = sum(a["text"] == b["text"] for a, b in pairs)
            lines.append(f"lm-eval beside itself, batch {batch} and {best}: completions equal {equal}")
    return lines


if __name__ == "__main__":
    if sys.argv[1:2] == ["--arm"]:
        time_arm(sys.argv[2], Args(**json.loads(sys.argv[3])), Path(sys.argv[4]))
    else:
        run_command(lambda: main(tyro.cli(Args, description=__doc__)))
