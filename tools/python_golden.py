#!/usr/bin/env python3
"""What llama-cpp-python answers, for tests/python/test_peer_python.py. Run with a Python that has llama-cpp-python:

  python tools/python_golden.py smollm2=SmolLM2-135M-Instruct.Q4_1.gguf \
      gemma3-270m=gemma-3-270m-q4_k_m.gguf=gemma > tests/golden/peer/python.json

The third part of an argument is a chat format, for a file without a template.

Everything is at temperature 0. With each generated token goes the distance of the best two logits after penalties:
where it is small, another program's roundings may decide otherwise.
"""

import hashlib
import inspect
import json
import math
import sys

import llama_cpp
import numpy as np
from llama_cpp import Llama

METHODS = """
__init__ tokenize detokenize eval sample generate embed create_embedding create_completion __call__
create_chat_completion create_chat_completion_openai_v1 save_state load_state set_cache set_seed reset close n_ctx
n_embd n_vocab tokenizer token_bos token_eos token_nl pooling_type logits_to_logprobs longest_token_prefix
from_pretrained
""".split()

TEXTS = [
    "Hello world",
    "",
    " two  spaces",
    "ünïcode 漢字 🙂",
    "a<|im_start|>b</s>c<eos>",
    "line\n\nline\ttab",
    "x" * 50,
]

COMPLETIONS = [
    ("The capital of France is", {}),
    ("Once upon a time, there was a little", {}),
    ("def fibonacci(n):\n", {}),
    ("1, 2, 3, 4,", {"stop": ["10", "\n"]}),
    ("The quick brown fox", {"echo": True, "stop": "."}),
    ("Roses are red, roses are red, roses are", {"repeat_penalty": 1.3}),
    ("word word word word", {"frequency_penalty": 0.7, "presence_penalty": 0.4}),
    ("L'été, les cigales", {}),
]

CHATS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "system", "content": "You answer in one word."}, {"role": "user", "content": "Is the sky blue?"}],
    [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Hello Ada!"},
        {"role": "user", "content": "What is my name?"},
    ],
    [{"role": "user", "content": "List three fruits.\n\nOne per line."}],
]


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def gaps(llm, n_prompt, tokens, arguments):
    """The distance of the best two logits for each token, after the penalties that were in force."""
    found = []
    for i in range(len(tokens)):
        row = llm.scores[n_prompt + i - 1].astype(np.float64)
        for token in set(tokens[max(0, i - 64) : i]):
            count = tokens[max(0, i - 64) : i].count(token)
            repeat = arguments.get("repeat_penalty", 1.0)
            row[token] = row[token] / repeat if row[token] > 0 else row[token] * repeat
            row[token] -= count * arguments.get("frequency_penalty", 0) + arguments.get("presence_penalty", 0)
        best = np.sort(row)[-2:]
        found.append(round(float(best[1] - best[0]), 4))
    return found


def with_tokens(llm, result, arguments):
    """A result and the tokens behind it."""
    n_prompt = result["usage"]["prompt_tokens"]
    tokens = llm._input_ids.tolist()
    generated = tokens[n_prompt:][: result["usage"]["completion_tokens"]]
    return {
        "choice": result["choices"][0],
        "usage": result["usage"],
        "prompt": tokens[:n_prompt],
        "tokens": generated,
        "gaps": gaps(llm, n_prompt, generated, arguments),
    }


def shape(value):
    """Keys and types; texts and numbers by type."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def run_model(path, chat_format):
    llm = Llama(
        path, n_ctx=512, n_threads=1, n_threads_batch=1, logits_all=True, chat_format=chat_format, verbose=False
    )
    result = {
        "chat_format": chat_format,
        "sha256": sha256_of(path),
        "facts": {name: getattr(llm, name)() for name in ("n_embd", "n_vocab", "token_bos", "token_eos", "token_nl")},
        "metadata": {key: value for key, value in llm.metadata.items() if len(value) < 80},
        "tokenize": [],
        "completions": [],
        "chats": [],
    }
    for text in TEXTS:
        for add_bos in (False, True):
            for special in (False, True):
                tokens = llm.tokenize(text.encode(), add_bos=add_bos, special=special)
                back = [llm.detokenize(tokens, special=flag).decode("latin-1") for flag in (False, True)]
                result["tokenize"].append([text, add_bos, special, tokens, back])
    for prompt, arguments in COMPLETIONS:
        given = {"max_tokens": 24, "temperature": 0, **arguments}
        entry = {"given": [prompt, given], **with_tokens(llm, llm(prompt, **given), given)}
        entry["stream"] = [chunk["choices"][0] for chunk in llm(prompt, stream=True, **given)]
        result["completions"].append(entry)
    for messages in CHATS:
        if chat_format is not None and messages[0]["role"] == "system":
            continue  # its formatters leave the system message out
        given = {"max_tokens": 24, "temperature": 0}
        answer = llm.create_chat_completion(messages, **given)
        result["chats"].append({"messages": messages, "given": given, **with_tokens(llm, answer, given)})
    messages = CHATS[0]
    tool = {
        "type": "function",
        "function": {"name": "tell", "parameters": {"type": "object", "properties": {"ok": {"type": "boolean"}}}},
    }
    choice = {"type": "function", "function": {"name": "tell"}}
    forced = {"tools": [tool], "tool_choice": choice, "max_tokens": 20, "temperature": 0}
    small = {"max_tokens": 2, "temperature": 0}
    result["shapes"] = {
        "completion": shape(llm("x", **small)),
        "completion_logprobs": shape(json.loads(json.dumps(llm("x", logprobs=1, **small), default=float))),
        "completion_chunks": [shape(chunk) for chunk in llm("x", stream=True, **small)],
        "chat": shape(llm.create_chat_completion(messages, **small)),
        "chat_chunks": [shape(chunk) for chunk in llm.create_chat_completion(messages, stream=True, **small)],
        "forced_call": shape(llm.create_chat_completion(messages, **forced)),
        "forced_call_chunks": [shape(chunk) for chunk in llm.create_chat_completion(messages, stream=True, **forced)],
    }
    llm.close()
    result["embeddings"] = {}
    for pooling in (0, 1, 3):
        llm = Llama(path, n_ctx=64, n_threads=1, embedding=True, pooling_type=pooling, verbose=False)
        vectors = np.array(llm.embed("The quick brown fox"), dtype=np.float64)
        result["embeddings"][str(pooling)] = {
            "shape": list(vectors.shape),
            "norm": math.sqrt(float((vectors**2).sum())),
            "first": [round(float(value), 5) for value in vectors.reshape(-1)[:64]],
            "response": shape(llm.create_embedding("x")) if pooling else None,
        }
        llm.close()
    return result


def signature_of(name):
    parameters = inspect.signature(getattr(Llama, name)).parameters.values()
    return [
        [p.name, p.kind.name, None if p.default is inspect.Parameter.empty else repr(p.default)] for p in parameters
    ]


def main():
    document = {
        "made_with": "llama-cpp-python " + llama_cpp.__version__,
        "signatures": {name: signature_of(name) for name in METHODS},
        "models": {},
    }
    for argument in sys.argv[1:]:
        name, path, *chat_format = argument.split("=")
        document["models"][name] = run_model(path, chat_format[0] if chat_format else None)
    json.dump(document, sys.stdout, ensure_ascii=False, indent=None, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
