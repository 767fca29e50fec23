"""The store on Redis or Valkey, for many processes and machines: each step is atomic in a script.

All keys of an installation carry one hash tag, `{bursar:<name>}`, so they lie in one slot of a
cluster and a call's claims on any accounts are still one step. Integers only. The time is that of
the callers; the server's own only decides when a key that can no longer count is dropped.

store.py      the steps of `terms.Store`, as operations
line.py       operations that wait go to the server together; what happens when it is away
link.py       one connection
wire.py       operations and answers as MessagePack; names are hashed, numbers bounded
script.py     reads `lua/`
lua/          accounts, reservations, the steps, and the lives of a store
"""

from bursar.state.redis.store import RedisStore

__all__ = ["RedisStore"]
