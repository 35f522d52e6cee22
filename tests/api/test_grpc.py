"""The gRPC API with generated stubs of the official grpcio client against a real server."""

import time

import httpx
import pytest

from conftest import QUESTION

grpc = pytest.importorskip("grpc")


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.grpc) as made:
        yield made


@pytest.fixture(scope="module")
def stub(channel, proto):
    return proto[1].TesseraStub(channel)


def chat(proto, **fields):
    messages = proto[0]
    request = messages.GenerateRequest(
        chat=messages.ChatPrompt(messages=[messages.ChatMessage(**message) for message in QUESTION]), **fields)
    return request


def joined(events):
    text, reasoning, ids, usage, finish = "", "", [], None, 0
    for event in events:
        text += event.delta.text
        reasoning += event.delta.reasoning
        ids += event.delta.token_ids
        finish = event.delta.finish_reason or finish
        if event.HasField("usage"):
            usage = event.usage
    return text, reasoning, ids, usage, finish


def test_the_same_answer_as_over_http(server, stub, proto, model):
    greedy = proto[0].Sampling(temperature=0)
    text, reasoning, ids, usage, finish = joined(
        stub.Generate(chat(proto, sampling=greedy, max_tokens=40, return_token_ids=True)))
    body = {"model": model, "messages": QUESTION, "temperature": 0, "max_tokens": 40, "return_token_ids": True}
    answer = httpx.post(server.url + "/v1/chat/completions", json=body, timeout=120).json()
    choice = answer["choices"][0]
    assert text == (choice["message"]["content"] or "")
    assert reasoning == (choice["message"].get("reasoning_content") or "")
    assert list(ids) == choice["token_ids"]
    assert usage.prompt_tokens == answer["usage"]["prompt_tokens"]
    assert usage.completion_tokens == answer["usage"]["completion_tokens"]
    assert proto[0].FinishReason.Name(finish).endswith(choice["finish_reason"].upper())


def test_the_same_seed_as_over_http(server, stub, proto, model):
    _, _, ids, _, _ = joined(stub.Generate(
        chat(proto, sampling=proto[0].Sampling(temperature=1, seed=11), max_tokens=24, return_token_ids=True)))
    body = {"model": model, "messages": QUESTION, "temperature": 1, "seed": 11, "max_tokens": 24,
            "return_token_ids": True}
    answer = httpx.post(server.url + "/v1/chat/completions", json=body, timeout=120).json()
    assert list(ids) == answer["choices"][0]["token_ids"]


def test_logprobs_and_stop(stub, proto):
    request = proto[0].GenerateRequest(text=proto[0].TextPrompt(text="1, 2, 3"), max_tokens=8, logprobs=2,
                                       sampling=proto[0].Sampling(temperature=0), ignore_eos=True)
    events = list(stub.Generate(request))
    entries = [entry for event in events for entry in event.delta.logprobs]
    assert len(entries) == 8
    assert all(entry.token.logprob == pytest.approx(entry.top[0].logprob) for entry in entries)


@pytest.mark.parametrize("change, code", [
    (dict(max_tokens=-1), "INVALID_ARGUMENT"), (dict(stop=[""]), "INVALID_ARGUMENT"), (dict(n=0), "INVALID_ARGUMENT"),
    (dict(model="other"), "NOT_FOUND"), (dict(stop_token_ids=[10**9]), "INVALID_ARGUMENT"),
])
def test_refusals_have_the_codes_of_http(stub, proto, change, code):
    with pytest.raises(grpc.RpcError) as refused:
        list(stub.Generate(chat(proto, **change)))
    assert refused.value.code().name == code
    assert next(iter(change)).split("_")[0] in refused.value.details()


def test_cancelling_ends_the_work(server, stub, proto):
    server.await_idle()
    call = stub.Generate(chat(proto, max_tokens=3000, ignore_eos=True))
    next(iter(call))
    call.cancel()
    server.await_idle(2)


def test_the_deadline_ends_the_work(server, stub, proto):
    server.await_idle()
    with pytest.raises(grpc.RpcError) as late:
        list(stub.Generate(chat(proto, max_tokens=4000, ignore_eos=True, n=8), timeout=0.5))
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    server.await_idle(2)


def test_tokenize_and_model(server, stub, proto):
    messages = proto[0]
    ids = stub.Tokenize(messages.TokenizeRequest(text=messages.TextPrompt(text="héllo"))).token_ids
    assert list(ids) == httpx.post(server.url + "/tokenize", json={"prompt": "héllo"}).json()["tokens"]
    assert "héllo" in stub.Detokenize(messages.DetokenizeRequest(token_ids=ids)).text
    described = stub.GetModel(messages.GetModelRequest())
    assert described.ready and described.context_tokens_max > 0


def test_health_serves_when_ready(channel):
    health_pb2 = pytest.importorskip("grpc_health.v1.health_pb2")
    from grpc_health.v1 import health_pb2_grpc
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "tessera.v1.Tessera"):
        deadline = time.monotonic() + 5
        while stub.Check(health_pb2.HealthCheckRequest(service=service)).status != health_pb2.HealthCheckResponse.SERVING:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    assert next(iter(watch)).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


def test_reflection_describes_the_api(channel):
    reflection = pytest.importorskip("grpc_reflection.v1alpha.proto_reflection_descriptor_database")
    database = reflection.ProtoReflectionDescriptorDatabase(channel)
    services = database.get_services()
    assert {"tessera.v1.Tessera", "grpc.health.v1.Health"} <= set(services)
    for service in services:
        assert database.FindFileContainingSymbol(service).package
