"""A run's folder: written from the first second, whole after a crash, continued by the same command.

runs/<recipe>/<config hash>/seed-<k>/
    config.json      resolved arguments              metrics.jsonl    one line a logged step
    manifest.json    where the numbers come from     samples.jsonl    prompts, completions, verdicts
    checkpoints/     checkpoint-<step>/              evaluations/     one file an evaluation
    report.html      written at the end              finished.json    present once the run has ended
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from rlpath.core.errors import InputError
from rlpath.core.files import TEMPORARY, Busy, disk_errors, lock, read_json, read_json_lines, sync, write_atomic

COMPLETE = "complete"
"""Marker file of a checkpoint, written last: names and sizes of all its other files."""

ANNOUNCE = "RLPATH_ANNOUNCE"
"""Environment variable naming a file to which the path of every run folder opened is added, for who started us."""

HARDWARE = ("micro_batch", "gpu_memory", "gradient_checkpointing", "log_to", "push_to_hub")
"""Fields of a configuration that say how a run is computed and watched, not what it is: it can go on with others."""

METRICS = "metrics.jsonl"
SAMPLES = "samples.jsonl"


def config_hash(config: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that two configurations share only where all their fields are equal.

    Fields hold JSON values or paths; anything else raises `TypeError` rather than hash an address.
    """
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=_plain).encode()).hexdigest()[:12]


def run_path(root: Path, recipe: str, config: Mapping[str, Any], seed: int) -> Path:
    """Where `RunFolder.open` puts a run: root/recipe/<hash of config>/seed-<seed>."""
    return Path(root) / recipe / config_hash(_shared(config)) / f"seed-{seed}"


