"""From the start of puna serve to its end."""

import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

import serving

LONG = {"prompt": "Once upon a time", "max_tokens": 1500, "ignore_eos": True, "stream": True}


def stream(server, request, path="/v1/completions"):
    body = json.dumps(request).encode()
    raw = server.connect()
    raw.send(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
             % (path.encode(), len(body), body))
    return raw


def read_stream(raw):
    """Everything to the end; False behind it when it was cut off."""
    data = b""
    try:
        while True:
            piece = raw.chunk()
            data += piece
            if not piece:
                return data, True
    except EOFError:
        return data, False


def smol_path():
    path = os.environ.get("PUNA_TEST_MODEL", "")
    if not pathlib.Path(path).is_file():
        pytest.skip("PUNA_TEST_MODEL names no file")
    return path


def start_smol(*options):
    return serving.Server("-m", smol_path(), "-np", 4, "-c", 2048, "-b", 64, "-t", 1, *options)


# ---- the start


def test_port_file(start_server, tmp_path):
    server = start_server()
    assert pathlib.Path(server.port_file).read_text() == "%d\n" % server.port
    assert [name for name in os.listdir(server.folder.name) if name not in ("port", "log")] == []
    assert "listening at http://127.0.0.1:%d\n" % server.port in server.log()
    assert server.stop() == 0
    assert not os.path.exists(server.port_file)


def test_port_is_taken(server, tiny_model):
    done = subprocess.run([serving.PUNA, "serve", "-m", tiny_model, "--port", str(server.port)], capture_output=True,
                          timeout=60)
    assert done.returncode == 1 and done.stdout == b""
    said = done.stderr.decode().splitlines()
    assert len(said) == 1 and str(server.port) in said[0] and "--port" in said[0]


@pytest.mark.parametrize("options,status,word", [
    (["-m", "/nowhere.gguf"], 1, "/nowhere.gguf"),
    (["--host", "no.such.host.invalid"], 1, "no.such.host.invalid"),
    (["--host", "192.0.2.1"], 1, "192.0.2.1"),
    (["--port", "65536"], 2, "--port"),
    (["--port-file", "/nowhere/port"], 1, "/nowhere/port"),
    (["--api-key", "abc"], 2, "4 characters"),
    (["--api-key", "has space"], 2, "spaces"),
    (["--api-key-file", "/nowhere"], 1, "/nowhere"),
    (["-c", "100000000"], 1, "MiB are available"),
    (["--chat-template", "nothing-like-it"], 1, "nothing-like-it"),
    (["--max-body", "0"], 2, "--max-body"),
    (["--grce", "1"], 2, "--grace"),
])
def test_what_cannot_be(tiny_model, options, status, word):
    done = subprocess.run([serving.PUNA, "serve", "-m", str(tiny_model), "--port", "0", *options], capture_output=True,
                          timeout=60, env={k: v for k, v in os.environ.items() if not k.startswith("PUNA_")})
    said = done.stderr.decode()
    assert done.returncode == status, said
    assert word in said and len(said.splitlines()) == 1


def test_bad_model_is_an_error(tmp_path):
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF" + b"\xff" * 100)
    done = subprocess.run([serving.PUNA, "serve", "-m", path, "--port", "0"], capture_output=True, timeout=60)
    assert done.returncode == 1 and "bad.gguf" in done.stderr.decode()


def test_slurm_tunnel(start_server):
    env = {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "node17", "SLURM_SUBMIT_HOST": "login.cluster"}
    server = start_server("--host", "0.0.0.0", env=env)
    assert "ssh -N -L %d:node17:%d login.cluster" % (server.port, server.port) in server.log()
    server = start_server(env=env)
    assert "ssh -N -L %d:127.0.0.1:%d -J login.cluster node17" % (server.port, server.port) in server.log()


def test_ipv6(start_server):
    try:
        server = start_server("--host", "::1", wait=False)
    except RuntimeError as e:
        assert "::1" in str(e)
        pytest.skip("no IPv6 here")
    for _ in range(200):
        if "listening at" in server.log():
            break
        time.sleep(0.02)
    assert "listening at http://[::1]:%d\n" % server.port in server.log()


def test_off_switches(start_server):
    server = start_server("--no-slots", "--no-metrics", "--no-webui", "--alias", "mine")
    assert server.get("/slots").status == 404 and server.get("/metrics").status == 404
    assert b"--no-webui" in server.get("/").body
    assert server.get("/props").json()["model_alias"] == "mine"


def test_sizes(start_server):
    props = start_server("-np", "3", "-c", "128", "--temp", "0.25", "--top-k", "7").get("/props").json()
    assert props["total_slots"] == 3
    settings = props["default_generation_settings"]
    assert settings["n_ctx"] == 128 and settings["params"]["temperature"] == 0.25 and settings["params"]["top_k"] == 7


def test_devices(start_server):
    server = start_server()
    props = server.get("/props").json()
    (device,) = props["devices"]
    assert (device["name"], device["gpu"], device["first_layer"]) == ("CPU", None, 0) and props["where"] == "the CPU computes all layers"
    text = server.get("/metrics").body.decode()
    assert 'puna_device_layers{device="cpu"} %d\n' % device["n_layers"] in text
    assert 'puna_device_bytes{device="cpu"} %d\n' % device["total_bytes"] in text


