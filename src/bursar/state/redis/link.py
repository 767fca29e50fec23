"""One connection to the server: what it takes to open it, and to have a batch done on it.

redis-py's connection is used by itself, without its client and pool: those retry behind our back,
wait without an end for a reply, and cost more for each command than the script does. Everything
here ends by the deadline of its caller. A cluster may say that the keys are elsewhere; since all
of them lie in one slot, it is enough to go there.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bursar import extras
from bursar.model.errors import BadInput
from bursar.state.redis.script import read_script
from bursar.state.redis.wire import Operation
from bursar.state.terms import StoreLost

Reply = tuple[str, int, list[Any] | bool]
"""Life, how many nodes have told in it, and the answers; False: nothing was done."""
HOPS = 3
"""So often a cluster may send us on."""


class Link:
    """Opens connections to one address, and holds the one that is open."""

    def __init__(self, url: str, name: str) -> None:
        self.redis = extras.redis()
        self.place, self._kind, self._words = self._parse(url)
        self._moved: dict[str, Any] = {}
        self._life_key = f"{{bursar:{name}}}:life"
        self._script, self._sha = read_script()
        self._connection: Any = None
        self.errors = (self.redis.RedisError, OSError, EOFError, msgspec.DecodeError)
        """What may go wrong with it; asyncio's timeout is an OSError too."""

    def _parse(self, url: str) -> tuple[str, Any, dict[str, Any]]:
        mend = "write redis://host:6379/0, rediss://... with TLS, or unix:///path/to/socket"
        try:
            words = dict(self.redis.parse_url(url))
            kind = words.pop("connection_class", self.redis.Connection)
            # The deadline is the caller's; the driver's own would be a second one.
            words = {"socket_timeout": None, "protocol": 2, "driver_info": None, **words}
            kind(**words)
        except (ValueError, TypeError, self.redis.RedisError):
            # Not the driver's words: they may quote the password.
            raise BadInput("the address of Redis cannot be read", mend=mend) from None
        place = words.get("path") or f"{words.get('host', 'localhost')}:{words.get('port', 6379)}"
        return str(place), kind, words

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    async def open(self) -> None:
        """Connect and see that the server keeps what it is given."""
        await self.close()
        connection = self._connection = self._kind(**{**self._words, **self._moved})
        await connection.connect()
        try:
            memory = await self._command("INFO", "memory")
        except self.redis.ResponseError:
            return  # a managed server may not tell
        facts = dict(line.split(":", 1) for line in memory.decode().split("\r\n") if ":" in line)
        policy = facts.get("maxmemory_policy", "noeviction")
        if facts.get("maxmemory", "0") != "0" and policy != "noeviction":
            raise StoreLost(
                f"Redis at {self.place} forgets keys when it is full (maxmemory-policy {policy})",
                mend="set maxmemory-policy noeviction, or use a server of its own for budgets",
            )

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def run(self, head: tuple[Any, ...], operations: list[Operation]) -> Reply:
        """Have a batch done."""
        batch = msgspec.msgpack.encode((*head, operations))
        for _ in range(HOPS):
            try:
                try:
                    packed = await self._command("EVALSHA", self._sha, 1, self._life_key, batch)
                except self.redis.NoScriptError:
                    packed = await self._command("EVAL", self._script, 1, self._life_key, batch)
                return msgspec.msgpack.decode(packed, type=Reply)
            except self.redis.MovedError as moved:
                self._moved = {"host": moved.host, "port": moved.port}
                await self.open()
        raise StoreLost(f"the cluster at {self.place} sends us from one node to the next")

    def forget_moves(self) -> None:
        """Begin at the address that was given: where we were sent is not there any more."""
        self._moved = {}

    async def _command(self, *words: Any) -> Any:
        await self._connection.send_command(*words)
        return await self._connection.read_response()
