"""Writes tests/golden/peer/chat_prompts.json: the tokens of conversations, as two other implementations see them.

    python tests/golden/make_chat_prompts.py peer SMOLLM2.gguf GEMMA3.gguf      with llama_cpp 0.3.36 installed
    python tests/golden/make_chat_prompts.py tokenizers SMOLLM2.gguf            with tokenizers, gguf and jinja2

peer: llama-cpp-python's Jinja2ChatFormatter on the model's own template, or its formatter "gemma" where the file has
none, and Llama.tokenize as its chat handler calls it. tokenizers: Hugging Face's tokenizer built from the file's
vocabulary and merges, over the text that jinja2 renders, with special tokens recognised everywhere; so the contents
here hold none. The second command adds to what the first one wrote.
"""

import hashlib
import json
import pathlib
import sys

PATH = pathlib.Path(__file__).parent / "peer" / "chat_prompts.json"
CONVERSATIONS = {
    "hello": [{"role": "user", "content": "Hello"}],
    "turns": [{"role": "user", "content": "What is 2+2?"}, {"role": "assistant", "content": "It is 4."},
              {"role": "user", "content": "And 3+3?"}],
    "space": [{"role": "user", "content": "  two spaces before, one newline after\n"},
              {"role": "assistant", "content": " a space before"}, {"role": "user", "content": "\n\nx\ty  z"}],
    "world": [{"role": "user", "content": "Schöne Grüße 👋🏽 – „Zitat“ 日本語\u00a0\u200b Привет, мир! 12345 67"}],
    "code": [{"role": "user", "content": "def f(x):\n    return x**2  # <b>&amp;</b> {{ 7*7 }} {% raw %}\n\n\tprint(f'{x!r}')"}],
    "empty": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}, {"role": "user", "content": "?"}],
    "system": [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "Capital of France?"}],
}


def sha256_of(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def peer(paths):
    import llama_cpp
    from llama_cpp import llama_chat_format as formats
    result = {"llama_cpp": llama_cpp.__version__, "conversations": CONVERSATIONS, "models": {}}
    for path in paths:
        model = llama_cpp.Llama(path, vocab_only=True, verbose=False)
        template = model.metadata.get("tokenizer.chat_template")
        if template:
            name = None
            eos, bos = (model._model.token_get_text(t()) for t in (model.token_eos, model.token_bos))
            formatter = formats.Jinja2ChatFormatter(template=template, eos_token=eos, bos_token=bos)
        else:
            name, formatter = "gemma", formats.format_gemma
        tokens = {}
        for case, messages in CONVERSATIONS.items():
            if case in ("system", "empty") and name:
                continue  # its formatter leaves system messages out, and the end of messages that say nothing
            made = formatter(messages=[dict(m) for m in messages])
            tokens[case] = model.tokenize(made.prompt.encode(), add_bos=not made.added_special, special=True)
        result["models"][sha256_of(path)] = {"format": name, "peer": tokens}
    return result


def tokenizers(paths):
    import gguf
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    result = json.loads(PATH.read_text())
    for path in paths:
        fields = gguf.GGUFReader(path).fields
        read = {key: fields["tokenizer.ggml." + key].contents() for key in ("tokens", "merges", "token_type", "pre")}
        assert read["pre"] == "smollm", read["pre"]
        tokenizer = Tokenizer(models.BPE({text: i for i, text in enumerate(read["tokens"])},
                                         [tuple(m.split(" ")) for m in read["merges"]]))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                           pre_tokenizers.ByteLevel(add_prefix_space=False)])
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False)
                                      for text, kind in zip(read["tokens"], read["token_type"]) if kind == 3])
        ids = [fields[f"tokenizer.ggml.{key}_token_id"].contents() for key in ("bos", "eos")]
        env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        template = env.from_string(fields["tokenizer.chat_template"].contents())
        rows = result["models"][sha256_of(path)]["tokenizers"] = {}
        for case, messages in CONVERSATIONS.items():
            text = template.render(messages=messages, add_generation_prompt=True, bos_token=read["tokens"][ids[0]],
                                   eos_token=read["tokens"][ids[1]])
            rows[case] = tokenizer.encode(text, add_special_tokens=False).ids
    return result


made = {"peer": peer, "tokenizers": tokenizers}[sys.argv[1]](sys.argv[2:])
PATH.write_text(json.dumps(made) + "\n")
