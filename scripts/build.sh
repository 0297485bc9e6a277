#!/bin/sh
# build.sh [tests]: the release build in build/release; with "tests" the test programs too. Everything on stderr.
#
# Without "tests" an existing build keeps whatever it was configured with, so quickstart and run-tests can take
# turns and each does only what is missing.
set -eu
cd "$(dirname "$0")/.."
tests=${1:-}
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
{
    if [ -n "$tests" ]; then
        cmake --preset release -DPUNA_TESTS=ON
        cmake --build build/release -j "$jobs"
    else
        [ -f build/release/CMakeCache.txt ] || cmake --preset release -DPUNA_TESTS=OFF
        cmake --build build/release -j "$jobs" --target puna-cli
    fi
} >&2
