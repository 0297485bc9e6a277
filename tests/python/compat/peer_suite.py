"""llama-cpp-python's own tests, out of its source distribution, unmodified.

`folder()` gives a folder with its tests/ and the vocabulary they read; it is fetched once and kept in puna's cache.
Run as a program, this prints the folder.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
import tarfile
import tempfile
from typing import Dict

import package_index

PROJECT, VERSION = "llama-cpp-python", "0.3.36"
SDIST = "llama_cpp_python-%s.tar.gz" % VERSION
SDIST_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"

# what is kept of it (76 MB, most of it llama.cpp), with SHA-256
FILES: Dict[str, str] = {
    "tests/test_llama.py": "f42ea17f6acc7c5eb0c75beb9dff62f43b57cbc9753c8b670793510bb7168df9",
    "tests/test_llama_chat_format.py": "b011230483c2ec5219f39dfb5b0c0c7737afd9a8cbf45f7f582789259c0ff6b0",
    "tests/test_llama_grammar.py": "63718eb7c1d474d12a172de77e8f66eed56bce5b23635a9af33cde0f1bb4fa26",
    "tests/test_llama_speculative.py": "237503e068e901dfde46b40559ab50c35c609ab530853bf15db5faccb5411e4a",
    "vendor/llama.cpp/models/ggml-vocab-llama-spm.gguf": "16c3724582d59aa8bf84711894e833f916ee46a31d80e21312759c48bf8d0e69",
}


def cache_folder() -> str:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "puna", "tests", "llama-cpp-python-" + VERSION)


def is_complete(folder: str) -> bool:
    for name, sha256 in FILES.items():
        try:
            with open(os.path.join(folder, name), "rb") as file:
                if hashlib.sha256(file.read()).hexdigest() != sha256:
                    return False
        except OSError:
            return False
    return True


def unpack(sdist: bytes, folder: str) -> None:
    root = SDIST[: -len(".tar.gz")] + "/"
    with tarfile.open(fileobj=io.BytesIO(sdist), mode="r:gz") as archive:
        for member in archive:
            name = member.name[len(root) :]
            source = archive.extractfile(member) if name in FILES else None
            if source:
                path = os.path.join(folder, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as target:
                    shutil.copyfileobj(source, target)


def folder() -> str:
    """The folder; LookupError or ValueError when it cannot be had."""
    wanted = cache_folder()
    if not is_complete(wanted):
        os.makedirs(os.path.dirname(wanted), exist_ok=True)
        with tempfile.TemporaryDirectory(dir=os.path.dirname(wanted)) as work:
            unpack(package_index.fetch_sdist(PROJECT, SDIST, SDIST_SHA256), work)
            if not is_complete(work):
                raise ValueError("%s does not hold the expected tests" % SDIST)
            shutil.rmtree(wanted, ignore_errors=True)
            shutil.copytree(work, wanted)
    return wanted


if __name__ == "__main__":
    try:
        print(folder())
    except (LookupError, ValueError) as error:
        sys.exit("peer_suite: %s" % error)
