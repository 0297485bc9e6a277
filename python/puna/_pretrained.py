"""Models from the Hugging Face hub: through huggingface_hub where it is installed, else through `puna pull`.

Both keep their files in the same cache, so neither fetches what the other has.
"""

from __future__ import annotations

import fnmatch
import importlib
import json
import os
import subprocess
from typing import Any, List, Optional, Sequence, Union

from . import _command

PathLike = Union[str, "os.PathLike[str]"]


def download(
    repo_id: str,
    filename: Optional[str],
    additional_files: Optional[Sequence[str]],
    local_dir: Optional[PathLike],
    local_dir_use_symlinks: Any,
    cache_dir: Optional[PathLike],
) -> str:
    """The path of the file that matches `filename` on this machine."""
    patterns = [filename or "*.gguf", *(additional_files or [])]
    try:
        huggingface_hub: Any = importlib.import_module("huggingface_hub")
    except ImportError:
        return _with_program(repo_id, patterns, local_dir, cache_dir)
    return _with_hub(huggingface_hub, repo_id, patterns, local_dir, cache_dir)


def _one(repo_id: str, names: Sequence[str], pattern: str) -> str:
    """The file that a pattern names; of a split model the first part."""
    matching = [name for name in names if fnmatch.fnmatch(name, pattern)]
    first = [name for name in matching if "-00001-of-" in name]
    if len(matching) > 1 and len(first) == 1 and all("-of-" in name for name in matching):
        matching = first
    if len(matching) == 1:
        return matching[0]
    problem = "No file found in %s that match %s" if not matching else "Multiple files found in %s matching %s"
    raise ValueError(problem % (repo_id, pattern) + "\n\nAvailable Files:\n" + json.dumps(list(matching or names)))


def _parts(name: str, names: Sequence[str]) -> List[str]:
    """All parts of a split model; otherwise the one file."""
    head, mark, tail = name.rpartition("-00001-of-")
    if not mark:
        return [name]
    return sorted(other for other in names if other.startswith(head + "-0") and other.endswith("-of-" + tail))


def _with_hub(
    hub: Any, repo_id: str, patterns: Sequence[str], local_dir: Optional[PathLike], cache_dir: Optional[PathLike]
) -> str:
    importlib.import_module("huggingface_hub.utils").validate_repo_id(repo_id)
    folder = repo_id + "/"
    entries = hub.HfFileSystem().ls(repo_id, recursive=True)
    names = [entry["name"] if isinstance(entry, dict) else entry for entry in entries]
    names = [name[len(folder) :] if name.startswith(folder) else name for name in names]
    paths: List[str] = []
    for pattern in patterns:
        for part in _parts(_one(repo_id, names, pattern), names):
            subfolder, base = os.path.split(part)
            path = hub.hf_hub_download(
                repo_id=repo_id, filename=base, subfolder=subfolder or None, local_dir=local_dir, cache_dir=cache_dir
            )
            if not paths:
                paths.append(path)
    return str(paths[0])


def _with_program(
    repo_id: str, patterns: Sequence[str], local_dir: Optional[PathLike], cache_dir: Optional[PathLike]
) -> str:
    """`puna pull REPO --file PATTERN --json` prints one object with the "path" of the file."""
    options = [] if local_dir is None else ["--local-dir", os.fspath(local_dir)]
    environment = dict(os.environ)
    if cache_dir is not None:
        environment["HF_HUB_CACHE"] = os.fspath(cache_dir)
    paths: List[str] = []
    for pattern in patterns:
        command = [_command.program(), "pull", repo_id, "--file", pattern, "--json", *options]
        result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if result.returncode != 0:
            lines = result.stderr.strip().splitlines()
            raise ValueError(lines[-1] if lines else "puna pull %s failed" % repo_id)
        paths.append(json.loads(result.stdout)["path"])
    return str(paths[0])
