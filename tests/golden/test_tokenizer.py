"""Tokenizers against the publishers' own: every case of every vocabulary, through the program.

    PUNA_BIN=build/puna PUNA_SHARED=../shared pytest tests/golden/test_tokenizer.py -rP

Cases and vocabulary-only model files come from $PUNA_SHARED/data/tokenizer. A case has `ids` (plain text), sometimes
`also` (what a second implementation of the published algorithm gives), `ids_special` (special tokens added and
recognised) and `detok` (the text the reference gives back where it differs from the one tokenized).
"""

import gzip
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("PUNA_SHARED", ROOT.parent / "shared")) / "data" / "tokenizer"
PUNA = os.environ.get("PUNA_BIN")
NAMES = sorted(p.stem for p in DATA.glob("tricky/*.json"))


def test_data_is_there():
    """Elsewhere absent data means skipping; in CI it is an error."""
    if PUNA and NAMES:
        return
    why = "PUNA_BIN does not name the puna program" if not PUNA else f"no cases in {DATA}"
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def run(command, model, lines, *options):
    """One JSON value a line in, one a line out."""
    done = subprocess.run([PUNA, command, "-m", str(model), "--jsonl", *options], capture_output=True, timeout=600,
                          input="".join(json.dumps(line) + "\n" for line in lines).encode())
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module", params=NAMES)
def vocabulary(request, tmp_path_factory):
    """(name, model file, cases)"""
    if not PUNA:
        pytest.skip("PUNA_BIN does not name the puna program")
    packed = DATA / "vocabs" / f"ggml-vocab-{request.param}.gguf.gz"
    model = tmp_path_factory.mktemp("vocab") / packed.stem
    model.write_bytes(gzip.decompress(packed.read_bytes()))
    cases = []
    for kind in ("upstream", "tricky"):
        path = DATA / kind / f"{request.param}.json"
        if path.exists():
            cases += [dict(case, id=f"{kind}/{case.get('id', i)}")
                      for i, case in enumerate(json.loads(path.read_text())["cases"])]
    yield request.param, model, cases
    model.unlink()


def report(name, what, wrong, n):
    print(f"{name}: {what}: {n - len(wrong)} of {n}")
    assert not wrong, f"{name}: {len(wrong)} of {n} wrong, first: {wrong[0]}"


def test_ids(vocabulary):
    name, model, cases = vocabulary
    got = run("tokenize", model, [c["text"] for c in cases], "--no-bos")
    wrong = [(c["id"], c["text"], ids, c["ids"]) for c, ids in zip(cases, got, strict=True)
             if ids not in (c["ids"], c.get("also"))]
    report(name, "ids", wrong, len(cases))


def test_ids_special(vocabulary):
    name, model, cases = vocabulary
    cases = [c for c in cases if "ids_special" in c]
    got = run("tokenize", model, [c["text"] for c in cases], "--special")
    wrong = []
    for c, ids in zip(cases, got, strict=True):
        allowed = [c["ids_special"]]
        if "also" in c and c["ids_special"][1:-1] == c["ids"]:
            allowed.append([c["ids_special"][0], *c["also"], c["ids_special"][-1]])
        if ids not in allowed:
            wrong.append((c["id"], c["text"], ids, c["ids_special"]))
    report(name, "ids_special", wrong, len(cases))


def test_detokenize(vocabulary):
    """What the reference gives, which tidies spaces where a vocabulary asks for it."""
    name, model, cases = vocabulary
    cases = [c for c in cases if "detok_hex" not in c and c["id"].startswith("tricky/")]
    got = run("detokenize", model, [c["ids"] for c in cases], "--special")
    wrong = []
    for c, text in zip(cases, got, strict=True):
        want = c.get("detok", c["text"])
        if text != want:
            wrong.append((c["id"], c["text"], text, want))
    report(name, "detokenize", wrong, len(cases))
