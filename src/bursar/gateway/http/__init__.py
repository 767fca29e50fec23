"""HTTP/1.1, both ways: clients in (`server`), providers out (`upstream`).

The parser is llhttp, kept strict; what it lets through and we do not is refused in `connection`.
Nothing here knows of models, keys or money. Everything has a bound: see `messages.Bounds` for
clients and `upstream.Pool` for providers.
"""
