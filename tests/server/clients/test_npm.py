"""openai, the package of npm, in node."""

import json
import pathlib
import shutil
import subprocess

import pytest

FOLDER = pathlib.Path(__file__).resolve().parent

pytestmark = pytest.mark.skipif(not shutil.which("node") or not (FOLDER / "node_modules/openai").is_dir(),
                                reason="node or its package openai is not there")


def test_openai(server, v1, greedy):
    done = subprocess.run(["node", "openai_client.mjs", v1], cwd=FOLDER, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    said = greedy("the end", 12)
    assert found["said"] == found["streamed"] == found["response"] == found["responseStreamed"] == said
    assert found["models"] == 1 and found["arguments"]["days"] in (1, 2, 3)
    assert found["embedding"] == len(server.post("/v1/embeddings", {"input": "x"}).json()["data"][0]["embedding"])
    assert found["error"] == {"status": 400, "param": "temperature", "type": "invalid_request_error"}
    assert found["aborted"] and server.wait_idle(2) is not None
