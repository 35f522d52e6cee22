"""The tensors of a DeepSeek-V2/V3 checkpoint with reproducible random values.

A tensor's values depend on the seed and its name alone, not on order, shards or other tensors, and for BF16, F16 and
F32 on the same normal draw: those three hold the same model up to rounding. FP8 weights are drawn as codes with block
scales that differ from block to block, so that a wrong scale shows; `dequantized` writes just their values as F32.
"""

import functools
import hashlib
import math
import statistics
from dataclasses import dataclass, field

import numpy as np

from safetensors_writer import ITEM_BYTES, decode_e4m3, encode

CHUNK_VALUES = 1 << 20
CODES_PER_STANDARD_DEVIATION = 100.0  # of FP8 weights: the largest draw, 4.2 deviations, stays below E4M3's 448


@functools.cache
def normal_quantiles():
    """65536 equally likely values of the normal distribution: one random uint16 looks up one value."""
    normal = statistics.NormalDist()
    upper = np.array([normal.inv_cdf((i + 0.5) / 65536) for i in range(32768, 65536)], np.float32)
    return np.concatenate([-upper[::-1], upper])


def uniform_codes(seed, name, count):
    """`count` random uint16, in chunks."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    bits = np.random.PCG64(np.frombuffer(digest, np.uint32).tolist())
    for begin in range(0, count, CHUNK_VALUES):
        size = min(CHUNK_VALUES, count - begin)
        yield bits.random_raw((size + 3) // 4).view(np.uint16)[:size]


@dataclass
class Plan:
    """What is common to all tensors of a checkpoint."""
    seed: int = 0
    dtype: str = "BF16"  # of what is not quantized
    quantized: bool = False
    dequantized: bool = False  # the values of the quantized checkpoint, as `dtype`
    block: tuple = (128, 128)
    power_of_two_scales: bool = False
    router_bias: float = 0.1
    faults: dict = field(default_factory=dict)  # tensor name → [(flat index or None for all, value)]


@dataclass
class Tensor:
    name: str
    shape: tuple
    dtype: str
    plan: Plan
    kind: str = "weight"  # weight, fp8, scale, norm, bias
    scale: float = 1.0    # standard deviation, or half range of a bias
    source: str = ""      # the tensor whose values these are, if not its own

    @property
    def count(self):
        return math.prod(self.shape)

    @property
    def num_bytes(self):
        return self.count * ITEM_BYTES[self.dtype]

    def chunks(self):
        faults = self.plan.faults.get(self.name)
        if not faults:
            yield from self._values()
            return
        whole = np.concatenate(list(self._values()))
        for index, value in faults:
            whole[slice(None) if index is None else index] = encode(np.float32(value), self.dtype)
        yield whole

    def _values(self):
        name = self.source or self.name
        if self.kind == "scale":
            yield block_scales(self.plan, name.removesuffix("_scale_inv"), self.shape, self.scale).ravel()
        elif self.kind == "fp8" and self.plan.dequantized:
            yield encode(dequantized(self.plan, name, self.shape, self.scale), self.dtype).ravel()
        else:
            table = encode(self._table(), self.dtype)
            for codes in uniform_codes(self.plan.seed, name, self.count):
                yield table[codes]

    def _table(self):
        if self.kind == "fp8":
            return normal_quantiles() * np.float32(CODES_PER_STANDARD_DEVIATION)
        if self.kind == "norm":
            return 1 + np.float32(0.1) * normal_quantiles()
        if self.kind == "bias":
            return np.linspace(-self.scale, self.scale, 65536, dtype=np.float32)
        return np.float32(self.scale) * normal_quantiles()


def block_scales(plan, weight_name, shape, deviation):
    draws = np.concatenate(list(uniform_codes(plan.seed, weight_name + "_scale_inv", math.prod(shape)))) / 65536
    mean = deviation / CODES_PER_STANDARD_DEVIATION
    if plan.power_of_two_scales:
        return np.exp2(np.floor(math.log2(mean)) + (draws < 0.5)).astype(np.float32).reshape(shape)
    return (mean * (0.7 + 0.6 * draws)).astype(np.float32).reshape(shape)


def scale_shape(shape, block):
    return tuple(-(-size // step) for size, step in zip(shape, block))


def dequantized(plan, name, shape, deviation):
    table = decode_e4m3(encode(normal_quantiles() * np.float32(CODES_PER_STANDARD_DEVIATION), "F8_E4M3"))
    values = np.concatenate([table[codes] for codes in uniform_codes(plan.seed, name, math.prod(shape))]).reshape(shape)
    scales = block_scales(plan, name, scale_shape(shape, plan.block), deviation)
    rows, columns = shape
    spread = np.repeat(np.repeat(scales, plan.block[0], axis=0)[:rows], plan.block[1], axis=1)[:, :columns]
    return values * spread


class TensorList:
    def __init__(self, config, plan):
        self.config, self.plan, self.tensors = config, plan, []

    def plain(self, name, *shape, gain=1.0, source=""):
        deviation = gain / math.sqrt(shape[-1])
        self.tensors.append(Tensor(name, shape, self.plan.dtype, self.plan, "weight", deviation, source))

    def linear(self, name, rows, columns):
        """A matrix that an FP8 checkpoint quantizes."""
        deviation, name = 1 / math.sqrt(columns), name + ".weight"
        if not (self.plan.quantized or self.plan.dequantized):
            self.plain(name, rows, columns)
            return
        dtype = self.plan.dtype if self.plan.dequantized else "F8_E4M3"
        self.tensors.append(Tensor(name, (rows, columns), dtype, self.plan, "fp8", deviation))
        if not self.plan.dequantized:
            shape = scale_shape((rows, columns), self.plan.block)
            self.tensors.append(Tensor(name + "_scale_inv", shape, "F32", self.plan, "scale", deviation))

    def norm(self, name, size):
        self.tensors.append(Tensor(name + ".weight", (size,), self.plan.dtype, self.plan, "norm"))

    def mlp(self, prefix, width):
        hidden = self.config["hidden_size"]
        self.linear(prefix + "gate_proj", width, hidden)
        self.linear(prefix + "up_proj", width, hidden)
        self.linear(prefix + "down_proj", hidden, width)

    def attention(self, prefix):
        c = self.config
        heads, hidden, query_rank, rank = (c["num_attention_heads"], c["hidden_size"], c["q_lora_rank"],
                                           c["kv_lora_rank"])
        query_rows = heads * (c["qk_nope_head_dim"] + c["qk_rope_head_dim"])
        if query_rank is None:
            self.linear(prefix + "q_proj", query_rows, hidden)
        else:
            self.linear(prefix + "q_a_proj", query_rank, hidden)
            self.norm(prefix + "q_a_layernorm", query_rank)
            self.linear(prefix + "q_b_proj", query_rows, query_rank)
        self.linear(prefix + "kv_a_proj_with_mqa", rank + c["qk_rope_head_dim"], hidden)
        self.norm(prefix + "kv_a_layernorm", rank)
        self.linear(prefix + "kv_b_proj", heads * (c["qk_nope_head_dim"] + c["v_head_dim"]), rank)
        self.linear(prefix + "o_proj", hidden, heads * c["v_head_dim"])

    def experts(self, prefix):
        c = self.config
        self.plain(prefix + "gate.weight", c["n_routed_experts"], c["hidden_size"], gain=2.0)
        if c["topk_method"] == "noaux_tc":
            self.tensors.append(Tensor(prefix + "gate.e_score_correction_bias", (c["n_routed_experts"],), "F32",
                                       self.plan, "bias", self.plan.router_bias))
        for expert in range(c["n_routed_experts"]):
            self.mlp(f"{prefix}experts.{expert}.", c["moe_intermediate_size"])
        if c["n_shared_experts"]:
            self.mlp(prefix + "shared_experts.", c["n_shared_experts"] * c["moe_intermediate_size"])

    def layer(self, number, is_moe):
        prefix = f"model.layers.{number}."
        self.norm(prefix + "input_layernorm", self.config["hidden_size"])
        self.attention(prefix + "self_attn.")
        self.norm(prefix + "post_attention_layernorm", self.config["hidden_size"])
        if is_moe:
            self.experts(prefix + "mlp.")
        else:
            self.mlp(prefix + "mlp.", self.config["intermediate_size"])

    def mtp(self, number, copies):
        c, prefix = self.config, f"model.layers.{number}."
        if copies:
            self.embedding(prefix + "embed_tokens.weight")
        self.norm(prefix + "enorm", c["hidden_size"])
        self.norm(prefix + "hnorm", c["hidden_size"])
        self.plain(prefix + "eh_proj.weight", c["hidden_size"], 2 * c["hidden_size"])
        self.layer(number, is_moe=bool(c["n_routed_experts"]))
        self.norm(prefix + "shared_head.norm", c["hidden_size"])
        if copies:
            self.head(prefix + "shared_head.head.weight")

    def embedding(self, name):
        gain = math.sqrt(self.config["hidden_size"])  # entries of size 1: the residual stream starts at O(1)
        self.plain(name, self.config["vocab_size"], self.config["hidden_size"], gain=gain,
                   source="model.embed_tokens.weight")

    def head(self, name):
        self.plain(name, self.config["vocab_size"], self.config["hidden_size"], gain=3.0, source="lm_head.weight")


def list_tensors(config, plan, mtp_copies=True):
    """Every tensor of the checkpoint, in the model's order."""
    tensors = TensorList(config, plan)
    tensors.embedding("model.embed_tokens.weight")
    for number in range(config["num_hidden_layers"]):
        is_moe = bool(config["n_routed_experts"]) and number >= config["first_k_dense_replace"] and (
            number % config["moe_layer_freq"] == 0)
        tensors.layer(number, is_moe)
    tensors.norm("model.norm", config["hidden_size"])
    if not config["tie_word_embeddings"]:
        tensors.head("lm_head.weight")
    for module in range(config["num_nextn_predict_layers"]):
        tensors.mtp(config["num_hidden_layers"] + module, mtp_copies)
    return tensors.tensors
