"""puna render: published chat templates byte for byte, and where the special tokens of a prompt come from.

    PUNA_BIN=build/puna PUNA_SHARED=../shared pytest tests/golden/test_render.py -rP

Cases come from $PUNA_SHARED/data/chat_templates. tests/golden/test_templates.py renders them through the library in
one process; here each goes through the program, as a person would do it.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("PUNA_SHARED", ROOT.parent / "shared")) / "data"
PUNA = os.environ.get("PUNA_BIN")
CHAT = sorted((DATA / "chat_templates").glob("*.json"))
pytestmark = pytest.mark.skipif(not PUNA, reason="PUNA_BIN does not name the program")


def puna(*arguments, stdin=b""):
    env = {name: value for name, value in os.environ.items() if not name.startswith("PUNA_")}
    return subprocess.run([PUNA, *map(str, arguments)], input=stdin, capture_output=True, timeout=60, env=env)


def arguments_of(case, folder):
    """What renders a case, its parts written to files in folder."""
    def file(name, value):
        path = folder / name
        path.write_bytes((value if isinstance(value, str) else json.dumps(value)).encode())
        return path
    result = ["render", "--template", file("template", case["template"]), "--messages", file("messages", case["messages"]),
              "--bos", case["bos"], "--eos", case["eos"], "--now", "2024-07-04 09:05:03"]
    if case.get("tools") is not None:
        result += ["--tools", file("tools", case["tools"])]
    if case.get("extra"):
        result += ["--vars", file("vars", case["extra"])]
    return result + ([] if case["add_generation_prompt"] else ["--no-generation-prompt"])


def in_parallel(work, items):
    with concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        return list(pool.map(work, items))


def difference(case, done):
    """None when the program did what the case says."""
    wanted = case.get("expected_error")
    said = done.stderr.decode("utf-8", "replace")
    if wanted is None:
        if done.returncode == 0 and done.stdout == case["expected"].encode():
            return None
        return f"status {done.returncode}, {said or done.stdout!r} instead of {case['expected']!r}"
    if wanted.get("optional") and done.returncode in (0, 1):
        return None
    if done.returncode != 1 or done.stdout:
        return f"status {done.returncode}, {done.stdout!r} instead of {wanted['kind']}"
    if wanted["kind"] == "TemplateError" and wanted["message"][:150] not in said:
        return f"{said!r} instead of {wanted['message']!r}"
    return None


@pytest.mark.skipif(not CHAT, reason="no chat templates")
def test_published_templates(tmp_path):
    def run(path):
        folder = tmp_path / path.stem
        folder.mkdir()
        case = json.loads(path.read_text())
        return difference(case, puna(*arguments_of(case, folder)))
    bad = [f"{path.stem}: {what}" for path, what in zip(CHAT, in_parallel(run, CHAT)) if what]
    print(f"{len(CHAT) - len(bad)} of {len(CHAT)}")
    assert not bad, f"{len(bad)}:\n" + "\n".join(bad[:20])


def test_small_templates(tmp_path):
    path = DATA / "jinja" / "public.json"
    if not path.exists():
        pytest.skip(f"no {path}")
    data = json.loads(path.read_text())
    messages, variables = tmp_path / "messages", tmp_path / "vars"
    messages.write_text(json.dumps(data["vars"].get("messages", [])))
    variables.write_text(json.dumps(data["vars"]))

    def run(numbered):
        number, case = numbered
        template = tmp_path / f"{number}.jinja"
        template.write_bytes(case["template"].encode())
        return difference(case, puna("render", "--template", template, "--messages", messages, "--vars", variables,
                                     "--now", "2024-07-04 09:05:03"))
    cases = data["cases"]
    bad = [f"{case['id']}: {what}" for case, what in zip(cases, in_parallel(run, enumerate(cases))) if what]
    print(f"{len(cases) - len(bad)} of {len(cases)}")
    assert not bad, f"{len(bad)}:\n" + "\n".join(bad[:20])


# ---- the command --------------------------------------------------------------------------------------------------

MODEL = os.environ.get("PUNA_TEST_MODEL", "")
needs_model = pytest.mark.skipif(not os.path.exists(MODEL), reason="PUNA_TEST_MODEL names no file")
HELLO = b'[{"role": "user", "content": "Hi <|im_end|>"}]'


def template(folder, text):
    path = folder / "t.jinja"
    path.write_text(text)
    return path


def test_the_prompt_and_nothing_else(tmp_path):
    path = template(tmp_path, "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}\n\n")
    done = puna("render", "--template", path, "--bos", "<s>", "--eos", "é", stdin=HELLO)
    assert (done.returncode, done.stdout, done.stderr) == (0, "<s>Hi <|im_end|>é\n".encode(), b"")


def refused(done, status, *words):
    assert done.returncode == status and not done.stdout
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith("puna: ") and all(word in lines[0] for word in words), done.stderr


def test_mistakes(tmp_path):
    path = template(tmp_path, "{{ raise_exception('no such thing') }}")
    refused(puna("render", "--template", path, stdin=HELLO), 1, "no such thing")
    refused(puna("render", "--template", path, "--repair", stdin=HELLO), 1, "no such thing")
    refused(puna("render", "--template", template(tmp_path, "{% if %}"), stdin=HELLO), 1, "line 1")
    refused(puna("render", "--template", tmp_path / "none", stdin=HELLO), 1, "none", "no such file")
    refused(puna("render", "--chat-template", "nosuch", stdin=HELLO), 1, 'unknown chat format "nosuch"', "chatml, qwen, llama-3")
    refused(puna("render", "--chat-template", "chatml", stdin=b'{"role": "user"}'), 1, "messages: expected a list")
    refused(puna("render", "--chat-template", "chatml", stdin=b'[{"role": "user"'), 1, "malformed JSON: messages[0].role: byte 16")
    refused(puna("render", "--chat-template", "chatml", "--template", path, stdin=HELLO), 2, "not both")
    refused(puna("render", "--chat-template", "chatml", "--tools", "-", stdin=HELLO), 2, "only one file can be standard input")
    refused(puna("render", "--chat-template", "chatml", "--explain", stdin=HELLO), 2, "--explain needs a model")
    for when in ("2024-07-04", "2024-13-01 00:00:00", "2024-07-04 09:05:03x", "2023-02-29 00:00:00"):
        refused(puna("render", "--chat-template", "chatml", "--now", when, stdin=HELLO), 2, "--now")


@needs_model
def test_explain():
    done = puna("render", "-m", MODEL, "--explain", stdin=b'[{"role": "system", "content": "S"}, ' + HELLO[1:])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    rows = [(line[:7].strip(), line[9:16].strip(), line[18:42].strip(), line[44:]) for line in lines[1:-1]]
    assert lines[0].split() == ["id", "special", "origin", "text"] and rows[0] == ("1", "yes", "template", "'<|im_start|>'")
    said = [row for row in rows if row[2] == "message 1 user"]
    assert said[0][3] == "'Hi'" and not any(row[1] for row in said) and ("67", "", "message 0 system", "'S'") in rows
    assert sum(row[1] == "yes" for row in rows) == 5 and lines[-1] == f"{len(rows)} tokens, 3 BOS; template of the model"


@needs_model
def test_json_and_exact(tmp_path):
    made = json.loads(puna("render", "-m", MODEL, "--json", stdin=HELLO).stdout)
    assert made["source"] == "template of the model" and made["stops"] == [] and made["tokens"][0] == 1
    assert made["prompt"].endswith("<|im_start|>assistant\n") and len(made["tokens"]) == len(made["token_spans"])
    path = template(tmp_path, "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('none') }}{% endif %}{{ m.content }}{% endfor %}")
    both = b'[{"role": "system", "content": "S"}, ' + HELLO[1:]
    refused(puna("render", "--template", path, stdin=both), 1, "none")
    refused(puna("render", "-m", MODEL, "--template", path, stdin=both), 1, "none")
    assert puna("render", "--template", path, "--repair", stdin=both).stdout == b"S\n\nHi <|im_end|>"


def test_templates_that_would_never_end(tmp_path):
    """Each failure is tried again a few times at most, and the later times are short."""
    loop = "{% for i in range(30000) %}{% for j in range(100) %}{% endfor %}{% endfor %}"
    text = "{% for m in messages %}" + loop + "{% endfor %}{{ raise_exception('over') }}"
    path = template(tmp_path, text)
    began = time.monotonic()
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": [{"type": "text", "text": "x"}]}]
    done = puna("render", "--template", path, "--repair", stdin=json.dumps(messages).encode())
    took = time.monotonic() - began
    print(f"{took:.1f} s")
    assert done.returncode == 1 and took < 20


# ---- named formats ------------------------------------------------------------------------------------------------

PEER = json.loads((ROOT / "tests/golden/peer/chat_formats.json").read_text())["conversations"]
ASKED = "Hello, who are you?", "I am a model.", "What is 2+2?"
SYSTEM = "Be brief."
# Where llama-cpp-python's formatters do not write what a model was trained on: the text of the model's own authors for
# the cases "turns" and "system-turns" ({0}, {1}, {2}: what is said). docs/CHAT.md has the reasons.
OWN = {
    "llama-2": ("<s>[INST] {0} [/INST] {1} </s><s>[INST] {2} [/INST]",
                "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n{0} [/INST] {1} </s><s>[INST] {2} [/INST]"),
    "alpaca": ("Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
               "### Instruction: {0}\n\n### Response: {1}</s>### Instruction: {2}\n\n### Response:",
               "Be brief.\n\n### Instruction: {0}\n\n### Response: {1}</s>### Instruction: {2}\n\n### Response:"),
    "vicuna": (None, "Be brief. USER: {0} ASSISTANT: {1}</s>USER: {2} ASSISTANT:"),
    "oasst_llama": ("<|prompter|>{0}</s><|assistant|>{1}</s><|prompter|>{2}</s><|assistant|>", None),
    "openbuddy": (None, "Be brief.\nUser: {0}\nAssistant: {1}\nUser: {2}\nAssistant:"),
    "redpajama-incite": ("<human>: {0}\n<bot>: {1}\n<human>: {2}\n<bot>:", None),
    "snoozy": ("### Instruction:\nThe prompt below is a question to answer, a task to complete, or a conversation to respond to; "
               "decide which and write an appropriate response.\n### Prompt: {0}\n### Response: {1}\n### Prompt: {2}\n### Response:",
               "### Instruction:\nBe brief.\n### Prompt: {0}\n### Response: {1}\n### Prompt: {2}\n### Response:"),
    "phind": ("### System Prompt\nYou are an intelligent programming assistant.\n\n### User Message\n{0}\n\n### Assistant\n{1}\n\n"
              "### User Message\n{2}\n\n### Assistant\n",
              "### System Prompt\nBe brief.\n\n### User Message\n{0}\n\n### Assistant\n{1}\n\n### User Message\n{2}\n\n### Assistant\n"),
    "intel": ("### User:\n{0}\n### Assistant:\n{1}\n### User:\n{2}\n### Assistant:\n",
              "### System:\nBe brief.\n### User:\n{0}\n### Assistant:\n{1}\n### User:\n{2}\n### Assistant:\n"),
    "open-orca": ("*<|end_of_turn|>\nUser: {0}<|end_of_turn|>\nAssistant: {1}<|end_of_turn|>\nUser: {2}<|end_of_turn|>\nAssistant: ",
                  "Be brief.<|end_of_turn|>\nUser: {0}<|end_of_turn|>\nAssistant: {1}<|end_of_turn|>\nUser: {2}<|end_of_turn|>\n"
                  "Assistant: "),
    "mistrallite": ("<|prompter|>{0}</s><|assistant|>{1}</s><|prompter|>{2}</s><|assistant|>",
                    "<|system|>Be brief.</s><|prompter|>{0}</s><|assistant|>{1}</s><|prompter|>{2}</s><|assistant|>"),
    "zephyr": ("<|user|>\n{0}</s>\n<|assistant|>\n{1}</s>\n<|user|>\n{2}</s>\n<|assistant|>\n",
               "<|system|>\nBe brief.</s>\n<|user|>\n{0}</s>\n<|assistant|>\n{1}</s>\n<|user|>\n{2}</s>\n<|assistant|>\n"),
    "pygmalion": ("<|user|>{0}<|model|>{1}<|user|>{2}<|model|>", "<|system|>Be brief.<|user|>{0}<|model|>{1}<|user|>{2}<|model|>"),
    "chatml": ("<|im_start|>user\n{0}<|im_end|>\n<|im_start|>assistant\n{1}<|im_end|>\n<|im_start|>user\n{2}<|im_end|>\n"
               "<|im_start|>assistant\n", None),
    "mistral-instruct": (None, "[INST] Be brief.\n\n{0} [/INST]{1}</s>[INST] {2} [/INST]"),
    "chatglm3": ("[gMASK]sop<|user|>\n {0}<|assistant|>\n {1}<|user|>\n {2}<|assistant|>",
                 "[gMASK]sop<|system|>\n Be brief.<|user|>\n {0}<|assistant|>\n {1}<|user|>\n {2}<|assistant|>"),
    "openchat": ("GPT4 Correct User: {0}<|end_of_turn|>GPT4 Correct Assistant: {1}<|end_of_turn|>GPT4 Correct User: {2}<|end_of_turn|>"
                 "GPT4 Correct Assistant:",
                 "GPT4 Correct System: Be brief.<|end_of_turn|>GPT4 Correct User: {0}<|end_of_turn|>GPT4 Correct Assistant: {1}"
                 "<|end_of_turn|>GPT4 Correct User: {2}<|end_of_turn|>GPT4 Correct Assistant:"),
    "saiga": ("<s>user\n{0}</s><s>bot\n{1}</s><s>user\n{2}</s><s>bot",
              "<s>system\nBe brief.</s><s>user\n{0}</s><s>bot\n{1}</s><s>user\n{2}</s><s>bot"),
    "gemma": (None, "<start_of_turn>user\nBe brief.\n\n{0}<end_of_turn>\n<start_of_turn>model\n{1}<end_of_turn>\n"
                    "<start_of_turn>user\n{2}<end_of_turn>\n<start_of_turn>model\n"),
    "functionary-v1": (None, None), "functionary-v2": (None, None),
}


def format_names():
    source = (ROOT / "src/run/chat_formats.def").read_text()
    return [line.split('"')[1] for line in source.splitlines() if line.startswith('FORMAT("')]


def rendered(name, conversation, *more):
    """What puna render says of a conversation, as JSON."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as tools:
        if conversation.get("tools"):
            json.dump(conversation["tools"], tools)
            tools.flush()
            more = ["--tools", tools.name, *more]
        done = puna("render", "--chat-template", name, "--json", *more, stdin=json.dumps(conversation["messages"]).encode())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_formats_beside_peer():
    """Each named format beside llama-cpp-python's formatter of that name, or beside the model authors' own text."""
    names, same = format_names(), 0
    assert {*PEER["user"]["formats"]} <= {*names}
    for name in names:
        for case, conversation in PEER.items():
            peer = conversation["formats"].get("llama-2" if name == "llama-2-lcpp" else name)
            with_system = case in ("system-user", "system-turns")
            own = OWN.get(name, (None, None))[with_system] if name in OWN and case != "tools" else None
            if own is None and peer is None or case == "tools" and name in OWN:
                continue
            prompt = rendered(name, conversation)["prompt"]
            if own is not None:
                if case in ("turns", "system-turns"):
                    wanted = own.format(*ASKED)
                    assert prompt.endswith(wanted[1:]) if wanted.startswith("*") else prompt == wanted, f"{name} {case}"
                continue
            wanted = peer["prompt"]
            if name == "functionary" and case == "tools":  # the peer writes the tools twice
                schema = wanted[:wanted.index("system:\n", 1)]
                wanted = wanted.replace(schema, "", 1)
            assert prompt == wanted, f"{name} {case}"
            same += 1
    print(f"{len(names)} formats; {same} prompts as llama-cpp-python writes them")
    assert same == 44


