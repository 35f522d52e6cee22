#!/usr/bin/env python3
"""Accuracy of the demo model through our server: every layout gives the reference's tokens, and how many answers are right.

    python tools/demo_accuracy.py [--limit 100]

Starts `tessera serve models/demo` once per layout (precision, ranks, instruction set), sends the held-out prompts of
tests/golden/demo/heldout.jsonl greedily, and compares with what the reference implementation gave. Needs httpx and a
release build (or TESSERA_BIN).
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import tempfile
import time

import httpx

ROOT = pathlib.Path(__file__).resolve().parent.parent
TESSERA = os.environ.get("TESSERA_BIN", str(ROOT / "build/release/cmd/tessera"))
HELD_OUT = ROOT / "tests/golden/demo/heldout.jsonl"
LAYOUTS = {
    "f32": ["--precision", "f32"],
    "f32, without drafts": ["--precision", "f32", "--mtp", "0"],
    "f32, 4 drafts": ["--precision", "f32", "--mtp", "4"],
    "bf16": [],
    "bf16, 2 ranks": ["--ranks", "2"],
    "bf16, 4 ranks": ["--ranks", "4"],
    "bf16, 8 ranks": ["--ranks", "8"],
    "f32, 4 ranks": ["--precision", "f32", "--ranks", "4"],
    "bf16, chunks of 64": ["--step-tokens", "64", "--max-sequences", "16"],
}


def read_prompts(limit=None):
    with open(HELD_OUT, encoding="utf-8") as file:
        prompts = [json.loads(line) for line in file]
    if limit is not None and limit < len(prompts):  # spread over the tasks, which may lie in order
        prompts = [prompts[i * len(prompts) // limit] for i in range(limit)]
    return prompts


def ask(client, prompt):
    """The token ids and the content that the server answers greedily."""
    body = {"model": "demo", "messages": prompt["messages"], "temperature": 0, "return_token_ids": True}
    response = client.post("/v1/chat/completions", json=body)
    response.raise_for_status()
    answer = response.json()
    return answer["prompt_token_ids"], answer["choices"][0]["token_ids"], answer["choices"][0]["message"]["content"]


def measure(url, prompts, streams=16):
    """Counts over the prompts: answers right, completions equal to the reference's token by token; and seconds."""
    right = same = 0
    start = time.monotonic()
    with httpx.Client(base_url=url, timeout=300) as client, concurrent.futures.ThreadPoolExecutor(streams) as pool:
        for prompt, (prompt_ids, ids, content) in zip(prompts, pool.map(lambda p: ask(client, p), prompts)):
            assert prompt_ids == prompt["prompt_ids"], f"prompt {prompt['id']}: rendered differently from the reference"
            right += (content or "").strip() == prompt["answer"].strip()
            same += ids == prompt["completion_ids"]
    return {"prompts": len(prompts), "right": right, "same_as_reference": same, "seconds": time.monotonic() - start}


def serve_and_measure(flags, prompts):
    with tempfile.TemporaryDirectory() as folder:
        port_file = pathlib.Path(folder) / "ports"
        with open(pathlib.Path(folder) / "log", "w+", encoding="utf-8") as log:
            process = subprocess.Popen([TESSERA, "serve", str(ROOT / "models/demo"), "--http", "127.0.0.1:0", "--model-name",
                                        "demo", "--port-file", str(port_file), *flags], stdout=log, stderr=log)
            try:
                while not port_file.exists():
                    if process.poll() is not None:
                        log.seek(0)
                        raise RuntimeError("the server did not start:\n" + log.read())
                    time.sleep(0.05)
                return measure("http://" + json.loads(port_file.read_text())["http"], prompts)
            finally:
                process.terminate()
                process.wait(60)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="so many prompts only, spread over the tasks")
    args = parser.parse_args()
    prompts = read_prompts(args.limit)
    reference = sum(p["right"] for p in prompts)
    print(f"| layout | right of {len(prompts)} | same tokens as the reference | seconds |\n|---|---|---|---|")
    print(f"| reference implementation, F32 | {reference} | | |")
    for name, flags in LAYOUTS.items():
        result = serve_and_measure(flags, prompts)
        print(f"| {name} | {result['right']} | {result['same_as_reference']} | {result['seconds']:.1f} |", flush=True)


if __name__ == "__main__":
    main()
