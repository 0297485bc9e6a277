#!/usr/bin/env python3
"""Speed of puna against llama.cpp on the same files, in interleaved rounds.

Every round runs both programs once on every file, in random order: the machine's good and bad minutes fall on both.
Either runs in a process of its own with the same number of threads: prefill of 512 tokens, decode of 64, greedy,
float16 KV cache, mapped file, one run of each before that is not counted. Before every run the machine has to be
quiet (/proc/stat); a run during which others took more of the processor than allowed is marked and, with --strict,
left out. The ratio is taken within a round; the table shows medians and, for the ratios, the quartiles.

    python tools/compare_peers.py --puna build/release/puna -t 2 smollm2.gguf llama-7b-q5_k_m.gguf

Needs llama-cpp-python (PyPI) in the Python that runs it, or in the one --python names.
"""
import argparse
import ctypes
import json
import os
import random
import statistics
import subprocess
import sys
import time

BUSY_LIMIT = 0.15  # of one core, taken by others


# ---- llama.cpp, in a process of its own -------------------------------------------------------------------------

def run_llama_cpp(o):
    import llama_cpp as L

    @L.llama_log_callback
    def quiet(level, text, user):
        pass

    L.llama_backend_init()
    L.llama_log_set(quiet, ctypes.c_void_p(0))
    params = L.llama_model_default_params()
    params.n_gpu_layers = 0
    model = L.llama_model_load_from_file(os.fsencode(o.files[0]), params)
    if not model:
        sys.exit(f"{o.files[0]}: llama.cpp cannot load it")
    params = L.llama_context_default_params()
    params.n_ctx = max(o.prefill, o.decode) + 64
    params.n_batch = params.n_ubatch = o.prefill
    params.n_threads = params.n_threads_batch = o.threads
    params.flash_attn_type = {"auto": -1, "off": 0, "on": 1}[o.flash_attention]
    context = L.llama_init_from_model(model, params)
    memory = L.llama_get_memory(context)
    n_vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))
    rng = random.Random(1)
    sampler = L.llama_sampler_init_greedy()
    one = (L.llama_token * 1)(rng.randrange(n_vocab))

    def prefill():
        ids = (L.llama_token * o.prefill)(*[rng.randrange(n_vocab) for _ in range(o.prefill)])
        L.llama_memory_clear(memory, True)
        begun = time.perf_counter()
        if L.llama_decode(context, L.llama_batch_get_one(ids, o.prefill)) != 0:
            sys.exit("llama_decode failed")
        L.llama_synchronize(context)
        return o.prefill / (time.perf_counter() - begun)

    def decode():
        L.llama_memory_clear(memory, True)
        begun = time.perf_counter()
        for _ in range(o.decode):
            if L.llama_decode(context, L.llama_batch_get_one(one, 1)) != 0:
                sys.exit("llama_decode failed")
            one[0] = L.llama_sampler_sample(sampler, context, -1)
        return o.decode / (time.perf_counter() - begun)

    result = {}
    for name, test in (("prefill", prefill), ("decode", decode)):
        test()
        result[name] = statistics.median(test() for _ in range(o.repeat))
    print(json.dumps(result))


# ---- one measured run -------------------------------------------------------------------------------------------

def processor_seconds():
    """Seconds in which all processors together did something, other than wait."""
    with open("/proc/stat", encoding="ascii") as f:
        ticks = [int(x) for x in f.readline().split()[1:9]]
    user, nice, system, _, _, irq, softirq, steal = ticks
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def wait_until_quiet(patience):
    """True when others use less than BUSY_LIMIT of a core over a second, before patience runs out."""
    until = time.monotonic() + patience
    while True:
        begun, before = time.monotonic(), processor_seconds()
        time.sleep(1)
        if (processor_seconds() - before) / (time.monotonic() - begun) < BUSY_LIMIT:
            return True
        if time.monotonic() > until:
            return False


def children_seconds():
    t = os.times()
    return t.children_user + t.children_system


def measure(command, patience):
    """The program's JSON, and whether the machine was quiet meanwhile."""
    quiet = wait_until_quiet(patience)
    begun, before, own = time.monotonic(), processor_seconds(), children_seconds()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr.strip()[-500:]}")
    others = (processor_seconds() - before) - (children_seconds() - own)
    busy = others / (time.monotonic() - begun)
    return json.loads(done.stdout), quiet and busy < BUSY_LIMIT, busy


def measure_puna(o, path):
    data, quiet, busy = measure([o.puna, "bench", "-m", path, "-t", str(o.threads), "-p", str(o.prefill), "-n",
                                 str(o.decode), "-r", str(o.repeat), "--json"], o.patience)
    speed = {"prefill" if row["n_prompt"] else "decode": row["median_ts"] for row in data}
    return {**speed, "quiet": quiet, "busy": busy}


