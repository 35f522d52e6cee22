"""Makes models/demo's tokenizer files: byte-level BPE with the pre-tokenizer and the control tokens of DeepSeek-V3.

The merges join letters only (besides newlines): no digit, space or punctuation mark is ever part of a longer token, so
that a word has the same tokens wherever it stands and every digit is a token of its own.
"""

import collections
import json
import random
import re
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import demo_data

MODEL_VOCAB = 512  # 3 special tokens, 256 bytes, 253 merges
SPECIAL = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"]
ADDED = ["<think>", "</think>", "<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>", "<｜User｜>", "<｜Assistant｜>", "<|EOT|>",
         "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁outputs▁begin｜>",
         "<｜tool▁outputs▁end｜>", "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>", "<｜tool▁sep｜>"]
SPLITS = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
          r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]

# R1's template of February 2025, with the two known bugs of its tool calls repaired: every turn with calls opens with
# <｜tool▁calls▁begin｜>, and every group of outputs with <｜tool▁outputs▁begin｜>.
CHAT_TEMPLATE = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
    "{% set ns = namespace(is_tool=false, system_prompt='', is_first_sp=true) %}"
    "{%- for message in messages %}{%- if message['role'] == 'system' %}{%- if ns.is_first_sp %}"
    "{% set ns.system_prompt = ns.system_prompt + message['content'] %}{% set ns.is_first_sp = false %}{%- else %}"
    "{% set ns.system_prompt = ns.system_prompt + '\\n\\n' + message['content'] %}{%- endif %}{%- endif %}{%- endfor %}"
    "{{ bos_token }}{{ ns.system_prompt }}"
    "{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{ '<｜User｜>' + message['content'] }}{%- endif %}"
    "{%- if message['role'] == 'assistant' and message['tool_calls'] is defined and message['tool_calls'] %}{%- set ns.is_tool = false -%}"
    "{{ '<｜Assistant｜>' }}{%- if message['content'] is defined and message['content'] is not none %}{% set content = message['content'] %}"
    "{%- if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{%- endif %}{{ content }}{%- endif %}"
    "{{ '<｜tool▁calls▁begin｜>' }}{%- for tool in message['tool_calls'] %}{%- if not loop.first %}{{ '\\n' }}{%- endif %}"
    "{{ '<｜tool▁call▁begin｜>' + tool['type'] + '<｜tool▁sep｜>' + tool['function']['name'] + '\\n' + '```json' + '\\n' }}"
    "{%- if tool['function']['arguments'] is string %}{{ tool['function']['arguments'] }}{%- else %}"
    "{{ tool['function']['arguments'] | tojson }}{%- endif %}{{ '\\n' + '```' + '<｜tool▁call▁end｜>' }}{%- endfor %}"
    "{{ '<｜tool▁calls▁end｜><｜end▁of▁sentence｜>' }}"
    "{%- elif message['role'] == 'assistant' %}{% set content = message['content'] if message['content'] is not none else '' %}"
    "{%- if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{%- endif %}"
    "{%- if ns.is_tool %}{{ '<｜tool▁outputs▁end｜>' + content + '<｜end▁of▁sentence｜>' }}{%- set ns.is_tool = false -%}{%- else %}"
    "{{ '<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>' }}{%- endif %}{%- endif %}"
    "{%- if message['role'] == 'tool' %}{%- if not ns.is_tool %}{%- set ns.is_tool = true -%}"
    "{{ '<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>' }}{%- else %}"
    "{{ '\\n<｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>' }}{%- endif %}{%- endif %}"
    "{%- endfor -%}"
    "{% if ns.is_tool %}{{ '<｜tool▁outputs▁end｜>' }}{% endif %}"
    "{% if add_generation_prompt and not ns.is_tool %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}")


def letter_runs(seed):
    """Runs of letters of the training texts, workings in capitals left out, each as often as it occurs (words: boosted)."""
    rng, runs = random.Random(seed), collections.Counter()
    for _ in range(20000):
        s = demo_data.sample(rng, 1, mix=dict(demo_data.MIX, talk=5, lookup=0.3))
        text = "\n".join(m["content"] for m in s.messages) + "\n" + s.thinking + "\n" + s.answer
        runs.update(r for r in re.findall(r"[A-Za-z]+", text) if not re.search(r"[A-Z].*[A-Z]", r) and len(r) > 1)
    runs["\n\n"] = 20000
    for r in runs:
        runs[r] = min(runs[r], 4000) if r != "\n\n" else 20000
    return runs


def build():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=MODEL_VOCAB, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    runs = letter_runs(1)
    tokenizer.train_from_iterator((r for r, n in sorted(runs.items()) for _ in range(n)), trainer)
    assert tokenizer.get_vocab_size() == MODEL_VOCAB, tokenizer.get_vocab_size()
    tokenizer.normalizer = normalizers.Sequence([])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(p), "isolated") for p in SPLITS] + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=True, trim_offsets=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=True)
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    for t in ADDED:
        token = AddedToken(t, normalized=t not in ("<|EOT|>",), special=t == "<|EOT|>")
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    return tokenizer


def write(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    build().save(str(folder / "tokenizer.json"))

    def token(content):
        return {"__type": "AddedToken", "content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    config = {"add_bos_token": True, "add_eos_token": False, "bos_token": token(SPECIAL[0]), "clean_up_tokenization_spaces": False,
              "eos_token": token(SPECIAL[1]), "legacy": True, "model_max_length": 4096, "pad_token": token(SPECIAL[1]), "sp_model_kwargs": {},
              "unk_token": None, "tokenizer_class": "LlamaTokenizerFast", "chat_template": CHAT_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write(sys.argv[1])
