"""Texts that a model is made to say, token by token, through every interface.

The head of the checkpoint is 0, so that all logits are 0, and a request's own biases and frequency penalty decide: each
token of the text has a bias a little below that of the token before it, and one that has been said loses 2.
"""

import itertools
import json
import math

import httpx
import pytest

import checkpoints
from conftest import Server

STEP = 0.02  # between the biases of tokens that follow each other
PENALTY = 2.0
TEXTS = ["ü👩日x", "  leading", "\n\n x", " ", "\t\tif", "日"]  # no token comes twice, but at the beginning
REPLACEMENT = "\ufffd"


@pytest.fixture(scope="module")
def obedient(tmp_path_factory):
    folder = checkpoints.make(tmp_path_factory.mktemp("obedient"), "--no-mtp", faults={"lm_head.weight": 0})
    running = Server(tmp_path_factory.mktemp("server"), *checkpoints.SMALL_CACHE, model=folder)
    yield running
    assert running.stop() == 0


def tokens_of(server, text):
    return httpx.post(server.url + "/tokenize", json={"prompt": text, "add_special_tokens": False}).json()["tokens"]


def forced(tokens):
    """The fields of a request whose answer is `tokens`: all different, but that the first may be repeated at once."""
    bias, score = {}, 90.0
    for token, run in itertools.groupby(tokens):
        repeats = len(list(run)) - 1
        assert token not in bias and (repeats == 0 or not bias), f"token {token} cannot come again"
        bias[token] = score
        score -= PENALTY * repeats + STEP
    return {"logit_bias": {str(token): value for token, value in bias.items()}, "frequency_penalty": PENALTY,
            "temperature": 0, "max_tokens": len(tokens), "ignore_eos": True, "return_token_ids": True}


def whole(server, path="/v1/completions", **fields):
    answer = httpx.post(server.url + path, json=fields, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def streamed(openai_client, **fields):
    """(pieces of text, finish reason, usage) by the official client."""
    extra = {name: fields.pop(name) for name in ("ignore_eos", "return_token_ids") if name in fields}
    stream = openai_client.completions.create(model=openai_client.models.list().data[0].id, stream=True,
                                              stream_options={"include_usage": True}, extra_body=extra, **fields)
    pieces, finish, usage = [], None, None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            pieces.append(choice.text)
            finish = choice.finish_reason or finish
    return pieces, finish, usage


def over_grpc(server, proto, fields):
    grpc = pytest.importorskip("grpc")
    messages, services = proto
    bias = {int(token): value for token, value in fields["logit_bias"].items()}
    request = messages.GenerateRequest(
        text=messages.TextPrompt(text=fields["prompt"]), max_tokens=fields["max_tokens"], ignore_eos=True,
        stop=fields.get("stop", []), return_token_ids=True,
        sampling=messages.Sampling(temperature=0, frequency_penalty=PENALTY, logit_bias=bias))
    with grpc.insecure_channel(server.grpc) as channel:
        events = list(services.TesseraStub(channel).Generate(request, timeout=60))
    return [event.delta.text for event in events if event.HasField("delta")], events[-1].usage


@pytest.fixture(scope="module")
def openai_client(obedient):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=obedient.url + "/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_the_same_whole_streamed_over_grpc_and_detokenized(obedient, openai_client, proto, text):
    tokens = tokens_of(obedient, text)
    fields = {"prompt": "q", **forced(tokens)}
    answer = whole(obedient, **fields)
    assert answer["choices"][0]["token_ids"] == tokens
    assert answer["choices"][0]["text"] == text
    pieces, finish, usage = streamed(openai_client, **fields)
    assert "".join(pieces) == text
    assert finish == "length"
    assert usage.completion_tokens == answer["usage"]["completion_tokens"] == len(tokens)
    pieces, usage = over_grpc(obedient, proto, fields)
    assert "".join(pieces) == text
    assert usage.completion_tokens == len(tokens)
    assert httpx.post(obedient.url + "/detokenize", json={"tokens": tokens}).json()["prompt"] == text


def test_a_chat_keeps_the_space_that_its_answer_begins_with(obedient):
    for text in ("  leading", "\n\n x"):
        fields = forced(tokens_of(obedient, text))
        # The answer of a chat whose last message is continued is plain content.
        messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "A:", "prefix": True}]
        answer = whole(obedient, "/v1/chat/completions", messages=messages, **fields)
        assert answer["choices"][0]["message"]["content"] == text


