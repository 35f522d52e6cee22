"""Measures an exported demo model with Hugging Face transformers on held-out prompts.

    python tools/eval_demo.py --model models/demo --write tests/golden/demo/heldout.jsonl
    python tools/eval_demo.py --model models/demo --dtype bfloat16 --limit 100

Decoding is greedy, the prompt is what the checkpoint's own chat template makes of the messages. An answer is right when
the text after </think> is exactly the expected one. MTP acceptance: over the generated tokens after the first one, how
often the module's guess, made one position earlier, is the token that the main model then chose. The module itself is
demo_model.py's (read from the exported file); its input is the hidden state that transformers computes.
"""

import argparse
import collections
import json
import random
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import demo_data
from demo_model import DemoModel, load_hf_tensors

SEED = 20250120


def held_out(count):
    """The same prompts on every call: equally many of each task, no prompt twice."""
    rng, tasks, out, seen = random.Random(SEED), list(demo_data.MAKERS), [], set()
    while len(out) < count:
        s = demo_data.sample(rng, 2, held_out=True, task=tasks[len(out) % len(tasks)])
        if s.prompt() not in seen:
            seen.add(s.prompt())
            out.append(s)
    return out


def generate(model, prompts, max_new_tokens, rows=25):
    """Greedy completions; prompts of similar length run together, padded on the left and masked there."""
    order, out = sorted(range(len(prompts)), key=lambda i: len(prompts[i])), [None] * len(prompts)
    for indices in (order[i:i + rows] for i in range(0, len(order), rows)):
        length = max(len(prompts[i]) for i in indices)
        ids = torch.tensor([[2] * (length - len(prompts[i])) + prompts[i] for i in indices])
        result = model.generate(ids, attention_mask=(ids != 2).long(), do_sample=False, temperature=None, top_p=None,
                                max_new_tokens=max_new_tokens, eos_token_id=1, pad_token_id=2)
        for i, row in zip(indices, result[:, length:].tolist()):
            out[i] = row[:row.index(1) + 1] if 1 in row else row
    return out


def mtp_hits(model, mtp, prompt, completion):
    """→ (guesses that agree, guesses) for one sequence."""
    ids = torch.tensor(prompt + completion)
    h = model.model(ids.unsqueeze(0)).last_hidden_state[0].float()
    positions = torch.arange(len(ids))
    out = mtp.mtp_hidden(h, torch.roll(ids, -1), positions, [(0, 1, len(ids))], torch.float32, None)
    guess = (out @ mtp.lm_head.t()).argmax(-1)  # guess[i] is for token i + 2
    first = len(prompt) - 1
    return (guess[first:-2] == ids[first + 2:]).sum().item(), len(ids) - 2 - first


def work(job):
    """One process's share: → completions and MTP (hits, guesses)."""
    folder, dtype, prompts, max_new_tokens = job
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    mtp = DemoModel()
    load_hf_tensors(mtp, load_file(Path(folder) / "model.safetensors"))
    mtp.eval()
    with torch.no_grad():
        completions = generate(model, prompts, max_new_tokens)
        return completions, [mtp_hits(model, mtp, p, c) for p, c in zip(prompts, completions)]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--model", default=str(Path(__file__).parent.parent / "models/demo"))
    a.add_argument("--dtype", default="float32")
    a.add_argument("--count", type=int, default=500)
    a.add_argument("--limit", type=int, default=0, help="only the first N of them")
    a.add_argument("--max-new-tokens", type=int, default=512)
    a.add_argument("--write", default="")
    a.add_argument("--processes", type=int, default=2)
    a = a.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(a.model)
    samples = held_out(a.count)[:a.limit or None]
    prompts = []
    for s in samples:
        text = tokenizer.apply_chat_template(s.messages, tokenize=False, add_generation_prompt=True)
        assert text == s.prompt(), (text, s.prompt())
        prompts.append(tokenizer.encode(text, add_special_tokens=False))
    start, order = time.time(), sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    cuts = [order[len(order) * i // a.processes:len(order) * (i + 1) // a.processes] for i in range(a.processes)]
    with torch.multiprocessing.get_context("spawn").Pool(a.processes) as pool:
        results = pool.map(work, [(a.model, a.dtype, [prompts[i] for i in cut], a.max_new_tokens) for cut in cuts])
    seconds = time.time() - start
    completions, hits = [None] * len(prompts), [None] * len(prompts)
    for cut, (c, h) in zip(cuts, results):
        for i, one, hit in zip(cut, c, h):
            completions[i], hits[i] = one, hit
    right, total, agreed, guessed, wrong = (collections.Counter() for _ in range(5))
    lines = []
    for i, (s, p, c, (hit, guesses)) in enumerate(zip(samples, prompts, completions, hits)):
        text = tokenizer.decode(c, skip_special_tokens=False)
        answer = tokenizer.decode(c, skip_special_tokens=True).split("</think>\n\n", 1)[-1] if "</think>" in text else ""
        good = answer == s.answer and c[-1] == 1
        right[s.task] += good
        total[s.task] += 1
        agreed[s.task] += hit
        guessed[s.task] += guesses
        if not good and (wrong.update([s.task]) or wrong[s.task] <= 3):
            print(f"WRONG {s.task}: {s.messages[-1]['content'][-150:]!r}\n   wanted {s.thinking!r} -> {s.answer!r}\n   got    {text!r}")
        lines.append(json.dumps({"id": i, "task": s.task, "messages": s.messages, "answer": s.answer, "right": good, "prompt_ids": p,
                                 "completion_ids": c, "completion": text}, ensure_ascii=False))
    tokens = sum(map(len, completions))
    print(f"| task | right | of | MTP acceptance |\n|---|---|---|---|")
    for t in demo_data.MAKERS:
        if total[t]:
            print(f"| {t} | {right[t]} | {total[t]} | {agreed[t] / guessed[t]:.1%} |")
    print(f"| all | {sum(right.values())} ({sum(right.values()) / len(samples):.1%}) | {len(samples)} | {sum(agreed.values()) / sum(guessed.values()):.1%} |")
    print(f"{a.dtype}, {tokens} tokens generated in {seconds:.0f} s")
    if a.write:
        Path(a.write).parent.mkdir(parents=True, exist_ok=True)
        Path(a.write).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
