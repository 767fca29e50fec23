"""Traffic and providers that this project makes itself, for the demo, the tests and benchmarks.

`sample` writes a generated log; `server` is a provider on this machine that answers on the wire of
OpenAI, Anthropic and Bedrock and bills like them. May import: model, dialects, price. Everything
here is labelled as generated where people see it.
"""
