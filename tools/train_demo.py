"""Trains the demo model on a CPU and exports it. Resumable: run it again with the same --folder.

    python tools/train_demo.py --hours 2.6 --export models/demo

The schedule is one of time, not of steps: constant rate, then a linear fall to zero (--decay-share).
Optimizers: Muon (orthogonalised momentum) for matrices, experts in one batch; Adam for embedding, head, norms and router.
"""

import argparse
import csv
import datetime
import math
import os
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import demo_data
from demo_model import CONFIG, DemoModel, export


def orthogonalise(g):
    """Five Newton-Schulz steps towards the nearest orthogonal matrix; works on [..., rows, columns]."""
    tall = g.shape[-2] > g.shape[-1]
    x = (g.mT if tall else g).bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return (x.mT if tall else x).float()


class Optimizer:
    """Its state and the parameters lie in shared memory; each rank updates the parameters that it owns."""

    def __init__(self, model, ranks, expert_rate):
        adam = ("embed_tokens", "lm_head", "norm", ".gate")
        self.parameters = list(model.parameters())
        self.is_muon = [p.ndim >= 2 and not n.endswith(adam) for n, p in model.named_parameters()]
        self.of_mtp = [n.startswith(("mtp_layer", "enorm", "hnorm", "eh_proj", "shared_head_norm")) for n, _ in model.named_parameters()]
        # A calm router balances better; an expert sees one token in 32, so its updates are noisier.
        self.rate = [0.15 if n.endswith(".gate") else expert_rate if "experts_" in n else 1.0 for n, _ in model.named_parameters()]
        self.first = [torch.zeros_like(p).share_memory_() for p in self.parameters]
        self.second = [torch.zeros_like(p if not m else p[:0]).share_memory_() for p, m in zip(self.parameters, self.is_muon)]
        self.grads = [[torch.zeros_like(p).share_memory_() for p in self.parameters] for _ in range(ranks)]
        self.owner, burden = [0] * len(self.parameters), [0] * ranks
        for i in sorted(range(len(self.parameters)), key=lambda i: -self.parameters[i].numel()):
            self.owner[i] = burden.index(min(burden))
            burden[self.owner[i]] += self.parameters[i].numel()

    def publish(self, rank):
        for p, g in zip(self.parameters, self.grads[rank]):
            if p.grad is not None:
                g.copy_(p.grad)
                p.grad = None

    @torch.no_grad()
    def step(self, rank, number, muon_rate, adam_rate, decay, with_mtp):
        """number counts from 1. Without MTP the parameters of the module rest."""
        momentum = min(0.95, 0.85 + number / 3000)
        b1, b2 = 0.9, 0.98
        for i, p in enumerate(self.parameters):
            if self.owner[i] != rank or (self.of_mtp[i] and not with_mtp):
                continue
            g, m, v = sum(g[i] for g in self.grads) / len(self.grads), self.first[i], self.second[i]
            if self.is_muon[i]:
                m.lerp_(g, 1 - momentum)
                update = orthogonalise(g.lerp(m, momentum))
                rate = muon_rate * self.rate[i]
                p.mul_(1 - rate * decay).add_(update, alpha=-rate * max(1, p.shape[-2] / p.shape[-1]) ** 0.5)
            else:
                m.lerp_(g, 1 - b1)
                v.lerp_(g.square(), 1 - b2)
                p.add_((m / (1 - b1 ** number)) / ((v / (1 - b2 ** number)).sqrt() + 1e-8), alpha=-adam_rate * self.rate[i])