def test_an_answer_cut_inside_a_character_ends_with_one_replacement_in_every_mode(obedient, openai_client, proto):
    tokens = tokens_of(obedient, "x👩")
    assert len(tokens) == 5, "the character's bytes are tokens of their own"
    for kept in (2, 3, 4):
        fields = {"prompt": "q", **forced(tokens), "max_tokens": kept}
        answer = whole(obedient, **fields)
        assert answer["choices"][0]["text"] == "x" + REPLACEMENT
        assert answer["usage"]["completion_tokens"] == kept, "all tokens count"
        pieces, _, usage = streamed(openai_client, **fields)
        assert "".join(pieces) == "x" + REPLACEMENT
        assert usage.completion_tokens == kept
        pieces, usage = over_grpc(obedient, proto, fields)
        assert "".join(pieces) == "x" + REPLACEMENT
        assert usage.completion_tokens == kept


EOS = 1


@pytest.mark.parametrize("text, ends, reasoning, content", [
    ("x</think>y", True, "x", "y"), ("</think>y", True, None, "y"), ("<think>x</think>y", True, "x", "y"),
    ("\tx</think> y", False, "\tx", " y"), ("x", False, "x", None), ("x", True, "x", None),
    ("x</think>", True, "x", None), ("x</think>", False, "x", None), ("ab</think>1</", False, "ab", "1</"),
])
def test_fields_follow_the_closing_tag_alike_whole_and_streamed(obedient, text, ends, reasoning, content):
    tokens = tokens_of(obedient, text) + [EOS] * ends
    fields = {**forced(tokens), "ignore_eos": False, "messages": [{"role": "user", "content": "q"}]}
    choice = whole(obedient, "/v1/chat/completions", **fields)["choices"][0]
    assert choice["token_ids"] == tokens
    assert choice["message"].get("reasoning_content") == reasoning
    assert choice["message"]["content"] == content
    assert choice["finish_reason"] == ("stop" if ends else "length")
    joined = {"reasoning_content": "", "content": ""}
    with httpx.stream("POST", obedient.url + "/v1/chat/completions", json={**fields, "stream": True}) as answer:
        for line in answer.iter_lines():
            if line and line != "data: [DONE]":
                delta = json.loads(line.removeprefix("data: "))["choices"][0]["delta"]
                for field in joined:
                    joined[field] += delta.get(field) or ""
    assert joined == {"reasoning_content": reasoning or "", "content": content or ""}


@pytest.mark.parametrize("text, stop, wanted, matched", [
    ("ABCDEFGHIJK", ["DEFGHIJ"], "ABC", "DEFGHIJ"), ("aaab", ["aab", "ab"], "a", "aab"), ("x日y", ["日"], "x", "日"),
    ("ABCDEF", ["DEFX"], "ABCDEF", None), ("ABC", ["C" + "x" * 1000], "ABC", None), ("ABC", ["qA"], "ABC", None),
])
def test_a_stop_cuts_just_before_its_match_in_every_mode(obedient, openai_client, proto, text, stop, wanted, matched):
    fields = {"prompt": "q", "stop": stop, **forced(tokens_of(obedient, text))}
    choice = whole(obedient, **fields)["choices"][0]
    assert choice["text"] == wanted
    assert choice["finish_reason"] == ("stop" if matched else "length")
    assert choice["stop_reason"] == matched
    pieces, finish, _ = streamed(openai_client, **fields)
    assert "".join(pieces) == wanted, "nothing of the stop was sent, and all that was held back"
    assert finish == choice["finish_reason"]
    assert "".join(over_grpc(obedient, proto, fields)[0]) == wanted


@pytest.mark.parametrize("change", [{}, {"temperature": 1, "top_k": 1}, {"temperature": 1e-6}])
def test_logprobs_are_finite_and_their_bytes_join_to_the_text_whatever_the_filters(obedient, change):
    text = "x👩"
    tokens = tokens_of(obedient, text)
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "A:", "prefix": True}]
    fields = {**forced(tokens), "messages": messages, "logprobs": True, "top_logprobs": 20, **change}
    choice = whole(obedient, "/v1/chat/completions", **fields)["choices"][0]
    assert choice["token_ids"] == tokens
    entries = choice["logprobs"]["content"]
    assert b"".join(bytes(entry["bytes"]) for entry in entries) == text.encode()
    for entry in entries:
        values = [top["logprob"] for top in entry["top_logprobs"]]
        assert len(values) == 20
        assert all(math.isfinite(value) for value in [entry["logprob"], *values])
        assert sum(math.exp(value) for value in values) <= 1 + 1e-6
        # Those of the logits as the model gave them, equal for all, whatever the bias, the penalty and the filters.
        assert values == pytest.approx([entry["logprob"]] * 20)
