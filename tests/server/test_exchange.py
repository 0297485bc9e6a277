"""HTTP without a model behind it (exchange_main.c): bodies, streams, clients that leave, limits of time and number."""

import json
import os
import pathlib
import socket
import subprocess
import threading
import time

import pytest

import serving

PROGRAM = pathlib.Path(os.environ.get("PUNA_EXCHANGE_MAIN", pathlib.Path(serving.PUNA).parent / "tests/exchange_main"))
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="no program at %s" % PROGRAM)


class Exchanges:
    def __init__(self, *options):
        self.process = subprocess.Popen([PROGRAM, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.process.stdin.close()
        status = self.process.wait(20)
        said = self.process.stderr.read().decode()
        self.process.stdout.close()
        self.process.stderr.close()
        assert what[0] or (status == 0 and not said), (status, said)

    def connect(self, timeout=30):
        return serving.Raw(self.port, timeout)

    def ask(self, query, **how):
        with self.connect() as raw:
            raw.send(get(query, **how))
            return raw.answer()

    def counts(self):
        return self.ask("counts").json()

    def none_lives(self, within=5):
        end = time.monotonic() + within
        while self.counts()["live"]:
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def gone(self, n, within):
        """Seconds until n clients were seen to go."""
        begun = time.monotonic()
        while time.monotonic() - begun < within:
            if self.counts()["gone"] >= n:
                return time.monotonic() - begun
            time.sleep(0.002)
        return None


def get(query, headers="", body=b"", version="1.1"):
    head = "GET /health?%s HTTP/%s\r\nHost: localhost\r\n%s" % (query, version, headers)
    if body:
        head += "Content-Length: %d\r\n" % len(body)
    return head.encode() + b"\r\n" + body


@pytest.fixture(scope="module")
def exchanges():
    with Exchanges("ping=0.3", "body=1000000", "connections=1200") as one:
        yield one


@pytest.fixture(scope="module")
def hasty():
    """Little patience, few places."""
    with Exchanges("header=0.6", "body_s=0.6", "write=1", "body=100000", "bodies=300000", "connections=40") as one:
        yield one


def chunked(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


# ---- bodies


def test_body_arrives_whole(exchanges):
    body = bytes(i * 7 % 251 for i in range(300_000))
    with exchanges.connect() as raw:
        raw.send(get("echo", body=body))
        assert raw.answer().json() == {"bytes": len(body), "sum": sum(body)}
        raw.send(get("echo", "Transfer-Encoding: chunked\r\n") + chunked(body[:1], body[1:70_000], body[70_000:]))
        assert raw.answer().json() == {"bytes": len(body), "sum": sum(body)}


def test_body_in_crumbs(exchanges):
    request = get("echo", "Transfer-Encoding: chunked\r\n") + chunked(b"abc", b"d" * 20) + get("echo", body=b"next")
    with exchanges.connect() as raw:
        for i in range(len(request)):
            raw.send(request[i:i + 1])
        assert raw.answer().json()["bytes"] == 23
        assert raw.answer().json()["bytes"] == 4


def test_continue(exchanges):
    with exchanges.connect() as raw:
        raw.send(get("echo", "Content-Length: 5\r\nExpect: 100-continue\r\n"))
        assert raw.head()[0] == 100
        raw.send(b"hello")
        assert raw.answer().json()["bytes"] == 5


def test_announced_too_large(exchanges):
    for length in (1_000_001, 64 << 20, 10 ** 12, 2 ** 64 - 1):
        for expect in ("", "Expect: 100-continue\r\n"):
            with exchanges.connect(5) as raw:
                raw.send(get("echo", "Content-Length: %d\r\n%s" % (length, expect)))
                answer = raw.answer()
                assert answer.status == 413 and answer.headers["connection"] == "close"
                assert answer.json()["error"]["code"] == "body_too_large"
                assert raw.ends(5)


def test_chunks_without_end(exchanges):
    with exchanges.connect(10) as raw:
        raw.send(get("echo", "Transfer-Encoding: chunked\r\n"))
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < 10:
                raw.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except OSError:
            pass
        assert time.monotonic() - begun < 5  # thrown away for as long as a client may need to read why
        assert raw.head()[0] == 413


@pytest.mark.parametrize("size", [b"-2", b"zz", b"0x5", b"fffffffffffffffff", b" 5", b"5 5", b"", b"+5"])
def test_bad_chunk_sizes(exchanges, size):
    with exchanges.connect(5) as raw:
        raw.send(get("echo", "Transfer-Encoding: chunked\r\n") + size + b"\r\nhello\r\n0\r\n\r\n")
        assert raw.head()[0] in (400, 413)
        assert raw.ends(5)


def test_many_bodies_share_a_budget(hasty):
    # three of 90,000 bytes take 131,072 each: the third is too much for 300,000; the room comes back
    held = [hasty.connect() for _ in range(3)]
    try:
        for raw in held:
            raw.send(get("echo", "Content-Length: 90000\r\n") + b"x" * 89_000)
            time.sleep(0.05)
        assert held[2].answer().status == 503
        for raw in held[:2]:
            raw.send(b"x" * 1000)
            assert raw.answer().json()["bytes"] == 90_000
    finally:
        for raw in held:
            raw.close()
    assert hasty.ask("echo", body=b"x" * 90_000).json()["bytes"] == 90_000


# ---- streams


def test_stream_is_complete(exchanges):
    with exchanges.connect() as raw:
        raw.send(get("stream=200&every=0&pad=100") + get("echo"))
        answer = raw.answer()
        assert answer.status == 200 and answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.body.decode() == "".join("data: %d %s\n\n" % (i, "x" * 100) for i in range(200))
        assert raw.answer().json()["bytes"] == 0  # the connection goes on


def test_stream_to_old_client(exchanges):
    with exchanges.connect() as raw:
        raw.send(get("stream=5&every=1", version="1.0"))
        status, headers = raw.head()
        assert status == 200 and "chunked" not in dict(headers).get("Transfer-Encoding", "")
        assert raw.rest().count(b"data: ") == 5


def test_events_are_not_held_back(exchanges):
    with exchanges.connect() as raw:
        raw.send(get("stream=20&every=100"))
        raw.head()
        begun = time.monotonic()
        for _ in range(3):
            raw.chunk()
        assert time.monotonic() - begun < 1.2  # all of it takes 2 s


def test_pings(exchanges):
    with exchanges.connect() as raw:
        raw.send(get("stream=2&every=1000"))
        answer = raw.answer()
    silent, first, second = answer.body.split(b"data: ")
    assert silent.count(b": ping\n\n") in (2, 3) and b": ping\n\n" in first
    assert second == b"1 \n\n"


def test_large_stream_to_a_slow_reader(exchanges):
    with exchanges.connect() as raw:
        raw.send(get("stream=100&every=0&pad=50000"))
        raw.head()
        total = 0
        while True:
            data = raw.chunk()
            total += len(data)
            if not data:
                break
            time.sleep(0.0005)
    assert total == sum(len("data: %d \n\n" % i) + 50_000 for i in range(100))


def test_handler_that_lets_go(exchanges):
    answer = exchanges.ask("drop")
    assert answer.status == 500 and answer.json()["error"]["type"] == "server_error"
    with exchanges.connect() as raw:
        raw.send(get("abort"))
        raw.head()
        raw.chunk()
        with pytest.raises(EOFError):  # cut off, not ended
            raw.chunk()


def test_large_reply_and_head(exchanges):
    with exchanges.connect() as raw:
        raw.send(get("reply=3000000"))
        assert raw.answer().body == b"x" * 3_000_000
        raw.send(get("reply=3000000").replace(b"GET", b"HEAD") + get("reply=1"))
        assert raw.answer(head=True).headers["content-length"] == "3000000"
        assert raw.answer().body == b"x"


# ---- clients that leave


@pytest.mark.parametrize("query", ["hold", "stream=1000000&every=5", "stream=5&every=20000"])
@pytest.mark.parametrize("way", ["close", "reset"])
def test_leaving_is_noticed_at_once(exchanges, query, way):
    before = exchanges.counts()["gone"]
    raw = exchanges.connect()
    raw.send(get(query))
    if query != "hold":
        raw.head()
    time.sleep(0.05)
    getattr(raw, way)()
    took = exchanges.gone(before + 1, 5)
    assert took is not None and took < 1  # 3 ms, on an idle machine
    assert exchanges.none_lives()


def test_leaving_behind_pipelined_requests(exchanges):
    before = exchanges.counts()["gone"]
    with exchanges.connect() as raw:
        raw.send(get("hold") + get("echo") * 50)
        time.sleep(0.05)
    assert exchanges.gone(before + 1, 5) < 1


def test_half_closing_client_gets_its_answer(exchanges):
    with exchanges.connect() as raw:
        raw.send(get("reply=100000"))
        raw.socket.shutdown(socket.SHUT_WR)
        assert raw.answer().body == b"x" * 100_000


def test_end_that_comes_with_the_last_bytes(exchanges):
    """The server reads request and end in one go, and is to close in its turn."""
    folder = "/proc/%d/fd" % exchanges.process.pid
    before = len(os.listdir(folder))
    whole = get("echo", body=b"abc")
    parts = [whole, whole[:30], whole[:-1], whole + whole[:30], get("echo").replace(b"GET", b"PUT"), b"", b"\r\n"]
    for i in range(70):
        with exchanges.connect() as raw:
            raw.send(parts[i % len(parts)])
    for _ in range(100):
        if len(os.listdir(folder)) <= before:
            break
        time.sleep(0.02)
    assert len(os.listdir(folder)) <= before


def test_half_closing_client_gets_all_its_answers(exchanges):
    with exchanges.connect() as raw:
        raw.send(get("reply=5") + get("echo", body=b"abc") + get("reply=7"))
        raw.socket.shutdown(socket.SHUT_WR)
        time.sleep(0.5)
        assert raw.answer().body == b"xxxxx"
        assert raw.answer().json()["bytes"] == 3
        assert raw.answer().body == b"x" * 7
        assert raw.ends(5)


def test_client_that_never_reads(hasty):
    before = hasty.counts()["gone"]
    with hasty.connect() as raw:
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.send(get("stream=100000&every=1&pad=5000"))
        assert hasty.gone(before + 1, 8) is not None


def test_forty_leave_while_streaming(exchanges):
    before = exchanges.counts()["gone"]
    for i in range(40):
        with exchanges.connect() as raw:
            raw.send(get("stream=1000000&every=1"))
            raw.head()
            if i % 2:
                raw.chunk()
    assert exchanges.gone(before + 40, 5) < 2
    assert exchanges.none_lives()


# ---- slow and many


def test_slow_header(hasty):
    for part in (b"GET /health HTTP/1.1\r\nHost:", b"GET /hea", b"\x16\x03\x01\x00\xc8\x01", b""):
        with hasty.connect() as raw:
            raw.send(part)
            begun = time.monotonic()
            assert raw.ends(5) and 0.4 < time.monotonic() - begun < 2.5
            if b"\r\n" in part:
                assert raw.left.startswith(b"HTTP/1.1 408 ")


def test_trickling_header(hasty):
    with hasty.connect() as raw:
        begun = time.monotonic()
        try:
            for _ in range(100):
                raw.send(b"GET /health HTTP/1.1\r\n" if _ == 0 else b"X: y\r\n")
                time.sleep(0.05)
        except OSError:
            pass
        assert time.monotonic() - begun < 4.5


def test_slow_body(hasty):
    with hasty.connect() as raw:
        raw.send(get("echo", "Content-Length: 100\r\n") + b"abc")
        begun = time.monotonic()
        answer = raw.answer()
        assert answer.status == 408 and answer.json()["error"]["code"] == "timeout"
        assert time.monotonic() - begun < 2.5 and raw.ends(5)


def test_idle_connection_is_closed(hasty):
    with hasty.connect() as raw:
        raw.send(get("echo"))
        raw.answer()
        begun = time.monotonic()
        assert raw.ends(6) and 0.7 < time.monotonic() - begun < 4


def test_half_requests_beside_a_normal_one(exchanges):
    """300 half headers, 100 half bodies, 500 that say nothing."""
    halves = [b"GET /health HTTP/1.1\r\nHost: l"] * 300 + [get("echo", "Content-Length: 9\r\n") + b"abc"] * 100
    halves += [b""] * 500
    held = []
    try:
        for part in halves:
            held.append(exchanges.connect())
            held[-1].send(part)
        begun = time.monotonic()
        assert exchanges.ask("reply=5").body == b"xxxxx"
        assert time.monotonic() - begun < 1
        with exchanges.connect() as raw:
            raw.send(get("stream=20&every=2"))
            assert raw.answer().body.count(b"data:") == 20
    finally:
        for raw in held:
            raw.close()


def test_more_than_all_places(hasty):
    """The one that was silent longest makes room for a newcomer; those that are being answered stay."""
    streams = [hasty.connect() for _ in range(5)]
    held = []
    try:
        for raw in streams:
            raw.send(get("stream=200&every=5"))
        time.sleep(0.05)
        for _ in range(120):
            held.append(hasty.connect())
        assert hasty.ask("reply=5").body == b"xxxxx"
        for raw in streams:
            assert raw.answer().body.count(b"data:") == 200
    finally:
        for raw in streams + held:
            raw.close()


def test_a_thousand_streams(exchanges):
    held = [exchanges.connect() for _ in range(1000)]
    try:
        for i, raw in enumerate(held):
            raw.send(get("stream=2&every=%d" % (1 if i % 16 == 0 else 100_000)))
        for i, raw in enumerate(held):
            assert raw.head()[0] == 200
            if i % 16 == 0:
                assert b"data: 0 " in raw.chunk()
        begun = time.monotonic()
        assert exchanges.ask("reply=5").body == b"xxxxx"
        assert time.monotonic() - begun < 1
        before = exchanges.counts()["gone"]
    finally:
        for raw in held:
            raw.close()
    assert exchanges.gone(before + 900, 10) is not None
    assert exchanges.none_lives()


def test_many_threads_of_clients(exchanges):
    wrong = []

    def client(i):
        with exchanges.connect() as raw:
            for k in range(20):
                n = (i * 37 + k * 101) % 5000
                raw.send(get("echo", body=b"%c" % (65 + i) * n) if k % 2 else get("stream=3&every=0&pad=%d" % n))
                answer = raw.answer()
                right = answer.json() == {"bytes": n, "sum": n * (65 + i)} if k % 2 else \
                    len(answer.body) == 3 * (n + len("data: 0 \n\n"))
                if not right:
                    wrong.append((i, k, answer))

    threads = [threading.Thread(target=client, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_no_descriptors_are_lost(exchanges):
    folder = "/proc/%d/fd" % exchanges.process.pid
    time.sleep(0.3)
    before = len(os.listdir(folder))
    for _ in range(30):
        exchanges.ask("reply=1")
        raw = exchanges.connect()
        raw.send(get("hold"))
        raw.close()
    time.sleep(0.3)
    assert len(os.listdir(folder)) <= before + 1


def test_ends_with_streams_open():
    with Exchanges() as one:
        held = [one.connect() for _ in range(20)]
        for raw in held:
            raw.send(get("stream=20&every=10"))
            raw.head()
        one.process.stdin.close()
        for raw in held:
            data = b""
            while True:
                piece = raw.chunk()
                data += piece
                if not piece:
                    break
            assert data.count(b"data:") == 20  # ends when they have ended
            raw.close()
        assert one.process.wait(10) == 0
        one.process.stdin = open(os.devnull, "w")


def test_counts_are_json(exchanges):
    assert set(json.loads(exchanges.ask("counts").body)) == {"gone", "live"}