def measure_llama_cpp(o, path):
    data, quiet, busy = measure([o.python, os.path.abspath(__file__), "--worker", "-t", str(o.threads), "-p",
                                 str(o.prefill), "-n", str(o.decode), "-r", str(o.repeat), "--flash-attention",
                                 o.flash_attention, path], o.patience)
    return {**data, "quiet": quiet, "busy": busy}


def measure_rounds(o):
    runs = []
    jobs = [(path, who) for path in o.files for who in o.programs]
    for index in range(o.rounds):
        random.shuffle(jobs)
        for path, who in jobs:
            run = (measure_puna if who == "puna" else measure_llama_cpp)(o, path)
            runs.append({"round": index, "file": path, "program": who, **run})
            print(f"round {index + 1}/{o.rounds}  {os.path.basename(path):28} {who:10} prefill {run['prefill']:9.1f}"
                  f"  decode {run['decode']:8.2f}  {'' if run['quiet'] else 'others: %.2f cores' % run['busy']}",
                  file=sys.stderr, flush=True)
    return runs


# ---- the table --------------------------------------------------------------------------------------------------

def quartiles(values):
    if len(values) < 2:
        return values[0], values[0]
    cut = statistics.quantiles(values, n=4, method="inclusive")
    return cut[0], cut[2]


def summarize(o, runs):
    rows = []
    for path in o.files:
        for test in ("prefill", "decode"):
            by_round = {}
            for run in runs:
                if run["file"] == path and (run["quiet"] or not o.strict):
                    by_round.setdefault(run["round"], {})[run["program"]] = run[test]
            row = {"file": path, "test": test, "tokens": o.prefill if test == "prefill" else o.decode}
            for who in o.programs:
                speeds = [r[who] for r in by_round.values() if who in r]
                row[who] = statistics.median(speeds) if speeds else None
            ratios = [r["puna"] / r["llama.cpp"] for r in by_round.values() if len(r) == 2]
            row["n_rounds"] = len(ratios) if len(o.programs) == 2 else len(by_round)
            if ratios:
                row["ratio"] = statistics.median(ratios)
                row["ratio_quartiles"] = quartiles(ratios)
            rows.append(row)
    return rows


def format_row(row):
    def number(key):
        return f"{row[key]:.2f}" if row.get(key) is not None else "-"

    low, high = row.get("ratio_quartiles", (None, None))
    spread = f"{low:.2f}..{high:.2f}" if low is not None else "-"
    return [os.path.basename(row["file"]), f"{row['test']} {row['tokens']}", number("llama.cpp"), number("puna"),
            number("ratio"), spread, str(row["n_rounds"])]


def print_table(rows):
    head = ["file", "test", "llama.cpp t/s", "puna t/s", "ratio", "quartiles", "rounds"]
    table = [head] + [format_row(r) for r in rows]
    width = [max(len(line[i]) for line in table) for i in range(len(head))]
    for index, line in enumerate(table):
        cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, width))]
        print("| " + " | ".join(cells) + " |")
        if index == 0:
            print("|" + "|".join("-" * (w + 1) + ("-" if i < 2 else ":") for i, w in enumerate(width)) + "|")


def describe(o):
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            cpu = next(line.split(":")[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = "unknown processor"
    print(f"{cpu}, {o.threads} threads; medians of {o.rounds} interleaved rounds\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--puna", default="build/release/puna", help="the program (build/release/puna)")
    parser.add_argument("--python", default=sys.executable, help="a Python that has llama_cpp (this one)")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-p", "--prefill", type=int, default=512, help="tokens (512)")
    parser.add_argument("-n", "--decode", type=int, default=64, help="tokens (64)")
    parser.add_argument("-r", "--repeat", type=int, default=3, help="timed runs in a process, their median counts (3)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--flash-attention", choices=["auto", "on", "off"], default="auto", help="llama.cpp's (auto)")
    parser.add_argument("--only", choices=["puna", "llama.cpp"], help="measure one of them")
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for a quiet machine (60)")
    parser.add_argument("--strict", action="store_true", help="leave out runs that others disturbed")
    parser.add_argument("--json", metavar="FILE", help="write all runs and the summary")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.worker:
        run_llama_cpp(o)
        return
    o.programs = [o.only] if o.only else ["puna", "llama.cpp"]
    runs = measure_rounds(o)
    rows = summarize(o, runs)
    describe(o)
    print_table(rows)
    n_disturbed = sum(not r["quiet"] for r in runs)
    if n_disturbed:
        left_out = "left out" if o.strict else "counted"
        print(f"\n{n_disturbed} of {len(runs)} runs were disturbed by other programs ({left_out}).")
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump({"threads": o.threads, "runs": runs, "summary": rows}, f, indent=1)


if __name__ == "__main__":
    main()
