"""tools/make_checkpoint.py: same bytes each time, the form that Hugging Face's library reads, right number formats."""

import filecmp
import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import make_checkpoint  # noqa: E402
from safetensors_writer import decode_e4m3, encode_bf16, encode_e4m3  # noqa: E402


def make(folder, *arguments):
    make_checkpoint.main([arguments[0], str(folder), *arguments[1:]])
    return folder


def raw_tensors(folder):
    """name → (dtype, shape, bytes), read without the library that wrote them."""
    found = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        data = path.read_bytes()
        size = int.from_bytes(data[:8], "little")
        for name, entry in json.loads(data[8:8 + size]).items():
            if name != "__metadata__":
                begin, end = (8 + size + offset for offset in entry["data_offsets"])
                found[name] = (entry["dtype"], entry["shape"], data[begin:end])
    return found


def values(entry):
    dtype, shape, data = entry
    if dtype == "BF16":
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)
    if dtype == "F8_E4M3":
        return decode_e4m3(np.frombuffer(data, np.uint8)).reshape(shape)
    return np.frombuffer(data, {"F32": np.float32, "F16": np.float16}[dtype]).reshape(shape)


@pytest.mark.parametrize("preset", [name for name in make_checkpoint.PRESETS if name.startswith("tiny")])
def test_hugging_faces_library_reads_every_tensor_of_every_tiny_preset(tmp_path, preset):
    make(tmp_path, preset)
    expected = raw_tensors(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "np") as file:
        assert set(file.keys()) == set(expected)
        for name, (dtype, shape, _) in expected.items():
            part = file.get_slice(name)
            assert part.get_shape() == shape and part.get_dtype() == dtype


def test_the_same_flags_give_the_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        make(tmp_path / name, "tiny-v3-fp8", "--seed", seed)
    file = "model.safetensors"
    assert filecmp.cmp(tmp_path / "a" / file, tmp_path / "b" / file, shallow=False)
    assert not filecmp.cmp(tmp_path / "a" / file, tmp_path / "c" / file, shallow=False)


def test_shards_hold_together_the_same_tensors_as_one_file_and_the_index_names_each(tmp_path):
    make(tmp_path / "one", "tiny-v3")
    make(tmp_path / "many", "tiny-v3", "--shard-bytes-max", "100000")
    one, many = raw_tensors(tmp_path / "one"), raw_tensors(tmp_path / "many")
    assert one == many
    index = json.loads((tmp_path / "many" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(len(data) for _, _, data in many.values())
    assert set(index["weight_map"]) == set(many)
    assert {os.fspath(p.name) for p in (tmp_path / "many").glob("*.safetensors")} == set(index["weight_map"].values())
    assert len(set(index["weight_map"].values())) > 5


def test_bf16_and_f16_are_the_f32_checkpoint_rounded(tmp_path):
    wide = raw_tensors(make(tmp_path / "f32", "tiny-v3", "--dtype", "f32"))
    for dtype, step in (("bf16", 2**-8), ("f16", 2**-11)):
        narrow = raw_tensors(make(tmp_path / dtype, "tiny-v3", "--dtype", dtype))
        assert set(narrow) == set(wide)
        for name in wide:
            np.testing.assert_allclose(values(narrow[name]), values(wide[name]), rtol=step, atol=1e-7)


def test_dequantized_holds_the_values_of_the_fp8_checkpoint(tmp_path):
    quantized = raw_tensors(make(tmp_path / "fp8", "tiny-v3-fp8", "--block", "64", "128"))
    plain = raw_tensors(make(tmp_path / "f32", "tiny-v3-fp8", "--block", "64", "128", "--dequantized"))
    name = "model.layers.1.mlp.experts.3.down_proj.weight"  # [192, 130]: edge blocks in both directions
    scales = values(quantized[name + "_scale_inv"])
    assert scales.shape == (3, 2)
    codes = values(quantized[name])
    expected = np.array([[codes[i, j] * scales[i // 64, j // 128] for j in range(130)] for i in range(192)])
    np.testing.assert_array_equal(values(plain[name]), expected)
    assert name + "_scale_inv" not in plain
    assert quantized["model.layers.3.eh_proj.weight"][0] == "BF16"
    assert quantized["model.layers.3.self_attn.o_proj.weight"][0] == "F8_E4M3"


def test_v31_scales_are_powers_of_two(tmp_path):
    tensors = raw_tensors(make(tmp_path, "tiny-v31"))
    scales = np.concatenate([values(t).ravel() for name, t in tensors.items() if name.endswith("_scale_inv")])
    assert len(set(scales)) > 1
    assert np.array_equal(np.exp2(np.round(np.log2(scales))), scales)
    assert json.loads((tmp_path / "config.json").read_text())["quantization_config"]["scale_fmt"] == "ue8m0"


def test_faults_land_where_they_were_asked_for(tmp_path):
    name = "model.layers.1.mlp.experts.0.up_proj.weight"
    make(tmp_path, "tiny-v3", "--set", name + ":5=nan", "--set", "model.norm.weight=0", "--router-bias", "12",
         "--drop", "lm_head.weight")
    tensors = raw_tensors(tmp_path)
    assert np.flatnonzero(np.isnan(values(tensors[name]))).tolist() == [5]
    assert not values(tensors["model.norm.weight"]).any()
    assert np.abs(values(tensors["model.layers.1.mlp.gate.e_score_correction_bias"])).max() > 6
    assert "lm_head.weight" not in tensors


def test_a_fault_in_a_tensor_that_is_not_there_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        make(tmp_path, "tiny-v3", "--set", "model.nurm.weight=nan")
    assert "model.nurm.weight" in capsys.readouterr().err


def test_number_formats_round_to_nearest_even():
    step = 2.0**-9  # E4M3's subnormals
    assert encode_e4m3([0.5 * step, 1.5 * step, 1000.0, -1.0, np.nan]).tolist() == [0, 2, 0x7E, 0xB8, 0x7F]
    assert decode_e4m3([0x7E, 0x08, 0x01]).tolist() == [448.0, 2.0**-6, step]
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8], np.float32)  # halfway between two bfloat16
    assert encode_bf16(ties).tolist() == [0x3F80, 0x3F82]
    assert math.isnan(decode_e4m3([0xFF])[0])
