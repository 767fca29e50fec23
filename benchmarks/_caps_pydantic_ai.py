"""Agents of pydantic-ai that share one usage under `UsageLimits(cost_limit=...)`, many at once.

Run by `caps_beside.py` with the Python of an environment that has pydantic-ai; needs nothing of
Bursar. Its one argument is JSON: url, model, prompt, calls, sockets, max_tokens, budget, seconds.
One usage for parallel runs is what its documents show for delegates and parallel tools. It is kept
in memory, so there is nothing to share between two nodes.
"""

import asyncio
import json
import sys
import time
from decimal import Decimal
from importlib.metadata import version

from openai import AsyncOpenAI
from pydantic_ai import Agent, UsageLimitExceeded, UsageLimits
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import RunUsage


async def run(wish: dict) -> dict:
    sockets = wish["sockets"]
    client = AsyncOpenAI(base_url=wish["url"], api_key="none", max_retries=0, timeout=120)
    model = OpenAIChatModel(wish["model"], provider=OpenAIProvider(openai_client=client))
    agent = Agent(model, model_settings={"max_tokens": wish["max_tokens"]})
    usage = RunUsage()
    limits = UsageLimits(cost_limit=Decimal(wish["budget"]), request_limit=None)
    found: dict = {"sent": 0, "answered": 0, "refused": 0, "failed": 0, "most": 0}
    numbers = iter(range(wish["calls"]))
    now, ends = 0, time.monotonic() + wish["seconds"]

    async def person() -> None:
        nonlocal now
        for number in numbers:
            if time.monotonic() > ends:
                return
            found["sent"] += 1
            now += 1
            found["most"] = max(found["most"], now)
            prompt = wish["prompt"].replace("000000", f"{number:06d}")
            try:
                await agent.run(prompt, usage=usage, usage_limits=limits)
                found["answered"] += 1
            except UsageLimitExceeded:
                found["refused"] += 1
            except Exception as bad:  # noqa: BLE001 - counted and told
                found["failed"] += 1
                found["why"] = str(bad)[:200]
            now -= 1

    await asyncio.gather(*(person() for _ in range(min(sockets, wish["calls"]))))
    return {
        **found,
        "own": str(usage.cost),
        "version": version("pydantic-ai-slim"),
        "prices": version("genai-prices"),
    }


print(json.dumps(asyncio.run(run(json.loads(sys.argv[1])))))
