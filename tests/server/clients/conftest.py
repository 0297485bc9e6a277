"""Programs that people talk to such servers with, as they are on PyPI and npm (requirements.txt, package.json): run-tests
installs them in CI, or with PUNA_CLIENTS=1; what is not there is skipped. The servers come from ../conftest.py."""

import pytest

MODEL = "any name"  # the model that is loaded answers


@pytest.fixture(scope="session")
def v1(server):
    """What clients call the base URL."""
    return server.url + "/v1"


@pytest.fixture
def greedy(server):
    """The text of a chat at temperature 0, as plain HTTP gives it."""

    def ask(text, max_tokens, system=None):
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": text})
        body = {"messages": messages, "temperature": 0, "max_tokens": max_tokens}
        return server.post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"]

    return ask
