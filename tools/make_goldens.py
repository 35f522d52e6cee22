#!/usr/bin/env python3
"""Makes tests/golden/model: tiny checkpoints and what Hugging Face transformers computes with them, in F32.

  make_goldens.py [NAME ...]        all, or those named

Each folder gets the checkpoint (tools/make_checkpoint.py, fixed seed) and golden.bin: one line of JSON (versions, token
ids, rows, names and shapes of the tensors), then the tensors as little-endian F32, in order:
  hidden.<layer>         [rows, D]   after the embedding (-1) and each layer
  logits                 [rows, V]
  logits.at.<position>   [rows, V]   the same tokens, RoPE counted from that position
  mtp_logits             [rows, V]   of the MTP module, for the pair (hidden state of row, next token)
Needs torch, transformers and safetensors (tools/requirements-ml.txt). The multi-token prediction module is put together
here from the decoder layer of transformers, which has none for this architecture.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/golden/model"
SEED = 20
NUM_TOKENS = 140  # two full blocks and a bit
ROWS = [0, 1, 2, 6, 7, 62, 63, 64, 65, 100, 127, 128, 138]
NUM_FAR_TOKENS = 24
FAR_POSITIONS = [4090, 8191, 32760, 100_000, 131_060]

SMALL = ["--hidden-size", "48", "--vocab-size", "128", "--intermediate-size", "64", "--moe-intermediate-size", "8",
         "--kv-lora-rank", "24", "--qk-nope-head-dim", "12", "--qk-rope-head-dim", "8", "--v-head-dim", "10",
         "--num-attention-heads", "3"]
QUERY_RANK = ["--q-lora-rank", "20"]
HALF_LAYOUT = ["--config-json", '{"rope_interleave": false}']
GOLDENS = {  # name → arguments of make_checkpoint
    "v2-lite": ["tiny-v2-lite", *SMALL],
    "v2": ["tiny-v2", *SMALL, *QUERY_RANK, "--layers", "2"],
    "v3": ["tiny-v3", *SMALL, *QUERY_RANK],
    "v3-half-rope": ["tiny-v3", *SMALL, *QUERY_RANK, "--layers", "2", "--no-mtp", *HALF_LAYOUT],
    "v3-bias": ["tiny-v3", *SMALL, *QUERY_RANK, "--layers", "2", "--no-mtp", "--router-bias", "12",
                "--no-norm-topk-prob"],
    "v3-ties": ["tiny-v3", *SMALL, *QUERY_RANK, "--layers", "2", "--no-mtp"],
    "v3-256-experts": ["tiny-v3", *SMALL, *QUERY_RANK, "--layers", "2", "--no-mtp", "--n-routed-experts", "256",
                       "--num-experts-per-tok", "8", "--n-group", "8", "--topk-group", "4", "--hidden-size", "24",
                       "--moe-intermediate-size", "4"],
    # 130 columns, 160, 200 and 136 rows: edge blocks everywhere, and heads that begin inside a block.
    "v3-fp8": ["tiny-v3-fp8", *SMALL, "--q-lora-rank", "36", "--layers", "2", "--no-mtp", "--hidden-size", "130",
               "--num-attention-heads", "5", "--qk-nope-head-dim", "24", "--v-head-dim", "16", "--n-routed-experts",
               "8", "--num-experts-per-tok", "2", "--intermediate-size", "136"],
    "v31-fp8-blocks": ["tiny-v31", *SMALL, *QUERY_RANK, "--layers", "2", "--no-mtp", "--n-routed-experts", "8",
                       "--block", "16", "32"],
    "moonlight": ["tiny-moonlight", *SMALL],
}


def stable_topk(values, k, dim=-1, largest=True, sorted=True):
    """torch.topk leaves the order of ties open; here the lower index wins."""
    assert largest
    found, indices = torch.sort(values, dim=dim, descending=True, stable=True)
    return found.narrow(dim, 0, k), indices.narrow(dim, 0, k)


def make_checkpoint(folder, arguments):
    subprocess.run([sys.executable, ROOT / "tools/make_checkpoint.py", arguments[0], folder, "--seed", str(SEED),
                    *arguments[1:]], check=True)


def tie_routers(folder):
    """Makes the router rows (and biases) of experts 2i and 2i + 1 equal: choosing one is a tie with the other."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name, tensor in tensors.items():
        if name.endswith(("mlp.gate.weight", "mlp.gate.e_score_correction_bias")):
            tensor[1::2] = tensor[0::2]
    save_file(tensors, path, metadata={"format": "pt"})


def dequantize(folder, target):
    """Writes the checkpoint with its FP8 matrices as the F32 values that they stand for."""
    config = json.loads((folder / "config.json").read_text())
    rows, columns = config.pop("quantization_config")["weight_block_size"]
    tensors = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if name.endswith("_scale_inv")]:
        scales = tensors.pop(name).repeat_interleave(rows, 0).repeat_interleave(columns, 1)
        weight = tensors[name.removesuffix("_scale_inv")].float()
        tensors[name.removesuffix("_scale_inv")] = weight * scales[:weight.shape[0], :weight.shape[1]]
    (target / "config.json").write_text(json.dumps(config))
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})