def differing_fields(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The fields in which two configurations differ, in JSON's eyes; `seed`, `root` and `HARDWARE` are not compared."""
    one, other = (json.loads(json.dumps(_shared(config), default=_plain)) for config in (one, other))
    return sorted(name for name in {*one, *other} if name not in one or name not in other or one[name] != other[name])


def _shared(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that make a configuration what it is, for all its seeds."""
    return {name: value for name, value in config.items() if name not in ("seed", "root", *HARDWARE)}


def _plain(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{value!r} is neither a JSON value nor a path")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run left on disk, read without a lock."""

    path: Path
    config: dict[str, Any]
    manifest: dict[str, Any]
    metrics: list[dict[str, Any]]
    samples: list[dict[str, Any]]
    evaluations: dict[str, dict[str, Any]]
    finished: bool


def read_run(path: Path) -> RunRecord:
    """Read a run folder, finished or not. Raises `InputError` where `path` is not one."""
    if not (path / "config.json").is_file():
        raise InputError(f"{path} is not a run folder: it holds no config.json")
    evaluations = {file.stem: read_json(file) for file in sorted((path / "evaluations").glob("*.json"))}
    return RunRecord(
        path=path,
        config=read_json(path / "config.json"),
        manifest=read_json(path / "manifest.json") if (path / "manifest.json").exists() else {},
        metrics=read_json_lines(path / METRICS),
        samples=read_json_lines(path / SAMPLES),
        evaluations=evaluations,
        finished=(path / "finished.json").exists(),
    )


class RunFolder:
    """The folder of one run, held by one process at a time. Make one with `RunFolder.open`."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self._lock = lock
        self.labels: dict[str, str] = {}
        self.also_log: Callable[[int, Mapping[str, float]], None] | None = None
        """Called with what `log_metrics` writes: a tracker."""
        self._restart_clock()

    @classmethod
    def open(cls, root: Path, recipe: str, config: Mapping[str, Any], seed: int) -> RunFolder:
        """Create or continue `root/recipe/<hash of config>/seed-<seed>` and hold it until `close`.

        `config` is the resolved configuration; its fields `seed` and `root` do not enter the hash, so that seeds of
        one configuration lie side by side, nor do those in `HARDWARE`.

        Raises `InputError` where another process holds the folder, it cannot be
        written, or the config.json in it is not of this configuration.
        """
        path = run_path(root, recipe, config, seed)
        with disk_errors(path):
            for folder in (path, path / "checkpoints", path / "evaluations"):
                folder.mkdir(parents=True, exist_ok=True)
            run = cls(path, _hold(path))
        run._mend()
        run._refuse_other(config)
        run.write_json("config.json", {**config, "seed": seed})
        if ANNOUNCE in os.environ:
            with Path(os.environ[ANNOUNCE]).open("a", encoding="utf-8") as file:
                file.write(f"{path.resolve()}\n")
        return run

    def close(self) -> None:
        """Let go of the folder; the operating system does the same for a process that is killed."""
        self._lock.close()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- writing ------------------------------------------------------------------------------------------------

    def write_json(self, name: str, value: Any) -> Path:
        """Write `value` to `name` in the folder, atomically, and return the path."""
        path = self.path / name
        write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n")
        return path

    def write_manifest(self, facts: Mapping[str, Any]) -> None:
        """Write manifest.json; a resumed run keeps what its earlier starts said of code, packages and hardware."""
        path = self.path / "manifest.json"
        earlier = read_json(path) if path.exists() else {}
        start = {
            name: facts[name] for name in ("started", "command", "git", "rlpath", "packages", "hardware", "prereg")
        }
        self.write_json("manifest.json", {**facts, "starts": [*earlier.get("starts", []), start]})

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one line: `step`, `wall_s` (seconds of running, summed over restarts), the run's `labels`, `metrics`.

        A value that is not finite is written as null: JSON has no other word for it.
        """
        values = {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()}
        self._append(METRICS, [{"step": step, "wall_s": self._wall_seconds(), **self.labels, **values}])
        if self.also_log is not None:
            self.also_log(step, metrics)

    def log_samples(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append sample rows (`step`, prompt, completion, verdict …). A row without `step` survives every rewind."""
        self._append(SAMPLES, rows)

    def _append(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        text = "".join(_line(row) for row in rows)
        path = self.path / name
        with disk_errors(path), path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()

    # -- reading back and continuing ----------------------------------------------------------------------------

    def metrics(self) -> list[dict[str, Any]]:
        """The logged lines so far, oldest first."""
        return read_json_lines(self.path / METRICS)

    def rewind(self, step: int) -> None:
        """Drop metric and sample lines of later steps than `step`, which a resumed run will write again.

        `step` is the step of the checkpoint gone on from, -1 where there is none.
        """
        self._rewrite(METRICS, lambda row: row.get("step", 0) <= step)
        self._rewrite(SAMPLES, lambda row: row.get("step", 0) <= step)
        self._restart_clock()

    def _rewrite(self, name: str, keep: Callable[[dict[str, Any]], bool]) -> None:
        path = self.path / name
        if path.exists():
            kept = [row for row in read_json_lines(path) if keep(row)]
            write_atomic(path, "".join(_line(row) for row in kept))

    def _refuse_other(self, config: Mapping[str, Any]) -> None:
        path = self.path / "config.json"
        if path.exists() and (differing := differing_fields(read_json(path), config)):
            self.close()
            raise InputError(
                f"{path} differs from this run in {', '.join(differing)}: it was edited or copied here; "
                "move the folder away, or give it the configuration it was made with"
            )

    def _mend(self) -> None:
        """Remove what a crash left: files not yet in place, and a half-written last line that the next would join."""
        for leftover in self.path.rglob(f".*{TEMPORARY}"):
            leftover.unlink()
        for name in (METRICS, SAMPLES):
            path = self.path / name
            if path.exists() and not path.read_bytes().endswith(b"\n"):
                self._rewrite(name, lambda _: True)

    # -- checkpoints --------------------------------------------------------------------------------------------

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints, one `checkpoint-<step>` each."""
        return self.path / "checkpoints"

    def mark_complete(self, checkpoint: Path, *, keep: int | None = None) -> None:
        """Say that every file of `checkpoint` is written; until then it does not count.

        With `keep`, all but the newest `keep` complete checkpoints are removed, after the new one counts.
        """
        if keep is not None and keep < 1:
            raise ValueError(f"at least one checkpoint is kept, got keep={keep}")
        with disk_errors(checkpoint):
            sizes = _sizes(checkpoint)
            for name in sizes:
                sync(checkpoint / name)
            write_atomic(checkpoint / COMPLETE, json.dumps(sizes, indent=2) + "\n")
            for old in self._complete()[:-keep] if keep else []:
                _remove(old)

    def last_checkpoint(self) -> Path | None:
        """The complete checkpoint of the highest step; half-written and half-removed ones are cleared away."""
        complete = self._complete()
        for folder in self.checkpoints.glob("checkpoint-*"):
            if folder not in complete:
                _remove(folder)
        return complete[-1] if complete else None

    def _complete(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        found = [folder for folder in self.checkpoints.glob("checkpoint-*") if _is_complete(folder)]
        return sorted(found, key=lambda folder: int(folder.name.removeprefix("checkpoint-")))

    # -- the end ------------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether the run has ended as planned."""
        return (self.path / "finished.json").exists()

    def mark_finished(self) -> None:
        """Say that the run has ended as planned, and how long it ran."""
        ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.write_json("finished.json", {"finished": ended, "wall_s": self._wall_seconds()})

    def _restart_clock(self) -> None:
        # Time spent on steps that were lost and are run again is not counted twice.
        self._wall_before = max((row.get("wall_s", 0.0) for row in self.metrics()), default=0.0)
        self._started = time.monotonic()

    def _wall_seconds(self) -> float:
        return round(self._wall_before + time.monotonic() - self._started, 3)


def _sizes(checkpoint: Path) -> dict[str, int]:
    """Bytes of every file in a checkpoint but its marker, by name."""
    files = [file for file in sorted(checkpoint.rglob("*")) if file.is_file() and file.name != COMPLETE]
    return {file.relative_to(checkpoint).as_posix(): file.stat().st_size for file in files}


def _is_complete(checkpoint: Path) -> bool:
    marker = checkpoint / COMPLETE
    if not checkpoint.name.removeprefix("checkpoint-").isdigit() or not marker.is_file():
        return False
    present = _sizes(checkpoint)
    return all(present.get(name) == size for name, size in read_json(marker).items())


def _remove(checkpoint: Path) -> None:
    # The marker goes first: what is half removed must not count.
    (checkpoint / COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(checkpoint)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _hold(path: Path) -> IO[str]:
    try:
        return lock(path / ".lock")
    except Busy as holder:
        remedy = "wait for it or choose another seed or output folder"
        raise InputError(f"run folder {path} is in use by process {holder}; {remedy}") from None
