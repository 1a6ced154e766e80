"""A taskset of verifiers whose tasks prepare a container, and one with an environment of several agents."""

from typing import Any

import verifiers.v1 as vf  # pyright: ignore[reportMissingImports]


class BoxedTask(vf.Task[vf.TaskData]):
    async def setup(self, trace: Any, runtime: Any) -> None:
        raise AssertionError("never called")


class Boxed(vf.Taskset[BoxedTask, vf.TasksetConfig]):
    def load(self) -> list[BoxedTask]:
        return []


__all__ = ["Boxed"]
