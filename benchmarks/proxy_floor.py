"""What the gateway's HTTP parts cost by themselves, beside nginx.

    python benchmarks/proxy_floor.py [--seconds 4] [--runs 3] [--connections 64]

A bare proxy on `bursar.gateway.http` (no keys, no metering, no journal) and nginx pass the same
requests to the same upstream: 2 KB in and 0.7 KB out, 40 KB in, and a stream of 33 events. The
proxy has core 0; upstream and load (wrk) have core 1. Counted is the processor time of the proxy
per call, from the scheduler, which holds even when core 1 is the one that is full. Needs Linux,
two cores and wrk; without nginx there is no ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from bursar.gateway.http.messages import Asked, Bounds, Headers, Refusal, build_head
from bursar.gateway.http.server import serve
from bursar.gateway.http.upstream import Origin, Pool, Waits

HOST = "127.0.0.1"
UPSTREAM, PROXY, NGINX = 9411, 9412, 9413
EVENTS = 33
EVENT_S = 0.002
REPLY = (
    b'{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{"role":'
    + (
        b'"assistant","content":"%s"},"finish_reason":"stop"}],"usage":{"prompt_tokens":512,'
        b'"completion_tokens":64,"total_tokens":576}}' % (b"word " * 96)
    )
)
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(REPLY),
    REPLY,
)
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
EVENT = b'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"word word"}}]}\n\n'
EVENT = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
BODIES = {"small": 2048, "large": 40960, "stream": 2048}
WITHHELD = frozenset((b"content-length", b"transfer-encoding", b"connection", b"host", b"expect"))


class Upstream(asyncio.Protocol):
    """A provider without a parser: it trusts content-length and the path."""

    def __init__(self) -> None:
        self.held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        held = self.held = self.held + data if self.held else data
        end = held.find(b"\r\n\r\n")
        if end < 0:
            return
        at = held.lower().find(b"content-length: ", 0, end)
        length = int(held[at + 16 : held.index(b"\r", at)]) if at > 0 else 0
        if len(held) < end + 4 + length:
            return
        self.held = b""
        if held.startswith(b"POST /stream"):
            self.transport.write(STREAM_HEAD + EVENT)
            self.next_event(EVENTS - 1)
        else:
            self.transport.write(WHOLE)

    def next_event(self, left: int) -> None:
        if left:
            loop = asyncio.get_running_loop()
            loop.call_later(EVENT_S, self.send_event, left)
        else:
            self.transport.write(b"0\r\n\r\n")

    def send_event(self, left: int) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(EVENT)
        self.next_event(left - 1)


class Bare:
    """A proxy and nothing else."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.origin = Origin("http", HOST, UPSTREAM, private=True)
        self.waits = Waits()

    def worded(self, refused: Refusal, target: bytes, headers: Headers) -> Refusal:
        return refused

    def admit(self, asked: Asked) -> Refusal | None:
        return None

    async def answer(self, asked: Asked) -> None:
        headers = [one for one in asked.headers if one[0] not in WITHHELD]
        headers.append((b"host", b"127.0.0.1"))
        head = build_head(asked.method, asked.target, headers, len(asked.body))
        incoming = await self.pool.send(self.origin, head, asked.body, self.waits)
        back = [one for one in incoming.headers if one[0] not in WITHHELD]
        if asked.target != b"/stream":
            asked.reply(incoming.status, back, await incoming.body(1 << 24))
            return
        asked.start(incoming.status, back)
        async for chunk in incoming.chunks():
            asked.send(chunk)
            await asked.room()
        asked.finish()


async def run_upstream() -> None:
    loop = asyncio.get_running_loop()
    await (await loop.create_server(Upstream, HOST, UPSTREAM, backlog=4096)).serve_forever()


async def run_proxy() -> None:
    listening = socket.create_server((HOST, PROXY), backlog=4096)
    await serve(Bare(Pool()), [listening], Bounds())
    gc.collect()
    gc.freeze()
    await asyncio.Event().wait()


