"""A small HTTP/1.1 client for load: one request on one connection, asyncio, streams of server-sent events, and the
freedom to leave at any moment."""
import asyncio
import json
import time


class Stream:
    """One request and what came back. `events` are the parsed data lines of a stream, `times` when each came."""

    def __init__(self, host, port):
        self.host, self.port = host, port
        self.status = 0
        self.headers = {}
        self.body = b""
        self.events, self.times = [], []
        self.done = False  # a stream's [DONE] came, or a body was complete
        self.begun = self.ended = 0.0
        self.reader = self.writer = None

    async def send(self, path, body, headers=()):
        """Connects and sends a POST with a JSON body (dict or bytes); GET when body is None."""
        self.begun = time.perf_counter()
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        lines = ["%s %s HTTP/1.1" % ("GET" if data is None else "POST", path),
                 "Host: %s:%d" % (self.host, self.port), "Connection: close"]
        if data is not None:
            lines += ["Content-Type: application/json", "Content-Length: %d" % len(data)]
        lines += ["%s: %s" % pair for pair in headers]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + (data or b""))
        await self.writer.drain()

    async def read_head(self):
        line = await self.reader.readline()
        if not line:
            raise ConnectionError("closed before a status line")
        self.status = int(line.split()[1])
        while (line := (await self.reader.readline()).strip()):
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.strip().lower()] = value.strip()

    async def chunks(self):
        """The bytes of the body as they arrive."""
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while True:
                size = int((await self.reader.readline()).split(b";")[0], 16)
                data = await self.reader.readexactly(size + 2)
                if size == 0:
                    return
                yield data[:-2]
        else:
            left = int(self.headers.get("content-length", -1))
            while left != 0:
                data = await self.reader.read(65536 if left < 0 else min(left, 65536))
                if not data:
                    return
                left -= len(data) if left > 0 else 0
                yield data

    def take_line(self, line):
        if not line.startswith(b"data:"):
            return
        data = line[5:].strip()
        if data == b"[DONE]":
            self.done = True
            return
        self.events.append(json.loads(data))
        self.times.append(time.perf_counter())

    async def read(self, leave_after=None):
        """Reads to the end, or up to `leave_after` events, and closes. Returns itself."""
        try:
            await self.read_head()
            streams = self.headers.get("content-type", "").startswith("text/event-stream")
            rest = b""
            async for data in self.chunks():
                if not streams:
                    self.body += data
                    continue
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self.take_line(line.strip())
                if leave_after is not None and len(self.events) >= leave_after:
                    return self
            self.done = self.done or not streams
            return self
        finally:
            self.ended = time.perf_counter()
            self.close()

    def close(self):
        if self.writer:
            self.writer.close()

    def json(self):
        return json.loads(self.body)


async def post(host, port, path, body, headers=(), leave_after=None):
    stream = Stream(host, port)
    await stream.send(path, body, headers)
    return await stream.read(leave_after)


async def get(host, port, path, headers=()):
    stream = Stream(host, port)
    await stream.send(path, None, headers)
    return await stream.read()


def completion_text(stream):
    """The text of a streamed /v1/completions."""
    return "".join(choice.get("text") or "" for event in stream.events for choice in event.get("choices", ()))
