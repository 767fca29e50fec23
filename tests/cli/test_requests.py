"""`bursar show` finds the session, the step and the line of a provider's request id."""

from __future__ import annotations

from pathlib import Path

from trials import bursar, jsonl

RESPONSE = {
    "object": "chat.completion",
    "model": "gpt-4o",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "x"}}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
}


def test_show_finds_a_request_by_the_providers_id(tmp_path: Path) -> None:
    lines = [
        {"kind": "call", "id": one, "session": session, "provider": "openai", "model": "gpt-4o",
         "response": RESPONSE | {"id": f"chatcmpl-{one}"}}
        for one, session in (("a", "s"), ("b", "s"), ("c", None))
    ]  # fmt: skip
    log = tmp_path / "calls.jsonl"
    log.write_bytes(jsonl(lines))
    assert bursar("import", log, home=tmp_path).code == 0
    found = bursar("show", "chatcmpl-b", "--json", home=tmp_path).json
    assert found["session"] == "s"
    assert found["requests"] == [{"step": 1, "n": 0, "place": f"{log}:2"}]
    said = bursar("show", "chatcmpl-a", home=tmp_path).text
    assert "Request chatcmpl-a is step 0, at " in said
    assert bursar("show", "s", "--json", home=tmp_path).json["requests"] == []
    refused = bursar("show", "chatcmpl-c", home=tmp_path)
    assert refused.code != 0
    assert f"{log}:3, which has no session" in " ".join(refused.err.split())
