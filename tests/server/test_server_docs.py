"""docs/SERVER.md says what is so: every route, option, default, limit and metric is on the page and nothing else is;
what it shows for trying out works."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import serving

PAGE = (serving.ROOT / "docs/SERVER.md").read_text()


def section(title):
    """The text under a heading."""
    return re.split(r"^## ", PAGE.split("\n## " + title + "\n", 1)[1], flags=re.M)[0]


def source(path):
    return (serving.ROOT / path).read_text()


def snippets(language):
    return re.findall(r"^```%s\n(.*?)^```$" % language, PAGE, re.M | re.S)


def test_endpoints():
    rows = re.findall(r'^ROUTE\((\w+), "([^"]*)", \w+, (\w+),', source("server/routes.def"), re.M)
    told = []
    for cells in re.findall(r"^\| (`.*?) \| (key)? ?\|", section("Endpoints"), re.M):
        told += [(*name.split(), "KEY" if cells[1] else "OPEN") for name in re.findall("`([^`]*)`", cells[0])]
    assert len(rows) > 5 and sorted(told) == sorted(rows)


def test_options():
    """Names, arguments and defaults."""
    text = subprocess.run([serving.PUNA, "help", "serve"], check=True, capture_output=True, text=True).stdout
    options = {}
    for short, name, argument, says in re.findall(r"^  (?:(-\w+), |    )(--[\w-]+)(?: ([^\s]+))?  +(.*)$", text, re.M):
        default = re.search(r"\(([^()]+)\)$", says)
        options[name] = (short, argument, default.group(1) if default else "")
    told = {}
    for names, default in re.findall(r"^\| (`-.*?) \| ?(?:\(([^()]*)\))? ?\|", section("Options"), re.M):
        for short, name, argument in re.findall(r"(?:`(-\w+)`, )?`(--[\w-]+)(?: ([^`]+))?`", names):
            told[name] = (short, argument, default)
    for name in ("--slots", "--no-slots", "--metrics", "--no-metrics"):  # said in words
        assert told[name][2] == "on"
        options[name] = (*options[name][:2], "on")
    options["--model"] = (*options["--model"][:2], "smollm2")  # names how to learn more, and the default
    assert len(options) > 40 and told == options


def test_limits():
    """The numbers in the table are those that the sources have; neither has another."""
    told = [int(number) for row in re.findall(r"^\|.*?\|(.*)\|$", section("Limits"), re.M)
            for number in re.findall(r"\d+", row)]
    kept = {}
    for path in ("server/params.h", "server/params.c", "server/http.c", "server/server.c"):
        for name, value, shift in re.findall(r"\b((?:PN_)?MAX_[A-Z_]+)\b *=?\s*\(?(\d+)(?: << (\d+))?", source(path)):
            kept[name] = int(value) << int(shift or 0)
    kept.pop("MAX_EVENTS")  # of one look at what happened
    assert len(told) > 9 and sorted(told) == sorted(kept.values()), kept


def test_metrics(server):
    server.get("/health")
    names = set(re.findall("^# TYPE (\\S+) ", server.get("/metrics").body.decode(), re.M))
    told = re.findall(r"`((?:puna|process)_[a-z_]+)`", section("Metrics"))
    assert sorted(told) == sorted(names)


def test_files_and_links():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (serving.ROOT / "docs" / target).exists(), target
    examples = {path.name for path in (serving.ROOT / "examples/server").iterdir()}
    assert examples == set(re.findall(r"\(\.\./examples/server/([^)]+)\)", PAGE))


def test_curl(server):
    if not shutil.which("curl"):
        pytest.skip("no curl")
    shown, = [text for text in snippets("sh") if "curl" in text]
    assert "http://127.0.0.1:8080" in shown
    done = subprocess.run(["sh", "-c", shown.replace("http://127.0.0.1:8080", server.url)], capture_output=True,
                          text=True)
    assert '"object":"chat.completion"' in done.stdout, done.stderr


def test_python_client(server):
    pytest.importorskip("openai")
    shown, = snippets("python")
    assert "http://127.0.0.1:8080" in shown
    environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    done = subprocess.run([sys.executable, "-c", shown.replace("http://127.0.0.1:8080", server.url)], env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout, done.stderr
