"""A taskset of verifiers with a tool server that keeps state, a stop condition, and rewards for deeds and words."""

from typing import Any

import verifiers.v1 as vf  # pyright: ignore[reportMissingImports]


class ShopState(vf.State):
    bought: list[str] = []  # noqa: RUF012 - pydantic copies it


class ShopTools(vf.Toolset[vf.ToolsetConfig, ShopState]):
    TOOL_PREFIX = "shop"

    async def setup_task(self, task: Any) -> None:
        self.stock = {"pear": task.price}

    @vf.tool
    def price(self, thing: str) -> str:
        """The price of a thing."""
        return str(self.stock[thing])

    @vf.tool
    async def buy(self, thing: str, count: int = 1) -> dict[str, int]:
        """Buy things.

        Args:
            count: how many
        """
        self.state.bought += [thing] * count
        return {"bought": count}


class ShopData(vf.TaskData):
    price: int = 0


class ShopConfig(vf.TaskConfig):
    tools: vf.ToolsetConfig = vf.ToolsetConfig()


class ShopTask(vf.Task[ShopData, ShopState, ShopConfig]):
    @classmethod
    def toolsets(cls, config: ShopConfig) -> list[Any]:
        return [ShopTools(config.tools)]

    @vf.reward(weight=0.5)
    async def bought(self, trace: vf.Trace) -> float:
        return float(trace.state.bought == ["pear", "pear"])

    @vf.reward(weight=0.5)
    async def told(self, trace: vf.Trace) -> float:
        return float(trace.last_reply == str(2 * self.data.price))

    @vf.stop
    async def too_many(self, trace: vf.Trace) -> bool:
        return len(trace.state.bought) > 4


class ShopTasksetConfig(vf.TasksetConfig):
    task: ShopConfig = ShopConfig()


class Shop(vf.Taskset[ShopTask, ShopTasksetConfig]):
    def load(self) -> list[ShopTask]:
        return [ShopTask(ShopData(prompt=f"Buy two pears for {p} each.", price=p), self.config.task) for p in range(20)]


__all__ = ["Shop"]