def nginx_settings(folder: Path) -> Path:
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(f"""daemon off; master_process off; worker_processes 1;
pid {folder}/pid; error_log {folder}/errors warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_buffer_size 256k; {temporary}
  upstream provider {{ server {HOST}:{UPSTREAM}; keepalive 512; keepalive_requests 100000000; }}
  server {{ listen {HOST}:{NGINX} backlog=4096;
    location / {{ proxy_pass http://provider; proxy_http_version 1.1; proxy_buffering off;
      proxy_set_header Connection ""; }} }}
}}
""")
    return path


@contextmanager
def running(core: int, command: list[str], port: int) -> Iterator[int]:
    started = subprocess.Popen(["taskset", "-c", str(core), *command])
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    break
            time.sleep(0.05)
        yield started.pid
    finally:
        started.terminate()
        started.wait()


def cpu_ns(pid: int) -> int:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def load(script: Path, port: int, path: str, seconds: float, connections: int) -> int:
    """Calls that wrk got answers to."""
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s"]
    command += ["-s", str(script), f"http://{HOST}:{port}{path}"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        print(out, file=sys.stderr)
    line = next(line for line in out.splitlines() if " requests in " in line)
    return int(line.split()[0])


def wrk_script(folder: Path, name: str) -> Path:
    text = "x" * (BODIES[name] - 120)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})
    path = folder / f"{name}.lua"
    path.write_text(
        f'wrk.method = "POST"\nwrk.body = [==[{body}]==]\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        'wrk.headers["Authorization"] = "Bearer sk-none"\n'
        'wrk.headers["User-Agent"] = "OpenAI/Python 3.54.0"\n'
        'wrk.headers["Accept"] = "application/json"\n'
        'wrk.headers["X-Stainless-Lang"] = "python"\n'
        'wrk.headers["X-Stainless-Retry-Count"] = "0"\n'
    )
    return path


def measure(given: argparse.Namespace) -> None:
    me = [sys.executable, __file__]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        rows: dict[tuple[str, str], list[float]] = {}
        targets = [("bursar", [*me, "--part", "proxy"], PROXY)]
        if shutil.which("nginx"):
            command = ["nginx", "-c", str(nginx_settings(folder)), "-p", made]
            targets.append(("nginx", command, NGINX))
        with running(1, [*me, "--part", "upstream"], UPSTREAM):
            for name, command, port in targets:
                with running(0, command, port) as pid:
                    for body in given.bodies.split(","):
                        script = wrk_script(folder, body)
                        path = "/stream" if body == "stream" else "/v1/chat/completions"
                        load(script, port, path, 1, given.connections)
                        for _ in range(given.runs):
                            before, at = cpu_ns(pid), time.monotonic()
                            calls = load(script, port, path, given.seconds, given.connections)
                            spent_us = (cpu_ns(pid) - before) / 1000
                            busy = spent_us / 1e6 / (time.monotonic() - at)
                            rows.setdefault((body, name), []).append(spent_us / calls)
                            print(f"{body:7}{name:7}{spent_us / calls:8.1f} us {busy:6.2f} busy")
        for body in given.bodies.split(","):
            mine = min(rows[body, "bursar"])
            if (body, "nginx") in rows:
                theirs = min(rows[body, "nginx"])
                print(f"{body}: {mine:.1f} us, nginx {theirs:.1f} us, ratio {mine / theirs:.2f}")
            else:
                print(f"{body}: {mine:.1f} us")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--part", choices=("proxy", "upstream"))
    arguments.add_argument("--bodies", default="small,large,stream")
    arguments.add_argument("--seconds", type=float, default=4)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--connections", type=int, default=64)
    given = arguments.parse_args()
    if given.part:
        uvloop.run(run_proxy() if given.part == "proxy" else run_upstream())
    elif not shutil.which("wrk") or (os.cpu_count() or 1) < 2:
        sys.exit("this needs wrk and two cores")
    else:
        measure(given)


if __name__ == "__main__":
    main()
