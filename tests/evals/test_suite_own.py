"""What a user brings: tables of questions, hub data sets, base models, endpoints; and how everybody is asked."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from rlpath.core.errors import InputError
from rlpath.core.types import Decoding
from rlpath.evals.run_suite import run_suite
from rlpath.evals.suite import hub
from rlpath.evals.suite.endpoint import EndpointSampler
from rlpath.evals.suite.harness import Plan, run_tasks
from rlpath.evals.suite.own_tasks import find_task, loaded_once
from rlpath.evals.suite.subject import LazySampler, resolve_subject
from rlpath.evals.suite.task import Exemplar, Task, Template

PLAN = Plan(samples=2, size=6, max_tokens=4, backend="hf")
OPTIONS = [
    {"question": f"Which is {i}?", "choices": [str(i), str(i + 1), str(i + 2)], "answer": i % 3} for i in range(8)
]


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows as the kind of file that the name says."""
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet as parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", ["sums.jsonl", "sums.csv", "sums.parquet"])
def test_a_table_is_a_task_by_its_name(name: str, tmp_path: Path) -> None:
    """Numbers as answers, of any kind of file, are compared as numbers; ids are the file's or made of its rows."""
    rows = [{"question": f"What is {i} + 0.5?", "answer": i + 0.5} for i in range(3)] + [
        {"question": "What is 6 + 6?", "answer": 12.0}
    ]
    task = find_task(str(table(tmp_path / name, rows)))
    problems = task.load(None, 0)

    assert task.name == "sums"
    assert {problem.gold for problem in problems.problems} == {"0.5", "1.5", "2.5", "12"} or name == "sums.csv"
    assert all(problems.verifier(f"#### {problem.gold}", problem.gold).correct for problem in problems.problems)
    assert {problem.id for problem in problems.problems} == {f"sums-{i}" for i in range(1, 5)}
    assert not task.template("text").chat


def test_columns_of_other_names_and_texts_as_answers(tmp_path: Path) -> None:
    """What is read as what stands behind the question mark; words are compared as words."""
    path = table(tmp_path / "capitals.csv", [{"ask": "Capital of France?", "key": "Paris"}])
    task = find_task(f"{path}?question=ask&answer=key&max_tokens=8")
    (problem,) = task.load(None, 0).problems
    assert (problem.prompt, problem.gold, task.max_tokens) == ("Capital of France?", "Paris", 8)
    assert task.load(None, 0).verifier("paris", problem.gold).correct
    for query, words in (
        ("question=ask", "there is no answer"),
        ("q=ask", "there is no option 'q'"),
        ("question=ask&answer=key&verifier=guess", "there is no verifier 'guess'"),
        ("question=ask&answer=key&max_tokens=0", "max_tokens is '0'"),
    ):
        with pytest.raises(InputError, match=words):
            find_task(f"{path}?{query}")


@pytest.mark.parametrize("answer", [1, "B", "two", "1"])
def test_options_are_lettered(answer: Any, tmp_path: Path) -> None:
    """A list of options, the right one by number, letter or text."""
    path = table(tmp_path / "q.jsonl", [{"question": "Which?", "choices": ["one", "two"], "answer": answer}])
    problems = find_task(str(path)).load(None, 0)
    (problem,) = problems.problems
    assert (problem.prompt, problem.gold) == ("Which?\nA) one\nB) two", "B")
    assert problems.verifier("The answer is B.", "B", question=problem.prompt).correct
    path = table(tmp_path / "bad.jsonl", [{"question": "Which?", "choices": ["one", "two"], "answer": "three"}])
    with pytest.raises(InputError, match=r"row 1|line 1|is none of the 2 options"):
        find_task(str(path))


