"""Clients that come in numbers and leave when they like: nothing is left behind."""

import concurrent.futures
import random
import signal
import time

import httpx
import pytest

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


def test_a_drained_server_finishes_its_streams_and_exits_with_0(tmp_path):
    server = Server(tmp_path, "--grace-seconds", "60")
    model = httpx.get(server.url + "/v1/models").json()["data"][0]["id"]
    body = {"model": model, "messages": QUESTION, "stream": True, "max_tokens": 200, "ignore_eos": True}
    with httpx.stream("POST", server.url + "/v1/chat/completions", json=body, timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        last, refused = "", False
        for line in lines:
            last = line or last
            if not refused and time.monotonic() < deadline:
                refused = httpx.get(server.url + "/ready").status_code == 503
        assert last == "data: [DONE]"
        assert refused, "not ready at once"
    assert server.process.wait(timeout=30) == 0
    server.log.close()
