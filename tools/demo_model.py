"""The DeepSeek-V3 forward pass and its MTP module for training, and its export in Hugging Face's form.

Sequences of a batch lie one behind the other in a flat [tokens, hidden] tensor; `groups` lists (first token, rows,
length) of equally long ones, which only attention looks at. Matrix products run in bfloat16 when asked to, the residual
stream, norms, router and softmax in float32. transformers gives the same logits (tools/eval_demo.py checks it).
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

CONFIG = {
    "architectures": ["DeepseekV3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 0, "eos_token_id": 1,
    "ep_size": 1, "first_k_dense_replace": 3, "hidden_act": "silu", "hidden_size": 128, "initializer_range": 0.02,
    "intermediate_size": 384, "kv_lora_rank": 64, "max_position_embeddings": 4096, "model_type": "deepseek_v3",
    "moe_intermediate_size": 32, "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1,
    "norm_topk_prob": True, "num_attention_heads": 8, "num_experts_per_tok": 8, "num_hidden_layers": 5, "num_key_value_heads": 8,
    "num_nextn_predict_layers": 1, "q_lora_rank": 96, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "rms_norm_eps": 1e-06,
    "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 4, "mscale": 1.0, "mscale_all_dim": 1.0,
                     "original_max_position_embeddings": 1024, "type": "yarn"},
    "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "tie_word_embeddings": False, "topk_group": 4,
    "topk_method": "noaux_tc", "torch_dtype": "bfloat16", "use_cache": True, "v_head_dim": 32, "vocab_size": 544,
}
GENERATION_CONFIG = {"_from_model_config": True, "bos_token_id": 0, "eos_token_id": 1, "do_sample": True, "temperature": 0.6, "top_p": 0.95}


def yarn_frequencies(c):
    r, dr, base = c["rope_scaling"], c["qk_rope_head_dim"], c["rope_theta"]
    f = base ** (-torch.arange(0, dr, 2, dtype=torch.float64) / dr)

    def corrected(n):
        return dr * math.log(r["original_max_position_embeddings"] / (2 * math.pi * n)) / (2 * math.log(base))
    low, high = max(math.floor(corrected(r["beta_fast"])), 0), min(math.ceil(corrected(r["beta_slow"])), dr - 1)
    ramp = ((torch.arange(dr // 2, dtype=torch.float64) - low) / (high - low if high != low else 0.001)).clamp(0, 1)
    return (f * (1 - ramp) + f / r["factor"] * ramp).float()


def rope(x, cos, sin):
    """Interleaved pairs; the result keeps evens first, then odds: the same permutation for query and key."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.cat([even * cos - odd * sin, odd * cos + even * sin], -1)


class RoutedExperts(torch.autograd.Function):
    """Σ over a token's experts of weight · down(silu(gate) ⊙ up), one matrix product per expert on its own tokens."""

    @staticmethod
    def forward(ctx, x, weight, index, gate_up, down):
        n, k = index.shape
        experts, two_f, _ = gate_up.shape
        order = torch.sort(index.reshape(-1), stable=True).indices
        ends = torch.bincount(index.reshape(-1), minlength=experts).cumsum(0).tolist()
        tokens = order // k
        xs = x.index_select(0, tokens)
        h = xs.new_empty(n * k, two_f)
        ys = torch.empty_like(xs)
        gate_up_t, down_t = gate_up.transpose(1, 2).unbind(0), down.transpose(1, 2).unbind(0)
        start = 0
        for e, end in enumerate(ends):
            if end > start:
                torch.mm(xs[start:end], gate_up_t[e], out=h[start:end])
            start = end
        g, u = h.chunk(2, -1)
        a = F.silu(g) * u
        start = 0
        for e, end in enumerate(ends):
            if end > start:
                torch.mm(a[start:end], down_t[e], out=ys[start:end])
            start = end
        back = torch.empty_like(order)
        back[order] = torch.arange(n * k)
        y = torch.bmm(weight.to(ys.dtype).unsqueeze(1), ys.index_select(0, back).view(n, k, -1)).squeeze(1)
        ctx.save_for_backward(xs, h, a, ys, weight, order, tokens, back, gate_up, down)
        ctx.ends = ends
        return y

    @staticmethod
    def backward(ctx, dy):
        xs, h, a, ys, weight, order, tokens, back, gate_up, down = ctx.saved_tensors
        n, k = weight.shape
        dy_s = dy.index_select(0, tokens)
        dweight = (dy_s * ys).sum(-1, dtype=torch.float32).index_select(0, back).view(n, k)
        dys = dy_s * weight.reshape(-1).index_select(0, order).to(dy.dtype).unsqueeze(1)
        da, dxs = torch.empty_like(a), torch.empty_like(xs)
        dgate_up, ddown = torch.zeros_like(gate_up), torch.zeros_like(down)
        gate_ups, downs, dgate_ups, ddowns = gate_up.unbind(0), down.unbind(0), dgate_up.unbind(0), ddown.unbind(0)
        dys_t = dys.t()
        start = 0
        for e, end in enumerate(ctx.ends):
            if end > start:
                torch.mm(dys[start:end], downs[e], out=da[start:end])
                torch.mm(dys_t[:, start:end], a[start:end], out=ddowns[e])
            start = end
        g, u = h.chunk(2, -1)
        s = torch.sigmoid(g)
        silu = g * s
        dh = torch.cat([da * u * (s + silu * (1 - s)), da * silu], -1)
        dh_t = dh.t()
        start = 0
        for e, end in enumerate(ctx.ends):
            if end > start:
                torch.mm(dh[start:end], gate_ups[e], out=dxs[start:end])
                torch.mm(dh_t[:, start:end], xs[start:end], out=dgate_ups[e])
            start = end
        dx = dxs.index_select(0, back).view(n, k, -1).sum(1)
        return dx, dweight, None, dgate_up, ddown


