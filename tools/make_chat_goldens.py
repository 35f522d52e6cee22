#!/usr/bin/env python3
"""Prompts that the published chat templates make, for the unit tests of server/chat.

The templates below follow DeepSeek's published ones; tool turns as their documentation says, without the known faults of
early files (a flag never reset, content dropped beside tool calls). They are rendered as HF transformers does it, and
tokenized by HF tokenizers with the demo vocabulary. Writes tests/golden/chat/<format>.json.
"""

import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.sandbox
import tokenizers

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "tests/golden/chat"
BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"

V2 = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token }}"
    "{% elif message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

SYSTEM = (
    "{% set ns = namespace(last='', system_prompt='', is_first_sp=true) %}"
    "{%- for message in messages %}{%- if message['role'] == 'system' %}"
    "{%- if ns.is_first_sp %}{% set ns.system_prompt = message['content'] %}{% set ns.is_first_sp = false %}"
    "{%- else %}{% set ns.system_prompt = ns.system_prompt + '\\n\\n' + message['content'] %}{%- endif %}"
    "{%- endif %}{%- endfor %}"
)


def v3_family(generation: str, strips_reasoning: bool) -> str:
    strip = "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}" if strips_reasoning else ""
    return (
        SYSTEM
        + "{{ bos_token }}{{ ns.system_prompt }}{%- for message in messages %}"
        "{%- if message['role'] == 'user' %}{%- if ns.last == 'tool' %}{{ '<｜tool▁outputs▁end｜>' }}{%- endif %}"
        "{{ '<｜User｜>' + message['content'] }}{%- set ns.last = 'user' -%}{%- endif %}"
        "{%- if message['role'] == 'assistant' %}"
        "{%- if ns.last == 'tool' %}{{ '<｜tool▁outputs▁end｜>' }}{%- else %}{{ '<｜Assistant｜>' }}{%- endif %}"
        "{% set content = message['content'] or '' %}" + strip + "{{ content }}"
        "{%- if message['tool_calls'] %}{{ '<｜tool▁calls▁begin｜>' }}"
        "{%- for tool in message['tool_calls'] %}{%- if not loop.first %}{{ '\\n' }}{%- endif %}"
        "{{ '<｜tool▁call▁begin｜>' + tool['type'] + '<｜tool▁sep｜>' + tool['function']['name'] + '\\n' + '```json' + '\\n' "
        "+ tool['function']['arguments'] + '\\n' + '```' + '<｜tool▁call▁end｜>' }}{%- endfor %}{{ '<｜tool▁calls▁end｜>' }}{%- endif %}"
        "{{ eos_token }}{%- set ns.last = 'assistant' -%}{%- endif %}"
        "{%- if message['role'] == 'tool' %}"
        "{{ ('\\n' if ns.last == 'tool' else '<｜tool▁outputs▁begin｜>') + '<｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>' }}"
        "{%- set ns.last = 'tool' -%}{%- endif %}{%- endfor -%}"
        "{% if ns.last == 'tool' %}{{ '<｜tool▁outputs▁end｜>' }}{% endif %}"
        "{% if add_generation_prompt and ns.last == 'user' %}{{ '" + generation + "' }}{% endif %}"
    )


V31 = (
    "{% if not thinking is defined %}{% set thinking = false %}{% endif %}"
    + SYSTEM
    + "{% if tools %}{% set ts = namespace(text='## Tools\\nYou have access to the following tools:\\n') %}"
    "{% for tool in tools %}{% set ts.text = ts.text + '\\n### ' + tool.function.name + '\\nDescription: ' + tool.function.description "
    "+ '\\n\\nParameters: ' + (tool.function.parameters | tojson) + '\\n' %}{% endfor %}"
    "{% set ts.text = ts.text + '\\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>"
    "tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>{additional_tool_calls}<｜tool▁calls▁end｜>\\n\\nWhere:\\n\\n"
    "- `tool_call_name` must be an exact match to one of the available tools\\n- `tool_call_arguments` must be valid JSON that "
    "strictly follows the tool\\'s Parameters Schema\\n- For multiple tool calls, chain them directly without separators or spaces' %}"
    "{% set ns.system_prompt = ns.system_prompt + '\\n\\n' + ts.text %}{% endif %}"
    "{{ bos_token }}{{ ns.system_prompt }}{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}{%- set ns.last = 'user' -%}{%- endif %}"
    "{%- if message['role'] == 'assistant' %}{%- if ns.last == 'user' %}{{ '<｜Assistant｜></think>' }}{%- endif %}"
    "{% set content = message['content'] or '' %}{% if '</think>' in content %}{% set content = content.split('</think>', 1)[1] %}{% endif %}"
    "{{ content }}{%- if message['tool_calls'] %}{{ '<｜tool▁calls▁begin｜>' }}{%- for tool in message['tool_calls'] %}"
    "{{ '<｜tool▁call▁begin｜>' + tool['function']['name'] + '<｜tool▁sep｜>' + tool['function']['arguments'] + '<｜tool▁call▁end｜>' }}"
    "{%- endfor %}{{ '<｜tool▁calls▁end｜>' }}{%- endif %}{{ eos_token }}{%- set ns.last = 'assistant' -%}{%- endif %}"
    "{%- if message['role'] == 'tool' %}{{ '<｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>' }}"
    "{%- set ns.last = 'tool' -%}{%- endif %}{%- endfor -%}"
    "{% if add_generation_prompt and ns.last == 'user' %}{{ '<｜Assistant｜>' + ('<think>' if thinking else '</think>') }}{% endif %}"
)