def test_a_data_set_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name, configuration and split as written; labels of options as the set's; a sentence where there is no hub."""
    asked: list[tuple[str, str | None, str]] = []

    def load(*name: Any) -> list[dict[str, Any]]:
        asked.append(name)
        return [{"question": "Q", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"}]

    with pytest.raises(InputError, match="the hub gave no test split of owner/set"):
        find_task("hub:owner/set")
    monkeypatch.setattr(hub, "load_split", load)
    task = find_task("hub:owner/set/easy@validation")
    assert asked == [("owner/set", "easy", "validation")]
    assert (task.name, task.load(None, 0).problems[0].gold) == ("owner-set-easy", "B")
    with pytest.raises(InputError, match="is no data set"):
        find_task("hub:nothing")


def test_problems_are_read_once(tmp_path: Path) -> None:
    """However many models and stages ask for them."""
    reads: list[int | None] = []
    task = find_task(str(table(tmp_path / "q.jsonl", OPTIONS)))

    def load(size: int | None, seed: int) -> Any:
        reads.append(size)
        return task.load(size, seed)

    once = loaded_once(replace(task, load=load))
    assert PLAN.problems(once).sha256 == PLAN.problems(replace(once, max_tokens=1)).sha256
    assert reads == [None]


def test_the_most_probable_option_is_the_answer(
    tmp_path: Path, tiny_folder: Path, tiny_model: Callable[..., Any]
) -> None:
    """By the sum of log-probabilities over bytes, token by token as the model gives them."""
    task = find_task(str(table(tmp_path / "q.jsonl", OPTIONS)))
    subject = resolve_subject(str(tiny_folder))
    template = task.template("likelihood")
    (asked,) = run_tasks(subject, [(task, template)], PLAN, cache=tmp_path)

    sampler: Any = LazySampler(subject, "hf", max_length=64, dtype="float32")
    model, tokenizer = tiny_model(seed=1), sampler.tokenizer
    greedy = {sample.problem_id: sample.completion for sample in asked.evaluation.samples if sample.mode == "greedy"}
    for problem in asked.problems.problems:
        before = f"Question: {problem.meta['stem']}\nAnswer:"
        scores = []
        for option in problem.meta["options"]:
            ids = torch.tensor([[1, *tokenizer(f"{before} {option}")["input_ids"]]])
            with torch.no_grad():
                steps = model(ids).logits[0].log_softmax(-1)
            start = 1 + len(tokenizer(before)["input_ids"])
            total = sum(float(steps[at - 1, ids[0, at]]) for at in range(start, ids.shape[1]))
            scores.append(total / len(option))
        assert greedy[problem.id] == "ABC"[scores.index(max(scores))]
    assert {sample.status.value for sample in asked.evaluation.samples} <= {"correct", "wrong"}
    sums = find_task(str(table(tmp_path / "sums.jsonl", [{"question": "1 + 1?", "answer": 2}])))
    with pytest.raises(InputError, match="chooses among options, and problem sums-1 has none"):
        run_tasks(subject, [(sums, template)], PLAN, cache=tmp_path)


def test_one_model_alone(tmp_path: Path, tiny_folder: Path) -> None:
    """Figures with intervals, and no verdict; what it was asked in stands in the manifest."""
    path = table(tmp_path / "q.jsonl", OPTIONS)
    result = run_suite([str(tiny_folder)], [], [str(path)], out=tmp_path / "out", plan=PLAN, cache=tmp_path)
    (headline,) = result.headlines
    assert headline.ours.low <= headline.ours.estimate <= headline.ours.high
    assert result.contrasts == ()
    plan = result.manifest["config"]["plan"]
    assert (plan["dtype"], plan["batch"], plan["top_p"]) == ("float32", 64, 1.0)
    assert not any("batch" in warning for warning in result.warnings)


def test_a_model_against_itself(tmp_path: Path, digit_folder: Path) -> None:
    """Drawn again, compared as any other: the greedy answers agree, and nothing is claimed."""
    plan = replace(PLAN, size=None, samples=4)
    model = str(digit_folder)
    result = run_suite([model], [model], ["arithmetic"], out=tmp_path, plan=replace(plan, size=40), cache=tmp_path)
    one, other = result.headlines
    assert one.ours.estimate == other.ours.estimate
    (contrast,) = result.contrasts
    assert contrast.verdict not in ("improved", "got worse")
    files = [tmp_path / name for name in result.answers.values()]
    assert len(files) == 2 and files[0].read_text() != files[1].read_text()


def test_another_plan_names_the_field(tmp_path: Path, tiny_folder: Path) -> None:
    """Of a folder begun with other settings the field is told, with both values."""
    path, model = str(table(tmp_path / "q.jsonl", OPTIONS)), [str(tiny_folder)]
    run_suite(model, [], [path], out=tmp_path / "out", plan=PLAN, cache=tmp_path)
    with pytest.raises(InputError, match=r"holds a suite of other plan\.top_p \(1\.0 there, 0\.9 now\): choose"):
        run_suite(model, [], [path], out=tmp_path / "out", plan=replace(PLAN, top_p=0.9), cache=tmp_path)


def test_everybody_is_asked_as_the_plan_says(tmp_path: Path, tiny_folder: Path) -> None:
    """Solved examples, a system turn, values for the chat template, and a template of one's own are in the prompt."""
    shown = [Exemplar("1 + 1?", "2"), Exemplar("2 + 2?", "4")]
    task = replace(find_task(str(table(tmp_path / "q.jsonl", OPTIONS))), exemplars=lambda: shown)
    chat = "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}{{ mood }}"
    plan = replace(PLAN, shots=1, system="Be brief.", chat_template=chat, chat_options=(("mood", "!"),))
    template = plan.put(task, task.templates[1])
    from rlpath.evals.suite.task import TemplatedSampler

    sampler = LazySampler(resolve_subject(str(tiny_folder)), "hf", max_length=64, chat_template=plan.chat_template)
    prompted = TemplatedSampler(sampler, template, task.exemplars())
    said = sampler.tokenizer.decode(prompted.encode("3 + 3?"))
    assert said == "[system:Be brief.][user:1 + 1?][assistant:2][user:3 + 3?]!"
    assert template.name == "plain, 1 shots"
    with pytest.raises(InputError, match="has 2 solved examples"):
        replace(plan, shots=3).put(task, task.templates[1])
    with pytest.raises(InputError, match="need a chat"):
        plan.put(task, task.template("text"))


def test_an_answer_does_not_depend_on_its_batch(tmp_path: Path, tiny_folder: Path) -> None:
    """In fp32, which is the default for a small model, every greedy answer is the same alone and among others."""
    path = table(tmp_path / "q.jsonl", [{"question": "So? " * (i + 1), "answer": i} for i in range(12)])
    subject = resolve_subject(str(tiny_folder))
    texts = []
    for batch in (1, 5, 64):
        plan = replace(PLAN, size=None, max_tokens=24, batch=batch, samples=0)
        assert plan.precision(subject.parameters) == "float32"
        task = find_task(str(path))
        (asked,) = run_tasks(subject, [(task, task.templates[0])], plan, cache=tmp_path)
        texts.append([sample.completion for sample in asked.evaluation.samples])
    assert texts[0] == texts[1] == texts[2]
    assert Plan().precision(10**10) == "bfloat16" and Plan(dtype="float16").precision(1) == "float16"


class Server(BaseHTTPRequestHandler):
    """An OpenAI-compatible server: `good` answers 7, in chats and in plain text; the second request finds it busy."""

    seen: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
        if len(self.seen) == 2:
            self._answer(503, {"error": "busy"})
        elif body["model"] != "good":
            self._answer(404, {"error": "no such model"})
        else:
            chat = self.path.endswith("/chat/completions")
            text: dict[str, Any] = {"message": {"content": "#### 7"}} if chat else {"text": " 7\nQuestion:"}
            # One completion whatever n asks for, as some servers do.
            self._answer(200, {"choices": [{**text, "finish_reason": "stop"}], "usage": {"completion_tokens": 3}})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server on this machine."""
    Server.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/v1"
        running.shutdown()
        thread.join()


def test_a_model_behind_an_endpoint(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked over HTTP as any other model: chats and texts, seeds, the key; judged, cached, and said to be unseen."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    path = table(tmp_path / "q.jsonl", [{"question": f"What is {i} + 3?", "answer": i + 3} for i in range(8)])

    def run(out: str, **options: Any) -> Any:
        plan = replace(PLAN, size=None, system=options.pop("system", ""))
        return run_suite([f"{server}#good"], [], [str(path)], out=tmp_path / out, plan=plan, cache=tmp_path, **options)

    result = run("chat", system="Be brief.")
    (headline,) = result.headlines
    assert headline.ours.estimate == 1 / 8
    assert any("were not seen" in warning for warning in result.warnings)
    chats = [body for body in Server.seen if body["path"] == "/v1/chat/completions"]
    assert chats[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert {body["key"] for body in chats} == {"Bearer secret"}
    assert {body["temperature"] for body in chats} == {0.0, 1.0}
    sampled = [body["seed"] for body in chats if body["temperature"]]
    assert len(set(sampled)) == len(sampled) == 16
    before = len(Server.seen)
    run("again", system="Be brief.")
    assert len(Server.seen) == before, "what was asked is not asked again"
    (headline,) = run("text", template="text").headlines
    assert headline.ours.estimate == 1 / 8
    assert Server.seen[-1]["path"] == "/v1/completions"
    assert "secret" not in (tmp_path / "chat" / "result.json").read_text()


def test_an_endpoint_that_does_not_answer(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody there, another model, an address of no model, a likelihood: one sentence each."""
    monkeypatch.setattr("rlpath.evals.suite.endpoint.PATIENCE", 0.0)
    for spec, words in (
        (f"{server}#bad", "refuses bad with status 404"),
        ("http://127.0.0.1:9/v1#good", "cannot be reached"),
    ):
        sampler = EndpointSampler(spec)
        with pytest.raises(InputError, match=words):
            sampler.generate([sampler.encode("hello")], Decoding(4))
    with pytest.raises(InputError, match="names no host or no model"):
        resolve_subject("http://127.0.0.1:9/v1")
    task: Task = find_task(str(table(tmp_path / "q.jsonl", OPTIONS)))
    template: Template = task.template("likelihood")
    with pytest.raises(InputError, match="an endpoint does not give"):
        run_tasks(resolve_subject(f"{server}#good"), [(task, template)], PLAN, cache=tmp_path)


# Environments of several turns


def test_an_environment_is_a_task_by_its_name(tiny_folder: Path, tmp_path: Path) -> None:
    """Episodes of held-out problems, the environment's verdict in every reading, cached with its code's hash."""
    import shutil

    from rlpath.models.chat import CHATML_TOOLS

    model = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    (model / "chat_template.jinja").write_text(CHATML_TOOLS)
    result = run_suite(
        [str(model)],
        [],
        ["number-guessing:7"],
        out=tmp_path / "out",
        plan=replace(PLAN, size=3),
        cache=tmp_path / "cache",
    )

    (headline,) = result.headlines
    assert (headline.task, headline.template, headline.problems) == ("number-guessing:7", "episode", 3)
    assert headline.strict == headline.flexible == headline.ours
    assert headline.truncated == 1.0
    (facts,) = (tmp_path / "cache" / "evaluations").glob("*.json")
    assert json.loads(facts.read_text())["environment"].startswith("NumberGuessing ")
    with pytest.raises(InputError, match="'guesswork'"):
        find_task("guesswork")
    with pytest.raises(InputError, match="leaves out the calls"):
        run_suite(
            [str(tiny_folder)], [], ["number-guessing:7"], out=tmp_path / "no", plan=PLAN, cache=tmp_path / "cache"
        )