class Layer(nn.Module):
    def __init__(self, c, moe):
        super().__init__()
        self.c, self.moe = c, moe
        d, heads = c["hidden_size"], c["num_attention_heads"]
        dn, dr, dv, r, rq = (c[k] for k in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "kv_lora_rank", "q_lora_rank"))

        def matrix(*shape, gain=1.0):
            return nn.Parameter(torch.randn(*shape) * gain / math.sqrt(shape[-1]))
        self.input_layernorm = nn.Parameter(torch.ones(d))
        self.post_attention_layernorm = nn.Parameter(torch.ones(d))
        self.q_a_layernorm = nn.Parameter(torch.ones(rq))
        self.kv_a_layernorm = nn.Parameter(torch.ones(r))
        self.q_a_proj = matrix(rq, d)
        self.q_b_proj = matrix(heads * (dn + dr), rq)
        self.kv_a_proj_with_mqa = matrix(r + dr, d)
        self.kv_b_proj = matrix(heads * (dn + dv), r)
        self.o_proj = matrix(d, heads * dv, gain=0.1)
        f = c["moe_intermediate_size"] if moe else c["intermediate_size"]
        self.gate_up_proj = matrix(2 * f, d)  # the shared expert's in an expert layer
        self.down_proj = matrix(d, f, gain=0.1)
        if moe:
            experts = c["n_routed_experts"]
            self.gate = matrix(experts, d)
            self.experts_gate_up = matrix(experts, 2 * f, d)
            self.experts_down = matrix(experts, d, f, gain=0.1)
            self.register_buffer("bias", torch.zeros(experts))
            self.load = torch.zeros(experts)

    def norm(self, x, weight):
        return F.rms_norm(x, (x.shape[-1],), weight, 1e-6)

    def attention(self, x, cos, sin, groups, dtype):
        c = self.c
        heads, dn, dr, dv, r = (c[k] for k in ("num_attention_heads", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "kv_lora_rank"))
        n = x.shape[0]
        q = self.norm(x @ self.q_a_proj.to(dtype).t(), self.q_a_layernorm.to(dtype)) @ self.q_b_proj.to(dtype).t()
        latent, kr = (x @ self.kv_a_proj_with_mqa.to(dtype).t()).split([r, dr], -1)
        kv = self.norm(latent, self.kv_a_layernorm.to(dtype)) @ self.kv_b_proj.to(dtype).t()
        qn, qr = q.view(n, heads, dn + dr).split([dn, dr], -1)
        kn, v = kv.view(n, heads, dn + dv).split([dn, dv], -1)
        m = 0.1 * c["rope_scaling"]["mscale_all_dim"] * math.log(c["rope_scaling"]["factor"]) + 1
        q = torch.cat([qn, rope(qr.float(), cos.unsqueeze(1), sin.unsqueeze(1)).to(dtype)], -1) * (m * m / math.sqrt(dn + dr))
        k = torch.cat([kn, rope(kr.float(), cos, sin).to(dtype).unsqueeze(1).expand(n, heads, dr)], -1)
        sizes = [rows * length for _, rows, length in groups]
        out = []
        for (_, rows, length), qg, kg, vg in zip(groups, q.split(sizes), k.split(sizes), v.split(sizes)):
            qg, kg, vg = (t.view(rows, length, heads, -1).transpose(1, 2) for t in (qg, kg, vg))
            future = torch.full((length, length), -math.inf, dtype=dtype).triu(1)
            o = torch.softmax(qg @ kg.mT + future, -1) @ vg
            out.append(o.transpose(1, 2).reshape(rows * length, heads * dv))
        return torch.cat(out).to(dtype) @ self.o_proj.to(dtype).t()

    def route(self, x):
        c = self.c
        groups, kept, k = c["n_group"], c["topk_group"], c["num_experts_per_tok"]
        scores = torch.sigmoid(x.float() @ self.gate.t())
        with torch.no_grad():
            choice = (scores + self.bias).view(x.shape[0], groups, -1)
            best = choice.max(-1)
            second = choice.scatter(-1, best.indices.unsqueeze(-1), -math.inf).amax(-1)
            group_score = best.values + second
            threshold = group_score.sort(-1, descending=True).values[:, kept - 1:kept]
            choice = choice.masked_fill((group_score < threshold).unsqueeze(-1), -math.inf).view(x.shape[0], -1)
            index = choice.topk(k, -1, sorted=False).indices
            if self.training:
                self.load += torch.bincount(index.reshape(-1), minlength=self.load.numel())
        weight = scores.gather(1, index)
        return weight / (weight.sum(-1, keepdim=True) + 1e-20) * c["routed_scaling_factor"], index

    def feed_forward(self, x, x32, dtype):
        g, u = (x @ self.gate_up_proj.to(dtype).t()).chunk(2, -1)
        y = (F.silu(g) * u) @ self.down_proj.to(dtype).t()
        if not self.moe:
            return y
        weight, index = self.route(x32)
        return y.float() + RoutedExperts.apply(x32, weight, index, self.experts_gate_up, self.experts_down)

    def forward(self, x, cos, sin, groups, dtype, rows=None):
        x = x + self.attention(self.norm(x, self.input_layernorm).to(dtype), cos, sin, groups, dtype).float()
        if rows is not None:
            x = x.index_select(0, rows)
        u = self.norm(x, self.post_attention_layernorm)
        return x + self.feed_forward(u.to(dtype), u, dtype).float()


