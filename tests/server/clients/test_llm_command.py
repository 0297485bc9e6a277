"""llm, which finds the server in its extra-openai-models.yaml."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("llm")


def test_command_line(v1, greedy, tmp_path):
    (tmp_path / "extra-openai-models.yaml").write_text(
        "- model_id: puna\n  model_name: any\n  api_base: %s\n" % v1)
    environment = {**os.environ, "LLM_USER_PATH": str(tmp_path), "OPENAI_API_KEY": "none"}
    for options in ([], ["--no-stream"]):
        done = subprocess.run([sys.executable, "-m", "llm", "-m", "puna", "-o", "temperature", "0", "-o", "max_tokens", "12",
                               "--no-log", *options, "the end"], env=environment, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == greedy("the end", 12).strip()
