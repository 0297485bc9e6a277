"""What the tests of getting models share: a home of its own for the program, and what leads it to the fake hub."""

import json
import os
import pathlib
import random
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(ROOT / "tools")]
from fake_hub import Entry, FakeHub  # noqa: E402

PUNA = os.environ.get("PUNA_BIN", str(ROOT / "build/release/puna"))



def missing():
    """Why these tests cannot be run, or None. In CI there is no such reason."""
    if not os.path.exists(PUNA):
        return "no program at %s (PUNA_BIN)" % PUNA
    done = subprocess.run([PUNA, "pull", "org/repo"], capture_output=True, env={"HF_ENDPOINT": "none"})
    if b"built without" in done.stderr and os.environ.get("CI") != "true":
        return "the program was built without libcurl"
    return None


needs_program = pytest.mark.skipif(missing() is not None, reason=str(missing()))

MIB = 1 << 20
SMALL = b"GGUF" + random.Random(1).randbytes(5000)
OTHER = b"GGUF" + random.Random(2).randbytes(7000)
LARGE = b"GGUF" + random.Random(3).randbytes(6 * MIB)
REPO = "org/model-GGUF"


@pytest.fixture
def hub():
    with FakeHub() as fake:
        yield fake


@pytest.fixture
def place(hub, tmp_path):
    return Place(hub, tmp_path)


class Place:
    """A home of its own, and the environment that leads to the fake hub."""

    def __init__(self, hub, folder):
        self.folder = folder
        self.cache = folder / "cache/huggingface/hub"
        self.models = folder / "cache/puna/models"
        (folder / "pip.conf").write_text("[global]\nindex-url = %s\n" % hub.index)
        keep = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "PUNA_ISA")
        self.env = {name: os.environ[name] for name in keep if name in os.environ}
        self.env.update(HOME=str(folder / "home"), XDG_CACHE_HOME=str(folder / "cache"), HF_ENDPOINT=hub.endpoint,
                        PIP_CONFIG_FILE=str(folder / "pip.conf"), XDG_CONFIG_DIRS=str(folder / "none"),
                        HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1",
                        HF_HUB_DISABLE_UPDATE_CHECK="1", no_proxy="127.0.0.1")

    def puna(self, *args, env=None, timeout=60, **options):
        done = subprocess.run([PUNA, *map(str, args)], capture_output=True, timeout=timeout, cwd=self.folder,
                              stdin=subprocess.DEVNULL, env={**self.env, **(env or {})}, **options)
        done.out, done.err = done.stdout.decode(), done.stderr.decode()
        return done

    def ok(self, *args, **options):
        done = self.puna(*args, **options)
        assert done.returncode == 0, done.err
        return done

    def pull(self, *args, **options):
        return json.loads(self.ok("pull", "--json", *args, **options).out)

    def start(self, *args, env=None):
        return subprocess.Popen([PUNA, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                stdin=subprocess.DEVNULL, cwd=self.folder, env={**self.env, **(env or {})})

    def official(self, code, env=None):
        """Runs code with the official client and returns what it leaves in `result`."""
        script = "import json\nfrom huggingface_hub import *\nfrom huggingface_hub import errors\n%s\nprint(json.dumps" \
                 "(result))" % code
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120, cwd=self.folder,
                              env={**self.env, **(env or {})})
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout.decode().splitlines()[-1])

    def blobs(self, repo=REPO):
        folder = self.cache / ("models--" + repo.replace("/", "--")) / "blobs"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def snapshot(self, commit, path, repo=REPO):
        return self.cache / ("models--" + repo.replace("/", "--")) / "snapshots" / commit / path


def refused(done, *words, status=1):
    """The last line on stderr is the error; nothing on stdout."""
    assert done.returncode == status, (done.returncode, done.err)
    assert done.out == "", done.out
    line = done.err.splitlines()[-1]
    assert line.startswith("puna: "), done.err
    for word in words:
        assert word in line, (word, line)
    return line


def fill(hub, files=None):
    return hub.repo(REPO).commit(files or {
        "README.md": Entry(b"# a model", large=False), "model-Q4_K_M.gguf": Entry(SMALL),
        "model-Q8_0.gguf": Entry(OTHER)})
