"""Strands agents with one tool, through a gateway: Bedrock (its default), OpenAI, Anthropic.

python strands_agent.py URL KEY -> one JSON line: pairs of model class and last answer.
"""

# pyright: basic, reportMissingImports=false

import json
import sys

import boto3
from strands import Agent, tool
from strands.models import BedrockModel
from strands.models.anthropic import AnthropicModel
from strands.models.openai import OpenAIModel

URL, KEY = sys.argv[1:]


@tool
def find_order(order: int) -> str:
    """Where an order is."""
    return f"order {order} is late"


def models():
    session = boto3.Session(
        aws_access_key_id=KEY, aws_secret_access_key="unused", region_name="us-east-1"
    )
    bedrock = "us.anthropic.claude-sonnet-4-6"
    for streaming in (True, False):
        yield BedrockModel(
            model_id=bedrock, boto_session=session, endpoint_url=URL, streaming=streaming
        )
    yield OpenAIModel(client_args={"base_url": f"{URL}/v1", "api_key": KEY}, model_id="gpt-4o-mini")
    yield AnthropicModel(
        client_args={"base_url": URL, "api_key": KEY},
        model_id="claude-sonnet-4-6",
        max_tokens=500,
    )


def main():
    said = []
    for model in models():
        found = Agent(model=model, tools=[find_order], callback_handler=None)("Where is order 7?")
        said.append([type(model).__name__, str(found).strip()])
    print(json.dumps(said))


main()
