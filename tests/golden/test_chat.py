"""Conversations through the library: the tokens of prompts, repairs of messages, answers taken apart.

    PUNA_BIN=build/puna PUNA_SHARED=../shared PUNA_TEST_MODEL=smollm2.gguf pytest tests/golden/test_chat.py -rP

tests/golden/chat_main.c beside PUNA_BIN (or PUNA_CHAT) handles all requests of a test in one process. Templates and
vocabularies come from $PUNA_SHARED/data; what other implementations make of conversations from tests/golden/peer
(make_chat_prompts.py).
"""

import collections
import gzip
import hashlib
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("PUNA_SHARED", ROOT.parent / "shared")) / "data"
PUNA = os.environ.get("PUNA_BIN")
BESIDE = str(pathlib.Path(PUNA).parent / "tests" / "chat_main") if PUNA else None
CHAT = os.environ.get("PUNA_CHAT") or (BESIDE if BESIDE and os.path.exists(BESIDE) else None)
MODELS = [path for path in (os.environ.get("PUNA_TEST_MODEL"), os.environ.get("PUNA_TEST_GEMMA")) if path and os.path.exists(path)]
pytestmark = pytest.mark.skipif(not CHAT, reason="chat_main is not built (PUNA_BIN, PUNA_CHAT)")


def chat(requests, model=None, expect_error=False):
    env = {**os.environ, "TZ": "UTC"}
    done = subprocess.run([CHAT, *([str(model)] if model else [])], capture_output=True, timeout=600, env=env,
                          input="".join(json.dumps(r) + "\n" for r in requests).encode())
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-2000:]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(requests)
    return answers


def request(template, messages, **more):
    """JSON values of messages, tools and vars as the library wants them: as text."""
    result = {"messages": messages if isinstance(messages, str) else json.dumps(messages)}
    for name, value in more.items():
        if value is not None:
            result[name] = json.dumps(value) if name in ("tools", "vars") and not isinstance(value, str) else value
    return {**result, **({"template": template} if template else {})}


# ---- published templates ------------------------------------------------------------------------------------------


def published():
    cases = [(path.stem, json.loads(path.read_text())) for path in sorted((DATA / "chat_templates").glob("*.json"))]
    if not cases:
        pytest.skip(f"no cases in {DATA}")
    return cases


def of_case(case, change=None, **more):
    messages, tools = case["messages"], case.get("tools")
    if change:
        messages, tools = change(messages), change(tools)
    return request(case["template"], messages, tools=tools, vars=case.get("extra"), bos=case["bos"], eos=case["eos"],
                   no_generation_prompt=not case["add_generation_prompt"], **more)


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabs")
    for path in sorted((DATA / "tokenizer" / "vocabs").glob("*.gguf.gz")):
        with gzip.open(path) as packed, open(folder / path.stem, "wb") as plain:
            shutil.copyfileobj(packed, plain)
    found = sorted(folder.glob("*.gguf")) + [pathlib.Path(path) for path in MODELS]
    if not found:
        pytest.skip("no vocabularies")
    yield found
    shutil.rmtree(folder)


def check_maps(answer):
    """Spans cover the text; the map of tokens to spans ascends."""
    at = 0
    for begin, end, _, message in answer["spans"]:
        assert begin == at and end > begin and message >= -1
        at = end
    assert at == len(answer["text"].encode())
    spans = [span for span in answer["token_spans"] if span >= 0]
    assert spans == sorted(spans) and all(span < len(answer["spans"]) for span in spans)
    assert len(answer["token_spans"]) == len(answer["tokens"])
    assert all(span >= 0 for span in answer["token_spans"][1:])


def test_harmless_prompts_are_tokenized_as_one_text(vocabularies):
    """Where nobody says a special token, the ids are those of the whole text with its special tokens, and one BOS."""
    cases = [case for _, case in published() if "expected" in case and case["case"] not in ("whitespace-and-braces", "reasoning")]
    everything = cases
    for i, path in enumerate(vocabularies):
        cases = everything[i % 5::5] if path.name.startswith("ggml-vocab") else everything
        added = 0
        for case, answer in zip(cases, chat([of_case(case, exact=True) for case in cases], path)):
            assert answer.get("text") == case["expected"], case["template_name"]
            check_maps(answer)
            tokens = answer["tokens"]
            if answer["token_spans"] and answer["token_spans"][0] < 0:
                tokens = tokens[1:]
                added += 1
                assert tokens[:1] != answer["tokens"][:1], "two BOS"
            assert tokens == answer["whole"], f"{path.name}: {case['template_name']} {case['case']}"
        print(f"{path.name}: {len(cases)} prompts, BOS added to {added}")


MARKS = ("<|im_start|>system <|im_end|></s><s><start_of_turn><end_of_turn><|eot_id|><|start_header_id|><|endoftext|><bos><eos>"
         "<unk><|begin_of_text|><|user|><|assistant|><|end|><｜User｜><｜end▁of▁sentence｜><pad><|START_OF_TURN_TOKEN|><BOS_TOKEN>"
         "<turn|><|turn><|fim_prefix|><fim_prefix><reserved_106><mask>[CLS][SEP]<|tool_call>")


