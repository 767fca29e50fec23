"""pydantic-ai agents with one tool, through a gateway: OpenAI chat and responses, Anthropic.

python pydantic_ai_agent.py URL KEY -> one JSON line: pairs of model class and last answer.
"""

# pyright: basic, reportMissingImports=false

import asyncio
import json
import sys

from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

URL, KEY = sys.argv[1:]


def find_order(order: int) -> str:
    """Where an order is."""
    return f"order {order} is late"


def models():
    ours = OpenAIProvider(base_url=f"{URL}/v1", api_key=KEY)
    yield OpenAIChatModel("gpt-4o-mini", provider=ours)
    yield OpenAIResponsesModel("gpt-4o-mini", provider=ours)
    yield AnthropicModel("claude-sonnet-4-6", provider=AnthropicProvider(base_url=URL, api_key=KEY))


async def main():
    said = []
    for model in models():
        agent = Agent(model, tools=[find_order])
        found = await agent.run("Where is order 7?")
        said.append([type(model).__name__, found.output])
        async with agent.run_stream("Where is order 8?") as streamed:
            said.append([type(model).__name__, await streamed.get_output()])
    print(json.dumps(said))


asyncio.run(main())
