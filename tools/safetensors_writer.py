"""Writes Hugging Face checkpoint folders shard by shard, in little memory: number formats, the safetensors form, index.

numpy has neither bfloat16 nor float8, so the encoders here return raw codes (uint16, uint8), rounded to nearest even.
"""

import json
from pathlib import Path

import numpy as np

ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1}


def encode_bf16(values):
    bits = np.asarray(values, np.float32).view(np.uint32)
    rounded = ((bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)


def decode_e4m3(codes):
    """OCP E4M3 "fn": bias 7, no infinities, NaN is 0x7F and 0xFF."""
    codes = np.asarray(codes, np.uint8)
    exponent, mantissa = (codes >> 3 & 15).astype(np.int32), (codes & 7).astype(np.float32)
    magnitude = np.where(exponent == 0, np.ldexp(mantissa, -9), np.ldexp(1 + mantissa / 8, exponent - 7))
    magnitude = np.where((codes & 0x7F) == 0x7F, np.nan, magnitude)
    return np.where(codes & 0x80, -magnitude, magnitude).astype(np.float32)


def encode_e4m3(values):
    """Rounds to nearest, ties to the even code, saturating at ±448."""
    values = np.asarray(values, np.float64)
    finite = decode_e4m3(np.arange(0x7F)).astype(np.float64)
    middle = (finite[1:] + finite[:-1]) / 2
    magnitude = np.abs(values)
    below = np.searchsorted(middle, magnitude, side="left")  # a tie stays at the lower code …
    tie = (below < len(middle)) & (magnitude == middle[np.minimum(below, len(middle) - 1)])
    codes = (below + (tie & (below % 2 == 1))).astype(np.uint8)  # … unless that one is odd
    codes = np.where(np.isnan(values), np.uint8(0x7F), codes)
    return codes | (np.signbit(values).astype(np.uint8) << 7)


def encode(values, dtype):
    if dtype == "BF16":
        return encode_bf16(values)
    if dtype == "F8_E4M3":
        return encode_e4m3(values)
    with np.errstate(over="ignore"):
        return np.asarray(values).astype({"F32": np.float32, "F16": np.float16}[dtype])


def plan_shards(tensors, shard_bytes_max):
    """Splits the tensors, in order, into shards of at most shard_bytes_max unless a single tensor is larger."""
    shards, size = [[]], 0
    for tensor in tensors:
        if shards[-1] and size + tensor.num_bytes > shard_bytes_max:
            shards.append([])
            size = 0
        shards[-1].append(tensor)
        size += tensor.num_bytes
    return shards


def write_shard(path, tensors):
    """Wide types first, so that every tensor is aligned to its type, as the safetensors library itself does."""
    tensors = sorted(tensors, key=lambda tensor: -ITEM_BYTES[tensor.dtype])
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for tensor in tensors:
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape),
                               "data_offsets": [offset, offset + tensor.num_bytes]}
        offset += tensor.num_bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for tensor in tensors:
            for chunk in tensor.chunks():
                file.write(np.ascontiguousarray(chunk).data)
        if file.tell() != 8 + len(text) + offset:
            raise AssertionError(f"{path}: wrote {file.tell()} bytes, the header promises {8 + len(text) + offset}")


def write_checkpoint(folder, tensors, shard_bytes_max, report=lambda text: None):
    """One shard: model.safetensors. Several: numbered shards and their index."""
    folder = Path(folder)
    shards = plan_shards(tensors, shard_bytes_max)
    weight_map = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):06d}.safetensors" if len(shards) > 1 else "model.safetensors"
        weight_map.update((tensor.name, name) for tensor in shard)
        write_shard(folder / name, shard)
        report(f"{name}: {len(shard)} tensors, {sum(tensor.num_bytes for tensor in shard) / 2**20:.1f} MiB")
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(tensor.num_bytes for tensor in tensors)}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