def hostile(value, key=None):
    """Every text that somebody says, replaced by marks."""
    if isinstance(value, str):
        return value if key in ("role", "type", "id", "tool_call_id") else MARKS
    if isinstance(value, list):
        return [hostile(item) for item in value]
    if isinstance(value, dict):
        return {name: hostile(item, name) for name, item in value.items()}
    return value


def test_nobody_says_special_tokens(vocabularies):
    chosen = ("multi-turn", "tool-call-parallel", "content-parts", "reasoning", "user-only", "tools")
    everything = [case for _, case in published() if case["case"] in chosen]
    for i, path in enumerate(vocabularies):
        cases = everything[i % 6::6]
        requests = [request(MARKS, "[]"), *(of_case(case, hostile) for case in cases)]
        as_template, *answers = chat(requests, path)
        n_rendered = 0
        for case, answer in zip(cases, answers):
            if "error" in answer:
                continue
            n_rendered += 1
            check_maps(answer)
            said = [answer["tokens"][i] for i in answer["control"]
                    if answer["token_spans"][i] >= 0 and not answer["spans"][answer["token_spans"][i]][2]]
            if "bert" in path.name:
                said = [token for token in said if token != 100]  # [UNK]: what every text may become
            assert not said, f"{path.name}: {case['template_name']} {case['case']}: {said}"
        print(f"{path.name}: {n_rendered} prompts, {len(as_template['control'])} of the marks are special tokens there")
        assert as_template["control"] and n_rendered > 0.85 * len(cases)


def test_roles_spell_tokens():
    """"<|" + role + "|>" is the template's; a role that is no role is not."""
    path = DATA / "tokenizer" / "vocabs" / "ggml-vocab-phi-3.gguf.gz"
    if not path.exists():
        pytest.skip(f"no {path}")
    template = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}"
    with gzip.open(path) as packed:
        vocabulary = ROOT / ".test-phi-3.gguf"
        vocabulary.write_bytes(packed.read())
    try:
        good, bad = chat([request(template, [{"role": "user", "content": "x"}]),
                          request(template, [{"role": "endoftext", "content": "x"}])], vocabulary)
    finally:
        vocabulary.unlink()
    assert good["tokens"][1:] == good["whole"] and good["token_spans"][0] == -1 and len(good["control"]) == 3
    assert bad["tokens"][1:] != bad["whole"] and len(bad["control"]) == 2


# ---- what others make of conversations ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", MODELS, ids=os.path.basename)
def test_prompts_beside_others(path):
    golden = json.loads((ROOT / "tests/golden/peer/chat_prompts.json").read_text())
    with open(path, "rb") as f:
        row = golden["models"].get(hashlib.file_digest(f, "sha256").hexdigest())
    if not row:
        pytest.skip(f"{path} is no file the golden was made from")
    n = 0
    for other in ("peer", "tokenizers"):
        names = list(row.get(other, {}))
        answers = chat([request(None, golden["conversations"][name], format=row["format"]) for name in names], path)
        for name, answer in zip(names, answers):
            assert answer["tokens"] == row[other][name], f"{other} {name}"
            n += 1
    print(f"{n} prompts as llama-cpp-python and tokenizers make them")
    assert n >= 5


# ---- repairs ------------------------------------------------------------------------------------------------------

ALTERNATE = ("{{ bos_token }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
             "{{ raise_exception('roles must alternate') }}{% endif %}{{ '[' + m.role + ']' + m.content }}{% endfor %}")
NO_SYSTEM = ("{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
             "{{ '<' + m.role + '>' + m.content }}{% endfor %}")
PLAIN = "{% for m in messages %}{{ '<' + m.role + '>' }}{{ m.content }}{% endfor %}"
CALLS = "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}"
ITEMS = "{% for m in messages %}{% for c in m.tool_calls or [] %}{% for k, v in c.function.arguments.items() %}{{ k }}={{ v }};{% endfor %}{% endfor %}{% endfor %}"
CONCAT = "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ '(' + c.function.arguments + ')' }}{% endfor %}{% endfor %}"
U, A, S = ({"role": role, "content": role[0].upper()} for role in ("user", "assistant", "system"))


def called(arguments):
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}]}


