"""The shapes that the OpenAPI page promises, as judges of what really comes."""

from __future__ import annotations

from functools import cache
from typing import Any

from jsonschema_rs import validator_for

from bursar.gateway.openapi import openapi_page


def fits(kind: str, value: object) -> bool:
    """Whether a value has one of the page's shapes."""
    return validator(kind).is_valid(value)


@cache
def validator(kind: str) -> Any:
    page = openapi_page()
    return validator_for({"$ref": f"#/components/schemas/{kind}", "components": page["components"]})
