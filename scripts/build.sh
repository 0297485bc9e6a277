#!/bin/sh
# build.sh [tests]: the release build in build/release; with "tests" the test programs too. Everything on stderr.
#
# Kernels for NVIDIA cards take nvcc half a minute of one processor for each kind of card, so here they are compiled for the
# cards of this machine; where none is seen the source is embedded alone, which NVRTC compiles when a card is used.
# PUNA_CUDA_ARCHITECTURES=all compiles for all (or "80 90", native, none: src/cuda/kernels.cmake), as plain cmake does.
#
# Without "tests" an existing build keeps whatever it was configured with, so quickstart and run-tests can take
# turns and each does only what is missing.
set -eu
cd "$(dirname "$0")/.."
tests=${1:-}
if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; then cards=native; else cards=none; fi
cards=${PUNA_CUDA_ARCHITECTURES:-$cards}
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
{
    if [ -n "$tests" ]; then
        cmake --preset release -DPUNA_TESTS=ON "-DPUNA_CUDA_ARCHITECTURES=$cards"
        cmake --build build/release -j "$jobs"
    else
        [ -f build/release/CMakeCache.txt ] || cmake --preset release -DPUNA_TESTS=OFF "-DPUNA_CUDA_ARCHITECTURES=$cards"
        cmake --build build/release -j "$jobs" --target puna-cli
    fi
} >&2
