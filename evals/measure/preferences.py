"""Published human preferences: HH-RLHF (harmless), PandaLM, and LLMBar's adversarial pairs.

Of HH-RLHF and PandaLM what `$RLPATH_DATA/preference` holds is their authors' test file, and there is no training file.
It is split here, once and for all, by the hash of the opening turn: three quarters may be trained on and a quarter is
held out. So a model trained on these may not be reported on the published test set; the source says as much.
LLMBar (arXiv 2310.07641) is never trained on.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from rlpath.core.errors import InputError, Unreachable
from rlpath.core.types import ExampleSet, Preference, Turn
from rlpath.envs.files import data_file
from rlpath.envs.preferences import one_side, read_preferences
from rlpath.envs.splits import Side

Human = Literal["hh-harmless", "pandalm"]
HH = "preference/hh_rlhf_harmless_base_test.jsonl.gz"
PANDALM = "preference/pandalm_testset-v1.json"
LLMBAR = "preference/llmbar_{part}.json"
LLMBAR_PARTS = ("adv_neighbor", "adv_gptinst", "adv_gptout", "adv_manual", "natural")
OUR_SPLIT = " (the authors' test file, split by us)"
_SPEAKER = re.compile(r"\n\n(Human|Assistant): ?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def human_preferences(name: str, split: Side, *, size: int | None = None, seed: int = 0) -> ExampleSet[Preference]:
    """One side of `hh-harmless`, `pandalm`, or of a JSON-lines file of your own, in an order fixed by `seed`.

    Raises InputError where the set is not at hand, or a row is malformed.
    """
    if name not in get_args(Human):
        path = Path(name).expanduser()
        if not path.is_file():
            raise InputError(f"preferences {name!r} are none of {', '.join(get_args(Human))}, nor a JSON-lines file")
        return one_side(read_preferences(path), path.stem, str(path), split, size=size, seed=seed)
    path = _find(HH if name == "hh-harmless" else PANDALM)
    pairs, left_out = _hh(path) if name == "hh-harmless" else _pandalm(path)
    return one_side(pairs, name, f"{path}{OUR_SPLIT}", split, size=size, seed=seed, left_out=left_out, together=opening)


def opening(prompt: Sequence[Turn]) -> str:
    """The first turn: HH-RLHF has several cuts of one conversation, which must not be divided."""
    return prompt[0].content


def llmbar(part: str) -> ExampleSet[Preference]:
    """One part of LLMBar: in the `adv_` parts the worse answer looks better. For evaluation alone."""
    path = _find(LLMBAR.format(part=part))
    pairs = [
        Preference(f"{part}-{number}", (Turn("user", row["input"].strip()),), *_ordered(row, path))
        for number, row in enumerate(_json_list(path))
    ]
    return ExampleSet(f"llmbar:{part}", "test", tuple(pairs), str(path))


def _ordered(row: dict[str, Any], path: Path) -> tuple[str, str]:
    outputs = {1: row["output_1"], 2: row["output_2"]}
    if row.get("label") not in outputs:
        raise InputError(f"{path}: a label is {row.get('label')!r}, neither 1 nor 2")
    return outputs[row["label"]].strip(), outputs[3 - row["label"]].strip()


def _hh(path: Path) -> tuple[list[Preference], list[str]]:
    pairs, odd = [], 0
    for number, row in enumerate(_gzip_lines(path), start=1):
        chosen, rejected = dialogue(row["chosen"]), dialogue(row["rejected"])
        prompt, roles = chosen[:-1], [turn.role for turn in chosen[-2:]]
        if (
            prompt != rejected[:-1]
            or roles != ["user", "assistant"]
            or not (chosen[-1].content and rejected[-1].content)
        ):
            odd += 1
            continue
        pairs.append(Preference(f"hh-{number}", tuple(prompt), chosen[-1].content, rejected[-1].content))
    note = f"{odd} of {odd + len(pairs)} pairs of HH-RLHF have an empty answer or two different prompts: left out"
    return pairs, [note] if odd else []


def dialogue(text: str) -> list[Turn]:
    """The turns of an HH-RLHF transcript ("\\n\\nHuman: ...\\n\\nAssistant: ..."), without outer blanks."""
    parts = _SPEAKER.split(text)
    return [Turn(_ROLES[parts[i]], parts[i + 1].strip()) for i in range(1, len(parts), 2)]


def _pandalm(path: Path) -> tuple[list[Preference], list[str]]:
    """Pairs that most of the three annotators decided the same way."""
    rows = _json_list(path)
    pairs = []
    for row in rows:
        votes = Counter(row[f"annotator{k}"] for k in (1, 2, 3))
        winner, count = votes.most_common(1)[0]
        if winner not in (1, 2) or count < 2:
            continue
        asked = "\n\n".join(part for part in (row["instruction"].strip(), row["input"].strip()) if part)
        answers = [row[f"response{winner}"], row[f"response{3 - winner}"]]
        # One response is the boolean true: whatever it was has been lost.
        if all(isinstance(answer, str) and answer.strip() for answer in answers):
            prompt = (Turn("user", asked),)
            pairs.append(Preference(f"pandalm-{row['idx']}", prompt, answers[0].strip(), answers[1].strip()))
    missing = len(rows) - len(pairs)
    note = f"{missing} of {len(rows)} pairs of PandaLM are ties, undecided or have an empty answer: left out"
    return pairs, [note] if missing else []


def _find(relative: str) -> Path:
    path = data_file(relative)
    if path is None:
        raise Unreachable(f"no preferences: set RLPATH_DATA to a folder that holds {relative}, or name a file of yours")
    return path


def _json_list(path: Path) -> Sequence[dict[str, Any]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON: fetch it again") from error
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path} does not hold a list of pairs: fetch it again")
    return rows


def _gzip_lines(path: Path) -> list[dict[str, Any]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}): fetch it again") from error
    if not rows:
        raise InputError(f"{path} is empty: fetch it again")
    return rows
