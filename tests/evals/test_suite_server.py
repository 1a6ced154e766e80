"""A real OpenAI-compatible server on this machine, asked as a model: vLLM's answers are those of our own sampler."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlpath.evals.measure.evaluation import read_evaluation
from rlpath.evals.run_suite import run_suite
from rlpath.evals.suite.harness import Plan
from rlpath.evals.suite.result import SuiteResult
from rlpath.models.vllm_sampler import vllm_installed

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not vllm_installed(), reason="vLLM is not installed")]
STARTUP_S = 500


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., Any], tiny_tokenizer: Any) -> Path:
    """A tiny random model; vLLM's CPU kernels want heads of at least 32."""
    folder = tmp_path_factory.mktemp("wide-model")
    tiny_model(hidden_size=128, intermediate_size=128, num_hidden_layers=2).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def server(wide_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """vLLM's server with the model, at an address of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(wide_folder)]
    words += ["--served-model-name", "wide", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    words += ["--max-model-len", "512", "--enforce-eager", "--generation-config", "vllm"]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as out, subprocess.Popen(words, env=environment, stdout=out, stderr=out) as running:
        try:
            _wait(f"http://127.0.0.1:{port}/health", running, log)
            yield f"http://127.0.0.1:{port}/v1#wide"
        finally:
            running.terminate()


def _wait(address: str, running: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server answers."""
    for _ in range(STARTUP_S):
        assert running.poll() is None, log.read_text()[-3000:]
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return
        except OSError:
            time.sleep(1)
    pytest.fail(f"no answer after {STARTUP_S} s: {log.read_text()[-3000:]}")


def completions(result: SuiteResult, folder: Path) -> dict[str, str]:
    """Every greedy completion of the first model, without the half letters at its end, which vLLM leaves out."""
    evaluation = read_evaluation(folder / next(iter(result.answers.values())))
    return {sample.problem_id: sample.completion.rstrip("\ufffd") for sample in evaluation.of("greedy")}


@pytest.mark.parametrize("template", ["number-only", "few-shot-text"])
def test_a_vllm_server_answers_as_the_model_itself(
    server: str, wide_folder: Path, tmp_path: Path, template: str
) -> None:
    """Chats and plain text, greedy and sampled: the same greedy completions, judged alike, and its limits said."""
    plan = Plan(samples=2, size=8, max_tokens=8, backend="hf", dtype="float32")
    found = {}
    for name in (server, str(wide_folder)):
        out = tmp_path / f"out-{len(found)}"
        result = run_suite([name], [], ["arithmetic"], out=out, plan=plan, template=template, cache=tmp_path / "cache")
        found[name] = result, completions(result, out)

    (behind, texts), (here, same) = found[server], found[str(wide_folder)]
    assert texts == same and len(texts) == 8
    assert behind.headlines[0].ours == here.headlines[0].ours
    assert behind.headlines[0].samples == 2 and behind.headlines[0].mean_tokens > 0
    assert any("were not seen" in warning for warning in behind.warnings)