class DemoModel(nn.Module):
    def __init__(self, c=CONFIG):
        super().__init__()
        self.c = c
        d, v = c["hidden_size"], c["vocab_size"]
        self.embed_tokens = nn.Parameter(torch.randn(v, d) * 0.5)
        self.lm_head = nn.Parameter(torch.randn(v, d) * 0.02)
        self.norm = nn.Parameter(torch.ones(d))
        self.layers = nn.ModuleList(Layer(c, i >= c["first_k_dense_replace"]) for i in range(c["num_hidden_layers"]))
        self.mtp_layer = Layer(c, True)
        self.enorm, self.hnorm, self.shared_head_norm = (nn.Parameter(torch.ones(d)) for _ in range(3))
        self.eh_proj = nn.Parameter(torch.randn(d, 2 * d) / math.sqrt(2 * d))
        angles = torch.arange(c["max_position_embeddings"]).float().unsqueeze(1) * yarn_frequencies(c)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def hidden(self, ids, positions, groups, dtype, rows=None):
        """The vectors that go into lm_head: the last layer's output after model.norm (at `rows` only, if given)."""
        cos, sin = self.cos[positions], self.sin[positions]
        x = self.embed_tokens[ids]
        for layer in self.layers:
            x = layer(x, cos, sin, groups, dtype, rows if layer is self.layers[-1] else None)
        return F.rms_norm(x, (x.shape[-1],), self.norm, 1e-6)

    def mtp_hidden(self, h, next_ids, positions, groups, dtype, rows):
        """For position i, from its hidden vector and token i+1: the vector whose logits are those of token i+2."""
        e = F.rms_norm(self.embed_tokens[next_ids], (h.shape[-1],), self.enorm, 1e-6)
        g = F.rms_norm(h, (h.shape[-1],), self.hnorm, 1e-6)
        x = (torch.cat([e, g], -1).to(dtype) @ self.eh_proj.to(dtype).t()).float()
        x = self.mtp_layer(x, self.cos[positions], self.sin[positions], groups, dtype, rows)
        return F.rms_norm(x, (x.shape[-1],), self.shared_head_norm, 1e-6)


