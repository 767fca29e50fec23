"""The gateways of `caps_beside.py`: how each is told its budgets, and who calls it in which name.

Every cell of the comparison gets a name of its own (a tenant, a session, an end user), so that no
budget has been touched before. Two nodes share one Redis; each node is a process of its own.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.error import URLError
from urllib.request import urlopen

from _caps_client import HOST, Ask, request
from _caps_stage import Stage, Trouble, bursar, free_port

from bursar.gateway.settings.keys import new_key

MODEL = "gpt-4.1"
MARK = b"000000"
"""Stands in the prompt for the number of the call."""
Headers = tuple[tuple[str, str], ...]


class Cell(NamedTuple):
    """One name with one budget."""

    scope: str
    name: str


class Wish(NamedTuple):
    """How calls are asked, whoever asks."""

    prompt: str
    max_tokens: int
    system: str = ""
    stream: bool = False
    simulate: Sequence[str] = ()
    """By the number of the call: what the provider is asked to do."""


class Tool(Protocol):
    """A gateway that runs."""

    title: str
    ports: list[int]

    def headers(self, cell: Cell) -> Headers: ...

    def extra(self, cell: Cell) -> Mapping[str, Any]:
        """Of the body."""
        ...

    def ready(self, cell: Cell) -> None:
        """Before the first call of a cell."""
        ...

    def counter(self, cell: Cell) -> str:
        """What the tool itself believes was spent, in dollars."""
        ...


def messages_of(prompt: str, system: str = "") -> list[dict[str, str]]:
    head = [{"role": "system", "content": system}] if system else []
    return [*head, {"role": "user", "content": prompt}]


def asking(tool: Tool, cell: Cell, wish: Wish) -> Ask:
    """The bytes of each call."""
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": messages_of(wish.prompt, wish.system),
        "max_tokens": wish.max_tokens,
        **tool.extra(cell),
    }
    if wish.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    raw = json.dumps(body).encode()
    assert raw.count(MARK) == 1
    own = tool.headers(cell)

    def ask(number: int) -> bytes:
        headers = [*own, ("x-client-request-id", str(number))]
        if wish.simulate:
            headers.append(("x-simulate", wish.simulate[number]))
        return request(raw.replace(MARK, b"%06d" % number), headers)

    return ask


# -- Bursar

EACH = {"tenant": "tenant", "session": "session", "end user": "user"}
"""Scope -> the tag that has an account of its own."""
NOBODY, PROVIDER = "no end user named", "provider"
OWN = {NOBODY: "user", PROVIDER: "provider"}
"""Scope -> the tag of which all cells have the same value, so that each has a budget of its own."""
FREE = "free"
"""Never refused; yet under a budget, since Bursar learns lengths only where a budget asks."""


class Bursar:
    """`bursar serve`, with as many nodes as are asked for."""

    def __init__(
        self, stage: Stage, cells: Sequence[Cell], budget: str, nodes: int, **more: Any
    ) -> None:
        """`more`: of each budget, such as `wait`."""
        self.title = "Bursar"
        self.ports = [free_port() for _ in range(nodes)]
        self._keys = {cell: new_key(_plain(cell)) for cell in cells}
        self._stage, self._processes = stage, []
        settings = self._settings(stage, budget, nodes, more)
        for number, port in enumerate(self.ports):
            home = stage.folder / f"bursar-{port}"
            home.mkdir()
            state = {**settings["state"], "node": f"node-{number}"} if nodes > 1 else {}
            file = home / "bursar.yaml"
            file.write_text(json.dumps({**settings, "state": state}))
            name = f"bursar-{port}"
            words = bursar("serve", str(file), "--port", str(port))
            self._processes.append(stage.start(name, words, {"BURSAR_HOME": str(home)}))
        for port in self.ports:
            stage.wait(f"bursar-{port}", port, "/ready")

    def _settings(
        self, stage: Stage, budget: str, nodes: int, more: Mapping[str, Any]
    ) -> dict[str, Any]:
        def rule(scope: str, each: str) -> dict[str, Any]:
            where = {"tags": {"team": scope}}
            return {"limit": budget, "every": "day", "each": each, "where": where, **more}

        budgets = {tag: rule(tag, tag) for tag in EACH.values()}
        budgets[FREE] = {**rule(FREE, "tenant"), "limit": "$100_000"}
        for cell in self._keys:
            if cell.scope in OWN:
                budgets[_plain(cell)] = rule(_plain(cell), OWN[cell.scope])
        keys = {
            _plain(cell): {"sha256": digest, "tenant": _plain(cell)}
            for cell, (_, digest) in self._keys.items()
        }
        upstream = {"base_url": stage.provider_url, "private": True, "key": "none"}
        store = f"redis://{HOST}:{stage.redis_port}/1"
        name = f"caps-{free_port()}"
        return {
            "providers": {"openai": upstream},
            "keys": keys,
            "budgets": budgets,
            "state": {"store": store, "nodes": nodes, "name": name},
        }

    def headers(self, cell: Cell) -> Headers:
        who = _plain(cell)
        scope = EACH.get(cell.scope, who if cell.scope in OWN else FREE)
        named = [("authorization", f"Bearer {self._keys[cell][0]}"), ("x-bursar-team", scope)]
        if cell.scope in ("session", "end user"):
            named.append((f"x-bursar-{EACH[cell.scope]}", who))
        return tuple(named)

    def extra(self, cell: Cell) -> Mapping[str, Any]:
        return {}

    def ready(self, cell: Cell) -> None:
        return None

    def counter(self, cell: Cell) -> str:
        """The gauge of the account on each node's metrics page; the store is shared."""
        tag = (EACH | OWN)[cell.scope]
        value = {NOBODY: "", PROVIDER: "openai"}.get(cell.scope, _plain(cell))
        cap = _plain(cell) if cell.scope in OWN else tag
        found: list[str] = []
        for port in self.ports:
            try:
                with urlopen(f"http://{HOST}:{port}/metrics", timeout=5) as page:
                    lines = page.read().decode().splitlines()
            except (URLError, OSError):
                continue
            found += [
                line.rpartition(" ")[2]
                for line in lines
                if line.startswith("bursar_cap_posted{")
                and f'cap="budgets.{cap}"' in line
                and f'scope="{tag}={value}"' in line
            ]
        return f"${max(map(float, found)):.4f}" if found else "not shown"

    def stop(self) -> None:
        self._stage.end(*self._processes)


