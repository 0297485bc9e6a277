"""Chat templates: published ones, small cases, abusive ones, and templates of our own beside PyPI's jinja2.

    PUNA_RENDER=build/tests/render_main PUNA_SHARED=../shared pytest tests/golden/test_templates.py -rP

Cases come from $PUNA_SHARED/data/chat_templates and $PUNA_SHARED/data/jinja; the differential test needs none of
them. All of a group go through one process (tests/golden/render_main.c).
"""

import datetime
import json
import os
import pathlib
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("PUNA_SHARED", ROOT.parent / "shared")) / "data"
RENDER = os.environ.get("PUNA_RENDER")
CHAT = sorted((DATA / "chat_templates").glob("*.json"))
SECONDS = 5  # the bound of an abusive template
MEMORY = 256 << 20


def test_data_is_there():
    """Elsewhere absent data means skipping; in CI it is an error."""
    if RENDER and CHAT:
        return
    why = "PUNA_RENDER does not name the render program" if not RENDER else f"no cases in {DATA}"
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def render(requests, memory=None):
    if not RENDER:
        pytest.skip("PUNA_RENDER does not name the render program")

    def limit():
        import resource
        resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, 8 << 20))
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    done = subprocess.run([RENDER], input="".join(json.dumps(r) + "\n" for r in requests).encode(),
                          capture_output=True, timeout=600, preexec_fn=limit)
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr.decode('utf-8', 'replace')[-2000:]}"
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(requests)
    for answer in answers:
        check_spans(answer)
    return answers


def check_spans(answer):
    """Spans cover the output without gaps, and neighbours differ."""
    if "text" not in answer:
        return
    at, last = 0, None
    for begin, end, *origin in answer["spans"]:
        assert begin == at and end > begin and origin != last
        at, last = end, origin
    assert at == len(answer["text"].encode())


def difference(case, answer):
    """None when the answer is as the case says."""
    wanted = case.get("expected_error")
    if wanted is None:
        if answer.get("text") == case["expected"]:
            return None
        return f"{answer.get('error') or answer.get('text')!r} instead of {case['expected']!r}"
    if wanted.get("optional"):
        return None
    if "error" not in answer:
        return f"{answer['text']!r} instead of {wanted['kind']}"
    if wanted["kind"] == "TemplateError" and not answer["error"].startswith(wanted["message"][:200]):
        return f"{answer['error']!r} instead of {wanted['message']!r}"
    return None


def report(cases, answers, names):
    bad = [f"{name}: {what}" for case, answer, name in zip(cases, answers, names)
           if (what := difference(case, answer))]
    milliseconds = sorted(a.get("ms", 0) for a in answers)
    print(f"{len(cases) - len(bad)} of {len(cases)}; median {milliseconds[len(cases) // 2]:.3f} ms, "
          f"slowest {milliseconds[-1]:.3f} ms")
    assert not bad, "\n".join(bad[:20])


@pytest.mark.skipif(not CHAT, reason="no chat templates")
@pytest.mark.parametrize("library", [False, True], ids=["text", "json"])
def test_chat_templates(library):
    cases = [json.loads(path.read_text()) for path in CHAT]
    requests = []
    for case in cases:
        variables = {"messages": case["messages"], "tools": case.get("tools"), "documents": None,
                     "add_generation_prompt": case["add_generation_prompt"], "bos_token": case["bos"],
                     "eos_token": case["eos"], **case.get("extra", {})}
        requests.append({"template": case["template"], "vars": json.dumps(variables), "json": library})
    report(cases, render(requests), [path.stem for path in CHAT])


def small_cases():
    path = DATA / "jinja" / "public.json"
    if not path.exists():
        pytest.skip(f"no {path}")
    return json.loads(path.read_text())


def test_small_templates():
    data = small_cases()
    variables = json.dumps(data["vars"])
    answers = render([{"template": c["template"], "vars": variables} for c in data["cases"]])
    report(data["cases"], answers, [c["id"] for c in data["cases"]])


def test_abusive_templates():
    path = DATA / "jinja" / "abuse.json"
    if not path.exists():
        pytest.skip(f"no {path}")
    variables = json.dumps(small_cases()["vars"])
    slowest, bad = (0, None), []
    cases = json.loads(path.read_text())
    for case in cases if isinstance(cases, list) else cases["cases"]:
        parts = case.get("parts", [])
        parts = json.loads(parts) if isinstance(parts, str) else parts
        template = case.get("template") or "".join(text * count for text, count in parts)
        request = {"template": template, "vars": variables, "marker": case["id"] == "invalid-utf8-marker"}
        begin = time.monotonic()
        sanitized = "san" in RENDER if RENDER else False  # a sanitizer's shadow does not fit the bound
        answer = render([request], None if sanitized else MEMORY + (200 << 20))[0]
        took = time.monotonic() - begin
        slowest = max(slowest, (took, case["id"]))
        if took > SECONDS * (10 if sanitized else 1):
            bad.append(f"{case['id']}: {took:.1f} s")
        if case["want"] == "error" and "error" not in answer:
            bad.append(f"{case['id']}: no error, but {answer['text'][:80]!r}")
        if case["want"] == "text" and answer.get("text") != case["expected"]:
            bad.append(f"{case['id']}: {answer}")
    print(f"slowest: {slowest[1]} in {slowest[0]:.2f} s")
    assert not bad, "\n".join(bad)