def hf_tensors(model):
    """name → tensor under the names of the published checkpoints; BF16 except the router's correction bias."""
    out = {"model.embed_tokens.weight": model.embed_tokens, "model.norm.weight": model.norm, "lm_head.weight": model.lm_head}
    count = model.c["num_hidden_layers"]
    for i, layer in enumerate([*model.layers, model.mtp_layer]):
        p = f"model.layers.{i}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            out[f"{p}{name}.weight"] = getattr(layer, name)
        for name in ("q_a_proj", "q_a_layernorm", "q_b_proj", "kv_a_proj_with_mqa", "kv_a_layernorm", "kv_b_proj", "o_proj"):
            out[f"{p}self_attn.{name}.weight"] = getattr(layer, name)
        mlp = f"{p}mlp.shared_experts." if layer.moe else f"{p}mlp."
        out[f"{mlp}gate_proj.weight"], out[f"{mlp}up_proj.weight"] = layer.gate_up_proj.chunk(2, 0)
        out[f"{mlp}down_proj.weight"] = layer.down_proj
        if layer.moe:
            out[f"{p}mlp.gate.weight"] = layer.gate
            for e in range(model.c["n_routed_experts"]):
                q = f"{p}mlp.experts.{e}."
                out[f"{q}gate_proj.weight"], out[f"{q}up_proj.weight"] = layer.experts_gate_up[e].chunk(2, 0)
                out[f"{q}down_proj.weight"] = layer.experts_down[e]
    p = f"model.layers.{count}."
    out |= {f"{p}enorm.weight": model.enorm, f"{p}hnorm.weight": model.hnorm, f"{p}eh_proj.weight": model.eh_proj,
            f"{p}shared_head.norm.weight": model.shared_head_norm, f"{p}embed_tokens.weight": model.embed_tokens,
            f"{p}shared_head.head.weight": model.lm_head}
    out = {k: v.detach().to(torch.bfloat16).contiguous().clone() for k, v in out.items()}
    for i, layer in enumerate([*model.layers, model.mtp_layer]):
        if layer.moe:
            out[f"model.layers.{i}.mlp.gate.e_score_correction_bias"] = layer.bias.detach().float().clone()
    return out


def load_hf_tensors(model, tensors):
    """The inverse of hf_tensors: fills the model (float32) from an exported file."""
    with torch.no_grad():
        for name in ("embed_tokens", "norm"):
            getattr(model, name).copy_(tensors[f"model.{name}.weight"])
        model.lm_head.copy_(tensors["lm_head.weight"])
        last = f"model.layers.{model.c['num_hidden_layers']}."
        for name, to in (("enorm", model.enorm), ("hnorm", model.hnorm), ("eh_proj", model.eh_proj), ("shared_head.norm", model.shared_head_norm)):
            to.copy_(tensors[f"{last}{name}.weight"])
        for i, layer in enumerate([*model.layers, model.mtp_layer]):
            p = f"model.layers.{i}."
            for name in ("input_layernorm", "post_attention_layernorm"):
                getattr(layer, name).copy_(tensors[f"{p}{name}.weight"])
            for name in ("q_a_proj", "q_a_layernorm", "q_b_proj", "kv_a_proj_with_mqa", "kv_a_layernorm", "kv_b_proj", "o_proj"):
                getattr(layer, name).copy_(tensors[f"{p}self_attn.{name}.weight"])
            mlp = f"{p}mlp.shared_experts." if layer.moe else f"{p}mlp."
            layer.gate_up_proj.copy_(torch.cat([tensors[f"{mlp}gate_proj.weight"], tensors[f"{mlp}up_proj.weight"]]))
            layer.down_proj.copy_(tensors[f"{mlp}down_proj.weight"])
            if layer.moe:
                layer.gate.copy_(tensors[f"{p}mlp.gate.weight"])
                layer.bias.copy_(tensors[f"{p}mlp.gate.e_score_correction_bias"])
                for e in range(model.c["n_routed_experts"]):
                    q = f"{p}mlp.experts.{e}."
                    layer.experts_gate_up[e].copy_(torch.cat([tensors[f"{q}gate_proj.weight"], tensors[f"{q}up_proj.weight"]]))
                    layer.experts_down[e].copy_(tensors[f"{q}down_proj.weight"])


def export(model, folder):
    from safetensors.torch import save_file
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(sorted(hf_tensors(model).items())), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(model.c, indent=2) + "\n")
    (folder / "generation_config.json").write_text(json.dumps(GENERATION_CONFIG, indent=2) + "\n")