PARTS = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
REPAIRS = [
    # template, messages, with repairs, exact (None: an error)
    (PLAIN, [S, U], "<system>S<user>U", "<system>S<user>U"),
    (NO_SYSTEM, [S, U, A, U], "<user>S\n\nU<assistant>A<user>U", None),
    (NO_SYSTEM, [S], "<user>S", None),
    (NO_SYSTEM, [U, S], "<user>U<user>S", None),
    (NO_SYSTEM, [{"role": "developer", "content": "D"}, U], "<developer>D<user>U", "<developer>D<user>U"),
    (ALTERNATE, [S, U], "[user]S\n\nU", None),
    (ALTERNATE, [S, U, U, A, A, U], "[user]S\n\nU\n\nU[assistant]A\n\nA[user]U", None),
    (ALTERNATE, [A, U], None, None),
    ("{% for m in messages %}{% if m.role not in ['system', 'user'] %}{{ raise_exception('Unknown role ' + m.role) }}{% endif %}"
     "{{ m.role + ':' + m.content }};{% endfor %}", [{"role": "developer", "content": "D"}, U], "system:D;user:U;", None),
    (ALTERNATE, [PARTS], "[user]a\nb", None),
    (PLAIN, [PARTS], "<user>a\nb", "<user>[{'type': 'text', 'text': 'a'}, {'type': 'text', 'text': 'b'}]"),
    ("{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}", [PARTS], "ab", "ab"),
    (ALTERNATE, [U, {"role": "assistant", "content": None}], "[user]U[assistant]", None),
    (ALTERNATE, [U, {"role": "assistant"}], "[user]U[assistant]", None),
    (PLAIN, [{"role": "assistant", "content": None}], "<assistant>None", "<assistant>None"),
    (CALLS, [called('{"a": 1}')], '{"a": 1}', '"{\\"a\\": 1}"'),
    (CALLS, [called({"a": 1})], '{"a": 1}', '{"a": 1}'),
    (CALLS, [called("no JSON")], '"no JSON"', '"no JSON"'),
    (ITEMS, [called('{"a": 1.50, "b": 12345678901234567890}')], "a=1.5;b=12345678901234567890;", None),
    (ITEMS, [called("")], "", None),
    (ITEMS, [called("[1]")], None, None),
    (CONCAT, [called({"a": 1})], '({"a": 1})', None),
    (CONCAT, [called('{"a": 1}')], '({"a": 1})', '({"a": 1})'),
    ("{% for t in tools %}t{% endfor %}.", [U], ".", None),
    ("{{ tools is none }}", [U], "True", "True"),
    ("{{ raise_exception('never') }}", [S, U, PARTS, called("{}")], None, None),
]


def test_repairs():
    answers = chat([request(template, messages, exact=exact) for template, messages, *_ in REPAIRS for exact in (False, True)])
    for i, (template, messages, *wanted) in enumerate(REPAIRS):
        for answer, text in zip(answers[2 * i:2 * i + 2], wanted):
            assert answer.get("text") == text, f"{template} {messages}: {answer}"


def test_repairs_keep_the_template_s_words_and_messages_numbers():
    refused, merged = chat([request(ALTERNATE, [A, U, S]), request(ALTERNATE, [S, U, U, A, U])])
    assert refused == {"error": "roles must alternate", "status": 1}
    assert [span[3] for span in merged["spans"] if not span[2]] == [2, 3, 4]


def test_repairs_leave_published_renderings_alone():
    """What a template gives stays, but for lists and JSON that came out as Python or a string spells them."""
    cases = [case for _, case in published() if "expected" in case]
    changed = collections.Counter()
    for case, answer in zip(cases, chat([of_case(case) for case in cases])):
        if answer.get("text") != case["expected"]:
            changed[case["case"]] += 1
            shown = {"content-parts": "{'type': 'text'", "tool-call-string-arguments": '"{\\"a\\": 2, \\"b\\": 3.0}"'}[case["case"]]
            assert shown in case["expected"] and shown not in answer["text"]
    failing = [case for _, case in published() if "expected" not in case]
    n_fixed = sum("text" in answer for answer in chat([of_case(case) for case in failing]))
    print(f"{len(cases)} renderings, {dict(changed)} changed; {n_fixed} of {len(failing)} that fail go through")
    assert n_fixed >= 80


BAD = [
    ("{}", 'messages: expected a list, got an object'), ("", "messages: byte 0: the text ends where a value is"),
    ("[1]", 'messages[0]: expected an object with "role" and "content"'), ('[{"content": "x"}]', "messages[0].role: missing"),
    ('[{"role": 1}]', 'messages[0].role: expected a name such as "user"'), ('[{"role": ""}]', "messages[0].role"),
    ('[{"role": "user", "content": 5}]', "messages[0].content: expected a string, null or a list of parts"),
    ('[{"role": "user", "content": [5]}]', "messages[0].content[0]"),
    ('[{"role": "user", "content": [{"type": "text"}]}]', 'messages[0].content[0]: "text" must be a string'),
    ('[{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]', 'a part of type "image_url": only text can be read'),
    ('[{"role": "user", "content": "x"}, {"role": "user", "tool_calls": {}}]', "messages[1].tool_calls: expected a list"),
    ('[{"role": "user", "tool_calls": [1]}]', "messages[0].tool_calls[0]: expected an object"),
    ('[{"role": "user", "content": "x"}] x', "something stands after the value"), ('[{"role": "user"}', "expected ',' or ']'"),
    ('[{"role": "a"}, {"role": "b", "content": ' + "[" * 200, "messages[1].content"), ('[{"role": "a", "x": 01}]', "messages[0].x: byte"),
    ('[{"role": "a\nb"}]', "a control character in a string"), ("[" * 200, "nested deeper than 128"),
]


def test_bad_messages_are_named():
    for (text, words), answer in zip(BAD, chat([request("{{ messages }}", text) for text, _ in BAD])):
        assert words in answer.get("error", ""), (text[:80], answer)
    tools, variables = chat([request("x", "[]", tools="{}"), request("x", "[]", vars="[]")])
    assert "tools: expected a list" in tools["error"] and "vars: expected an object" in variables["error"]


