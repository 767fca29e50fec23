"""Traffic and providers that this project makes itself, for the demo, the tests and benchmarks.

May import: model, dialects, price. Everything here is labelled as generated where people see it.
"""
