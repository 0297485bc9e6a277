#!/usr/bin/env python3
"""Speed of puna's server against others on the same file, in interleaved rounds.

Every round starts each server once, in random order, and asks it for streamed greedy completions of the same
prompts: first from one client, then from --clients at once; then a newcomer arrives while they stream, and a prompt
that begins with a long system text is sent twice. Tokens are counted by the servers' own usage, or by events.

    python tools/compare_servers.py -m smollm2.gguf -t 2 --puna build/release/puna \\
        --llama-server llama-server --llama-cpp-python python

Servers that are not given are left out. The table shows medians over the rounds and the ratio to puna.
"""
import argparse
import asyncio
import os
import random
import socket
import statistics
import subprocess
import sys
import time

from http_stream import get, post

TOPICS = ["a lighthouse", "bread", "the moon", "an old clock", "rivers", "a violin", "winter", "bees", "glass", "maps",
          "a harbour", "salt", "engines", "a garden", "numbers", "stars", "a bridge", "coffee", "wolves", "paper"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def commands(o, port):
    """name -> command of every server that was asked for."""
    ctx, n = o.ctx, o.clients
    found = {}
    if o.puna:
        found["puna"] = [o.puna, "serve", "-m", o.model, "-t", str(o.threads), "-c", str(ctx), "-np", str(n + 1),
                         "--port", str(port)]
    if o.llama_server:
        found["llama-server"] = [o.llama_server, "-m", o.model, "-t", str(o.threads), "-c", str(ctx * (n + 1)),
                                 "-np", str(n + 1), "--port", str(port)]
    if o.llama_cpp_python:
        found["llama-cpp-python"] = [o.llama_cpp_python, "-m", "llama_cpp.server", "--model", o.model, "--n_threads",
                                     str(o.threads), "--n_ctx", str(ctx), "--port", str(port),
                                     "--interrupt_requests", "false"]  # or each ends the one before it
    return found


class Server:
    def __init__(self, command, port):
        self.port = port
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    async def ready(self):
        for _ in range(600):
            if self.process.poll() is not None:
                sys.exit("%s: ended with status %d" % (self.process.args[0], self.process.returncode))
            try:
                if (await get("127.0.0.1", self.port, "/v1/models")).status == 200:
                    return
            except (OSError, ConnectionError):
                pass
            await asyncio.sleep(0.1)
        sys.exit("%s: not ready after a minute" % self.process.args[0])

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def request(prompt, n):
    return {"model": "default", "prompt": prompt, "max_tokens": n, "temperature": 0, "stream": True,
            "stream_options": {"include_usage": True}}


def n_tokens(stream):
    usage = [event["usage"] for event in stream.events if event.get("usage")]
    return usage[-1]["completion_tokens"] if usage else len(stream.events) - 1


async def complete(port, prompt, n):
    stream = await post("127.0.0.1", port, "/v1/completions", request(prompt, n))
    if stream.status != 200:
        sys.exit("status %d: %s" % (stream.status, stream.body[:300]))
    return stream


async def rate(port, prompts, n):
    """Tokens per second of all prompts at once, from the first request to the last token."""
    begun = time.perf_counter()
    streams = await asyncio.gather(*(complete(port, prompt, n) for prompt in prompts))
    return sum(map(n_tokens, streams)) / (max(s.ended for s in streams) - begun)


async def first_token(port, prompt, n=1):
    stream = await complete(port, prompt, n)
    return (stream.times[0] if stream.times else stream.ended) - stream.begun


async def newcomer(port, prompts, n):
    """Seconds to the first token of one more client while the others stream."""
    others = [asyncio.create_task(complete(port, prompt, n)) for prompt in prompts]
    await asyncio.sleep(1.0)
    seconds = await first_token(port, "The newcomer asked whether")
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    return seconds


async def measure(o, name, rng):
    port = free_port()
    server = Server(commands(o, port)[name], port)
    try:
        await server.ready()
        await rate(port, ["Warm up:"], 8)
        prompts = ["Tale %d. Once upon a time there was %s, and" % (rng.randrange(10**6), topic)
                   for topic in random.Random(1).sample(TOPICS * (1 + o.clients // len(TOPICS)), o.clients)]
        found = {"one client, t/s": await rate(port, prompts[:1], o.tokens)}
        found["%d clients, t/s" % o.clients] = await rate(port, prompts[::-1], o.tokens)
        await asyncio.sleep(0.3)
        found["newcomer's first token, s"] = await newcomer(port, prompts, 10 * o.tokens)
        await asyncio.sleep(0.5)
        system = "Rule %d. " % rng.randrange(10**6) + "Be brief, be kind and answer in plain words. " * 110
        found["1,000-token prompt, s"] = await first_token(port, system + "First question:")
        found["the same again, s"] = await first_token(port, system + "Another question:")
        return found
    finally:
        server.stop()


async def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-m", "--model", required=True)
    p.add_argument("--puna")
    p.add_argument("--llama-server")
    p.add_argument("--llama-cpp-python", metavar="PYTHON")
    p.add_argument("-t", "--threads", type=int, default=os.cpu_count())
    p.add_argument("-c", "--ctx", type=int, default=2048, help="positions of one request")
    p.add_argument("--clients", type=int, default=16)
    p.add_argument("-n", "--tokens", type=int, default=64)
    p.add_argument("--rounds", type=int, default=3)
    o = p.parse_args()
    rng = random.Random(1)
    results = {name: [] for name in commands(o, 0)}
    for i in range(o.rounds):
        for name in rng.sample(list(results), len(results)):
            found = await measure(o, name, rng)
            results[name].append(found)
            print("round %d/%d  %-17s %s" % (i + 1, o.rounds, name, "  ".join(
                "%s %.2f" % pair for pair in found.items())), file=sys.stderr)
    names = list(results)
    rows = list(results[names[0]][0])
    print("| median of %d rounds, %d threads | %s |" % (o.rounds, o.threads, " | ".join(names)))
    print("|---|%s" % ("---:|" * len(names)))
    for row in rows:
        print("| %s | %s |" % (row, " | ".join(
            "%.3g" % statistics.median(found[row] for found in results[name]) for name in names)))


if __name__ == "__main__":
    asyncio.run(main())
