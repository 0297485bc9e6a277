#!/usr/bin/env python3
"""Puts a server under load for minutes and checks every answer.

Starts `puna serve`, asks each of a few dozen requests once, alone, and keeps the answers. Then --active clients send
them at random, streamed or whole; some leave in the middle of an answer, some send nonsense, while --idle connections
do nothing but stay open. Every completed answer must equal the one that its request got alone, every malformed request
must get a 4xx, and the memory of the process must level off. Exit status 0 when all of that held.

    python tools/soak_server.py --puna build/release/puna -m smollm2.gguf --minutes 10
"""
import argparse
import asyncio
import collections
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time

from http_stream import Stream, completion_text, get, post

HOST = "127.0.0.1"
WORDS = "river stone winter lamp letter garden engine violin paper harbour number bridge coffee forest window".split()


def make_requests(rng, n):
    """n requests that differ in everything that may be mixed up: prompt, length, seed, sampler, API."""
    requests = []
    for i in range(n):
        text = "%d. %s" % (i, " ".join(rng.choice(WORDS) for _ in range(rng.choice([3, 20, 120]))))
        body = {"max_tokens": rng.randrange(1, 40), "seed": rng.randrange(1000), "temperature": rng.choice([0, 0.7, 1])}
        if i % 5 == 4:
            body["stop"] = [rng.choice(["the", " a", "."])]
        if i % 3 == 0:
            body["messages"] = [{"role": "user", "content": text}]
            requests.append(("/v1/chat/completions", body))
        else:
            body["prompt"] = text
            requests.append(("/v1/completions", body))
    return requests


BAD = [b"", b"{", b'{"prompt": ', b"[" * 5000, b'{"prompt": "x", "max_tokens": -3}', b'{"prompt": "x", "temperature": "hot"}',
       b'{"prompt": [1.5]}', b'{"prompt": "x", "n": 1000000}', b'{"messages": 3}', b'{"prompt": [99999999]}',
       b'{"prompt": "\xff"}', b'{"prompt": "x", "seed": 1e999}', b'{"prompt": "x", "stop": [3]}',
       b'{"prompt": "x", "grammar": "root ::= ("}', b'{"prompt": "x", "logit_bias": {"a": 1}}']


def answer_of(path, stream):
    """The text of an answer, however it came."""
    if stream.events:
        if path == "/v1/completions":
            return completion_text(stream)
        return "".join(choice["delta"].get("content") or "" for event in stream.events
                       for choice in event.get("choices", ()))
    choice = stream.json()["choices"][0]
    return choice["text"] if "text" in choice else choice["message"]["content"] or ""


