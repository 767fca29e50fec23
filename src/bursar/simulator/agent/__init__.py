"""An agent of an invented company, to drive a gateway and a simulated provider as people would.

`cast` holds what it is given to do and what the simulated model will say to it, all made up under a
seed; `work` does it, with the real clients of OpenAI and Anthropic. Knows no gateway: it calls the
address that it is told. Whatever comes of it is labelled as generated.
"""
