"""Errors in the shape of each dialect, so that its own client raises its proper error.

OpenAI's and Anthropic's clients choose the class by the status; boto3 by the name in a header. An
error that ends a stream has no status any more, and is said by its word alone.
"""

from __future__ import annotations

import msgspec

from bursar.dialects.translate.wires import framed, sse

Headers = tuple[tuple[bytes, bytes], ...]

OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    408: "server_error",
    424: "server_error",
    429: "rate_limit_error",
}
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    424: "api_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
BEDROCK_TYPES = {
    401: "AccessDeniedException",
    402: "ServiceQuotaExceededException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    409: "ConflictException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    502: "ServiceUnavailableException",
    503: "ServiceUnavailableException",
    504: "ServiceUnavailableException",
    529: "ServiceUnavailableException",
}
DEFAULT_TYPES = {
    "openai": ("invalid_request_error", "server_error"),
    "anthropic": ("invalid_request_error", "api_error"),
    "bedrock": ("ValidationException", "InternalServerException"),
}
"""For a status that stands in no table: below 500, and from 500."""
TYPES = {"openai": OPENAI_TYPES, "anthropic": ANTHROPIC_TYPES, "bedrock": BEDROCK_TYPES}

STATUS_OF_KIND = {
    **dict.fromkeys(("rate_limit_error", "throttlingexception", "rate_limited"), 429),
    **dict.fromkeys(("rate_limit_exceeded", "tokens", "requests"), 429),
    **dict.fromkeys(("overloaded_error", "serviceunavailableexception", "unavailable"), 503),
    **dict.fromkeys(("invalid_request_error", "validationexception", "bad_request"), 400),
    **dict.fromkeys(("blocked_key", "expired_key", "unknown_key"), 401),
    **dict.fromkeys(("insufficient_quota", "billing_error", "budget_exceeded"), 402),
    **dict.fromkeys(("timeout_error", "modeltimeoutexception", "timeout"), 408),
    **dict.fromkeys(("modelstreamerrorexception", "modelerrorexception", "upstream_cut"), 424),
}
"""The status that a word of an error stands for, in lower case; other words are 500."""
STREAM_EXCEPTIONS = {
    400: "validationException",
    402: "throttlingException",
    408: "modelStreamErrorException",
    424: "modelStreamErrorException",
    429: "throttlingException",
    503: "serviceUnavailableException",
}

FAMILIES = {
    "openai_chat": "openai",
    "openai_responses": "openai",
    "openai_embeddings": "openai",
    "anthropic_messages": "anthropic",
    "bedrock_converse": "bedrock",
    "bedrock_invoke": "bedrock",
}
_JSON = (b"content-type", b"application/json")
_dump = msgspec.json.encode


def error_type(dialect: str, status: int) -> str:
    """The dialect's own word for an HTTP status. An unknown dialect is told OpenAI's."""
    family = FAMILIES.get(dialect, "openai")
    below, above = DEFAULT_TYPES[family]
    return TYPES[family].get(status, below if status < 500 else above)


def refusal_body(dialect: str, status: int, kind: str, message: str) -> tuple[Headers, bytes]:
    """Headers and body of an error. OpenAI's clients see `kind`, our stable word, as `code`."""
    found = error_type(dialect, status)
    family = FAMILIES.get(dialect, "openai")
    if family == "bedrock":
        headers = (_JSON, (b"x-amzn-errortype", found.encode()))
        return headers, _dump({"message": message})
    if family == "anthropic":
        return (_JSON,), _dump({"type": "error", "error": {"type": found, "message": message}})
    error = {"message": message, "type": found, "param": None, "code": kind}
    return (_JSON,), _dump({"error": error})


def status_of_kind(kind: str) -> int:
    return STATUS_OF_KIND.get(kind.lower(), 500)


def stream_error(dialect: str, kind: str, message: str) -> bytes:
    """The event that ends a stream which broke."""
    status = status_of_kind(kind)
    found = error_type(dialect, status)
    family = FAMILIES.get(dialect, "openai")
    if family == "bedrock":
        name = STREAM_EXCEPTIONS.get(status, "internalServerException")
        return framed(name, {"message": message}, "exception")
    if family == "anthropic":
        return sse({"type": "error", "error": {"type": found, "message": message}}, "error")
    error = {"message": message, "type": found, "param": None, "code": kind}
    if dialect == "openai_responses":
        event = {"type": "error", "sequence_number": 0, "code": kind, "message": message}
        return sse(event | {"param": None, "error": error}, "error")
    return sse({"error": error})
