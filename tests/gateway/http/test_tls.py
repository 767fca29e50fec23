"""TLS on both sides: certificates are checked, sessions resumed, ends noticed."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bursar.gateway.http.messages import Asked, build_head
from bursar.gateway.http.upstream import Keeping, Origin, Pool, UpstreamError, Waits
from tests.gateway.http.rig import HOST, LOOPS, TICK_S, App, House, request, run, serving, until

HEAD = build_head(b"POST", b"/v1", [(b"host", b"localhost")], 3)
WAITS = Waits(connect_s=2, head_s=2, idle_s=2, total_s=5)
pytestmark = [
    pytest.mark.parametrize("loop", LOOPS),
    pytest.mark.skipif(not shutil.which("openssl"), reason="makes certificates with openssl"),
]


@pytest.fixture(scope="module", name="certificate")
def certificate_fixture(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@asynccontextmanager
async def provider(certificate: tuple[Path, Path], app: App) -> AsyncIterator[House]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async with serving(app, ssl=context) as house:
        yield house


def test_the_pool_over_tls(loop: str, certificate: tuple[Path, Path]) -> None:
    async def work() -> None:
        app = App()
        async with provider(certificate, app) as house:
            pool = Pool(ca_file=str(certificate[0]), keeping=Keeping(tick_s=TICK_S))
            origin = Origin("https", "localhost", house.port, private=True)
            for _ in range(3):
                incoming = await pool.send(origin, HEAD, b"ask", WAITS)
                assert await incoming.body(100) == b"POST ask"
                assert pool.connections == 1
            resumed = []
            for _ in range(2):
                both = [pool.send(origin, HEAD, b"ask", WAITS) for _ in range(2)]
                for incoming in await asyncio.gather(*both):
                    assert await incoming.body(100) == b"POST ask"
                for link in pool._links:
                    assert link.transport is not None
                    resumed.append(link.transport.get_extra_info("ssl_object").session_reused)
            assert resumed == [False, True] * 2
            await asyncio.sleep(TICK_S * 3)
            incoming = await pool.send(origin, HEAD, b"ask", WAITS)
            assert await incoming.body(100) == b"POST ask"
            assert pool.connections == 2
            pool.close()
            await until(lambda: not pool.connections)

    run(work(), loop)


@pytest.mark.parametrize("case", ["unknown authority", "another name", "no TLS there"])
def test_doubtful_certificates(loop: str, certificate: tuple[Path, Path], case: str) -> None:
    async def work() -> None:
        app = App()
        async with provider(certificate, app) as house, serving(app) as plain:
            authority = None if case == "unknown authority" else str(certificate[0])
            pool = Pool(ca_file=authority, keeping=Keeping(tick_s=TICK_S))
            host = HOST if case == "another name" else "localhost"
            port = plain.port if case == "no TLS there" else house.port
            origin = Origin("https", host, port, private=True)
            with pytest.raises(UpstreamError) as caught:
                await pool.send(origin, HEAD, b"ask", WAITS)
            assert (caught.value.kind, caught.value.sent) == ("connect", False)
            assert pool.connections == 0
            pool.close()
        assert not app.admitted

    run(work(), loop)


def test_the_server_over_tls(loop: str, certificate: tuple[Path, Path]) -> None:
    left = asyncio.Event()

    async def wait(asked: Asked) -> None:
        if asked.target == b"/wait":
            asked.when_gone(left.set)
            await left.wait()
            return
        asked.start(200, [])
        for _ in range(50):
            asked.send(b"x" * 65536)
            await asked.room()
        asked.finish()

    async def work() -> None:
        context = ssl.create_default_context(cafile=str(certificate[0]))
        async with provider(certificate, App(wait)) as house:
            how = {"ssl": context, "server_hostname": "localhost"}
            client = await house.client(**how)
            for _ in range(2):
                await client.send(request(b"POST", b"/", body=b"abc", close=False))
                assert len((await client.answer())[2]) == 50 * 65536
            await client.send(request(b"POST", b"/", b"A: b\0", body=b"abc"))
            assert (await client.answer())[0] == 400
            client = await house.client(**how)
            await client.send(request(b"POST", b"/wait", body=b"abc"))
            await until(lambda: house.server.running == 1)
            client.writer.close()
            async with asyncio.timeout(2):
                await left.wait()
            await until(lambda: not house.server.running)

    run(work(), loop)
