"""HTTP itself: framing, keep-alive, routes, limits. Raw sockets where no client would send such a thing."""

import pytest

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_health(server):
    answer = server.get("/health")
    assert answer.status == 200 and answer.json() == {"status": "ok"}
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert server.get("/v1/health").status == 200


def test_keep_alive_and_pipelining(server):
    with server.connect() as raw:
        for _ in range(3):
            raw.send(HEALTH)
            assert raw.answer().status == 200
        paths = [b"/health", b"/props", b"/nothing", b"/slots", b"/v1/health"]
        raw.send(b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in paths))
        answers = [raw.answer() for _ in paths]
    assert [answer.status for answer in answers] == [200, 200, 404, 200, 200]
    assert "total_slots" in answers[1].json() and isinstance(answers[3].json(), list)


def test_old_http_closes(server):
    with server.connect() as raw:
        raw.send(b"GET /health HTTP/1.0\r\n\r\n")
        assert raw.answer().status == 200
        assert raw.ends(5)


def test_head_and_options(server):
    with server.connect() as raw:
        raw.send(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n" + HEALTH)
        head = raw.answer(head=True)
        assert head.status == 200 and head.headers["content-length"] == "15"
        assert raw.answer().json() == {"status": "ok"}
    answer = server.request("OPTIONS", "/health")
    assert answer.status == 204 and answer.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "BREW", "get"])
def test_wrong_method(server, method):
    answer = server.request(method, "/health")
    assert answer.status == 405 and answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
