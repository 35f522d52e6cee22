#!/usr/bin/env python3
"""Makes tests/golden/demo/bf16_greedy.jsonl: what Hugging Face transformers generates with models/demo in bfloat16.

  make_bf16_goldens.py [--prompts 40]

The prompts are held-out ones (tests/golden/demo/heldout.jsonl) whose answer has at least 64 tokens, the same number of
each task as far as there are so many, in the order of the file; 64 greedy tokens of each are recorded.

Two implementations round differently, so they may part where two tokens are nearly equal. A bfloat16 number has 8
significant bits: logits from 16 to 32 lie 1/8 apart. The reference's own logits are rounded to that spacing, so two
that are one spacing apart may be equal, and another order of sums moves each by about as much. Steps at which the first and
the second token are at most NEAR_TIE_SPACINGS apart are listed: step, second token, gap.

First line: versions, and the checksum of the weights. Needs torch and transformers (tools/requirements-ml.txt).
"""

import argparse
import collections
import hashlib
import json
from pathlib import Path

import torch
import transformers

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "models/demo"
HELD_OUT = ROOT / "tests/golden/demo/heldout.jsonl"
GOLDEN = ROOT / "tests/golden/demo/bf16_greedy.jsonl"
NUM_TOKENS = 64
NEAR_TIE_SPACINGS = 2


def choose(prompts, count):
    """`count` of those with a long answer, as evenly over the tasks as they allow."""
    by_task = collections.defaultdict(list)
    for prompt in prompts:
        if len(prompt["completion_ids"]) >= NUM_TOKENS:
            by_task[prompt["task"]].append(prompt)
    chosen = []
    for rank in range(max(map(len, by_task.values()))):
        chosen += [of_task[rank] for of_task in by_task.values() if rank < len(of_task)]
    return sorted(chosen[:count], key=lambda prompt: prompt["id"])


def generate(model, prompt_ids):
    """→ tokens and the logits that they were chosen from [tokens, V]."""
    ids = torch.tensor([prompt_ids])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, temperature=None, top_p=None,
                         max_new_tokens=NUM_TOKENS, eos_token_id=1, pad_token_id=2, output_logits=True,
                         return_dict_in_generate=True)
    return out.sequences[0, len(prompt_ids):].tolist(), torch.cat(out.logits).float()


def near_ties(tokens, logits):
    """[[step, second token, gap]] where the first two are nearly equal."""
    values, indices = logits.topk(2)
    spacings = 2.0 ** (values[:, 0].abs().log2().floor() - 7)
    found = []
    for step in torch.nonzero(values[:, 0] - values[:, 1] <= NEAR_TIE_SPACINGS * spacings).flatten().tolist():
        pair = indices[step].tolist()
        assert tokens[step] in pair, "greedy decoding takes the largest"
        second = pair[1] if tokens[step] == pair[0] else pair[0]  # of two equal ones either may come first
        found.append([step, second, round((values[step, 0] - values[step, 1]).item(), 4)])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=40)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with open(HELD_OUT, encoding="utf-8") as file:
        prompts = choose(map(json.loads, file), args.prompts)
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16).eval()
    checksum = hashlib.sha256((MODEL / "model.safetensors").read_bytes()).hexdigest()
    lines = [{"made_by": "tools/make_bf16_goldens.py", "torch": torch.__version__,
              "transformers": transformers.__version__, "weights_sha256": checksum}]
    with torch.no_grad():
        for prompt in prompts:
            tokens, logits = generate(model, prompt["prompt_ids"])
            lines.append({"id": prompt["id"], "task": prompt["task"], "prompt_ids": prompt["prompt_ids"],
                          "token_ids": tokens, "near_ties": near_ties(tokens, logits)})
            print(f"prompt {prompt['id']} ({prompt['task']}): {len(tokens)} tokens, near ties "
                  f"{lines[-1]['near_ties']}", flush=True)
    GOLDEN.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    print(f"{len(prompts)} prompts, {sum(len(line['token_ids']) for line in lines[1:])} tokens, "
          f"{sum(bool(line['near_ties']) for line in lines[1:])} prompts with a near tie")


if __name__ == "__main__":
    main()