def _plain(cell: Cell) -> str:
    return f"{cell.scope}-{cell.name}".replace(" ", "-")


# -- LiteLLM

AUTH = '''\
"""Keys as a database would tell them: each may spend as much as is written here."""
from litellm.proxy._types import UserAPIKeyAuth, hash_token
from litellm.proxy.agent_endpoints.agent_registry import global_agent_registry

async def user_api_key_auth(request, api_key):
    scope, _, name = api_key.removeprefix("sk-").partition(".")
    token = hash_token(api_key)
    if scope == "tenant":
        return UserAPIKeyAuth(api_key=api_key, token=token, max_budget={budget})
    if scope == "user":
        return UserAPIKeyAuth(
            api_key=api_key, token=token, end_user_id=name, end_user_max_budget={budget}
        )
    if scope == "session":
        agent = global_agent_registry.get_agent_by_name("caps")
        return UserAPIKeyAuth(api_key=api_key, token=token, agent_id=agent.agent_id)
    return UserAPIKeyAuth(api_key=api_key, token=token)
'''
NO_DATABASE = (
    "LiteLLM's virtual keys in PostgreSQL: its Prisma client downloads a query engine from a host"
    " of its own, which is not reached here. Keys come from its `custom_auth` hook instead, with"
    " `custom_auth_run_common_checks`: the same reservation in Redis decides. Without a database it"
    " never settles what it reserved, which is kind to it here, where that is the cost"
)


