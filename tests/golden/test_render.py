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