class Soak:
    def __init__(self, o, port):
        self.o, self.port = o, port
        self.rng = random.Random(o.seed)
        self.requests = make_requests(self.rng, o.requests)
        self.alone = []
        self.counts = collections.Counter()
        self.problems = []
        self.until = 0.0

    def problem(self, text):
        self.counts["problems"] += 1
        if len(self.problems) < 20:
            self.problems.append(text)

    async def ask_alone(self):
        for path, body in self.requests:
            stream = await post(HOST, self.port, path, body)
            if stream.status != 200:
                sys.exit("alone: %s %s: status %d %s" % (path, json.dumps(body)[:200], stream.status, stream.body[:300]))
            self.alone.append(answer_of(path, stream))

    async def complete(self):
        i = self.rng.randrange(len(self.requests))
        path, body = self.requests[i]
        stream = await post(HOST, self.port, path, dict(body, stream=self.rng.random() < 0.6))
        if stream.status in (429, 503):
            self.counts["refused, queue full"] += 1
            await asyncio.sleep(0.2)
        elif stream.status != 200:
            self.problem("request %d: status %d %s" % (i, stream.status, stream.body[:200]))
        elif not stream.done:
            self.problem("request %d: the stream ended early: %s" % (i, stream.events[-1:]))
        elif answer_of(path, stream) != self.alone[i]:
            self.problem("request %d: %r, alone %r" % (i, answer_of(path, stream)[:80], self.alone[i][:80]))
        else:
            self.counts["answers equal"] += 1

    async def leave(self):
        path, body = self.rng.choice(self.requests)
        after = self.rng.choice([0, 0, 1, 2, 5])
        stream = Stream(HOST, self.port)
        await stream.send(path, dict(body, stream=True, max_tokens=200))
        if after:
            await stream.read(leave_after=after)
        else:
            await asyncio.sleep(self.rng.random() * 0.2)
        stream.close()
        self.counts["left midway"] += 1

    async def send_nonsense(self):
        path = self.rng.choice(["/v1/chat/completions", "/v1/completions"])
        stream = await post(HOST, self.port, path, self.rng.choice(BAD))
        if not 400 <= stream.status < 500:
            self.problem("nonsense: status %d %s" % (stream.status, stream.body[:200]))
        self.counts["nonsense refused"] += 1

    async def client(self):
        while time.monotonic() < self.until:
            draw = self.rng.random()
            act = self.complete if draw < 0.6 else self.leave if draw < 0.8 else self.send_nonsense
            try:
                await act()
            except (OSError, ConnectionError, asyncio.IncompleteReadError, ValueError) as error:
                self.problem("%s: %s: %s" % (act.__name__, type(error).__name__, error))

    async def stay_idle(self):
        while time.monotonic() < self.until:
            try:
                reader, writer = await asyncio.open_connection(HOST, self.port)
                writer.write(b"GET /health HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (HOST.encode(), self.port))
                self.counts["idle opened"] += 1
                left = self.until - time.monotonic()
                try:
                    while left > 0 and await asyncio.wait_for(reader.read(4096), left):
                        left = self.until - time.monotonic()
                except asyncio.TimeoutError:
                    pass
                writer.close()
            except (OSError, ConnectionError):
                self.counts["idle refused"] += 1
                await asyncio.sleep(1)

    async def watch_memory(self, pid):
        """Resident MiB over time: (seconds, MiB)."""
        seen, begun = [], time.monotonic()
        while time.monotonic() < self.until:
            with open("/proc/%d/status" % pid) as f:
                rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
            seen.append((time.monotonic() - begun, rss / 1024))
            if sys.stderr.isatty():
                print("\r%4.0f s  %.0f MiB  %s " % (*seen[-1], dict(self.counts)), end="", file=sys.stderr)
            await asyncio.sleep(1)
        return seen

    async def run(self, pid):
        await self.ask_alone()
        self.until = time.monotonic() + 60 * self.o.minutes
        memory = asyncio.create_task(self.watch_memory(pid))
        await asyncio.gather(*(self.client() for _ in range(self.o.active)),
                             *(self.stay_idle() for _ in range(self.o.idle)))
        await asyncio.sleep(1)
        for i, (path, body) in enumerate(self.requests):  # and once more, alone
            if answer_of(path, await post(HOST, self.port, path, body)) != self.alone[i]:
                self.problem("request %d: another answer afterwards" % i)
        if (await get(HOST, self.port, "/health")).status != 200:
            self.problem("/health is not 200 afterwards")
        return await memory


def start(o, folder):
    port_file = os.path.join(folder, "port")
    log = open(os.path.join(folder, "log"), "wb")
    command = [o.puna, "serve", "-m", o.model, "-np", str(o.parallel), "-c", "1024", "--port", "0", "--port-file", port_file,
               "--max-connections", str(o.idle + 2 * o.active + 64)] + o.flag
    process = subprocess.Popen(command, stderr=log, stdout=log)
    for _ in range(600):
        if os.path.exists(port_file):
            return process, int(open(port_file).read()), log.name
        if process.poll() is not None:
            sys.exit("puna serve ended: " + open(log.name).read()[-2000:])
        time.sleep(0.1)
    sys.exit("puna serve is not ready after a minute")


async def wait_ready(port):
    for _ in range(600):
        if (await get(HOST, port, "/health")).status == 200:
            return
        await asyncio.sleep(0.1)
    sys.exit("/health is not 200 after a minute")


def check_memory(memory):
    """Median of the last tenth against that of the second quarter: growth in MiB."""
    sizes = [mib for _, mib in memory]
    early = sorted(sizes[len(sizes) // 4:len(sizes) // 2])
    late = sorted(sizes[-max(1, len(sizes) // 10):])
    return late[len(late) // 2] - early[len(early) // 2] if early else 0.0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--puna", required=True)
    p.add_argument("-m", "--model", required=True)
    p.add_argument("--minutes", type=float, default=10)
    p.add_argument("--idle", type=int, default=1000)
    p.add_argument("--active", type=int, default=64)
    p.add_argument("--requests", type=int, default=30)
    p.add_argument("-np", "--parallel", type=int, default=16)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--flag", action="append", default=[], help="one more word for the command line of puna serve")
    o = p.parse_args()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    with tempfile.TemporaryDirectory() as folder:
        process, port, log = start(o, folder)
        soak = Soak(o, port)
        try:
            async def run():
                await wait_ready(port)
                return await soak.run(process.pid)
            memory = asyncio.run(run())
        finally:
            alive = process.poll() is None
            process.terminate()
            try:
                status = process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                status = "killed: it did not end within 30 s of SIGTERM"
        growth = check_memory(memory)
        print("\n" + "\n".join("%8d  %s" % (n, name) for name, n in soak.counts.most_common()))
        print("memory: %.0f MiB at first, %.0f at the end, %.1f more than at a third of the time" %
              (memory[0][1], memory[-1][1], growth))
        print("SIGTERM: status %s" % status)
        for text in soak.problems:
            print("PROBLEM " + text)
        if not alive or status != 0:
            print(open(log, errors="replace").read()[-3000:])
        sys.exit(0 if alive and status == 0 and not soak.problems and growth < 16 else 1)


if __name__ == "__main__":
    main()
