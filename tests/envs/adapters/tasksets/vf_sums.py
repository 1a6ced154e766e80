"""A taskset of verifiers that is answered at once."""

from collections.abc import Iterator

import verifiers.v1 as vf  # pyright: ignore[reportMissingImports]


class SumData(vf.TaskData):
    answer: str = ""


class SumTask(vf.Task[SumData]):
    @vf.reward(weight=0.75)
    async def right(self, trace: vf.Trace) -> float:
        if "crash" in trace.last_reply:
            raise RuntimeError("the reward broke")
        return float(trace.last_reply.split()[-1:] == [self.data.answer])

    @vf.reward(weight=0.25)
    async def form(self, trace: vf.Trace) -> float:
        return float(trace.last_reply.startswith("Answer:"))


class SumConfig(vf.TasksetConfig):
    count: int = 40
    split: str = "train"
    odd: str = ""


class Sums(vf.Taskset[SumTask, SumConfig]):
    def load(self) -> Iterator[SumTask]:
        picture = vf.ImageUrlContentPart(image_url=vf.ImageUrlSource(url="data:image/png;base64,"))
        prompts = {
            "image": [vf.UserMessage(content=[vf.TextContentPart(text="What is it?"), picture])],
            "talk": [vf.UserMessage(content="a"), vf.AssistantMessage(content="b"), vf.UserMessage(content="c")],
            "silent": None,
        }
        for a in range(self.config.count):
            prompt = prompts.get(self.config.odd, f"{a} + 1?")
            image = "python:3" if self.config.odd == "box" else None
            system = None if self.config.odd else "Be brief."
            yield SumTask(
                SumData(prompt=prompt, system_prompt=system, answer=str(a + 1), image=image), self.config.task
            )


__all__ = ["Sums"]