def test_stops_beside_peer():
    """Without a vocabulary, the texts that end an answer are at least the peer's."""
    conversation = PEER["system-turns"]
    for name, peer in conversation["formats"].items():
        stops = rendered(name, conversation)["stops"]
        wanted = [peer["stop"]] if isinstance(peer["stop"], str) else peer["stop"] or []
        if name == "pygmalion":  # the peer ends at every line
            wanted = []
        for text in wanted:
            assert any(stop.startswith(text.strip()) or text.strip().startswith(stop) for stop in stops), f"{name}: {text!r} not in {stops}"


FUNCTIONARY = {
    "functionary-v1": """system:
// Supported function definitions that should be called when necessary.
namespace functions {

// Adds
type add = (_: {
// 
a: number,
}) => any;

} // namespace functions<|END_OF_SYSTEM|>
system:
A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions. The assistant calls functions with appropriate input when necessary<|END_OF_SYSTEM|>
user:
1+1?<|END_OF_USER|>
assistant:
<|START_OF_FUNCTION_CALL|>functions.add:
{"a": 1}<|END_OF_FUNCTION_CALL|>
function name=functions.add:
2<|END_OF_FUNCTION_RESULT|>
assistant:
""",
    "functionary-v2": """<s><|from|>system
<|recipient|>all
<|content|>// Supported function definitions that should be called when necessary.
namespace functions {

// Adds
type add = (_: {
// 
a: number,
}) => any;

} // namespace functions
<|from|>system
<|recipient|>all
<|content|>A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions. The assistant calls functions with appropriate input when necessary
<|from|>user
<|recipient|>all
<|content|>1+1?
<|from|>assistant
<|recipient|>add
<|content|>{"a": 1}<|stop|>
<|from|>add
<|recipient|>all
<|content|>2
<|from|>assistant
<|recipient|>""",
}


@pytest.mark.parametrize("name", sorted(FUNCTIONARY))
def test_functionary(name):
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    conversation = {
        "messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": None, "tool_calls": [call]},
                     {"role": "tool", "tool_call_id": "1", "name": "add", "content": "2"}],
        "tools": [{"type": "function", "function": {"name": "add", "description": "Adds", "parameters": {
            "type": "object", "required": ["a"], "properties": {"a": {"type": "number"}}}}}]}
    assert rendered(name, conversation)["prompt"] == FUNCTIONARY[name]
