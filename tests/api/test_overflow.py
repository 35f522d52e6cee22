"""Activations that overflow end the request that has them, and no other.

The weights are finite, so the checkpoint loads; two tokens are the trouble. PRODUCT has a number in a dimension where
all other tokens have 0, and a weight of 1e38 waits for it there: a product becomes infinite in the first layer. The
embedding of SQUARES is so large that the sum of its squares overflows.
"""

import concurrent.futures
import json
import pathlib

import httpx
import pytest

import checkpoints
from checkpoints import HIDDEN, VOCABULARY
from conftest import Server

DIMENSION = 7
PRODUCT, SQUARES = 300, 301
GOOD = [[0, 20 + i, 40 + i, 60 + i] for i in range(8)]
BAD = {"product": [0, 20, PRODUCT, 40], "squares": [0, 20, SQUARES]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("overflowing")
    faults = {f"model.embed_tokens.weight:{token * HIDDEN + DIMENSION}": 0 for token in range(VOCABULARY)}
    faults[f"model.embed_tokens.weight:{PRODUCT * HIDDEN + DIMENSION}"] = 1000
    faults["model.layers.0.self_attn.o_proj.weight"] = 0  # keeps the dimension 0 for the others
    faults[f"model.layers.0.mlp.up_proj.weight:{DIMENSION}"] = 1e38
    faults |= {f"model.embed_tokens.weight:{SQUARES * HIDDEN + i}": 3e38 for i in range(HIDDEN)}
    return checkpoints.make(folder, "--no-mtp", faults=faults)


@pytest.fixture(scope="module", params=[(), ("--precision", "f32", "--ranks", "2", "--poison-cache")],
                ids=["bf16", "f32 on 2 ranks"])
def overflowing(request, checkpoint, tmp_path_factory):
    # A small cache, so that later requests get the blocks of earlier ones.
    running = Server(tmp_path_factory.mktemp("server"), "--cache-memory", "1MiB", *request.param, model=checkpoint)
    yield running
    assert running.stop() == 0


def body(prompt, max_tokens=40, **fields):
    return {"prompt": prompt, "temperature": 0, "max_tokens": max_tokens, "ignore_eos": True, "return_token_ids": True,
            "logit_bias": {str(PRODUCT): -100, str(SQUARES): -100}, **fields}


def post(server, prompt, **fields):
    return httpx.post(server.url + "/v1/completions", json=body(prompt, **fields), timeout=120)


def ids(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["token_ids"]


def num_failed(server):
    return server.metric("tessera_requests_failed_numeric_total")


def test_bad_requests_fail_and_their_neighbours_have_the_tokens_of_a_run_alone(overflowing):
    alone = [ids(post(overflowing, prompt)) for prompt in GOOD]
    failed = num_failed(overflowing)
    prompts = [prompt for good in GOOD for prompt in (good, *BAD.values())]
    with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
        answers = list(pool.map(lambda prompt: post(overflowing, prompt), prompts))
    assert [ids(answer) for answer in answers[::1 + len(BAD)]] == alone
    bad = [answer for answer, prompt in zip(answers, prompts) if prompt not in GOOD]
    for answer in bad:
        assert answer.status_code == 500, answer.text
        assert "not finite" in answer.json()["error"]["message"]
    assert num_failed(overflowing) - failed == len(bad)
    overflowing.await_idle()
    for _ in range(4):  # in blocks that held what is not finite
        assert [ids(post(overflowing, prompt)) for prompt in GOOD] == alone


@pytest.mark.parametrize("token", [PRODUCT, SQUARES])
def test_a_stream_that_has_begun_ends_with_an_error(overflowing, token):
    failed = num_failed(overflowing)
    bad_soon = body(GOOD[0], logit_bias={str(token): 100}, stream=True)
    with httpx.stream("POST", overflowing.url + "/v1/completions", json=bad_soon, timeout=120) as answer:
        assert answer.status_code == 200
        events = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert json.loads(events[0])["choices"][0]["token_ids"] == [token], "the first token came"
    assert "not finite" in json.loads(events[-1])["error"]["message"]
    assert "[DONE]" not in events
    assert num_failed(overflowing) == failed + 1


def test_the_openai_client_raises_before_and_after_the_first_token(overflowing):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=overflowing.url + "/v1", api_key="none", max_retries=0, timeout=120) as client:
        model = client.models.list().data[0].id
        for stream in (False, True):
            with pytest.raises(openai.InternalServerError, match="not finite"):
                client.completions.create(model=model, prompt=BAD["product"], max_tokens=8, stream=stream)
        begun = client.completions.create(model=model, prompt=GOOD[0], max_tokens=8, temperature=0, stream=True,
                                          logit_bias={str(PRODUCT): 100})
        chunks = iter(begun)
        next(chunks)
        with pytest.raises(openai.APIError, match="not finite"):
            list(chunks)


def test_grpc_calls_end_with_internal_before_and_after_the_first_token(overflowing, proto):
    grpc = pytest.importorskip("grpc")
    messages, services = proto
    with grpc.insecure_channel(overflowing.grpc) as channel:
        stub = services.TesseraStub(channel)
        for prompt, bias, wanted in [(BAD["product"], {}, []), (GOOD[0], {PRODUCT: 100}, [PRODUCT])]:
            request = messages.GenerateRequest(
                tokens=messages.TokenPrompt(ids=prompt), max_tokens=8, ignore_eos=True, return_token_ids=True,
                sampling=messages.Sampling(temperature=0, logit_bias=bias))
            got = []
            with pytest.raises(grpc.RpcError) as failure:
                for event in stub.Generate(request):
                    got += event.delta.token_ids
            assert failure.value.code() == grpc.StatusCode.INTERNAL
            assert "not finite" in failure.value.details()
            assert got == wanted
