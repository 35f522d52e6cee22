"""Random answers: what a seed fixes and what not. All tokens are equally likely, so no two draws agree by chance."""

import concurrent.futures
import itertools

import httpx
import pytest

import checkpoints
from conftest import Server


@pytest.fixture(scope="module")
def uniform(tmp_path_factory):
    return checkpoints.make(tmp_path_factory.mktemp("uniform"), "--no-mtp", faults={"lm_head.weight": 0})


def served(uniform, folder, *options):
    """What a new server answers: with a seed, and without."""
    folder.mkdir()
    server = Server(folder, *checkpoints.SMALL_CACHE, *options, model=uniform)
    try:
        return ask(server, seed=7), ask(server)
    finally:
        assert server.stop() == 0


def ask(server, **fields):
    body = {"prompt": [0, 5, 6], "temperature": 1, "n": 8, "max_tokens": 6, "ignore_eos": True,
            "return_token_ids": True}
    answer = httpx.post(server.url + "/v1/completions", json=body | fields, timeout=60)
    assert answer.status_code == 200, answer.text
    choices = sorted(answer.json()["choices"], key=lambda choice: choice["index"])
    return [tuple(choice["token_ids"]) for choice in choices]


def all_differ(*lists):
    answers = list(itertools.chain(*lists))
    return len(set(answers)) == len(answers)


@pytest.fixture(scope="module")
def server(uniform, tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"), *checkpoints.SMALL_CACHE, model=uniform)
    yield running
    assert running.stop() == 0


@pytest.mark.parametrize("seed", [0, 7, -1])
def test_a_seed_gives_the_same_list_of_different_choices_under_any_load(server, seed):
    alone = ask(server, seed=seed)
    assert all_differ(alone)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: ask(server, seed=seed), range(8))) == [alone] * 8
    assert ask(server, seed=seed, n=3) == alone[:3]
    assert ask(server, seed=seed, logprobs=5) == alone


def test_without_a_seed_nothing_repeats(server):
    assert all_differ(ask(server), ask(server), ask(server, seed=7))


def test_at_temperature_zero_all_choices_are_the_same(server):
    assert len(set(ask(server, temperature=0, seed=1) + ask(server, temperature=0))) == 1


def test_a_restart_and_more_ranks_keep_seeded_answers_and_no_others(uniform, tmp_path):
    seeded, free = zip(*(served(uniform, tmp_path / name, *options)
                         for name, options in {"first": (), "second": (), "ranks": ("--ranks", "4")}.items()))
    assert seeded[0] == seeded[1] == seeded[2]
    assert all_differ(*free)
