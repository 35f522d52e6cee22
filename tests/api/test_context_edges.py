"""Prompts and limits at the edge of the context: the same rule on HTTP and gRPC, and true numbers in refusals."""

import httpx
import pytest

import checkpoints
from conftest import Server

CONTEXT = 40


@pytest.fixture(scope="module", params=[(), ("--mtp", "2")], ids=["plain", "two drafts"])
def narrow(request, tmp_path_factory):
    folder = checkpoints.make(tmp_path_factory.mktemp("narrow"))
    running = Server(tmp_path_factory.mktemp("server"), "--context", str(CONTEXT), *checkpoints.SMALL_CACHE,
                     *request.param, model=folder)
    yield running
    assert running.stop() == 0


def post(server, size, **fields):
    body = {"prompt": [0] + [20] * (size - 1), "ignore_eos": True, "return_token_ids": True, **fields}
    return httpx.post(server.url + "/v1/completions", json=body, timeout=60)


def over_grpc(server, proto, size, **fields):
    """(number of tokens, finish reason), or the error."""
    grpc = pytest.importorskip("grpc")
    messages, services = proto
    request = messages.GenerateRequest(tokens=messages.TokenPrompt(ids=[0] + [20] * (size - 1)), ignore_eos=True,
                                       return_token_ids=True, **fields)
    with grpc.insecure_channel(server.grpc) as channel:
        try:
            events = list(services.TesseraStub(channel).Generate(request, timeout=60))
        except grpc.RpcError as error:
            return error
    finish = [event.delta.finish_reason for event in events if event.delta.finish_reason]
    return sum(len(event.delta.token_ids) for event in events), messages.FinishReason.Name(finish[0])


@pytest.mark.parametrize("size", [CONTEXT - 2, CONTEXT - 1])
@pytest.mark.parametrize("max_tokens", [None, 1, CONTEXT, 2**31 - 1, 2**31, 2**63])
def test_a_large_cap_is_cut_to_what_the_context_leaves(narrow, proto, size, max_tokens):
    wanted = min(CONTEXT - size, max_tokens or CONTEXT)
    choice = post(narrow, size, max_tokens=max_tokens).json()["choices"][0]
    assert len(choice["token_ids"]) == wanted
    assert choice["finish_reason"] == "length"
    if max_tokens is None or max_tokens < 2**31:
        fields = {} if max_tokens is None else {"max_tokens": max_tokens}
        assert over_grpc(narrow, proto, size, **fields) == (wanted, "FINISH_REASON_LENGTH")


@pytest.mark.parametrize("size", [CONTEXT, CONTEXT + 1])
def test_a_prompt_that_leaves_no_room_is_refused_with_true_numbers(narrow, proto, size):
    numbers = f"got {size} tokens, wanted at most {CONTEXT - 1}: the context length is {CONTEXT}"
    for max_tokens in (None, 1, 2**63):
        answer = post(narrow, size, max_tokens=max_tokens)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "context_length_exceeded"
        assert numbers in answer.json()["error"]["message"]
    refused = over_grpc(narrow, proto, size)
    assert refused.code().name == "OUT_OF_RANGE"
    assert numbers in refused.details()


@pytest.mark.parametrize("fields", [
    {"max_tokens": 0}, {"max_tokens": -1}, {"max_tokens": 1.5}, {"max_tokens": "5"}, {"max_tokens": -(2**63)},
    {"max_tokens": 5, "min_tokens": 6}, {"min_tokens": -1}, {"min_tokens": CONTEXT},
])
def test_impossible_limits_are_refused_by_name(narrow, proto, fields):
    answer = post(narrow, 10, **fields)
    assert answer.status_code == 400
    assert list(fields)[-1] in answer.json()["error"]["message"]
    if all(isinstance(value, int) and abs(value) < 2**31 for value in fields.values()):
        refused = over_grpc(narrow, proto, 10, **fields)
        assert refused.code().name in ("INVALID_ARGUMENT", "OUT_OF_RANGE")
        assert list(fields)[-1] in refused.details()


def test_both_names_of_the_cap_must_agree(narrow):
    chat = {"messages": [{"role": "user", "content": "q"}], "ignore_eos": True}
    for fields, wanted in [({"max_completion_tokens": 3}, 3), ({"max_completion_tokens": 3, "max_tokens": 3}, 3)]:
        answer = httpx.post(narrow.url + "/v1/chat/completions", json=chat | fields, timeout=60).json()
        assert answer["usage"]["completion_tokens"] == wanted
    conflict = chat | {"max_completion_tokens": 3, "max_tokens": 4}
    answer = httpx.post(narrow.url + "/v1/chat/completions", json=conflict, timeout=60)
    assert answer.status_code == 400
    assert "max_completion_tokens" in answer.json()["error"]["message"]
