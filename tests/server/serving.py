"""A puna server as a child process, and the ways of talking to it that the tests share.

    with Server("-m", model, "--api-key", "secret") as server:
        server.get("/health")           -> Answer: status, headers (lower case), body, .json()
        server.post("/v1/...", {...})
        with server.connect() as raw:   a socket, for what no HTTP client would send
            raw.send(b"GET / HTTP/1.1\\r\\n...")
            raw.answer()

PUNA_BIN names the program.
"""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PUNA = os.environ.get("PUNA_BIN", str(ROOT / "build/release/puna"))
# under AddressSanitizer everything is slower
PATIENCE = 60


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "Answer(%d, %r, %r)" % (self.status, self.headers, self.body[:300])


class Raw:
    """A connection of which every byte is ours."""

    def __init__(self, port, timeout=PATIENCE):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.left = b""  # received, not looked at

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes so that the other side gets a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def more(self):
        """Receives some bytes into self.left; False at the end."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self.left += data
        return bool(data)

    def until(self, mark):
        """What comes up to mark, with it."""
        while mark not in self.left:
            if not self.more():
                raise EOFError("the connection ended before %r: %r" % (mark, self.left[-300:]))
        at = self.left.index(mark) + len(mark)
        data, self.left = self.left[:at], self.left[at:]
        return data

    def exactly(self, n):
        while len(self.left) < n:
            if not self.more():
                raise EOFError("the connection ended %d bytes early" % (n - len(self.left)))
        data, self.left = self.left[:n], self.left[n:]
        return data

    def rest(self):
        """Everything to the end of the connection."""
        while self.more():
            pass
        data, self.left = self.left, b""
        return data

    def head(self):
        """Status and headers of the next response."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status = lines[0].split()[:2]
        assert version == "HTTP/1.1"
        headers = [tuple(line.split(": ", 1)) for line in lines[1:] if line]
        return int(status), headers

    def chunk(self):
        """The next chunk of a chunked body; b"" is the last."""
        n = int(self.until(b"\r\n"), 16)
        data = self.exactly(n)
        assert self.exactly(2) == b"\r\n"
        return data

    def answer(self, head=False):
        """The next response, whole. head: it answers a HEAD."""
        status, headers = self.head()
        names = {name.lower(): value for name, value in headers}
        body = b""
        if head or status in (204, 304) or status < 200:
            pass
        elif names.get("transfer-encoding") == "chunked":
            while True:
                data = self.chunk()
                body += data
                if not data:
                    break
        elif "content-length" in names:
            body = self.exactly(int(names["content-length"]))
        else:
            body = self.rest()
        return Answer(status, headers, body)

    def ends(self, within=PATIENCE):
        """Whether the server closes the connection, whatever it says before, in so many seconds."""
        self.socket.settimeout(within)
        try:
            while self.more():
                pass
        except socket.timeout:
            return False
        return True


class Server:
    def __init__(self, *options, env=None, wait=True, before=()):
        self.folder = tempfile.TemporaryDirectory()
        self.port_file = os.path.join(self.folder.name, "port")
        self.log_path = os.path.join(self.folder.name, "log")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PUNA_", "SLURM"))}
        command = [*before, PUNA, "serve", "--port", "0", "--port-file", self.port_file, *map(str, options)]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**clean, **(env or {})})
        self.key = None
        try:
            self.port = self._wait_for_port()
            if wait:
                self.wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def _wait_for_port(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if os.path.exists(self.port_file):  # appears complete
                return int(pathlib.Path(self.port_file).read_text())
            if self.process.poll() is not None:
                break
            time.sleep(0.005)
        raise RuntimeError("puna serve did not start (%s):\n%s" % (self.process.poll(), self.log()))

    def wait_until_ready(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if self.get("/health").status == 200:
                    return
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError("puna serve is not ready (%s):\n%s" % (self.process.poll(), self.log()))

    def __enter__(self):
        return self

    def __exit__(self, *what):
        status = self.stop()
        assert what[0] or status == 0, "exit status %s:\n%s" % (status, self.log())

    def stop(self, signal_number=signal.SIGTERM):
        """Asks the server to end; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def log(self):
        return pathlib.Path(self.log_path).read_text("utf-8", "replace")

    def connect(self, timeout=PATIENCE):
        return Raw(self.port, timeout)

    def request(self, method, path, body=None, headers=None):
        headers = dict(headers or {})
        if self.key:
            headers.setdefault("Authorization", "Bearer " + self.key)
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def get(self, path, headers=None):
        return self.request("GET", path, None, headers)

    def post(self, path, body, headers=None):
        return self.request("POST", path, body, headers)

    def slots(self):
        return self.get("/slots").json()

    def busy(self):
        """The rows of /slots that are being computed or wait."""
        return [row for row in self.slots() if row["is_processing"]]

    def wait_idle(self, within):
        """Seconds until nothing is computed, or None when it takes longer."""
        begun = time.monotonic()
        while time.monotonic() - begun < within:
            if not self.busy():
                return time.monotonic() - begun
            time.sleep(0.005)
        return None

    def metric(self, name):
        """A value of /metrics, by its name with its labels."""
        for line in self.get("/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return None

    def memory_bytes(self):
        fields = pathlib.Path("/proc/%d/statm" % self.process.pid).read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGESIZE")