def test_variables():
    now = "{{ strftime_now('%Y-%m-%d %H:%M:%S') }}"
    cases = [
        (request("{{ x }}{{ bos_token }}{{ messages | length }}", "[]", vars={"x": [1], "bos_token": "B"}, bos="<s>"), "[1]B0"),
        (request(now, "[]"), "2024-07-04 09:05:03"),
        (request("{{ tools | length }}{{ documents is none }}{{ add_generation_prompt }}", "[]", tools=[{}, {}]), "2TrueTrue"),
        (request("{{ bos_token }}|{{ eos_token }}", "[]"), "|"),
        (request("{{ messages[0].n }}", '[{"role": "u", "n": 123456789012345678901234567890}]'), "123456789012345678901234567890"),
        (request("{{ messages[0].content }}", '[{"role": "u", "content": "\\ud83d \\ud83d\\ude00"}]'), "\ufffd 😀"),
    ]
    for (asked, wanted), answer in zip(cases, chat([asked for asked, _ in cases])):
        assert answer.get("text") == wanted, answer


# ---- answers ------------------------------------------------------------------------------------------------------

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {
    "s": {"type": "string"}, "n": {"type": "number"}, "l": {"type": "array"}, "b": {"type": "boolean"}}}}},
    {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}}]
BAR, LOW = "\uff5c", "\u2581"
HERMES = "<tool_call>"
LLAMA = 'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}. <|python_tag|>'
DEEPSEEK = f"<{BAR}tool{LOW}calls{LOW}begin{BAR}><{BAR}tool{LOW}call{LOW}begin{BAR}>"
HARMONY = "<|start|>assistant<|channel|><|message|>"
F = ("f", {"s": "x"})
ANSWERS = [
    # what the template says, the answer, content, calls, reasoning
    ("", "Hello\n", "Hello\n", [], None),
    ("", "", "", [], None),
    ("", '{"name": "f", "arguments": {}}', '{"name": "f", "arguments": {}}', [], None),
    ("", "<tool_call>\n{}\n</tool_call>", "<tool_call>\n{}\n</tool_call>", [], None),
    ("", "<think>a</think>b", "b", [], "a"),
    ("", "\n<think>\n a\nb </think>\n\n c\n", "c\n", [], "a\nb"),
    ("", "x <think>a</think>", "x <think>a</think>", [], None),
    ("", "<think>never ends", None, [], "never ends"),
    ("[THINK]", "[THINK]a[/THINK]b", "b", [], "a"),
    ("", "[THINK]a[/THINK]b", "[THINK]a[/THINK]b", [], None),
    ("<|START_THINKING|>", "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "<|START_RESPONSE|>b<|END_RESPONSE|>", [], "a"),
    ("<|START_THINKING|><|START_RESPONSE|>", "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "b", [], "a"),
    # Hermes, Qwen
    (HERMES, '<tool_call>\n{"name": "f", "arguments": {"s": "x"}}\n</tool_call>', None, [F], None),
    (HERMES, 'Well.\n<tool_call>{"name": "f", "arguments": {"s": "x"}}</tool_call>\n<tool_call>{"name": "g"}</tool_call>', "Well.", [F, ("g", {})], None),
    (HERMES, '<tool_call>\n{"name": "f", "arguments": "{\\"s\\": \\"x\\"}"}\n</tool_call>', None, [F], None),
    (HERMES, '<tool_call>\n{"name": "f", "arguments": {"s": "x"}}', None, [F], None),
    (HERMES, '<tool_call>\n{"name": "f", "arguments": {"s": "x"', '<tool_call>\n{"name": "f", "arguments": {"s": "x"', [], None),
    (HERMES, "<tool_call>\n{no}\n</tool_call> ok", "<tool_call>\n{no}\n</tool_call> ok", [], None),
    (HERMES, '<tool_call>{"name": "f", "arguments": [1]}</tool_call>', '<tool_call>{"name": "f", "arguments": [1]}</tool_call>', [], None),
    (HERMES, '<think>t</think>\n\nSay <tool_call>{"name": "f", "arguments": {"s": "x"}}</tool_call> done', "Say\n\ndone", [F], "t"),
    # Qwen3-Coder, Seed
    ("<tool_call><function=", "<tool_call>\n<function=f>\n<parameter=s>\nx\n</parameter>\n<parameter=n>\n5\n</parameter>\n</function>\n</tool_call>",
     None, [("f", {"s": "x", "n": 5})], None),
    ("<tool_call><function=", "Hm.\n<function=f>\n<parameter=s>\n5\n</parameter>\n<parameter=l>\n[1, \"a\"]\n</parameter>\n</function>\n</tool_call>",
     "Hm.", [("f", {"s": "5", "l": [1, "a"]})], None),
    ("<seed:tool_call><seed:think>", "<seed:think>t</seed:think><seed:tool_call>\n<function=f>\n<parameter=s>x</parameter>\n<parameter=l>['a', True, None]</parameter>\n"
     "</function>\n</seed:tool_call>", None, [("f", {"s": "x", "l": ["a", True, None]})], "t"),
    # GLM
    (HERMES, "<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>12</arg_value>\n<arg_key>b</arg_key>\n<arg_value>true</arg_value>\n</tool_call>",
     None, [("f", {"s": "12", "b": True})], None),
    (HERMES, "<tool_call>g</tool_call>", None, [("g", {})], None),
    (HERMES, "<tool_call>f<tool_sep>\n```json\n{\"s\": \"x\"}\n```</tool_call>", None, [F], None),
    # Llama 3
    (LLAMA, '{"name": "f", "parameters": {"s": "x"}}', None, [F], None),
    (LLAMA, ' {"name": "f", "parameters": {"s": "x"}}; {"name": "g", "parameters": {}}\n', None, [F, ("g", {})], None),
    (LLAMA, '{"name": "f", "parameters": {"s": "x"}} and more', '{"name": "f", "parameters": {"s": "x"}} and more', [], None),
    (LLAMA, '{"title": "f"}', '{"title": "f"}', [], None),
    (LLAMA, '<|python_tag|>{"name": "f", "parameters": {"s": "x"}}', None, [F], None),
    (LLAMA, '<|python_tag|>brave_search.call(query="the \'x\'")', None, [("brave_search", {"query": "the 'x'"})], None),
    (LLAMA, "<|python_tag|>import os\nprint(1)", None, [("python", {"code": "import os\nprint(1)"})], None),
    ("<function=example_function_name>", '<function=f>{"s": "x"}</function><function=g>{}</function>', None, [F, ("g", {})], None),
    # Mistral
    ("[TOOL_CALLS]", '[TOOL_CALLS] [{"name": "f", "arguments": {"s": "x"}, "id": "abc"}, {"name": "g", "arguments": {}}]', None, [F, ("g", {})], None),
    ("[TOOL_CALLS]", 'a[TOOL_CALLS]f[ARGS]{"s": "x"}[TOOL_CALLS]g[CALL_ID]12[ARGS]{}', "a", [F, ("g", {})], None),
    ("[TOOL_CALLS]", "[TOOL_CALLS] nothing", "[TOOL_CALLS] nothing", [], None),
    # DeepSeek
    (DEEPSEEK, f"t</think>{DEEPSEEK}function<{BAR}tool{LOW}sep{BAR}>f\n```json\n{{\"s\": \"x\"}}\n```<{BAR}tool{LOW}call{LOW}end{BAR}>\n"
     f"<{BAR}tool{LOW}call{LOW}begin{BAR}>function<{BAR}tool{LOW}sep{BAR}>g\n```json\n{{}}\n```<{BAR}tool{LOW}call{LOW}end{BAR}><{BAR}tool{LOW}calls{LOW}end{BAR}>",
     "t</think>", [F, ("g", {})], None),
    (DEEPSEEK, f"Ok.{DEEPSEEK}f<{BAR}tool{LOW}sep{BAR}>{{\"s\": \"x\"}}<{BAR}tool{LOW}call{LOW}end{BAR}><{BAR}tool{LOW}calls{LOW}end{BAR}>", "Ok.", [F], None),
    (f"{BAR}DSML{BAR}", f"a\n\n<{BAR}DSML{BAR}function_calls>\n<{BAR}DSML{BAR}invoke name=\"f\">\n<{BAR}DSML{BAR}parameter name=\"s\" string=\"true\">x</{BAR}DSML{BAR}parameter>\n"
     f"<{BAR}DSML{BAR}parameter name=\"l\" string=\"false\">[1]</{BAR}DSML{BAR}parameter>\n</{BAR}DSML{BAR}invoke>\n</{BAR}DSML{BAR}function_calls>",
     "a", [("f", {"s": "x", "l": [1]})], None),
    ("<minimax:tool_call><invoke name=", "<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"s\">x</parameter>\n</invoke>\n</minimax:tool_call>", None, [F], None),
    # Kimi K2, Command R, Granite 3, Phi 4 mini, Nemotron, MiniMax, Firefunction, Solar, Gemma 4, LFM 2, InternLM
    ("<|tool_calls_section_begin|><|tool_call_begin|>", 'a<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{"s": "x"}'
     "<|tool_call_end|><|tool_calls_section_end|>", "a", [F], None),
    ("<|START_ACTION|>", '<|START_ACTION|>[\n{"tool_call_id": "0", "tool_name": "f", "parameters": {"s": "x"}}\n]<|END_ACTION|>', None, [F], None),
    ("Action:", 'Action: ```json\n[{"tool_name": "f", "parameters": {"s": "x"}}]\n```', None, [F], None),
    ("<|tool_call|>", '<|tool_call|>[{"name": "f", "arguments": {"s": "x"}}]', None, [F], None),
    ("<|tool_call|>", '<|tool_call|>[{"name": "f", "arguments": {"s": "x"}}]<|/tool_call|>', None, [F], None),
    ("<TOOLCALL>", '<TOOLCALL>[{"name": "f", "arguments": {"s": "x"}}]</TOOLCALL>', None, [F], None),
    ("<tool_calls>", '<tool_calls>\n{"name": "f", "arguments": {"s": "x"}}\n{"name": "g", "arguments": {}}\n</tool_calls>', None, [F, ("g", {})], None),
    ("functools[", ' functools[{"name": "f", "arguments": {"s": "x"}}]', None, [F], None),
    ("<|think|><|tool_call:begin|>", '<|think|>t<|end|><|begin|>assistant<|tool_calls|><|tool_call:begin|>1<|tool_call:name|>f<|tool_call:args|>{"s": "x"}<|tool_call:end|>'
     "<|calls|>", None, [F], "t"),
    ("<|think|><|tool_call:begin|>", '<|think|>t<|end|><|begin|>assistant<|content|>Hi', "Hi", [], "t"),
    ("<|channel>thought <|tool_call>", '<|channel>thought\nt<channel|><|tool_call>call:f{s:<|"|>x"y<|"|>,l:[1,true,{a:null}]}<tool_call|>', None,
     [("f", {"s": 'x"y', "l": [1, True, {"a": None}]})], "t"),
    ("<|tool_call_start|>", "<|tool_call_start|>[f(s='x', n=-1.5e3), g()]<|tool_call_end|>Sure", "Sure", [("f", {"s": "x", "n": -1500.0}), ("g", {})], None),
    ("<|action_start|>", '<|action_start|><|plugin|>\n{"name": "f", "parameters": {"s": "x"}}<|action_end|>', None, [F], None),
    # gpt-oss
    (HARMONY, '<|channel|>analysis<|message|>t<|end|><|start|>assistant<|channel|>final<|message|>Hi<|return|>', "Hi", [], "t"),
    (HARMONY, '<|channel|>analysis<|message|>t<|end|><|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"s": "x"}<|call|>', None, [F], "t"),
    (HARMONY, '<|channel|>commentary<|message|>Wait.<|end|><|start|>assistant to=functions.f<|channel|>commentary json<|message|>{"s": "x"}', "Wait.", [F], None),
    (HARMONY, "just text", "just text", [], None),
    # Functionary 1, 2, 3
    ("<|START_OF_FUNCTION_CALL|>", 'a<|START_OF_FUNCTION_CALL|>functions.f:\n{"s": "x"}<|END_OF_FUNCTION_CALL|>', "a", [F], None),
    ("<|recipient|><|content|>", 'all\n<|content|> Hi\n<|from|>assistant\n<|recipient|>f\n<|content|>{"s": "x"}<|stop|>', "Hi", [F], None),
    ("recipient==all >>>", 'all\nHi>>>f\n{"s": "x"}>>>python\nprint(1)', "Hi", [F, ("python", {"code": "print(1)"})], None),
]
FORMATS = [
    # format, with tools, answer, content, calls
    ("functionary-v2", True, 'f\n<|content|>{"s": "x"}', None, [F]), ("functionary-v2", False, "Hello all", "Hello all", []),
    ("functionary", True, ' to=functions.f:\n{"s": "x"}', None, [F]), ("functionary", True, ":\nHi", "Hi", []),
    ("chatml-function-calling", True, "message:\nHi there", "Hi there", []),
    ("chatml-function-calling", True, 'functions.f:\n{"s": "x"}\nfunctions.g:\n{}', None, [F, ("g", {})]),
    ("chatml-function-calling", False, 'functions.f:\n{"s": "x"}', 'functions.f:\n{"s": "x"}', []),
    ("chatml", True, '<tool_call>{"name": "f"}</tool_call>', '<tool_call>{"name": "f"}</tool_call>', []),
    ("llama-3", True, '{"name": "f", "parameters": {}}', '{"name": "f", "parameters": {}}', []),
]


def apart(message):
    """(content, calls, reasoning) of a message, its shape checked."""
    assert {*message} <= {"role", "content", "reasoning_content", "tool_calls"} and message["role"] == "assistant"
    calls = message.get("tool_calls", [])
    assert [call["id"] for call in calls] == [f"call_{i}" for i in range(len(calls))]
    assert all(call["type"] == "function" for call in calls)
    return (message["content"], [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls],
            message.get("reasoning_content"))


def needle(text):
    return "{# " + text + " #}x"


def test_answers_by_family():
    requests = [request(needle(text), "[]", tools=TOOLS, answer=answer) for text, answer, *_ in ANSWERS]
    for (text, answer, *wanted), got in zip(ANSWERS, chat(requests)):
        assert apart(got["message"]) == tuple(wanted), (text, answer)
    without_tools = [request(needle(text), "[]", answer=answer) for text, answer, *_ in ANSWERS]
    for (text, answer, *_), got in zip(ANSWERS, chat(without_tools)):
        assert not apart(got["message"])[1], (text, answer)


def test_answers_of_named_formats():
    user = [{"role": "user", "content": "x"}]
    requests = [request(None, user, format=name, tools=TOOLS if tools else None, answer=answer) for name, tools, answer, *_ in FORMATS]
    for (name, tools, answer, *wanted), got in zip(FORMATS, chat(requests)):
        assert apart(got["message"])[:2] == tuple(wanted), (name, answer)


def test_reasoning_that_the_prompt_opened():
    opened, closed = "{{ 'x<think>\n' }}</think>"[:-8], "{{ 'x<think></think>' }}"
    cases = [(opened, "a</think>\n\nb", "b", "a"), (opened, "<think>a</think>b", "b", "a"), (opened, "only thought", None, "only thought"),
             (closed, "a</think>b", "a</think>b", None), ("{{ messages[0].content }}", "a</think>b", "a</think>b", None)]
    requests = [request(template, [{"role": "user", "content": "<think>"}], answer=answer) for template, answer, *_ in cases]
    for (template, answer, content, thought), got in zip(cases, chat(requests)):
        assert apart(got["message"]) == (content, [], thought), (template, answer)
    bare, = chat([request(needle("</think>"), "[]", answer="a</think>b", bare=True)])
    assert apart(bare["message"]) == ("b", [], "a")


def is_beginning(part, whole):
    return (whole or "").startswith(part or "")


def check_partial(requests, names):
    """An answer cut anywhere gives a beginning of what the whole gives."""
    cut = [{**asked, "answer": asked["answer"][:n], "partial": True} for asked in requests for n in range(len(asked["answer"]) + 1)]
    answers, at = chat(cut + requests), 0
    for asked, name, whole in zip(requests, names, answers[len(cut):]):
        content, calls, thought = apart(whole["message"])
        before = ("", [], "")
        for n in range(len(asked["answer"]) + 1):
            now = apart(answers[at]["message"])
            at += 1
            said = f"{name}: {asked['answer'][:n]!r} gives {now}, the whole {(content, calls, thought)}"
            assert is_beginning(now[0], content) and is_beginning(now[2], thought) and now[1] == calls[:len(now[1])], said
            assert is_beginning(before[0], now[0]) and is_beginning(before[2], now[2]) and len(before[1]) <= len(now[1]), said
            before = now
        assert before[1] == calls or asked.get("format") or "python_tag" in asked["answer"] or len(before[1]) <= len(calls)
    return len(cut)


def test_partial_answers():
    chosen = [row for row in ANSWERS if row[0] != "" or "think" in row[1]]
    n = check_partial([request(needle(text), "[]", tools=TOOLS, answer=answer) for text, answer, *_ in chosen], [row[:2] for row in chosen])
    user = [{"role": "user", "content": "x"}]
    n += check_partial([request(None, user, format=name, tools=TOOLS if tools else None, answer=answer) for name, tools, answer, *_ in FORMATS],
                       [row[:3] for row in FORMATS])
    print(f"{n} beginnings")


CALL_1 = {"id": "call00001", "type": "function", "function": {"name": "get_weather", "arguments": {"location": "Rome, \"Italy\"", "unit": "celsius"}}}
CALL_2 = {"id": "call00002", "type": "function", "function": {"name": "add", "arguments": {"a": -1, "b": 0.001, "tags": ["x", "ÿ"], "flag": True}}}
TURNS = {"one call": {"content": "", "tool_calls": [CALL_1]}, "two calls": {"content": "Let me see.", "tool_calls": [CALL_1, CALL_2]},
         "reasoning": {"reasoning_content": "Hmm, hard.", "content": "So: 4"}, "text": {"content": 'Just text: {"name": "x"} <b>'},
         "reasoning and call": {"reasoning_content": "Hmm.", "content": "", "tool_calls": [CALL_1]}}
ENDS = re.compile(r"(<\|im_end\|>|<\|eo[tm]_id\|>|</s>|<\|end\|>|<\|call\|>|<\|return\|>|<｜end▁of▁sentence｜>|<\|END_OF_TURN_TOKEN\|>|<end_of_turn>|<turn\|>|"
                  r"<\|end_of_text\|>|<\|eot\|>|\[e~\[|<end_of_sentence>|<seed:eos>|<\|role_end\|>|</assistant>|<SPECIAL_12>|<\|observation\|>|<\|endoftext\|>|"
                  r"<｜hy_eos:opensource｜>|<\|calls\|>)\s*$")


def own_turns():
    """What published templates make of an assistant's turn: (template, kind of turn, request with it as the answer)."""
    templates = {}
    for _, case in published():
        templates.setdefault(case["template_name"], case)
    tools = next(case["tools"] for _, case in published() if case.get("tools"))
    user = [{"role": "user", "content": "Both please"}]
    keys = [(name, kind) for name in templates for kind in TURNS]
    requests = []
    for name, kind in keys:
        case = templates[name]
        base = {"template": case["template"], "bos": case["bos"], "eos": case["eos"], "tools": json.dumps(tools)}
        requests.append({**base, "messages": json.dumps(user)})
        requests.append({**base, "messages": json.dumps([*user, {"role": "assistant", **TURNS[kind]}]), "no_generation_prompt": True})
    answers = chat(requests)
    for (name, kind), before, after, asked in zip(keys, answers[::2], answers[1::2], requests[::2]):
        if "error" in before or "error" in after:
            continue
        same = os.path.commonprefix([before["text"], after["text"]])
        begun = re.search(r"[<\[][^<>\[\]]*$", same)  # never within a mark
        if begun and (before["text"] != same or after["text"][len(same):][:1] not in ("", "<", "[")):
            same = same[:begun.start()]
        answer = ENDS.sub("", after["text"][len(same):])
        yield name, kind, {**asked, "answer": answer, "bare": before["text"] != same}


# What a template writes of each kind of turn is read back by the same template's parser, for these:
READ_BACK = """ByteDance-Seed-OSS GLM-4.6 GLM-4.6~2 GLM-4.7-Flash GLM-5.2 Kimi-K2 MiMo-VL NVIDIA-Nemotron-Nano-v2 Qwen-QwQ-32B Qwen-Qwen2.5-7B-Instruct
Qwen-Qwen3-0.6B deepseek-ai-DeepSeek-V3.2 deepseek-ai-DeepSeek-V4 deepseek-ai-DeepSeek-V4-Flash-0731 ibm-granite-granite-4.0 ibm-granite-granite-4.1
inclusionai-ling-3.0-flash meetkai-functionary-medium-v3.1 meta-llama-Llama-3.1-8B-Instruct mistralai-Ministral-3-14B-Reasoning-2512 moonshotai-Kimi-K2
poolside-Laguna-S-2.1 poolside-Laguna-XS-2.1 tencent-Hy3 Cohere2MoE MiniMax-M1 Mistral-Large-Instruct-2407 Mistral-Small-3.2-24B-Instruct-2506
mistralai-Mistral-Nemo-Instruct-2407 NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use openai-gpt-oss-120b upstage-Solar-Open-100B muse-glimmer
google-gemma-4-31B-it google-gemma-4-31B-it-interleaved""".split()


def test_published_turns_are_read_back():
    turns = list(own_turns())
    one_call, n = {}, collections.Counter()
    for (name, kind, asked), got in zip(turns, chat([asked for *_, asked in turns])):
        content, calls, thought = apart(got["message"])
        wanted = TURNS[kind]
        wanted_calls = [(c["function"]["name"], c["function"]["arguments"]) for c in wanted.get("tool_calls", [])]
        if kind == "one call":
            one_call[name] = calls == wanted_calls
        if kind == "two calls" and "Let me see." in asked["answer"] and len(calls) == 2:
            assert (content or thought).strip() == "Let me see." and calls == wanted_calls, (name, asked["answer"], got["message"])
            n[kind] += 1
        if kind == "reasoning" and "Hmm" in asked["answer"] and not asked["bare"]:
            assert (content, thought) == ("So: 4", "Hmm, hard."), (name, asked["answer"], got["message"])
            n[kind] += 1
        if kind == "text" and not asked["bare"] and "So" not in asked["answer"] and thought is None:
            assert wanted["content"] in content and not calls, (name, asked["answer"], got["message"])
            n[kind] += 1
    bad = [name for name in READ_BACK if name in one_call and not one_call[name]]
    print(f"calls of {sum(one_call.values())} templates read back; {dict(n)}")
    assert not bad and sum(one_call.values()) >= 34 and n["reasoning"] >= 10 and n["two calls"] >= 15


def test_published_turns_in_parts():
    chosen = [(name, kind, asked) for name, kind, asked in own_turns() if kind in ("two calls", "reasoning and call") and not asked["bare"]
              and len(asked["answer"]) < 500][::6]
    print(f"{check_partial([asked for *_, asked in chosen], [(name, kind) for name, kind, _ in chosen])} beginnings")


def test_hostile_answers_are_bounded():
    """Marks without end, nesting, broken JSON: content, soon."""
    import time
    n = 20000
    texts = [("<tool_call>", "<tool_call>" * n), ("<tool_call>", "<tool_call>" * n + "</tool_call>"), ("<tool_call>", '<tool_call>{"a":' * n),
             ("<tool_call>", "<tool_call>f<arg_key>" * n + "</tool_call>"), ("<tool_call>", "<tool_call>" + "[" * 200000 + "</tool_call>"),
             ("[TOOL_CALLS]", "[TOOL_CALLS]a[CALL_ID]" * n), ("[TOOL_CALLS]", '[TOOL_CALLS][{"' * n), ("<function=", "<function=f><parameter=a>" * n + "</function>"),
             ("DSML", f'<{BAR}DSML{BAR}invoke name="' * n), ("<|tool_call_start|>", "<|tool_call_start|>f(a=" + "[" * 100000 + "<|tool_call_end|>"),
             ("<|tool_call>", "<|tool_call>call:f" + "{a:" * 100000 + "<tool_call|>"), (HARMONY, "<|channel|>a<|message|>" * n), (HARMONY, "<|start|>" * n),
             ("<|recipient|><|content|>", "a\n<|content|>" * n), ("recipient==all >>>", ">>>a\n" * n), ("<|START_RESPONSE|>", "<|START_RESPONSE|>" * n),
             ("", "<think>" * n), ("", "</think>" * n), (LLAMA, '{"name": ' * n), (LLAMA, "<|python_tag|>" * n), ("functools[", "functools[" * n)]
    for needed, text in texts:
        for partial in (False, True):
            began = time.monotonic()
            got, = chat([request(needle(needed), "[]", tools=TOOLS, answer=text, partial=partial)])
            took = time.monotonic() - began
            assert "message" in got and took < 3, f"{text[:40]!r}: {took:.1f} s {str(got)[:100]}"
            apart(got["message"])


def test_any_text_is_an_answer():
    """Pieces of answers in any order are content at worst: never an error, always of the right shape."""
    pieces = [part for _, answer, *_ in ANSWERS for part in re.split(r"(<[^>]*>|\[[A-Z_]*\]|[{}\"])", answer) if part][::7] + ["\x00", "\u2028", "😀", "\\", "\ud7ff"]
    requests = []
    for i, (text, *_) in enumerate(ANSWERS):
        order = sorted(range(len(pieces)), key=lambda k: hashlib.sha256(f"{i} {k}".encode()).digest())
        for size in (3, 9, 27):
            requests.append(request(needle(text), "[]", tools=TOOLS, answer="".join(pieces[k] for k in order[:size]), partial=size == 9))
    for asked, got in zip(requests, chat(requests)):
        assert "message" in got, (asked, got)
        apart(got["message"])
