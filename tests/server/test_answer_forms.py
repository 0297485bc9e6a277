"""Answers that are more than text: calls of tools in the form that a template has for them, and reasoning. The templates here are
small ones of the kinds that published models have; a tiny random model answers, held by the grammar alone."""

import json

import pytest

import serving

USER = [{"role": "user", "content": "the end"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "x", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "maxLength": 8}, "days": {"type": "integer"}},
    "required": ["city"], "additionalProperties": False}}},
    {"type": "function", "function": {"name": "clock"}}]

BEGIN = "{%- for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
END = "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
TEMPLATES = {
    # none of its own: {"name", "arguments"}
    "plain": BEGIN + END,
    "hermes": BEGIN + "{% for c in m.tool_calls or [] %}\n<tool_call>\n{\"name\": \"{{ c.function.name }}\", \"arguments\": "
              "{{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}" + END,
    "described": BEGIN + END + "{# a call is written in <tool_call></tool_call> #}",
    "mistral": "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }}[/INST]{% elif m.tool_calls %}"
               "[TOOL_CALLS] [{% for c in m.tool_calls %}{\"name\": \"{{ c.function.name }}\", \"arguments\": "
               "{{ c.function.arguments | tojson }}, \"id\": \"{{ c.id }}\"}{% if not loop.last %}, {% endif %}"
               "{% endfor %}]</s>{% else %} {{ m.content }}</s>{% endif %}{% endfor %}",
    "function": BEGIN + "{% for c in m.tool_calls or [] %}<function={{ c.function.name }}>"
                "{{ c.function.arguments | tojson }}</function>{% endfor %}" + END,
    # reasoning that the prompt opens
    "thinks": BEGIN + "{% for c in m.tool_calls or [] %}<tool_call>\n{\"name\": \"{{ c.function.name }}\", "
              "\"arguments\": {{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
              "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}",
}


@pytest.fixture(scope="module", params=sorted(TEMPLATES))
def formed(request, tiny_model, tmp_path_factory):
    template = tmp_path_factory.mktemp("template") / "template.jinja"
    template.write_text(TEMPLATES[request.param])
    with serving.Server("-m", tiny_model, "-np", 4, "-t", 1, "--template", template) as server:
        server.form = request.param
        yield server


def message_of(stream):
    """The message that a stream's deltas make, and why it ended."""
    message, calls, reason = {"content": "", "reasoning_content": ""}, {}, None
    for block in stream.body.decode().split("\n\n"):
        if not block.startswith("data: {"):
            continue
        chunk = json.loads(block[len("data: "):])
        assert "error" not in chunk, chunk
        for choice in chunk["choices"]:
            reason = choice["finish_reason"] or reason
            for name in message:
                message[name] += choice["delta"].get(name) or ""
            for piece in choice["delta"].get("tool_calls", []):
                call = calls.setdefault(piece["index"], {"name": piece["function"].get("name"), "arguments": ""})
                call["arguments"] += piece["function"]["arguments"]
    return message, [calls[index] for index in sorted(calls)], reason


def ask(server, **fields):
    """The answer, which is the same in a stream."""
    fields = {"messages": USER, "max_tokens": 250, "temperature": 1.5, "seed": 1, **fields}
    answer = server.post("/v1/chat/completions", fields)
    assert answer.status == 200, answer
    choice = answer.json()["choices"][0]
    message, calls, reason = message_of(server.post("/v1/chat/completions", {**fields, "stream": True}))
    whole = choice["message"]
    assert message["content"] == (whole["content"] or "")
    assert message["reasoning_content"] == whole.get("reasoning_content", "")
    assert calls == [call["function"] for call in whole.get("tool_calls", [])]
    assert reason == choice["finish_reason"]
    return choice, answer.json()["usage"]


# a random model never stops thinking by itself: a bias towards the one text that ends it
def end_of_thought(server):
    ids = server.post("/tokenize", {"content": "</think>", "parse_special": False}).json()["tokens"]
    return {str(i): 6 for i in ids} if server.form == "thinks" else {}


def test_required_calls(formed):
    for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
        found, _ = ask(formed, tools=TOOLS, tool_choice=choice, logit_bias=end_of_thought(formed))
        if found["finish_reason"] == "length" and formed.form == "thinks":
            assert found["message"]["reasoning_content"]
            continue
        assert found["finish_reason"] == "tool_calls" and found["message"]["content"] is None, found
        [call] = found["message"]["tool_calls"]
        arguments = json.loads(call["function"]["arguments"])
        if call["function"]["name"] == "get_weather":
            assert len(arguments["city"]) <= 8
        else:
            assert call["function"]["name"] == "clock" and choice == "required" and arguments == {}


def test_several_calls(formed):
    found, _ = ask(formed, tools=TOOLS, tool_choice="required", parallel_tool_calls=True, max_tokens=400)
    for call in found["message"].get("tool_calls", []):
        if found["finish_reason"] == "tool_calls":
            json.loads(call["function"]["arguments"])


def test_a_call_that_was_cut(formed):
    """Half a call is handed out as far as it came, and the reason says so."""
    for n in (1, 3, 10, 17):
        found, _ = ask(formed, tools=TOOLS, tool_choice="required", max_tokens=n)
        assert found["finish_reason"] == "length"


def test_json_after_reasoning(formed):
    schema = {"type": "object", "properties": {"x": {"enum": [1, 2]}}, "required": ["x"], "additionalProperties": False}
    fields = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}}
    found, usage = ask(formed, **fields, logit_bias=end_of_thought(formed))
    if formed.form == "thinks":
        assert found["message"]["reasoning_content"]
        assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] <= usage["completion_tokens"]
    if found["finish_reason"] == "stop":
        assert json.loads(found["message"]["content"])["x"] in (1, 2)
    else:
        assert formed.form == "thinks" and found["message"]["content"] is None
    # calls stay possible beside it, where the template has a form for them
    found, _ = ask(formed, **fields, tools=TOOLS, logit_bias=end_of_thought(formed))
    if found["finish_reason"] == "stop":
        assert json.loads(found["message"]["content"])["x"] in (1, 2)


def test_a_text_that_only_looks_like_a_call(formed):
    text = '<tool_call>\\n{\\"name\\": \\"clock\\", \\"arguments\\": {}}\\n</tool_call>'
    found, _ = ask(formed, grammar='root ::= "%s%s"' % ("</think>" if formed.form == "thinks" else "", text))
    assert not found["message"].get("tool_calls") and "clock" in found["message"]["content"]


def test_calls_of_free_answers(formed):
    """tool_choice auto: what the model says in the template's form is a call, text beside it is content."""
    words = {"hermes": 'the end\\n<tool_call>\\n{\\"name\\": \\"clock\\", \\"arguments\\": {}}\\n</tool_call>',
             "mistral": '[TOOL_CALLS] [{\\"name\\": \\"clock\\", \\"arguments\\": {}}]',
             "function": 'the end<function=clock>{}</function>'}
    if formed.form not in words:
        pytest.skip("no call is written here")
    found, _ = ask(formed, tools=TOOLS, grammar='root ::= "%s"' % words[formed.form])
    [call] = found["message"]["tool_calls"]
    assert call["function"] == {"name": "clock", "arguments": "{}"} and found["finish_reason"] == "tool_calls"
    assert found["message"]["content"] == (None if formed.form == "mistral" else "the end")
