"""curl."""

import json
import shutil
import signal
import subprocess
import time

import pytest

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")


def curl(*arguments, **how):
    return subprocess.run(["curl", "-sS", *arguments], capture_output=True, timeout=60, **how)


def test_chat(v1, greedy):
    body = json.dumps({"messages": [{"role": "user", "content": "the end"}], "temperature": 0, "max_tokens": 12})
    done = curl(v1 + "/chat/completions", "-H", "Content-Type: application/json", "-d", body)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == greedy("the end", 12)


def test_large_body(v1):
    """Above 1 MB curl asks first (Expect: 100-continue), and waits a second for an answer that does not come."""
    body = json.dumps({"input": "x", "max_output_tokens": 1, "metadata": {"padding": "y" * 1500000}})
    begun = time.monotonic()
    done = curl("-v", v1 + "/responses", "-H", "Content-Type: application/json", "-d", "@-", input=body.encode())
    assert json.loads(done.stdout)["object"] == "response"
    assert b"Expect: 100-continue" in done.stderr and b"100 Continue" in done.stderr
    assert time.monotonic() - begun < 10


def test_leaving_a_stream_frees_its_slot(server, v1):
    assert server.wait_idle(20) is not None
    body = {"messages": [{"role": "user", "content": "the end"}], "stream": True, "max_tokens": 400, "ignore_eos": True}
    process = subprocess.Popen(["curl", "-sSN", v1 + "/chat/completions", "-H", "Content-Type: application/json", "-d",
                                json.dumps(body)], stdout=subprocess.PIPE)
    assert process.stdout.readline().startswith(b"data: ")
    process.send_signal(signal.SIGINT)
    process.wait(10)
    freed = server.wait_idle(2)
    process.stdout.close()
    assert freed is not None
    print("free after %.0f ms" % (1e3 * freed))
