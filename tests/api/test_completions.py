"""Text completions with the official openai client against a real server."""

import math

import httpx
import pytest


def test_streamed_and_whole_answers_are_the_same(client, model):
    arguments = dict(model=model, prompt="The list is 1, 2, 3", temperature=0, max_tokens=24)
    whole = client.completions.create(**arguments)
    streamed = "".join(choice.text for chunk in client.completions.create(**arguments, stream=True)
                       for choice in chunk.choices)
    assert streamed == whole.choices[0].text


def test_a_prompt_as_text_and_as_ids_is_the_same(server, client, model):
    text = "The list is 1, 2, 3"
    ids = httpx.post(server.url + "/tokenize", json={"prompt": text}).json()["tokens"]
    by_text = client.completions.create(model=model, prompt=text, temperature=0, max_tokens=16)
    by_ids = client.completions.create(model=model, prompt=ids, temperature=0, max_tokens=16)
    assert by_text.choices[0].text == by_ids.choices[0].text
    assert by_text.usage.prompt_tokens == by_ids.usage.prompt_tokens == len(ids)


BOS = "<｜begin▁of▁sentence｜>"


@pytest.mark.parametrize("fields, num_bos", [
    ({"prompt": "one two"}, 1), ({"prompt": BOS + "one two"}, 1),
    ({"prompt": "one two", "add_special_tokens": False}, 0), ({"prompt": "one two", "add_special_tokens": True}, 1),
    ({"prompt": [0, 5, 6]}, 1), ({"prompt": [5, 6]}, 0),
    ({"messages": [{"role": "user", "content": "one"}]}, 1),
    ({"messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two", "prefix": True}]}, 1),
])
def test_a_prompt_has_the_documented_bos_and_all_counts_agree(server, model, fields, num_bos):
    path = "/v1/chat/completions" if "messages" in fields else "/v1/completions"
    body = {"model": model, "max_tokens": 1, "return_token_ids": True, **fields}
    answer = httpx.post(server.url + path, json=body).json()
    ids = answer.get("prompt_token_ids") or answer["choices"][0]["prompt_token_ids"]
    assert ids[:1] == [0] if num_bos else ids[:1] != [0]
    assert ids.count(0) == num_bos
    assert answer["usage"]["prompt_tokens"] == len(ids)
    if not isinstance(fields.get("prompt"), list):
        counted = httpx.post(server.url + "/tokenize", json=fields).json()
        assert counted["tokens"] == ids
        assert counted["count"] == len(ids)


def test_several_prompts_in_one_call(client, model):
    prompts = ["1 + 1 =", "The capital"]
    together = client.completions.create(model=model, prompt=prompts, temperature=0, max_tokens=8, n=2)
    assert [choice.index for choice in together.choices] == [0, 1, 2, 3]
    for i, prompt in enumerate(prompts):
        alone = client.completions.create(model=model, prompt=prompt, temperature=0, max_tokens=8)
        assert together.choices[2 * i].text == together.choices[2 * i + 1].text == alone.choices[0].text


def test_echo_gives_the_prompts_logprobs(client, model):
    prompt = "one two three"
    answer = client.completions.create(model=model, prompt=prompt, echo=True, logprobs=3, max_tokens=0, temperature=0)
    choice = answer.choices[0]
    logprobs = choice.logprobs
    assert choice.text == prompt
    assert answer.usage.completion_tokens == 0
    assert len(logprobs.tokens) == answer.usage.prompt_tokens == len(logprobs.token_logprobs)
    assert logprobs.token_logprobs[0] is None
    assert all(math.isfinite(value) and value <= 0 for value in logprobs.token_logprobs[1:])
    assert all(len(top) in (3, 4) for top in logprobs.top_logprobs[1:]), "the likeliest, and the token that stands there"


def test_prompt_logprobs_agree_with_those_of_generation(client, model):
    first = client.completions.create(model=model, prompt="1, 2, 3,", temperature=0, max_tokens=6, logprobs=0,
                                      extra_body={"return_token_ids": True, "ignore_eos": True})
    choice = first.choices[0]
    ids = choice.prompt_token_ids + choice.token_ids
    again = client.completions.create(model=model, prompt=ids, temperature=0, max_tokens=0, echo=True, logprobs=0)
    generated = choice.logprobs.token_logprobs
    assert again.choices[0].logprobs.token_logprobs[-len(generated):] == pytest.approx(generated, abs=0.1)


def test_greedy_continuation_of_a_prefix_is_the_same(client, model):
    def ask(ids, count):
        answer = client.completions.create(model=model, prompt=ids, temperature=0, max_tokens=count,
                                           extra_body={"return_token_ids": True, "ignore_eos": True})
        return answer.choices[0].token_ids

    prompt = ask([0, 5, 6, 7], 1)
    assert ask([0, 5, 6, 7], 8) == ask([0, 5, 6, 7], 8)
    assert ask([0, 5, 6, 7], 8)[:1] == prompt


def test_context_edges(server, client, model):
    context = httpx.get(server.url + f"/v1/models/{model}").json()["max_model_len"]
    full = client.completions.create(model=model, prompt=[0] + [5] * (context - 2), max_tokens=10**12)
    assert full.usage.completion_tokens == 1
    for size in (context, context + 1):
        with pytest.raises(Exception) as refused:
            client.completions.create(model=model, prompt=[0] + [5] * (size - 1))
        assert refused.value.status_code == 400
        assert refused.value.code == "context_length_exceeded"
        assert str(size) in str(refused.value) and str(context) in str(refused.value)
