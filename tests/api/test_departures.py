"""Clients that come in numbers and leave when they like: nothing is left behind."""

import concurrent.futures
import json
import random
import signal
import socket
import struct
import time

import httpx
import pytest

import checkpoints
from conftest import QUESTION, Server

SEED = 20240607


def stream(server, model, rng, i):
    """Reads one stream; may leave after a random number of lines. Returns whether it was read to its end."""
    leave_after = rng.choice([None, None, 0, 1, 5, 20])
    body = {"model": model, "messages": QUESTION, "stream": True, "max_tokens": 60, "seed": i,
            "ignore_eos": True, "n": 1 + i % 2}
    with httpx.Client(timeout=300) as http:
        with http.stream("POST", server.url + "/v1/chat/completions", json=body) as answer:
            assert answer.status_code == 200
            lines = 0
            last = ""
            for line in answer.iter_lines():
                lines += bool(line)
                last = line or last
                if leave_after is not None and lines > leave_after:
                    return False
    assert last == "data: [DONE]"
    return True


def test_64_streams_with_random_disconnects_leave_nothing_behind(server, model):
    print(f"seed {SEED}")
    rngs = [random.Random(SEED + i) for i in range(64)]
    ended = server.metric("tessera_requests_ended_total")
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        results = list(pool.map(lambda i: stream(server, model, rngs[i], i), range(64)))
    assert any(results) and not all(results)
    server.await_idle(60)
    assert server.metric("tessera_requests_ended_total") - ended == 64, "each request ends in exactly one state"


@pytest.mark.parametrize("streamed", [True, False])
def test_closing_ends_a_running_request_within_a_second(server, model, streamed):
    server.await_idle()
    cancelled = server.metric("tessera_requests_ended_total", end="cancelled")
    body = {"model": model, "messages": QUESTION, "stream": streamed, "max_tokens": 3000, "ignore_eos": True}
    with pytest.raises(httpx.ReadTimeout):
        with httpx.Client(timeout=httpx.Timeout(60, read=0.5 if not streamed else 60)) as http:
            with http.stream("POST", server.url + "/v1/chat/completions", json=body) as answer:
                for _ in answer.iter_lines():
                    raise httpx.ReadTimeout("enough")
    server.await_idle(2)
    assert server.metric("tessera_requests_ended_total", end="cancelled") == cancelled + 1


@pytest.fixture(scope="module")
def slow_reader(tmp_path_factory):
    """A server that runs one request at a time, sixteen tokens of its prompt a step."""
    folder = checkpoints.make(tmp_path_factory.mktemp("tiny"), "--no-mtp")
    running = Server(tmp_path_factory.mktemp("server"), "--cache-memory", "64MiB", "--step-tokens", "16",
                     "--max-sequences", "1", model=folder)
    yield running
    assert running.stop() == 0


def await_metric(server, name, wanted, seconds=10):
    deadline = time.monotonic() + seconds
    while (value := server.metric(name)) != wanted:
        assert time.monotonic() < deadline, f"{name} is {value}, wanted {wanted}"
        time.sleep(0.01)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("reset", [True, False])
def test_leaving_in_the_middle_of_a_long_prompt_or_in_the_queue_ends_the_work(slow_reader, stream, reset):
    def send():
        host, port = slow_reader.http.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)))
        body = json.dumps({"prompt": [0] + [20] * 100_000, "max_tokens": 5, "stream": stream}).encode()
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                           b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return connection

    def leave(connection):
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    cancelled = slow_reader.metric("tessera_requests_ended_total", end="cancelled")
    running = send()
    await_metric(slow_reader, "tessera_requests_running", 1)
    queued = send()
    await_metric(slow_reader, "tessera_requests_waiting", 1)
    leave(queued)
    await_metric(slow_reader, "tessera_requests_waiting", 0)
    assert slow_reader.metric("tessera_requests_running") == 1, "the other one goes on"
    leave(running)
    slow_reader.await_idle(2)
    assert slow_reader.metric("tessera_requests_ended_total", end="cancelled") == cancelled + 2


def test_a_drained_server_finishes_its_streams_and_exits_with_0(tmp_path):
    server = Server(tmp_path, "--grace-seconds", "60")
    model = httpx.get(server.url + "/v1/models").json()["data"][0]["id"]
    # Long enough that it still streams when the signal has been seen, on any machine.
    body = {"model": model, "messages": QUESTION, "stream": True, "max_tokens": 3000, "ignore_eos": True}
    with httpx.stream("POST", server.url + "/v1/chat/completions", json=body, timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        while httpx.get(server.url + "/ready").status_code != 503:
            assert time.monotonic() < deadline, "not ready at once"
        last = ""
        for line in lines:
            last = line or last
        assert last == "data: [DONE]"
    assert server.process.wait(timeout=30) == 0
    server.log.close()
