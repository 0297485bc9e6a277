"""Who may ask: names of the server, origins of pages, API keys; and what a log or an answer never says."""

import re

import pytest

KEY = "sk-test-1234567890"


def ask(server, host="localhost", path="/health", method="GET", headers=""):
    with server.connect() as raw:
        raw.send("%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (method, path, host, headers))
        return raw.answer(head=method == "HEAD")


def cors(answer):
    return sorted(name for name in answer.headers if name.startswith("access-control"))


# ---- names


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:99", "[::1]",
                                  "[::1]:8080", "127.1.2.3:80", "localhost."])
def test_own_names(server, host):
    assert ask(server, host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.localhost.example:8080", "192.168.1.1",
                                  "127.0.0.1.evil.example", "[::2]", "::1", "[::1", "localhost:80:80", "localhost:x",
                                  "0x7f.1", "2130706433", "", "local host", "evil.example#localhost", "a@localhost",
                                  "localhost/", "127.0.0.1%00", "x" * 5000])
def test_foreign_names(server, host):
    answer = ask(server, host)
    assert answer.status == 403 and cors(answer) == []
    assert (host or "?") not in answer.body.decode() or host == "::1"


def test_host_is_needed_once(server):
    for lines in ("", "Host: localhost\r\nHost: localhost\r\n"):
        with server.connect() as raw:
            raw.send("GET /health HTTP/1.1\r\n%s\r\n" % lines)
            assert raw.answer().status == 400


def test_further_names(start_server):
    server = start_server("--allowed-host", "chat.example.org,.lab.example")
    assert ask(server, "chat.example.org").status == 200
    assert ask(server, "Chat.Example.Org:443").status == 200
    assert ask(server, "a.lab.example").status == 200
    assert ask(server, "lab.example").status == 403
    assert ask(server, "xlab.example").status == 403
    assert ask(server, "x.chat.example.org").status == 403


# ---- origins


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://localhost:1",
                                    "https://localhost@evil.example", "file://", "chrome-extension://abc", "localhost"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_foreign_origins(server, origin, method):
    answer = ask(server, "localhost:8080", "/v1/completions", method, "Origin: %s\r\n" % origin)
    assert answer.status == 403 and cors(answer) == []


def test_own_origin(server):
    for host, origin in (("localhost:8080", "http://localhost:8080"), ("localhost", "https://localhost"),
                         ("127.0.0.1:80", "http://127.0.0.1"), ("[::1]:9", "http://[::1]:9")):
        answer = ask(server, host, headers="Origin: %s\r\n" % origin)
        assert answer.status == 200 and cors(answer) == []


def test_form_of_another_page(server):
    with server.connect() as raw:
        body = "prompt=x"
        raw.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                 "Content-Length: %d\r\n\r\n%s" % (len(body), body))
        assert raw.answer().status == 415


@pytest.mark.parametrize("kind,status", [("text/plain", 415), ("multipart/form-data; boundary=x", 415),
                                         ("application/jsonp", 415), ("application/json", 400),
                                         ("Application/JSON; charset=utf-8", 400), ("application/problem+json", 400)])
def test_content_types(server, kind, status):
    assert server.post("/v1/completions", b"{", {"Content-Type": kind}).status == status


def test_allowed_origin(start_server):
    server = start_server("--cors", "https://chat.example.org")
    allowed = "Origin: https://chat.example.org\r\n"
    answer = ask(server, headers=allowed)
    assert answer.status == 200 and answer.headers["access-control-allow-origin"] == "https://chat.example.org"
    assert answer.headers["vary"] == "Origin" and "access-control-allow-credentials" not in answer.headers
    answer = ask(server, method="OPTIONS", path="/v1/chat/completions", headers=allowed +
                 "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, content-type\r\n")
    assert answer.status == 204 and "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type"
    assert ask(server, headers="Origin: https://chat.example.org.evil.example\r\n").status == 403
    assert cors(ask(server)) == []
    everybody = start_server("--cors", "*")
    answer = ask(everybody, headers="Origin: https://any.example\r\n")
    assert answer.status == 200 and answer.headers["access-control-allow-origin"] == "https://any.example"


# ---- keys


@pytest.fixture(scope="module")
def locked(tiny_model):
    import serving
    with serving.Server("-m", tiny_model, "-np", 2, "-t", 1, "--chat-template", "chatml",
                        env={"PUNA_API_KEY": KEY}) as one:
        yield one


@pytest.mark.parametrize("header", [
    "", "Authorization: Bearer wrong\r\n", "Authorization: Bearer %s\r\n" % KEY[:-1],
    "Authorization: Bearer %sx\r\n" % KEY, "Authorization: Basic %s\r\n" % KEY, "Authorization: %s\r\n" % KEY,
    "Authorization: Bearer\r\n", "X-Api-Key: \r\n", "Cookie: key=%s\r\n" % KEY, "Authorization: Bearer %s\r\n" % KEY.upper()])
