#!/usr/bin/env python3
"""Holds the tree to its layer law (docs/ARCHITECTURE.md); prints each breach as file:line: what, and exits with 1.

  base < simd < fmt < gguf < plan < {arch, backend < cpu | cuda} < run      base < text, tmpl, grammar < run

A folder of src/ includes only folders below it. The program, the server, hub/ (getting models) and tests of the
interface see puna.h alone; the program also sees hub/hub.h, server/server.h and server/offline_batch.h, the server hub/digest.h (SHA-256 of
keys). A third-party header appears in one file
(jansson excepted), vector intrinsics only in src/simd. File names are unique, so that a name says which file is meant.
"""

import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

TRUNK = ["base", "simd", "fmt", "gguf", "plan"]
BELOW = {name: TRUNK[:i] for i, name in enumerate(TRUNK)}
BELOW["arch"] = TRUNK
BELOW["backend"] = TRUNK
BELOW["cpu"] = BELOW["cuda"] = TRUNK + ["backend"]
BELOW["text"] = BELOW["tmpl"] = BELOW["grammar"] = ["base"]
BELOW["run"] = sorted(BELOW)

OUTSIDE = ["cli", "server", "hub"]  # see include/puna.h and their own headers only
# what one of them may include of another
SEEN = {("cli", "hub/hub.h"), ("cli", "../server/server.h"), ("cli", "../server/offline_batch.h"),
        ("server", "hub/digest.h")}
INTRINSICS = {"immintrin.h", "arm_neon.h"}
EVERYWHERE = {"jansson.h"}
SYSTEM = set("""
assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h locale.h math.h setjmp.h signal.h
stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h tgmath.h
threads.h time.h uchar.h wchar.h wctype.h
dirent.h dlfcn.h fcntl.h fnmatch.h getopt.h langinfo.h poll.h pthread.h sched.h strings.h termios.h unistd.h cpuid.h
arpa/inet.h netdb.h netinet/in.h netinet/tcp.h linux/futex.h sys/auxv.h sys/epoll.h sys/eventfd.h sys/file.h
sys/ioctl.h sys/mman.h sys/random.h sys/resource.h sys/select.h sys/socket.h sys/stat.h sys/statvfs.h sys/syscall.h
sys/sysctl.h sys/sysinfo.h sys/time.h sys/types.h sys/uio.h sys/un.h sys/wait.h
""".split())

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
CODE = {".c", ".h", ".def", ".cu"}


def includes(path):
    """(line number, '<' or '"', header) of every include of a file."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1), found.group(2)


def sources(folder):
    return sorted(path for path in folder.rglob("*") if path.suffix in CODE)


def check_quoted(path, layer, header, root):
    """What is wrong with #include "header" in a file of src/<layer>, or of a folder outside src; None if nothing."""
    if header == "puna.h" or (layer, header) in SEEN:
        return None
    if (path.parent / header).is_file() and ".." not in header:
        return None
    if layer in OUTSIDE:
        return "only puna.h and headers of %s/ may be included here" % layer
    folder = header.split("/")[0]
    if not (root / "src" / header).is_file():
        return 'no such header in src/: "%s"' % header
    if folder != layer and folder not in BELOW[layer]:
        return "%s may not include %s" % (layer, folder)
    return None


def check_system(path, layer, header, users):
    """The same for #include <header>; users collects who includes a third-party header."""
    if header in SYSTEM or header in EVERYWHERE:
        return None
    if header in INTRINSICS:
        return None if layer == "simd" else "<%s> belongs into src/simd" % header
    users[header].add(path)
    return None


def check_includes(root):
    users = collections.defaultdict(set)
    places = [(folder, folder.name) for folder in sorted((root / "src").iterdir()) if folder.is_dir()]
    places += [(root / name, name) for name in OUTSIDE if (root / name).is_dir()]
    for folder, layer in places:
        if layer not in BELOW and layer not in OUTSIDE:
            yield "src/%s: this folder has no place in the layer law" % layer
            continue
        for path in sources(folder):
            for number, mark, header in includes(path):
                wrong = (check_quoted(path, layer, header, root) if mark == '"' else
                         check_system(path, layer, header, users))
                if wrong:
                    yield "%s:%d: %s" % (path.relative_to(root), number, wrong)
    for header, paths in sorted(users.items()):
        if len(paths) > 1:
            yield "<%s> is included by %s: a third-party header belongs into one file" % (
                header, ", ".join(sorted(str(path.relative_to(root)) for path in paths)))


def check_names(root):
    seen = {}
    folders = ["include", "src", "cli", "server", "hub", "tests", "tools"]
    for path in (path for name in folders for path in sorted((root / name).rglob("*"))):
        if path.suffix not in CODE | {".py"} or path.name in ("__init__.py", "conftest.py"):
            continue
        other = seen.setdefault(path.name, path)
        if other is not path:
            yield "%s: the name is taken by %s" % (path.relative_to(root), other.relative_to(root))


def breaches(root=ROOT):
    return list(check_includes(root)) + list(check_names(root))


if __name__ == "__main__":
    found = breaches()
    for line in found:
        print(line)
    print("layers: %s" % ("%d breaches" % len(found) if found else "in order"))
    sys.exit(1 if found else 0)
