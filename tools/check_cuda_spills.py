#!/usr/bin/env python3
"""Compiles the kernels of src/cuda for one architecture and says what ptxas reports of each: registers, spills.

Exits with 1 when a kernel keeps registers in memory (spills): those would be far from the speed they were written for.

    python3 tools/check_cuda_spills.py [--arch 90] [--all]
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="90", help="compute capability without the dot")
    parser.add_argument("--all", action="store_true", help="print every kernel")
    args = parser.parse_args()
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if not nvcc:
        print("nvcc is not installed: nothing is checked")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [nvcc, "-std=c++17", "-O3", "-fmad=false", "-arch=sm_" + args.arch, "-I", ROOT / "src", "-cubin",
             "-Xptxas", "-v", ROOT / "src/cuda/kernels.cu", "-o", pathlib.Path(folder) / "kernels.cubin"],
            stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print(done.stderr)
        return 1
    found = re.findall(r"entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers",
                       done.stderr, re.S)
    spilling = [kernel for kernel in found if kernel[1] != "0" or kernel[2] != "0"]
    for name, stores, loads, registers in found if args.all else spilling:
        print("%-28s %3s registers, spills %s/%s bytes" % (name, registers, stores, loads))
    print("sm_%s: %d kernels, %d spill" % (args.arch, len(found), len(spilling)))
    return 1 if spilling or not found else 0


if __name__ == "__main__":
    sys.exit(main())