class Batches:
    """Draws conversations, sorts a pool of them by length and hands out groups of nearly equal ones, with little padding."""

    def __init__(self, tokenizer, rng, group_tokens):
        self.tokenizer, self.rng, self.group_tokens, self.groups = tokenizer, rng, group_tokens, []

    def encode(self, samples):
        prompts = self.tokenizer.encode_batch([s.prompt() for s in samples], add_special_tokens=False)
        completions = self.tokenizer.encode_batch([s.completion() for s in samples], add_special_tokens=False)
        return [(p.ids, c.ids, s.task) for p, c, s in zip(prompts, completions, samples)]

    def fill(self, level_of, mix, long_share, multi_turn):
        samples = []
        for _ in range(3000):
            samples.append(demo_data.sample(self.rng, level_of(self.rng), mix=mix, multi_turn=multi_turn))
        for _ in range(int(3000 * long_share)):
            size = self.rng.randint(40, 330)
            s = demo_data.make_lookup(self.rng, 2, size=size)
            if not demo_data.is_held_out(s.key):
                samples.append(s)
        self.groups = group(sorted(self.encode(samples), key=lambda e: len(e[0]) + len(e[1])), self.group_tokens)
        self.rng.shuffle(self.groups)

    def next(self, count, *fill):
        if len(self.groups) < count:
            self.fill(*fill)
        taken, self.groups = self.groups[:count], self.groups[count:]
        return taken


def group(encoded, group_tokens):
    groups, current = [], []
    for e in encoded:
        if current and (len(current) + 1) * (len(e[0]) + len(e[1])) > group_tokens:
            groups.append(current)
            current = []
        current.append(e)
    return groups + [current]