@pytest.mark.parametrize("path", ["/v1/models", "/props", "/slots", "/metrics", "//v1/models", "/v1/../v1/models", "/nothing",
                                  "/v1/models?api_key=" + KEY])
def test_wrong_keys(locked, header, path):
    answer = ask(locked, path=path, headers=header)
    assert answer.status == 401, path
    assert answer.json()["error"]["code"] == "invalid_api_key" and answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["Authorization: Bearer %s\r\n", "authorization: bearer %s\r\n",
                                    "Authorization: Bearer   %s\r\n", "x-api-key: %s\r\n"])
def test_right_key(locked, header):
    assert ask(locked, path="/v1/models", headers=header % KEY).status == 200
    assert ask(locked, path="/nothing", headers=header % KEY).status == 404


def test_open_routes(locked):
    assert ask(locked).status == 200
    assert ask(locked, path="/").status == 200
    assert ask(locked, method="OPTIONS", path="/v1/models").status == 204


def test_several_keys(start_server, tmp_path):
    path = tmp_path / "keys"
    path.write_text("# of the lab\nfirst-key-1\n\n  second-key-2  \r\n")
    server = start_server("--api-key-file", path, "--api-key", "third-key-3")
    for key in ("first-key-1", "second-key-2", "third-key-3"):
        assert ask(server, path="/v1/models", headers="Authorization: Bearer %s\r\n" % key).status == 200
    assert ask(server, path="/v1/models", headers="Authorization: Bearer # of the lab\r\n").status == 401


def test_key_is_made_when_others_can_reach_it(start_server):
    server = start_server("--host", "0.0.0.0", wait=True)
    assert ask(server, path="/v1/models").status == 401
    keys = re.findall(r"^  (puna-[0-9a-f]{32})$", server.log(), re.M)
    assert len(keys) == 1
    assert ask(server, path="/v1/models", headers="Authorization: Bearer %s\r\n" % keys[0]).status == 200
    assert ask(server, "10.1.2.3:8080").status == 200  # an address is no name
    assert ask(server, "evil.example").status == 403


# ---- what is never said


def test_log(start_server):
    server = start_server("--api-key", KEY)
    auth = "Authorization: Bearer %s\r\n" % KEY
    secret = "a secret prompt"
    ask(server, path="/v1/models?query=hidden", headers=auth)
    server.key = KEY
    server.post("/v1/completions", {"prompt": secret, "max_tokens": 3})
    server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": secret}], "max_tokens": 3})
    ask(server, path="/%1b[31mred%0d%0aGET")
    ask(server, path="/\x1b[31mred", headers=auth)
    server.stop()
    log = server.log()
    assert "GET /v1/models 200" in log and re.search(r"POST /v1/completions 200, \d+ ms, \d+ \+ 3 tokens", log)
    for word in ("hidden", KEY, secret, "secret", "\x1b", "\r"):
        assert word not in log


def test_quiet(start_server):
    server = start_server("-q")
    server.get("/health")
    assert server.stop() == 0 and server.log() == ""


def test_markup_and_line_ends_are_not_reflected(server):
    for path in ("/%0d%0aSet-Cookie:%20a=b", "/<script>", "/%3Cscript%3E"):
        answer = ask(server, path=path)
        assert answer.status in (400, 404) and "set-cookie" not in answer.headers
        assert answer.headers["content-type"] == "application/json"
        assert b"\r" not in answer.body and b"\n" not in answer.body
    answer = server.post("/v1/completions", {"model": "<script>\r\nX: y", "prompt": "a", "max_tokens": 1})
    assert "x" not in answer.headers and answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v1/models/../../../etc/passwd",
                                  "/v1/models/%2e%2e%2fetc%2fpasswd", "/..%5c..%5cetc", "/etc/passwd", "//etc/passwd",
                                  "/v1/models//etc/passwd", "/%00", "/%", "/%2", "/%zz", "/health/", "/health%2f",
                                  "/HEALTH", "/v1/models/%ff%fe"])
def test_paths_reach_nothing(server, path):
    answer = ask(server, path=path)
    assert answer.status in (400, 404) and b"root:" not in answer.body
    answer.body.decode("utf-8")


def test_page_is_safe(server):
    answer = server.get("/")
    assert answer.status == 200 and answer.headers["x-content-type-options"] == "nosniff"
    if answer.headers["content-type"].startswith("text/html"):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"].replace("unsafe-inline' 'none", "")
        tag = answer.headers["etag"]
        assert server.get("/", {"If-None-Match": tag}).status == 304