FORMATS = {
    "v2": V2,
    "v3": v3_family("<｜Assistant｜>", strips_reasoning=False),
    "r1-2025-01": v3_family("<｜Assistant｜>", strips_reasoning=True),
    "r1": v3_family("<｜Assistant｜><think>\\n", strips_reasoning=True),
    "v3.1": V31,
}


def call(call_id: str, name: str, arguments: str) -> dict:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def assistant(text, **more) -> dict:
    return {"role": "assistant", "content": text, **more}


def system(text: str) -> dict:
    return {"role": "system", "content": text}


def tool(call_id: str, text: str) -> dict:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


TALKS = {
    "one user message": [user("hi")],
    "system and user": [system("Be brief."), user("What is 12345 + 678?")],
    "several turns": [user("Hello, world!"), assistant("Hi!\n"), user(" 你好，世界 "), assistant("  indented"), user("\n\nbye")],
    "empty contents": [system(""), user(""), assistant(""), user("")],
    "history only, no question": [user("a"), assistant("b")],
    "content that ends in white space": [user("x \n"), assistant("y  "), user("z\n\n")],
    "emoji and marks": [user("a\u0301 👩‍💻 — é"), assistant("日本"), user("삼겹살")],
    "system messages anywhere": [system("first"), user("a"), system("second"), assistant("b"), user("c")],
}
REASONING_TALKS = {
    "earlier reasoning": [user("q"), assistant("<think>\nsecret\n</think>\n\nanswer"), user("again")],
    "two closing tags": [user("q"), assistant("a</think>b</think>c"), user("again")],
}
TOOL_TALKS = {
    "one call": [
        user("Weather in Rome?"),
        assistant(None, tool_calls=[call("c1", "get_weather", '{"city": "Rome"}')]),
        tool("c1", '{"t": 21}'),
    ],
    "two calls with content, answer, next question": [
        system("Use tools."),
        user("Rome and Paris?"),
        assistant("Let me look.", tool_calls=[call("c1", "get_weather", '{"city":"Rome"}'), call("c2", "get_time", "{}")]),
        tool("c1", "21"),
        tool("c2", "noon"),
        assistant("21 degrees at noon."),
        user("Thanks"),
    ],
    "calls twice in one talk": [
        user("a"),
        assistant("", tool_calls=[call("c1", "f", '{"x":1}')]),
        tool("c1", "r1"),
        assistant(None, tool_calls=[call("c2", "g", "")]),
        tool("c2", "r2"),
    ],
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city, in °C",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}}, "required": ["city"]},
        },
    },
    {"type": "function", "function": {"name": "get_time", "description": "Time", "parameters": {"type": "object", "properties": {}}}},
]


def render(template: str, **variables) -> str:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(template).render(bos_token=BOS, eos_token=EOS, **variables)


def cases(name: str) -> list[dict]:
    talks = dict(TALKS)
    if name in ("r1", "r1-2025-01", "v3.1"):
        talks |= REASONING_TALKS
    if name == "v3.1":
        # It keeps the second tag, which HF's tokenizer makes a control token, but we do not: the client wrote it.
        del talks["two closing tags"]
    if name != "v2":
        talks |= TOOL_TALKS
    out = []
    for title, messages in talks.items():
        for thinking in (False, True) if name == "v3.1" else (False,):
            # V2 asks for an answer after every conversation; the others only after the user.
            for ask in (True, False):
                out.append({"name": title, "messages": messages, "thinking": thinking, "add_generation_prompt": ask})
    if name == "v3.1":
        for title in ("one user message", "system and user"):
            out.append({"name": title + ", tools", "messages": talks[title], "tools": TOOLS, "thinking": False, "add_generation_prompt": True})
    return out


def main() -> None:
    tokenizer = tokenizers.Tokenizer.from_file(str(ROOT / "models/demo/tokenizer.json"))
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name, template in FORMATS.items():
        rows = []
        for case in cases(name):
            options = {key: case[key] for key in ("thinking", "add_generation_prompt")}
            text = render(template, messages=case["messages"], tools=case.get("tools"), **options)
            rows.append({**case, "text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids})
        body = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
        template_text = json.dumps(template, ensure_ascii=False)
        (OUTPUT / f"{name}.json").write_text(f'{{"chat_template":{template_text},\n"cases":[\n{body}\n]}}\n')


if __name__ == "__main__":
    main()
