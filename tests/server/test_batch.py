"""puna batch: a file of requests becomes a file of answers, the same as the server gives; errors stop nothing, and
what was broken off goes on."""

import json
import signal
import subprocess
import time

import pytest

import serving

OPTIONS = ("-np", "3", "-t", "1", "--chat-template", "chatml")


def batch(model, *args, lines=None, **how):
    text = None if lines is None else "".join(line + "\n" for line in lines)
    return subprocess.run([serving.PUNA, "batch", "-m", str(model), *OPTIONS, *map(str, args)], input=text, text=True,
                          capture_output=True, timeout=serving.PATIENCE * 2, **how)


def results(text):
    found = [json.loads(line) for line in text.splitlines()]
    assert all(set(one) == {"id", "custom_id", "response", "error"} for one in found)
    return {one["custom_id"]: one["response"] for one in found}


def chat(i, **more):
    return {"messages": [{"role": "user", "content": "q%d" % i}], "max_tokens": 4 + i, "seed": i, **more}


def envelope(i):
    return json.dumps({"custom_id": "c%d" % i, "method": "POST", "url": "/v1/chat/completions", "body": chat(i)})


def without_chance(body):
    """An answer without what differs from one time to the next."""
    return {key: value for key, value in body.items() if key not in ("id", "created", "timings", "usage", "model")}


def test_answers_are_the_server_s(server, tiny_model):
    lines = [envelope(i) for i in range(8)]
    lines += [json.dumps({"prompt": "abc", "max_tokens": 6, "seed": 3, "stream": True}), "", json.dumps({"input": "abc"})]
    done = batch(tiny_model, lines=lines)
    assert done.returncode == 0, done.stderr
    found = results(done.stdout)
    assert set(found) == {"c%d" % i for i in range(8)} | {"line-9", "line-11"}
    assert all(one["status_code"] == 200 for one in found.values())
    for i in range(8):
        wanted = server.post("/v1/chat/completions", chat(i)).json()
        assert without_chance(found["c%d" % i]["body"]) == without_chance(wanted)
        assert found["c%d" % i]["body"]["usage"]["completion_tokens"] == wanted["usage"]["completion_tokens"]
    wanted = server.post("/v1/completions", {"prompt": "abc", "max_tokens": 6, "seed": 3}).json()
    assert without_chance(found["line-9"]["body"]) == without_chance(wanted)
    wanted = server.post("/v1/embeddings", {"input": "abc"}).json()
    assert found["line-11"]["body"]["data"] == wanted["data"]


@pytest.mark.parametrize("line, status, says", [
    ("no json", 400, "not JSON"),
    ("[1]", 400, "expected a JSON object"),
    ("{}", 400, "none of"),
    ('{"custom_id": 7, "prompt": "a"}', 400, "custom_id"),
    ('{"url": "/v1/nothing", "body": {"prompt": "a"}}', 404, "url"),
    ('{"method": "GET", "url": "/v1/completions", "body": {"prompt": "a"}}', 405, "method"),
    ('{"url": "/v1/completions", "body": [1]}', 400, "body"),
    ('{"prompt": "a", "top_p": 9}', 400, "top_p"),
    ('{"prompt": "%s"}' % ("a" * 5000), 400, "context"),
    ('{"prompt": ' + "[" * 1000, 400, "deeper"),
    ('{"custom_id": "same", "prompt": "b", "max_tokens": 1}', 400, "custom_id"),
])
def test_errors_stop_nothing(tiny_model, line, status, says):
    same = '{"custom_id": "same", "prompt": "a", "max_tokens": 2}'
    done = batch(tiny_model, lines=[same, line, '{"prompt": "z", "max_tokens": 2}'])
    assert done.returncode == 1
    assert "2 answered, 1 failed" in done.stderr
    found = results(done.stdout)
    assert set(found) == {"same", "line-2", "line-3"}
    assert found["same"]["status_code"] == found["line-3"]["status_code"] == 200
    assert found["line-2"]["status_code"] == status
    assert says in found["line-2"]["body"]["error"]["message"]


def test_resume(tiny_model, tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(envelope(i) + "\n" for i in range(6)))
    assert batch(tiny_model, "-i", source, "-o", out).returncode == 0
    whole = out.read_text()
    lines = whole.splitlines(keepends=True)
    out.write_text("".join(lines[:3]) + lines[3][:40])
    refused = batch(tiny_model, "-i", source, "-o", out)
    assert refused.returncode == 2 and "--resume" in refused.stderr
    done = batch(tiny_model, "-i", source, "-o", out, "--resume")
    assert done.returncode == 0, done.stderr
    assert "3 answered, 0 failed, 3 were there already" in done.stderr
    assert out.read_text().startswith("".join(lines[:3]))
    first, second = results(whole), results(out.read_text())
    assert len(out.read_text().splitlines()) == 6 and set(first) == set(second)
    for name in first:
        assert without_chance(first[name]["body"]) == without_chance(second[name]["body"])
    assert "0 answered" in batch(tiny_model, "-i", source, "-o", out, "--resume").stderr
    assert len(out.read_text().splitlines()) == 6
    source_before = source.read_text()
    assert batch(tiny_model, "-i", source, "-o", source, "--resume").returncode == 2
    other = tmp_path / "other"
    other.write_text('{"custom_id": "c0", "no": "result"}\n')
    assert batch(tiny_model, "-i", source, "-o", other, "--resume").returncode == 1
    assert source.read_text() == source_before and other.read_text().endswith("result\"}\n")


def test_ctrl_c_keeps_what_is_done(tiny_model, tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    short = [envelope(i) for i in range(3)]
    long = [json.dumps({"custom_id": "l%d" % i, "body": {"prompt": "a", "max_tokens": 400, "ignore_eos": True,
                                                         "logit_bias": {"2": -100}}})
            for i in range(300)]
    source.write_text("\n".join(short + long) + "\n")
    with subprocess.Popen([serving.PUNA, "batch", "-m", str(tiny_model), *OPTIONS, "-i", str(source), "-o", str(out)],
                          stderr=subprocess.PIPE, text=True) as child:
        until = time.time() + serving.PATIENCE
        while time.time() < until and (not out.exists() or out.read_text().count("\n") < 4):
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=serving.PATIENCE)
    assert child.returncode == 130, said
    assert "--resume" in said
    found = results(out.read_text())
    assert 4 <= len(found) < 303 and all(one["status_code"] == 200 for one in found.values())


def test_files_that_cannot_be_used(tiny_model, tmp_path):
    done = batch(tiny_model, "-i", tmp_path / "none")
    assert done.returncode == 1 and "none" in done.stderr
    assert batch(tiny_model, "-i", tmp_path).returncode == 1
    assert batch(tiny_model, "-o", tmp_path / "no" / "out", lines=[]).returncode == 1
    done = batch(tiny_model, "--resume", lines=[])
    assert done.returncode == 2 and "-o FILE" in done.stderr
    done = batch(tiny_model, "-o", "/dev/full", lines=['{"prompt": "a", "max_tokens": 1}'])
    assert done.returncode == 1 and "No space" in done.stderr
