"""`tessera serve` refuses a bad checkpoint: in seconds, with an exit code, naming what is wrong; it is never ready."""

import subprocess

import pytest

import checkpoints
from conftest import TESSERA

EXPERT = "model.layers.1.mlp.experts.3.up_proj.weight"
BIAS = "model.layers.1.mlp.gate.e_score_correction_bias"


def refused(folder, *options):
    """The message of the server, which must not start."""
    port_file = folder / "ports.json"
    command = [TESSERA, "serve", str(folder), "--http", "127.0.0.1:0", "--port-file", str(port_file)]
    run = subprocess.run([*command, *checkpoints.SMALL_CACHE, *options], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1, run.stderr
    assert not port_file.exists(), "it was never ready"
    return run.stdout + run.stderr


@pytest.mark.parametrize("preset, place, value", [
    ("tiny-v3", EXPERT + ":5", "nan"), ("tiny-v3", BIAS + ":2", "inf"), ("tiny-v3", "model.norm.weight:0", "nan"),
    ("tiny-v3-fp8", EXPERT + "_scale_inv:0", "0"), ("tiny-v3-fp8", EXPERT + "_scale_inv:1", "inf"),
])
def test_weights_and_scales_that_are_not_numbers(tmp_path, preset, place, value):
    checkpoints.make(tmp_path, preset=preset, faults={place: value})
    assert place.partition(":")[0].removesuffix("_scale_inv") in refused(tmp_path)


SHARD_FAULTS = {
    "one byte short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "cut in the header": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("fault", SHARD_FAULTS)
def test_a_damaged_shard(tmp_path, fault):
    checkpoints.make(tmp_path, "--shard-bytes-max", "200000")
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 2
    SHARD_FAULTS[fault](shards[1])
    assert shards[1].name in refused(tmp_path)


@pytest.mark.parametrize("flags, options, message", [
    (["--drop", EXPERT], [], EXPERT),
    (["--drop", "lm_head.weight"], [], "lm_head.weight"),
    (["--vocab-size", "500"], [], "vocab_size is 500"),
    (["--no-mtp"], ["--mtp", "1"], "no multi-token prediction module"),
    ([], ["--ranks", "3"], "1, 2, 4, 8"),
    (["--config-json", '{"num_hidden_layers": 2}'], [], "model.layers.2.eh_proj.weight"),
    (["--config-json", '{"rope_scaling": {"type": "linear", "factor": 4}}'], [], "linear"),
    (["--config-json", '{"scoring_func": "tanh"}'], [], "tanh"),
    (["--config-json", '{"hidden_size": 128}'], [], "[544, 128]"),
])
def test_a_checkpoint_that_is_not_what_its_config_or_the_command_says(tmp_path, flags, options, message):
    checkpoints.make(tmp_path, *flags)
    assert message in refused(tmp_path, *options)


@pytest.mark.parametrize("drop, message", [("_scale_inv", EXPERT), ("", EXPERT + "_scale_inv")])
def test_fp8_weights_and_scales_come_in_pairs(tmp_path, drop, message):
    checkpoints.make(tmp_path, "--drop", EXPERT + drop, preset="tiny-v3-fp8")
    assert message in refused(tmp_path)
