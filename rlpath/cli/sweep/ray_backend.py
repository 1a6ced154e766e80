"""Jobs as tasks of a Ray cluster (https://docs.ray.io): the same commands, wherever there is room.

Ray runs a task again whose worker dies. The recipe's process dies with the worker, and its run folder lets the second
try go on from the last checkpoint: a seed is neither lost nor counted twice. Workers on other machines must see the
same folders and have rlpath installed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from rlpath.core.errors import InputError
from rlpath.runs.processes import Job, start, stop

RETRIES = 3
"""How often a job whose worker died is started again."""
LOST = 128 + 9
"""The status of a job whose worker died every time."""


def run_on_ray(
    jobs: Sequence[Job], address: str, workers: int, gpus: float, on_end: Callable[[Job, int], None]
) -> dict[str, int]:
    """Run `jobs` on the cluster at `address` and return each one's exit status by its name.

    `address` is "auto" for the cluster that this machine belongs to, "local" for one of `workers` slots that lasts as
    long as this call, or a cluster's address. A job takes as many cores as it has threads, and `gpus` GPUs. Raises
    `InputError` where ray is not installed or no cluster answers.
    """
    ray = _connect(address, workers)
    ended = ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError
    statuses: dict[str, int] = {}
    try:
        remote = ray.remote(run_job)
        pending = {
            remote.options(num_cpus=job.threads, num_gpus=gpus, max_retries=RETRIES, name=job.name).remote(job): job
            for job in jobs
        }
        while pending:
            ready, _ = ray.wait(list(pending), num_returns=1)
            for reference in ready:
                job = pending.pop(reference)
                try:
                    statuses[job.name] = ray.get(reference)
                except ended:
                    statuses[job.name] = LOST
                on_end(job, statuses[job.name])
    finally:
        ray.shutdown()
    return statuses


def run_job(job: Job) -> int:
    """In a worker: run the job's command and return its exit status."""
    process = start(job)
    try:
        return process.wait()
    finally:
        stop(process)


def _connect(address: str, workers: int) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A worker computes in a child of its own, which is told its threads; Ray's own word on them is not needed.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise InputError("--backend ray needs Ray: pip install 'rlpath[ray]'") from None
    settings: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if "PYTHONPATH" in os.environ:
        settings["runtime_env"] = {"env_vars": {"PYTHONPATH": os.environ["PYTHONPATH"]}}
    if address == "local":
        settings |= {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address=address, **settings)
    except ConnectionError:
        remedy = "start one with `ray start --head`, or use --ray-address local"
        raise InputError(f"no Ray cluster answers at {address!r}: {remedy}") from None
    return ray