def flatten(groups, length_step=1, total_step=1):
    """→ ids, next ids, targets of the next token (-1: no loss), targets of the one after it, positions, attention groups."""
    ids, positions, one, two, spans, start = [], [], [], [], [], 0
    for g in groups:
        length = -(-max(len(p) + len(c) for p, c, _ in g) // length_step) * length_step
        for p, c, _ in g:
            row = p + c
            pad = length - len(row)
            ids += row + [1] * pad
            one += [-1] * (len(p) - 1) + c + [-1] * (pad + 1)
            two += [-1] * (len(p) - 1) + c[1:] + [-1] * (pad + 2)
            positions += range(length)
        spans.append((start, len(g), length))
        start += len(g) * length
    rest = -len(ids) % total_step  # bfloat16 kernels are compiled per shape: few different ones
    if rest:
        ids, one, two, positions = ids + [1] * rest, one + [-1] * rest, two + [-1] * rest, positions + list(range(rest))
        spans.append((start, 1, rest))
    ids = torch.tensor(ids)
    return ids, torch.roll(ids, -1), torch.tensor(one), torch.tensor(two), torch.tensor(positions), spans


def losses(model, batch, dtype, with_mtp=True):
    ids, next_ids, one, two, positions, spans = batch
    rows = (one >= 0).nonzero().squeeze(1)
    h = model.hidden(ids, positions, spans, dtype, None if with_mtp else rows)
    logits = (h.index_select(0, rows) if with_mtp else h) @ model.lm_head.t()
    main = F.cross_entropy(logits, one[rows])
    if not with_mtp:
        return main, None, rows.numel()
    rows2 = (two >= 0).nonzero().squeeze(1)
    h2 = model.mtp_hidden(h, next_ids, positions, spans, dtype, rows2)
    mtp = F.cross_entropy(h2 @ model.lm_head.t(), two[rows2])
    return main, mtp, rows.numel()


@torch.no_grad()
def evaluate(model, encoded, dtype, tasks, group_tokens=4096):
    """→ [tasks + 1, 2]: per task, (completions whose every token is the most likely one, so that greedy decoding gives
    exactly them; completions); last, (MTP guesses equal to the main model's choice; guesses)."""
    model.eval()
    counts = torch.zeros(len(tasks) + 1, 2)
    for g in group(sorted(encoded, key=lambda e: len(e[0]) + len(e[1])), group_tokens):
        ids, next_ids, one, two, positions, spans = flatten([g])
        h = model.hidden(ids, positions, spans, dtype)
        rows2 = (two >= 0).nonzero().squeeze(1)
        h2 = model.mtp_hidden(h, next_ids, positions, spans, dtype, rows2)
        choice = (h @ model.lm_head.t()).argmax(-1)
        ok = ((choice == one) | (one < 0)).view(spans[0][1], spans[0][2]).all(1).tolist()
        for (_, _, task), good in zip(g, ok):
            counts[tasks.index(task)] += torch.tensor([float(good), 1.0])
        hits = ((h2 @ model.lm_head.t()).argmax(-1) == torch.roll(choice, -1)[rows2]).sum()
        counts[-1] += torch.tensor([float(hits), float(rows2.numel())])
    model.train()
    return counts


def plot(rows, path):
    """rows: (seconds, tokens, loss, MTP loss). A small SVG with a logarithmic loss axis."""
    width, height, left, top = 640, 320, 50, 20
    end = max(r[0] for r in rows)

    def point(seconds, loss):
        y = (math.log10(10) - math.log10(min(10, max(loss, 1e-3)))) / 4
        return f"{left + seconds / end * (width - left - 10):.1f},{top + y * (height - top - 40):.1f}"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">']
    for loss in (10, 1, 0.1, 0.01, 0.001):
        x, y = point(0, loss).split(",")
        parts.append(f'<line x1="{x}" x2="{width - 10}" y1="{y}" y2="{y}" stroke="#ddd"/><text x="4" y="{y}">{loss}</text>')
    for i in range(5):
        x = point(end * i / 4, 1e-3).split(",")[0]
        parts.append(f'<text x="{x}" y="{height - 22}" text-anchor="middle">{end * i / 240:.0f} min</text>')
    for column, color, name in ((2, "#1f5fa8", "next token"), (3, "#c0561a", "MTP, the token after it")):
        line = " ".join(point(r[0], r[column]) for r in rows if r[column] > 0)
        parts.append(f'<polyline fill="none" stroke="{color}" points="{line}"/>'
                     f'<text x="{width - 12}" y="{top + 14 * column - 16}" text-anchor="end" fill="{color}">{name}</text>')
    Path(path).write_text("\n".join(parts + [f'<text x="{left}" y="{height - 6}">loss over training time</text></svg>']) + "\n")


def write_curve(source, target):
    """folder/loss.csv → target.csv and target.svg; a resumed run repeats steps, the later line wins."""
    by_step = {}
    for row in csv.reader(open(source)):
        by_step = {s: r for s, r in by_step.items() if s < int(row[0])}
        by_step[int(row[0])] = row
    with open(f"{target}.csv", "w") as out:
        out.write("step,tokens,seconds,loss,mtp_loss\n" + "".join(",".join(r) + "\n" for r in by_step.values()))
    plot([(int(r[2]), int(r[1]), float(r[3]), float(r[4])) for r in by_step.values()], f"{target}.svg")


def clock(text):
    hour, minute = map(int, text.split(":"))
    return datetime.datetime.now().replace(hour=hour, minute=minute, second=0).timestamp()


def arguments():
    a = argparse.ArgumentParser()
    a.add_argument("--folder", default="build/train-demo", help="checkpoint and logs")
    a.add_argument("--tokenizer", default=str(Path(__file__).parent.parent / "models/demo/tokenizer.json"))
    a.add_argument("--ranks", type=int, default=2, help="processes, one thread each; the batch is shared out among them")
    a.add_argument("--end", default="", help="time of day HH:MM at which the rate is zero")
    a.add_argument("--hours", type=float, default=1.5, help="instead of --end: length of the whole run, from its first start")
    a.add_argument("--decay-share", type=float, default=0.37)
    a.add_argument("--export", default="")
    a.add_argument("--curve", default="", help="do not train; write the loss curve of --folder to this path + .csv and .svg")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--muon-rate", type=float, default=0.006)
    a.add_argument("--adam-rate", type=float, default=1e-3)
    a.add_argument("--expert-rate", type=float, default=0.12, help="of the routed experts, times --muon-rate")
    a.add_argument("--bias-rate", type=float, default=2e-3)
    a.add_argument("--mtp-weight", type=float, default=0.3)
    a.add_argument("--mtp-every", type=int, default=3, help="train the MTP module in every N-th step only")
    a.add_argument("--multi-turn", type=float, default=0.2, help="share of conversations with earlier turns")
    a.add_argument("--groups", type=int, default=4, help="groups of equally long sequences per rank and step")
    a.add_argument("--group-tokens", type=int, default=768)
    a.add_argument("--dtype", default="bfloat16")
    a.add_argument("--level1", type=float, default=6, help="minutes of training until the problems reach level 1")
    a.add_argument("--level2", type=float, default=25, help="... level 2")
    a.add_argument("--long-share", type=float, default=0.004)
    a.add_argument("--mix", default="", help="task=weight,... over the built-in mix")
    a.add_argument("--save-every", type=float, default=180)
    a.add_argument("--eval-every", type=float, default=240)
    return a.parse_args()


def train(rank, a, model, optimizer, shared, barrier, began):
    """One rank's loop. Rank 0 decides (rate, stop) and writes it to `shared` before the first barrier of a step."""
    torch.set_num_threads(1)
    for layer, load in zip([layer for layer in [*model.layers, model.mtp_layer] if layer.moe], shared["load"][rank]):
        layer.load = load
    dtype, folder, step, tokens, now = getattr(torch, a.dtype), Path(a.folder), began["step"], began["tokens"], time.time()
    start = now - began["spent"]
    end = clock(a.end) if a.end else start + a.hours * 3600
    mix = dict(demo_data.MIX)
    mix.update((k.strip(), float(v)) for k, v in (pair.split("=") for pair in a.mix.split(",") if pair))
    batches = Batches(Tokenizer.from_file(a.tokenizer), random.Random(f"{a.seed} {rank} {step}"), a.group_tokens)
    test_rng, tasks = random.Random(12345), list(demo_data.MAKERS)
    tests = [demo_data.sample(test_rng, 2 if i % 2 else 1, held_out=True, task=t) for t in tasks for i in range(32)]
    tests = batches.encode(tests[rank::a.ranks])
    log = csv.writer(open(folder / "loss.csv", "a", buffering=1)) if rank == 0 else None
    last_save = last_eval = last_print = now
    sums, count, seen, printed_tokens = torch.zeros(2), 0, 0, tokens

    def level_of(r):
        minutes = (time.time() - start) / 60
        x = minutes / a.level1 if minutes < a.level1 else 1 + (minutes - a.level1) / (a.level2 - a.level1)
        x = min(x, 2)
        return int(x) + (r.random() < x - int(x))

    while True:
        now = time.time()
        batch = flatten(batches.next(a.groups, level_of, mix, a.long_share if now - start > a.level1 * 60 else 0.0, a.multi_turn),
                        *((16, 256) if dtype == torch.bfloat16 else (1, 1)))
        with_mtp = step % a.mtp_every == 0
        main_loss, mtp_loss, _ = losses(model, batch, dtype, with_mtp)
        (main_loss + a.mtp_weight * mtp_loss if with_mtp else main_loss).backward()
        optimizer.publish(rank)
        shared["loss"][rank] = torch.tensor([main_loss.item(), mtp_loss.item() if with_mtp else 0.0, batch[0].numel()])
        if rank == 0:
            final = now >= end
            left = max(0.0, min(1.0, (end - now) / ((end - start) * a.decay_share)))
            shared["control"].copy_(torch.tensor([left, final, final or now - last_eval > a.eval_every]))
        barrier.wait()
        left, final, look = shared["control"].tolist()
        step += 1
        factor = left * min(1.0, step / 50)
        optimizer.step(rank, step, a.muon_rate * factor, a.adam_rate * factor, 0.05, with_mtp)
        tokens += int(shared["loss"][:, 2].sum())
        sums, count, seen = sums + shared["loss"][:, :2].mean(0), count + 1, seen + with_mtp
        if rank == 0:
            load, worst = shared["load"].sum(0), 0.0
            for layer, l in zip([layer for layer in [*model.layers, model.mtp_layer] if layer.moe], load):
                worst = max(worst, (l.max() / (l.mean() + 1e-9)).item())
                layer.bias += a.bias_rate * left * torch.sign(l.mean() - l)
        barrier.wait()
        shared["load"][rank].zero_()
        if rank == 0 and now - last_print > 20:
            print(f"step {step} min {(now - start) / 60:.1f} loss {sums[0] / count:.4f} mtp {sums[1] / max(1, seen):.4f} "
                  f"worst load {worst:.2f} rate {factor:.3f} {(tokens - printed_tokens) / (now - last_print):.0f} tok/s", flush=True)
            log.writerow([step, tokens, round(now - start), f"{sums[0] / count:.4f}", f"{sums[1] / max(1, seen):.4f}"])
            last_print, sums, count, seen, printed_tokens = now, torch.zeros(2), 0, 0, tokens
        if look:
            shared["tests"][rank] = evaluate(model, tests, torch.float32, tasks)
            shared["load"][rank].zero_()
            barrier.wait()
            last_eval = time.time()
            if rank == 0:
                result = shared["tests"].sum(0)
                share = (result[:, 0] / result[:, 1]).tolist()
                print(f"EVAL step {step} min {(now - start) / 60:.1f} mean {sum(share[:-1]) / len(tasks):.3f} mtp {share[-1]:.3f} "
                      + " ".join(f"{t}={v:.2f}" for t, v in zip(tasks, share)) + f" ({last_eval - now:.0f} s)", flush=True)
        if rank == 0 and (final or now - last_save > a.save_every):
            state = {"model": model.state_dict(), "first": optimizer.first, "second": optimizer.second, "step": step, "tokens": tokens,
                     "spent": time.time() - start}
            torch.save(state, folder / "checkpoint.tmp")
            os.replace(folder / "checkpoint.tmp", folder / "checkpoint.pt")
            last_save = time.time()
        if final:
            break
    if rank == 0:
        if a.export:
            export(model, a.export)
        print(f"done: {step} steps, {tokens} tokens, {(time.time() - start) / 60:.1f} minutes", flush=True)


def main():
    a = arguments()
    if a.curve:
        return write_curve(Path(a.folder) / "loss.csv", a.curve)
    torch.set_num_threads(2)
    torch.manual_seed(a.seed)
    Path(a.folder).mkdir(parents=True, exist_ok=True)
    model = DemoModel()
    optimizer, began = Optimizer(model, a.ranks, a.expert_rate), {"step": 0, "tokens": 0, "spent": 0.0}
    saved = Path(a.folder) / "checkpoint.pt"
    if saved.exists():
        state = torch.load(saved, weights_only=False)
        model.load_state_dict(state["model"])
        for to, source in zip(optimizer.first + optimizer.second, state["first"] + state["second"]):
            to.copy_(source)
        began = {k: state[k] for k in began}
    model.share_memory().train()
    moe = sum(layer.moe for layer in [*model.layers, model.mtp_layer])
    shared = {"loss": torch.zeros(a.ranks, 3), "control": torch.zeros(3), "load": torch.zeros(a.ranks, moe, CONFIG["n_routed_experts"]),
              "tests": torch.zeros(a.ranks, len(demo_data.MAKERS) + 1, 2)}
    for t in shared.values():
        t.share_memory_()
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {began}", flush=True)
    barrier = torch.multiprocessing.get_context("spawn").Barrier(a.ranks)
    torch.multiprocessing.spawn(train, (a, model, optimizer, shared, barrier, began), nprocs=a.ranks)


if __name__ == "__main__":
    main()
