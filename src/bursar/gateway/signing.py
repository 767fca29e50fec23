"""AWS signatures: a caller's own cannot pass through us, since it binds the host; ours replaces it.

botocore finds the credentials (environment, profile, container, instance) and signs.
"""

from __future__ import annotations

import asyncio
from typing import Any

from bursar.extras import aws_signing
from bursar.model.errors import BadInput

SERVICE = "bedrock"
Headers = list[tuple[bytes, bytes]]


class Signer:
    """Signs requests to one region with the credentials of this machine."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._tools: Any = None
        self._credentials: Any = None

    async def open(self) -> None:
        """Find the credentials. Raises BadInput where there are none."""
        self._tools = await asyncio.to_thread(aws_signing)
        self._credentials = await asyncio.to_thread(self._tools.Session().get_credentials)
        if self._credentials is None:
            raise BadInput(
                "no AWS credentials were found for Bedrock",
                mend="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role",
            )

    async def sign(self, method: bytes, url: str, headers: Headers, body: bytes) -> Headers:
        """The headers with a signature over them, the body and the host of `url`."""
        if self._credentials is None:
            await self.open()
        credentials: Any = self._credentials
        if credentials.__class__ is not self._tools.Credentials and credentials.refresh_needed():
            await asyncio.to_thread(credentials.get_frozen_credentials)
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        request = self._tools.AWSRequest(method.decode(), url, headers=named, data=body)
        self._tools.SigV4Auth(credentials.get_frozen_credentials(), SERVICE, self._region).add_auth(
            request
        )
        return [
            (name.lower().encode(), str(value).encode("latin-1"))
            for name, value in request.headers.items()
        ]
