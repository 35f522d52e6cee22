#!/usr/bin/env python3
"""Makes a Hugging Face checkpoint of the DeepSeek-V2/V3 architecture with reproducible random weights.

  make_checkpoint.py tiny-v3 /tmp/tiny                     a few hundred kilobytes, for tests
  make_checkpoint.py bench /tmp/bench                      1.7 billion parameters, for measurements
  make_checkpoint.py r1-layers /tmp/r1 --layers 4          R1's true dimensions, the first 4 layers, FP8
  make_checkpoint.py tiny-v3 /tmp/odd --hidden-size 130 --dtype f32 --no-mtp
  make_checkpoint.py tiny-v3 /tmp/nan --set model.norm.weight:3=nan

The same preset, flags and seed give the same bytes. Activations stay of size 1 and routing is spread over the experts.
Needs numpy only.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from checkpoint_tensors import Plan, list_tensors  # noqa: E402
from safetensors_writer import write_checkpoint  # noqa: E402

YARN = {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 4096, "type": "yarn"}

R1 = {
    "architectures": ["DeepseekV3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 0,
    "eos_token_id": 1, "ep_size": 1, "first_k_dense_replace": 3, "hidden_act": "silu", "hidden_size": 7168,
    "initializer_range": 0.02, "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840,
    "model_type": "deepseek_v3", "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8,
    "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": True, "num_attention_heads": 128,
    "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128, "num_nextn_predict_layers": 1,
    "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06, "rope_scaling": YARN,
    "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "tie_word_embeddings": False,
    "topk_group": 4, "topk_method": "noaux_tc", "use_cache": True, "v_head_dim": 128, "vocab_size": 129280,
}
TINY_V3 = R1 | {
    "first_k_dense_replace": 1, "hidden_size": 64, "intermediate_size": 160, "kv_lora_rank": 32,
    "moe_intermediate_size": 32, "n_group": 4, "n_routed_experts": 16, "num_attention_heads": 4,
    "num_experts_per_tok": 4, "num_hidden_layers": 3, "q_lora_rank": 48, "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 16, "topk_group": 2, "v_head_dim": 24, "vocab_size": 544,
}
# No dimension but the block itself is a multiple of the 128-wide FP8 blocks: every tensor has an edge block.
TINY_V3_FP8 = TINY_V3 | {
    "hidden_size": 192, "intermediate_size": 320, "kv_lora_rank": 64, "moe_intermediate_size": 130,
    "num_attention_heads": 6, "q_lora_rank": 144, "qk_nope_head_dim": 32, "v_head_dim": 40,
}
TINY_V2_LITE = TINY_V3 | {
    "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "q_lora_rank": None, "n_group": 1,
    "topk_group": 1, "n_shared_experts": 2, "scoring_func": "softmax", "topk_method": "greedy",
    "norm_topk_prob": False, "routed_scaling_factor": 1.0, "num_nextn_predict_layers": 0,
    "rope_scaling": YARN | {"mscale": 0.707, "mscale_all_dim": 0.707},
}
TINY_V2 = TINY_V2_LITE | {
    "q_lora_rank": 48, "n_routed_experts": 32, "n_group": 8, "topk_group": 3, "num_experts_per_tok": 6,
    "topk_method": "group_limited_greedy", "routed_scaling_factor": 16.0,
}
TINY_MOONLIGHT = TINY_V3 | {
    "q_lora_rank": None, "n_group": 1, "topk_group": 1, "n_shared_experts": 2, "rms_norm_eps": 1e-05,
    "rope_scaling": None, "rope_theta": 50000, "routed_scaling_factor": 2.446, "max_position_embeddings": 8192,
    "num_nextn_predict_layers": 0,
}
BENCH = R1 | {
    "hidden_size": 1024, "intermediate_size": 2816, "moe_intermediate_size": 256, "num_attention_heads": 16,
    "num_hidden_layers": 8, "q_lora_rank": 384,
}
PRESETS = {  # name → (config, number format)
    "tiny-v3": (TINY_V3, "bf16"), "tiny-v3-fp8": (TINY_V3_FP8, "fp8"), "tiny-v2-lite": (TINY_V2_LITE, "bf16"),
    "tiny-v2": (TINY_V2, "bf16"), "tiny-moonlight": (TINY_MOONLIGHT, "bf16"), "tiny-v31": (TINY_V3_FP8, "fp8"),
    "bench": (BENCH, "bf16"), "r1-layers": (R1 | {"num_nextn_predict_layers": 0}, "fp8"),
}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def parse_fault(text):
    """NAME:INDEX=VALUE or NAME=VALUE (all entries)."""
    try:
        place, value = text.rsplit("=", 1)
        name, _, index = place.partition(":")
        return name, int(index) if index else None, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: wanted NAME=VALUE or NAME:INDEX=VALUE") from None


def parse_number_or_none(text):
    return None if text.lower() in ("none", "null") else int(text)


def make_parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", choices=PRESETS, help="dimensions and number format to start from")
    parser.add_argument("folder", type=Path, help="where to write; made if it is not there")
    parser.add_argument("--dtype", choices=("bf16", "f32", "f16", "fp8"), help="number format (default: the preset's)")
    parser.add_argument("--dequantized", action="store_true",
                        help="with fp8: write the values that the FP8 weights stand for, as F32, without scales")
    parser.add_argument("--block", type=int, nargs=2, default=(128, 128), metavar=("ROWS", "COLUMNS"),
                        help="size of an FP8 scale block (default: 128 128)")
    parser.add_argument("--scale-fmt", choices=("float", "ue8m0"),
                        help="FP8 scales: any number, or powers of two (default: float, tiny-v31: ue8m0)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard-bytes-max", type=int, default=4 * 10**9, metavar="BYTES")
    parser.add_argument("--tokenizer", type=Path, metavar="DIR", help="copy the tokenizer's files from this folder")
    parser.add_argument("--layers", type=int, help="short for --num-hidden-layers")
    parser.add_argument("--no-mtp", action="store_true", help="short for --num-nextn-predict-layers 0")
    parser.add_argument("--no-mtp-copies", action="store_true",
                        help="leave out the MTP module's copies of embedding and head")
    parser.add_argument("--no-yarn", action="store_true", help="rope_scaling: null")
    parser.add_argument("--config-json", type=json.loads, default={}, metavar="OBJECT",
                        help='fields to write to config.json as they are, such as \'{"rope_interleave": false}\'')
    config = parser.add_argument_group("dimensions and other fields of config.json")
    for name, value in R1.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            kind = parse_number_or_none if name in ("q_lora_rank", "n_routed_experts") else type(value)
            config.add_argument("--" + name.replace("_", "-"), type=kind, metavar="N", default=argparse.SUPPRESS)
        elif isinstance(value, bool):
            config.add_argument("--" + name.replace("_", "-"), action=argparse.BooleanOptionalAction,
                                default=argparse.SUPPRESS)
    for name in ("scoring_func", "topk_method", "model_type"):
        config.add_argument("--" + name.replace("_", "-"), default=argparse.SUPPRESS)
    for name in ("factor", "mscale", "mscale_all_dim", "original_max_position_embeddings"):
        config.add_argument("--yarn-" + name.replace("_", "-"), type=float, metavar="X")
    faults = parser.add_argument_group("faults, for tests")
    faults.add_argument("--set", type=parse_fault, action="append", default=[], metavar="NAME[:INDEX]=VALUE",
                        help="put a value such as nan, inf or 0 at a flat index of a tensor, or everywhere")
    faults.add_argument("--router-bias", type=float, default=0.1, metavar="X",
                        help="e_score_correction_bias is uniform in ±X (default: 0.1)")
    faults.add_argument("--drop", action="append", default=[], metavar="NAME", help="leave a tensor out")
    return parser


def make_config(args):
    preset, dtype = PRESETS[args.preset]
    config = preset | {name: value for name, value in vars(args).items() if name in preset}
    if args.layers is not None:
        config["num_hidden_layers"] = args.layers
    if args.no_mtp:
        config["num_nextn_predict_layers"] = 0
    if "num_key_value_heads" not in args:
        config["num_key_value_heads"] = config["num_attention_heads"]
    yarn = {name.removeprefix("yarn_"): value for name, value in vars(args).items()
            if name.startswith("yarn_") and value is not None}
    if args.no_yarn:
        config["rope_scaling"] = None
    elif yarn:
        config["rope_scaling"] = (config["rope_scaling"] or YARN) | yarn
    return config, args.dtype or dtype


def make_plan(args, dtype):
    faults = {}
    for name, index, value in args.set:
        faults.setdefault(name, []).append((index, value))
    plain = {"f32": "F32", "f16": "F16"}.get(dtype, "BF16")
    return Plan(seed=args.seed, dtype="F32" if args.dequantized else plain, quantized=dtype == "fp8",
                dequantized=args.dequantized and dtype == "fp8", block=tuple(args.block),
                power_of_two_scales=(args.scale_fmt or ("ue8m0" if args.preset == "tiny-v31" else "float")) == "ue8m0",
                router_bias=args.router_bias, faults=faults)


def write_configs(args, config, plan):
    config["torch_dtype"] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}[plan.dtype]
    if plan.quantized and not plan.dequantized:
        config["quantization_config"] = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                                         "weight_block_size": list(plan.block)}
        if plan.power_of_two_scales:
            config["quantization_config"]["scale_fmt"] = "ue8m0"
    config |= args.config_json
    generation = {"_from_model_config": True, "bos_token_id": config["bos_token_id"],
                  "eos_token_id": config["eos_token_id"], "do_sample": True, "temperature": 0.6, "top_p": 0.95}
    (args.folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (args.folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    if args.tokenizer:
        for name in TOKENIZER_FILES:
            if (args.tokenizer / name).exists():
                shutil.copyfile(args.tokenizer / name, args.folder / name)


def main(argv=None):
    parser = make_parser()
    args = parser.parse_args(argv)
    config, dtype = make_config(args)
    plan = make_plan(args, dtype)
    tensors = list_tensors(config, plan, mtp_copies=not args.no_mtp_copies)
    unknown = ({*plan.faults, *args.drop}) - {tensor.name for tensor in tensors}
    if unknown:
        parser.error(f"no such tensor: {', '.join(sorted(unknown))}")
    tensors = [tensor for tensor in tensors if tensor.name not in args.drop]
    args.folder.mkdir(parents=True, exist_ok=True)
    write_configs(args, config, plan)
    print(f"{args.folder}: {sum(t.count for t in tensors if t.kind != 'scale') / 1e6:.1f} M parameters, "
          f"{len(tensors)} tensors, {sum(t.num_bytes for t in tensors) / 2**20:.1f} MiB")
    write_checkpoint(args.folder, tensors, args.shard_bytes_max, report=print)


if __name__ == "__main__":
    main()
