/* That the driver which stands in for the real one sees what it is there to see: kernels that write beside a block of
 * memory, a host that touches it. */
#include "cuda/args.h"

#include "card_under_test.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static pn_cuda_driver opened;
enum { N = 19 }; /* floats, and room for one more before the block ends at a page */

/* Doubles n floats from `from` floats behind the beginning of a block on. Ends the process with 0. */
static void run_kernel(int from, uint64_t n) {
    void *module, *cap, *context;
    uint64_t block;
    if (opened.context_retain(&context, 0) != 0 || opened.context_set(context) != 0 ||
        opened.alloc(&block, N * sizeof(float)) != 0 ||
        opened.module_load(&module, "emulated") != 0 ||
        opened.module_function(&cap, module, "pn_cap") != 0)
        _exit(2);
    pn_cuda_cap_args args = {.x = (float *)(uintptr_t)block + from, .n = n, .scale = 2.0f};
    void *parameters[] = {&args};
    if (opened.launch(cap, 1, 1, 1, PN_CUDA_BLOCK, 1, 1, 0, NULL, parameters, NULL) != 0) _exit(3);
    _exit(opened.stream_wait(NULL) == 0 ? 0 : 4);
}

static void touch_memory(int from, uint64_t n) {
    void *context;
    uint64_t block;
    (void)from;
    (void)n;
    if (opened.context_retain(&context, 0) != 0 || opened.context_set(context) != 0 ||
        opened.alloc(&block, N * sizeof(float)) != 0)
        _exit(2);
    _exit(*(volatile unsigned char *)(uintptr_t)block == 0xff ? 0 : 5);
}

/* The status of a process that does so; what it says is not shown. */
static int status_of(void (*act)(int from, uint64_t n), int from, uint64_t n) {
    int status;
    const pid_t child = fork();
    if (child == 0) {
        for (int s = 1; s < 32; s++) (void)signal(s, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr)) _exit(6);
        act(from, n);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_guards(void **state) {
    (void)state;
    assert_int_equal(status_of(run_kernel, 0, N), 0);
    assert_int_equal(status_of(run_kernel, 3, N - 3), 0);
    const int behind = status_of(run_kernel, 0, N + 1), before = status_of(run_kernel, -1, N);
    assert_true(WIFSIGNALED(behind) && WTERMSIG(behind) == SIGABRT);
    assert_true(WIFSIGNALED(before) && WTERMSIG(before) == SIGABRT);
    assert_int_not_equal(status_of(run_kernel, 0, N + 2), 0); /* the next page */
    assert_int_not_equal(status_of(run_kernel, -1020, N), 0); /* the one before */
    assert_int_not_equal(status_of(touch_memory, 0, 0), 0);   /* not the host's */
}

static int set_up(void **state) {
    puna_error err;
    if (card_is_real()) return 0;
    return find_driver(state) || pn_cuda_driver_open(&opened, &err) != PUNA_OK;
}

static void test_stand_in(void **state) {
    ONLY_STAND_IN();
    test_guards(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stand_in)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