class LiteLLM:
    """`litellm --config`, each node with the same Redis. `providers`: their budgets, no keys.

    Its pool of connections to Redis is larger than by default: with that, calls beyond a thousand
    at once found none free, lost their reservations, and passed ten times the budget.
    """

    def __init__(
        self, stage: Stage, place: Path, budget: float, nodes: int, *, providers: bool = False
    ) -> None:
        program = place / "bin" / "litellm"
        if not program.exists():
            raise Trouble(f"there is no {program}")
        if stage.redis_program is None:
            raise Trouble("there is no redis-server here")
        self.title = "LiteLLM"
        self.ports = [free_port() for _ in range(nodes)]
        self._stage, self._processes = stage, []
        stage.redis("FLUSHALL")
        self._master = f"sk-{secrets.token_hex(24)}"
        folder = stage.folder / f"litellm-{self.ports[0]}"
        folder.mkdir()
        (folder / "caps_auth.py").write_text(AUTH.format(budget=budget))
        config = folder / "config.yaml"
        config.write_text(json.dumps(self._config(stage, budget, providers)))
        more = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MASTER_KEY": self._master,
            "PYTHONPATH": "",
        }
        for port in self.ports:
            name = f"litellm-{port}"
            words = ["--config", str(config), "--port", str(port), "--host", HOST]
            words += ["--num_workers", "1", "--telemetry", "False"]
            self._processes.append(stage.start(name, [str(program), *words], more))
        for port in self.ports:
            stage.wait(f"litellm-{port}", port, "/health/liveliness")

    def _config(self, stage: Stage, budget: float, providers: bool) -> dict[str, Any]:
        redis = {"host": HOST, "port": stage.redis_port}
        upstream = {
            "model": f"openai/{MODEL}",
            "api_base": stage.provider_url,
            "api_key": "none",
            "max_retries": 0,
        }
        config: dict[str, Any] = {
            "model_list": [{"model_name": MODEL, "litellm_params": upstream}],
            "litellm_settings": {
                "cache": True,
                "cache_params": {
                    "type": "redis",
                    "supported_call_types": [],
                    "max_connections": 2000,
                    **redis,
                },
                "num_retries": 0,
                "request_timeout": 300,
            },
            "router_settings": {"redis_host": HOST, "redis_port": stage.redis_port},
            "general_settings": {"forward_client_headers_to_llm_api": True},
        }
        if providers:
            limit = {"budget_limit": budget, "time_period": "1d"}
            config["router_settings"]["provider_budget_config"] = {"openai": limit}
            return config
        card = {"name": "caps", "url": "http://127.0.0.1:1", "version": "1"}
        limits = {"max_budget_per_session": budget}
        config["agents"] = [
            {"agent_name": "caps", "agent_card_params": card, "litellm_params": limits}
        ]
        config["general_settings"] |= {
            "custom_auth": "caps_auth.user_api_key_auth",
            "custom_auth_run_common_checks": True,
        }
        return config

    def headers(self, cell: Cell) -> Headers:
        return (("authorization", f"Bearer {self._key(cell)}"),)

    def extra(self, cell: Cell) -> Mapping[str, Any]:
        if cell.scope == "session":
            return {"metadata": {"session_id": _plain(cell)}}
        return {"user": _plain(cell)} if cell.scope == "end user" else {}

    def ready(self, cell: Cell) -> None:
        """Provider budgets have one account; Redis says 0, and each node copies that."""
        if cell.scope != PROVIDER:
            return
        self._stage.redis("SET", "provider_spend:openai:1d", "0")
        for _ in range(4):
            time.sleep(1)
            self._stage.redis("SET", "provider_spend:openai:1d", "0")

    def counter(self, cell: Cell) -> str:
        key = {
            "tenant": f"spend:key:{sha256(self._key(cell).encode()).hexdigest()}",
            "session": f"{{session_budget:{_plain(cell)}}}:spend",
            "end user": f"spend:end_user:{_plain(cell)}",
            PROVIDER: "provider_spend:openai:1d",
        }[cell.scope]
        found = self._stage.redis("GET", key)
        return f"${float(found):.4f}" if found else "not there"

    def _key(self, cell: Cell) -> str:
        if cell.scope == PROVIDER:
            return self._master
        kind = {"end user": "user"}.get(cell.scope, cell.scope)
        return f"sk-{kind}.{_plain(cell)}"

    def stop(self) -> None:
        self._stage.end(*self._processes)
