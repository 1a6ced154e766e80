"""A model behind an OpenAI-compatible endpoint (a vLLM or llama.cpp server, a hosted model), asked over HTTP.

`http://host:8000/v1#name` names it wherever a model is named. Chats go to /chat/completions, plain text to
/completions. What a server does not tell cannot be checked: its weights, its precision and its batches, so answers
are kept by address and name alone, and a seed is only as good as the server's.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.core.types import Completion, Decoding, FinishReason

KEY = "OPENAI_API_KEY"
AT_ONCE = 16
"""Requests under way at a time."""
TRIES, PATIENCE, TIMEOUT = 4, 0.5, 600.0
"""Attempts at a busy server, seconds before the second (doubled each time), and seconds for one answer."""
BUSY = (408, 425, 429, 500, 502, 503, 504)


def is_endpoint(spec: str) -> bool:
    """Whether a model's name is the address of a server."""
    return spec.startswith(("http://", "https://"))


def split_endpoint(spec: str) -> tuple[str, str]:
    """Address and model of `http://host/v1#name`. Raises InputError where one of them is missing."""
    address, _, model = spec.partition("#")
    if not urlsplit(address).hostname or not model:
        raise InputError(f"the endpoint {spec!r} names no host or no model: write http://host:port/v1#model")
    return address.rstrip("/"), model


class Requests:
    """Stands where a tokenizer does: keeps what is to be asked, and gives its number for the token ids."""

    chat_template = "the server's"

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": self._keep({"prompt": text})}

    def apply_chat_template(self, turns: Sequence[dict[str, str]], **options: Any) -> list[int]:
        """The number of a chat; `options` beyond the usual go to the server's template."""
        more = {name: value for name, value in options.items() if name not in ("add_generation_prompt", "return_dict")}
        return self._keep({"messages": list(turns)} | ({"chat_template_kwargs": more} if more else {}))

    def _keep(self, body: dict[str, Any]) -> list[int]:
        self.asked.append(body)
        return [len(self.asked) - 1]


class EndpointSampler:
    """A `Sampler` whose completions come from a server. The key is read from the environment (`OPENAI_API_KEY`)."""

    backend = "endpoint"
    dtype = "the server's"

    def __init__(self, spec: str) -> None:
        self.address, self.model = split_endpoint(spec)
        self.device = self.address
        self.tokenizer = Requests()

    def encode(self, prompt: str) -> list[int]:
        """The number of a user turn."""
        return self.tokenizer.apply_chat_template([{"role": "user", "content": prompt}])

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[list[Completion]]:
        """Completions of the numbered requests, several under way at once.

        Raises InputError where the server cannot be reached, refuses, or answers in another form.
        """
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda at: self._complete(prompts[at][0], at, decoding), range(len(prompts))))

    def _complete(self, number: int, index: int, decoding: Decoding) -> list[Completion]:
        """All completions of one prompt; a server that gives fewer than asked for is asked again."""
        found: list[Completion] = []
        while len(found) < decoding.n:
            body = {
                "model": self.model,
                **self.tokenizer.asked[number],
                "max_tokens": decoding.max_tokens,
                "temperature": decoding.temperature,
                "top_p": decoding.top_p,
                "n": decoding.n - len(found),
                "seed": derive(decoding.seed, "endpoint", index, len(found)) % 2**31,
            }
            if decoding.top_k:
                body["top_k"] = decoding.top_k
            found += self._answers(body)
        return found[: decoding.n]

    def _answers(self, body: dict[str, Any]) -> list[Completion]:
        answer = self._post("/chat/completions" if "messages" in body else "/completions", body)
        try:
            choices = answer["choices"]
            tokens = int((answer.get("usage") or {}).get("completion_tokens") or 0) // max(1, len(choices))
            found = [_completion(choice, tokens) for choice in choices]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(
                f"{self.address} answers in another form than OpenAI's ({type(error).__name__} {error}): is it the "
                "address of an OpenAI-compatible server, with its /v1?"
            ) from None
        if not found:
            raise InputError(f"{self.address} gave no completion of {self.model}: look into the server's log")
        return found

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        if os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {os.environ[KEY]}"
        request = urllib.request.Request(self.address + path, json.dumps(body).encode(), headers)
        for attempt in range(TRIES):
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                    return json.load(response)
            except urllib.error.HTTPError as refusal:
                said = refusal.read(300).decode("utf-8", "replace").strip()
                if refusal.code not in BUSY or attempt == TRIES - 1:
                    raise InputError(
                        f"{self.address}{path} refuses {self.model} with status {refusal.code} ({said or 'no reason'})"
                        f": check the address, the model's name and {KEY}"
                    ) from None
            except ValueError:
                raise InputError(f"{self.address}{path} answers with no JSON: is it the address of a model?") from None
            except OSError as error:
                if attempt == TRIES - 1:
                    why = getattr(error, "reason", error)
                    raise InputError(f"{self.address} cannot be reached ({why}): start the server first") from None
            time.sleep(PATIENCE * 2**attempt)
        raise AssertionError("unreachable")


def _completion(choice: dict[str, Any], tokens: int) -> Completion:
    """A choice in our words; of its tokens only the number is known."""
    text = choice["message"].get("content") if "message" in choice else choice["text"]
    reason: FinishReason = "length" if choice.get("finish_reason") == "length" else "stop"
    return Completion(text or "", (0,) * tokens, (0.0,) * tokens, reason)
