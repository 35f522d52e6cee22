"""What is refused, and how clients see it."""

import httpx
import openai
import pytest

from conftest import QUESTION


@pytest.mark.parametrize("field, value", [
    ("temperature", -1), ("temperature", "hot"), ("top_p", 0), ("max_tokens", -1), ("max_tokens", 1.5), ("n", 0),
    ("stop", [""]), ("stop", ["x"] * 17), ("logit_bias", {"x": 1}), ("top_logprobs", 21), ("min_tokens", 10**6),
    ("messages", []), ("messages", [{"role": "nobody", "content": "x"}]), ("stop_token_ids", [10**9]),
])
def test_a_bad_field_is_named(server, model, field, value):
    body = {"model": model, "messages": QUESTION, "max_tokens": 4, "logprobs": True, field: value}
    answer = httpx.post(server.url + "/v1/chat/completions", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert field.split("_")[0] in error["message"]


@pytest.mark.parametrize("field, value", [
    ("response_format", {"type": "json_object"}), ("tool_choice", "required"), ("guided_regex", "a+"),
    ("tools", [{"type": "function", "function": {"name": "f", "strict": True}}]),
])
def test_a_constraint_that_cannot_be_kept_is_refused(client, model, field, value):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=model, messages=QUESTION, max_tokens=4, extra_body={field: value})
    assert refused.value.code == "unsupported_value"


def test_unknown_model_route_and_method(server, client):
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="no-such-model", messages=QUESTION)
    assert httpx.get(server.url + "/v1/nothing").status_code == 404
    answer = httpx.get(server.url + "/v1/chat/completions")
    assert answer.status_code == 405 and answer.headers["allow"] == "POST"


@pytest.mark.parametrize("body", [b"", b"{", b"[1,", b'"\xff"', b"nan", b"[" * 1_000_000])
def test_bad_json_is_400_and_harms_nobody(server, body):
    answer = httpx.post(server.url + "/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("body")
    assert httpx.get(server.url + "/health").status_code == 200


def arrays(depth):
    return "[" * depth + "]" * depth


def objects(depth):
    return '{"a":' * depth + "1" + "}" * depth


DEEP_FIELDS = {
    "unknown field": '"x": %s',
    "metadata": '"metadata": {"a": %s}',
    "content parts": '"messages": [{"role": "user", "content": [{"type": "text", "text": %s}]}]',
    "tool parameters": '"tools": [{"type": "function", "function": {"name": "f", "parameters": %s}}]',
    "answer schema": '"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": %s}}',
}


@pytest.mark.parametrize("field", DEEP_FIELDS)
def test_deep_nesting_is_refused_with_the_limit_beside_a_running_stream(server, model, field):
    beside = {"model": model, "messages": QUESTION, "max_tokens": 100, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", server.url + "/v1/chat/completions", json=beside, timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)
        for deep in (arrays, objects):
            for depth in (65, 1_000, 10_000, 1_000_000):
                body = "{" + DEEP_FIELDS[field] % deep(depth) + "}"
                answer = httpx.post(server.url + "/v1/chat/completions", content=body, timeout=60)
                assert answer.status_code == 400
                assert "nested deeper than 64" in answer.json()["error"]["message"]
        assert [line for line in lines if line][-1] == "data: [DONE]"


def test_a_long_flat_array_and_deep_text_in_a_tool_call_harm_nobody(server, model):
    flat = '{"x": [' + "0," * 2_000_000 + "0]}"
    assert httpx.post(server.url + "/v1/chat/completions", content=flat, timeout=60).status_code == 400
    for arguments in (arrays(1_000_000), objects(100_000)):
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
        history = [*QUESTION, {"role": "assistant", "content": None, "tool_calls": [call]},
                   {"role": "tool", "tool_call_id": "c", "content": "5"}]
        answer = httpx.post(server.url + "/v1/chat/completions", json={"model": model, "messages": history}, timeout=60)
        assert answer.json()["error"]["code"] == "context_length_exceeded", "it is text, and too long"
    assert httpx.get(server.url + "/health").status_code == 200


def test_too_large_a_body(server):
    answer = httpx.post(server.url + "/v1/chat/completions", content=b" " * (17 << 20))
    assert answer.status_code == 413


def test_unknown_fields_are_ignored(client, model):
    client.chat.completions.create(model=model, messages=QUESTION, max_tokens=1, user="u", metadata={"a": "b"},
                                   extra_body={"some_future_field": {"x": [1]}})


def test_request_id_comes_back(server, model):
    answer = httpx.post(server.url + "/v1/chat/completions", headers={"X-Request-Id": "my-id.7"},
                        json={"model": model, "messages": QUESTION, "max_tokens": 1})
    assert answer.headers["x-request-id"] == "my-id.7"
