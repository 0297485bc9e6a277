"""Writes tests/golden/peer/chat_formats.json: what llama-cpp-python's formatters make of a few conversations.

    python tests/golden/make_chat_formats.py        where the package llama_cpp 0.3.36 is installed

For every name that its chat_format takes and every conversation: {"prompt", "stop"}. The handlers that call the model
themselves (functionary, chatml-function-calling) get a model that only records its prompt.
"""

import copy
import json
import pathlib

import llama_cpp
from llama_cpp import llama_chat_format as formats

SYSTEM = {"role": "system", "content": "Be brief."}
TURNS = [{"role": "user", "content": "Hello, who are you?"}, {"role": "assistant", "content": "I am a model."},
         {"role": "user", "content": "What is 2+2?"}]
TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a place",
    "parameters": {"type": "object", "required": ["place"], "properties": {
        "place": {"type": "string", "description": "a town"},
        "unit": {"enum": ["celsius", "kelvin"], "description": "of the temperature"},
        "days": {"type": "array", "items": {"type": "integer"}},
        "where": {"type": "object", "properties": {"lat": {"type": "number"}}}}}}}]
CONVERSATIONS = {
    "user": {"messages": TURNS[:1]},
    "system-user": {"messages": [SYSTEM, *TURNS[:1]]},
    "turns": {"messages": TURNS},
    "system-turns": {"messages": [SYSTEM, *TURNS]},
    "tools": {"messages": [SYSTEM, *TURNS], "tools": TOOLS},
}


class Recorder:
    """A model of which only the first prompt matters."""
    verbose = False

    def create_completion(self, prompt, stop=None, **_):
        raise StopIteration(prompt, stop)


def record(handler, conversation, **more):
    try:
        handler(llama=Recorder(), **copy.deepcopy(conversation), **more)
    except StopIteration as done:
        return {"prompt": done.args[0], "stop": done.args[1]}
    raise AssertionError("no prompt")


def main():
    functions = {"llama-2": formats.format_llama2, "llama-3": formats.format_llama3, "alpaca": formats.format_alpaca,
                 "qwen": formats.format_qwen, "vicuna": formats.format, "oasst_llama": formats.format_oasst_llama,
                 "baichuan-2": formats.format_baichuan2, "baichuan": formats.format_baichuan,
                 "openbuddy": formats.format_openbuddy, "redpajama-incite": formats.format_redpajama_incite,
                 "snoozy": formats.format_snoozy, "phind": formats.format_phind, "intel": formats.format_intel,
                 "open-orca": formats.format_open_orca, "mistrallite": formats.format_mistrallite,
                 "zephyr": formats.format_zephyr, "pygmalion": formats.format_pygmalion, "chatml": formats.format_chatml,
                 "mistral-instruct": formats.format_mistral_instruct, "chatglm3": formats.format_chatglm3,
                 "openchat": formats.format_openchat, "saiga": formats.format_saiga, "gemma": formats.format_gemma}
    result = {}
    for case, conversation in CONVERSATIONS.items():
        rows = result[case] = {**conversation, "formats": {}}
        if "tools" not in conversation:
            for name, function in functions.items():
                made = function(messages=copy.deepcopy(conversation["messages"]))
                rows["formats"][name] = {"prompt": made.prompt, "stop": made.stop}
        rows["formats"]["functionary"] = record(formats.functionary_chat_handler, conversation)
        rows["formats"]["chatml-function-calling"] = record(
            formats.chatml_function_calling, conversation, tool_choice="auto" if "tools" in conversation else None)
    path = pathlib.Path(__file__).parent / "peer" / "chat_formats.json"
    path.write_text(json.dumps({"llama_cpp": llama_cpp.__version__, "conversations": result}, indent=1) + "\n")


main()
