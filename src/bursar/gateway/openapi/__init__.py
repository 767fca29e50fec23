"""The gateway's HTTP surface as an OpenAPI page, made from what serves it.

Paths come from `endpoints`, limits from the readers of bodies, examples of errors from `refusals`
itself; the words stand in `words.toml`. A name of the code without words, or words without their
name, is an error. It is written into docs/reference and served at `/openapi.json`.
"""

from bursar.gateway.openapi.page import openapi_json, openapi_page
from bursar.gateway.openapi.words import words

__all__ = ["openapi_json", "openapi_page", "words"]