# ---- what is counted


def test_slots_and_metrics(start_server):
    server = start_server()
    assert [row["id"] for row in server.slots()] == [0, 1, 2, 3]
    assert server.post("/v1/completions", {"prompt": "the an", "max_tokens": 7, "ignore_eos": True}).status == 200
    assert server.metric("puna_generation_tokens_total") == 7
    assert server.metric("puna_requests_finished_total") == 1
    assert server.metric("puna_time_to_first_token_seconds_count") == 1
    assert server.metric('puna_request_duration_seconds_bucket{le="+Inf"}') == 1
    assert server.metric("puna_requests_running") == 0
    assert server.metric("process_resident_memory_bytes") == pytest.approx(server.memory_bytes(), rel=0.5)
    assert "secret" not in json.dumps(server.slots())


def test_promtool(server):
    try:
        done = subprocess.run(["promtool", "check", "metrics"], input=server.get("/metrics").body, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no promtool (Debian: prometheus)")
    assert done.returncode == 0 and done.stdout + done.stderr == b""


# ---- clients that leave


def test_leaving_frees_the_slot(server):
    for i in range(10):
        raw = stream(server, {**LONG, "max_tokens": 100_000})
        raw.head()
        if i % 2:
            raw.chunk()
        raw.close()
    assert server.wait_idle(2) is not None


def test_leaving_while_the_prompt_is_computed(smol_server):
    before = smol_server.metric("puna_requests_failed_total")
    words = " ".join("word%d" % (i * 7919 % 1000) for i in range(500))
    raw = stream(smol_server, {"prompt": words, "max_tokens": 5, "stream": True})
    for _ in range(500):
        if smol_server.busy():
            break
        time.sleep(0.002)
    assert smol_server.busy()[0]["state"] != "answer"
    raw.close()
    before_steps = smol_server.metric("puna_engine_steps_total")
    assert smol_server.wait_idle(20) is not None
    assert smol_server.metric("puna_engine_steps_total") - before_steps <= 8  # of 30; 1 when nothing else runs
    assert smol_server.metric("puna_requests_failed_total") == before + 1


# ---- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_server_ends_at_once(start_server, number):
    server = start_server()
    with server.connect() as raw:  # an idle connection does not hold it up
        begun = time.monotonic()
        assert server.stop(number) == 0
        assert time.monotonic() - begun < 2
        assert raw.ends(1)


def test_streams_may_end(tmp_path):
    server = start_smol("--grace", 30)
    raw = stream(server, {**LONG, "max_tokens": 25})
    raw.head()
    raw.chunk()
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    with pytest.raises(OSError):
        server.connect(2)
    data, complete = read_stream(raw)
    assert complete and data.endswith(b"data: [DONE]\n\n") and b'"error"' not in data
    assert "ending: 1 request may go on for 30 seconds" in server.log()
    assert server.process.wait(10) == 0


def test_streams_are_cut_after_grace():
    server = start_smol("--grace", 0.3)
    raws = [stream(server, LONG) for _ in range(3)]
    for raw in raws:
        raw.head()
        raw.chunk()
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    for raw in raws:
        data, complete = read_stream(raw)
        assert complete and b'data: {"error":' in data  # said in the stream, which then ends
        raw.close()
    assert server.process.wait(10) == 0
    assert time.monotonic() - begun < 3


def test_new_requests_are_refused_while_it_ends():
    server = start_smol("--grace", 2)
    raw = stream(server, LONG)
    raw.head()
    with server.connect() as kept:
        kept.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert kept.answer().status == 200
        kept.send(b"GET /health HTTP/1.1\r\nHost: local")  # begun before the signal
        time.sleep(0.1)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        kept.send(b"host\r\n\r\n")
        answer = kept.answer()
        assert answer.status == 503 and answer.headers["retry-after"]
    raw.close()
    assert server.process.wait(10) == 0


def test_second_signal_ends_at_once():
    server = start_smol("--grace", 60)
    raw = stream(server, LONG)
    raw.head()
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert server.process.poll() is None
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(2) == 128 + signal.SIGTERM


def test_signal_while_loading():
    server = serving.Server("-m", smol_path(), "--no-mmap", wait=False)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(5) == 0
    assert not os.path.exists(server.port_file)


# ---- many


def test_a_thousand_connections(start_server):
    server = start_server("--max-connections", 1100)
    held = []
    try:
        for _ in range(1000):
            held.append(server.connect())
        for raw in held[::50]:
            raw.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert raw.answer().status == 200
        begun = time.monotonic()
        assert server.post("/v1/completions", {"prompt": "the", "max_tokens": 4}).status == 200
        assert time.monotonic() - begun < 1
    finally:
        for raw in held:
            raw.close()


def test_file_limit_is_said(start_server):
    server = start_server("--max-connections", 5000, before=["prlimit", "--nofile=400:400"])
    assert "connections at most, not 5000" in server.log()
    assert server.get("/health").status == 200