def load_model(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager")
    return model.eval()


@torch.no_grad()
def run(model, tokens, first_position):
    """Hidden states after the embedding and each layer, the state after the final norm, logits."""
    states, hooks = [], []
    hooks.append(model.model.embed_tokens.register_forward_hook(lambda m, i, out: states.append(out[0])))
    for layer in model.model.layers:
        hooks.append(layer.register_forward_hook(
            lambda m, i, out: states.append((out[0] if isinstance(out, tuple) else out).reshape(tokens.shape[1], -1))))
    hooks.append(model.model.norm.register_forward_hook(lambda m, i, out: states.append(out[0])))
    positions = torch.arange(first_position, first_position + tokens.shape[1])[None]
    logits = model(input_ids=tokens, position_ids=positions, attention_mask=torch.ones_like(tokens)).logits[0]
    for hook in hooks:
        hook.remove()
    return states[:-1], states[-1], logits


def expert_tensors(tensors, prefix, config):
    """The experts' matrices as transformers stacks them."""
    def of(expert, name):
        return tensors[f"{prefix}mlp.experts.{expert}.{name}.weight"]
    experts = range(config.n_routed_experts)
    gate_up = torch.stack([torch.cat([of(e, "gate_proj"), of(e, "up_proj")]) for e in experts])
    down = torch.stack([of(e, "down_proj") for e in experts])
    return {"mlp.experts.gate_up_proj": gate_up, "mlp.experts.down_proj": down}


@torch.no_grad()
def run_mtp(model, folder, tokens, hidden):
    """Row i: the logits for token i + 2, from hidden state i and token i + 1."""
    module = sys.modules[type(model).__module__]
    config = model.config
    prefix = f"model.layers.{config.num_hidden_layers}."
    tensors = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    layer = module.DeepseekV3DecoderLayer(config, layer_idx=config.num_hidden_layers).eval()
    state = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()
             if name.startswith(prefix) and ".experts." not in name}
    state |= expert_tensors(tensors, prefix, config)
    layer.load_state_dict({name: state[name] for name in layer.state_dict()})

    def norm(name, x):
        return module.DeepseekV3RMSNorm.forward(
            argparse.Namespace(weight=state[name + ".weight"], variance_epsilon=config.rms_norm_eps), x)

    length = tokens.shape[1] - 1
    embedded = torch.nn.functional.embedding(tokens[0, 1:], state["embed_tokens.weight"])
    x = torch.cat([norm("enorm", embedded), norm("hnorm", hidden[:length])], dim=-1) @ state["eh_proj.weight"].T
    positions = torch.arange(length)[None]
    mask = torch.full((length, length), float("-inf")).triu(1)[None, None]
    x = layer(x[None], attention_mask=mask, position_ids=positions,
              position_embeddings=model.model.rotary_emb(x[None], positions))
    x = (x[0] if isinstance(x, tuple) else x).reshape(length, -1)
    return norm("shared_head.norm", x) @ state["shared_head.head.weight"].T


def write(folder, header, tensors):
    header["tensors"] = [{"name": name, "shape": list(tensor.shape)} for name, tensor in tensors.items()]
    with open(folder / "golden.bin", "wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor.numpy(), dtype="<f4").tobytes())


def make(name):
    folder = GOLDEN / name
    folder.mkdir(parents=True, exist_ok=True)
    make_checkpoint(folder, GOLDENS[name])
    if name == "v3-ties":
        tie_routers(folder)
    with tempfile.TemporaryDirectory() as scratch:
        source = folder
        if "fp8" in name:
            source = Path(scratch)
            dequantize(folder, source)
        model = load_model(source)
    tokens = torch.tensor(np.random.default_rng(SEED).integers(3, model.config.vocab_size, (1, NUM_TOKENS)))
    states, normed, logits = run(model, tokens, 0)
    tensors = {f"hidden.{layer - 1}": state[ROWS] for layer, state in enumerate(states)}
    tensors["logits"] = logits[ROWS]
    far_rows = [row for row in ROWS if row < NUM_FAR_TOKENS] + [NUM_FAR_TOKENS - 1]
    if model.config.rope_parameters["rope_type"] == "yarn" and name in ("v2-lite", "v3"):
        for position in FAR_POSITIONS:
            tensors[f"logits.at.{position}"] = run(model, tokens[:, :NUM_FAR_TOKENS], position)[2][far_rows]
    if getattr(model.config, "num_nextn_predict_layers", 0):
        tensors["mtp_logits"] = run_mtp(model, folder, tokens, normed)[ROWS]
    write(folder, {"torch": torch.__version__, "transformers": transformers.__version__, "seed": SEED,
                   "make_checkpoint": GOLDENS[name], "tokens": tokens[0].tolist(), "rows": ROWS,
                   "num_far_tokens": NUM_FAR_TOKENS, "far_rows": far_rows}, tensors)
    print(f"{name}: {sum(path.stat().st_size for path in folder.iterdir()) / 1000:.0f} kB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(GOLDENS))
    torch.topk = torch.Tensor.topk = stable_topk
    torch.set_num_threads(1)
    for name in parser.parse_args().names or GOLDENS:
        make(name)


if __name__ == "__main__":
    main()
