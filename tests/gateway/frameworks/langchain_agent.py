"""LangChain agents with one tool, through a gateway: OpenAI, Anthropic and Bedrock.

python langchain_agent.py URL KEY -> one JSON line: name of the model's class -> the last answer.
"""

# pyright: basic, reportMissingImports=false

import json
import sys

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_aws import ChatBedrockConverse
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

URL, KEY = sys.argv[1:]


@tool
def find_order(order: int) -> str:
    """Where an order is."""
    return f"order {order} is late"


def models():
    yield ChatOpenAI(model="gpt-4o-mini", base_url=f"{URL}/v1", api_key=KEY)
    yield ChatOpenAI(model="gpt-4o-mini", base_url=f"{URL}/v1", api_key=KEY, use_responses_api=True)
    yield ChatOpenAI(model="gpt-4o-mini", base_url=f"{URL}/v1", api_key=KEY, streaming=True)
    yield ChatAnthropic(model="claude-sonnet-4-6", base_url=URL, api_key=KEY, max_tokens=500)
    yield ChatBedrockConverse(
        model="us.anthropic.claude-sonnet-4-6",
        endpoint_url=URL,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key="unused",
    )


def main():
    said = []
    for model in models():
        agent = create_agent(model, [find_order])
        found = agent.invoke({"messages": [{"role": "user", "content": "Where is order 7?"}]})
        said.append([type(model).__name__, found["messages"][-1].text])
    print(json.dumps(said))


main()
