#!/bin/sh
# tools/test_on_card.sh [STEP...]: the tests of src/cuda on the NVIDIA card of this machine, instead of the emulator that CI
# uses. Steps, all by default: build, tests, memcheck, racecheck, bench.
#
#   build      build/card: kernels for this machine's card, and the tests (needs nvcc, and what run-tests needs)
#   tests      the tests on the real driver; what only the stand-in can do (failing on request, counting) is left out
#   memcheck   the same under compute-sanitizer --tool memcheck: accesses outside of memory, leaks
#   racecheck  the same under compute-sanitizer --tool racecheck: races in shared memory
#   bench      puna devices, and puna bench with no and all layers on the card (PUNA_TEST_MODEL, or the default model)
#
# Goes on after a failed step; the last line says what failed, and the status is 0 only if nothing did.
set -u
cd "$(dirname "$0")/.."
build=build/card
programs="test_cuda test_cuda_engine test_cuda_pick test_cuda_draws test_upload"
sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
failed=""

# run_tests NAME COMMAND...: every test program, with COMMAND before it
run_tests() {
    step=$1
    shift
    for test in $programs; do
        printf '\n---- %s: %s\n' "$step" "$test"
        PUNA_TEST_CUDA=real "$@" "$build/tests/$test" || failed="$failed $step:$test"
    done
}

sanitize() {
    if [ ! -x "$sanitizer" ]; then
        echo "compute-sanitizer is not found (part of CUDA)" >&2
        failed="$failed $1"
        return
    fi
    # no model of 100 MB under a tool that is a hundred times slower
    tool=$1
    shift
    PUNA_TEST_MODEL="" run_tests "$tool" "$sanitizer" --tool "$tool" --error-exitcode 9 "$@"
}

[ $# -gt 0 ] || set -- build tests memcheck racecheck bench
for step in "$@"; do
    case $step in
    build)
        cmake -S . -B $build -DCMAKE_BUILD_TYPE=Release -DPUNA_TESTS=ON -DPUNA_CUDA=ON -DPUNA_CUDA_ARCHITECTURES=native &&
            cmake --build $build -j "$jobs" --target $programs puna-cli || failed="$failed build"
        ;;
    tests) run_tests tests env ;;
    memcheck) sanitize memcheck --leak-check full ;;
    racecheck) sanitize racecheck ;;
    bench)
        $build/puna devices || failed="$failed devices"
        model=${PUNA_TEST_MODEL:-$(python3 scripts/fetch_model.py)}
        $build/puna bench -m "$model" -ngl 0 && $build/puna bench -m "$model" -ngl -1 --gpu-required || failed="$failed bench"
        ;;
    *)
        echo "no such step: $step (build, tests, memcheck, racecheck, bench)" >&2
        exit 2
        ;;
    esac
done
if [ -n "$failed" ]; then
    echo "FAILED:$failed"
    exit 1
fi
echo "all steps passed"
