"""The gateway: clients in, providers out, every paid attempt recorded once.

`serving` starts it, `supervisor` is the parent of all, `worker` one event loop. `routes` lets
requests in, `order` decides about a call, `carriage` carries it; the rest are their tools. The walk
of a call stands in notes/0005-gateway.md.
"""
