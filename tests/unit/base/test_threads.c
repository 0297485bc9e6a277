/* The thread team: units are claimed exactly once, barriers make writes visible, sleeping teams
 * wake, threads that hold the others up are left out, and failures leave nothing behind. */
#define _POSIX_C_SOURCE 200809L
#include "base/pace.h"
#include "base/threads.h"

#include <fenv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_PHASES = 2000, MAX_UNITS = 37, MAX_THREADS = 4 };

typedef struct phases_job {
    pn_team *team;
    int32_t n_threads;
    int claimed[N_PHASES][MAX_UNITS]; /* plain ints: the barriers order every access */
    int64_t sums[MAX_THREADS];        /* of the phase before, seen by each thread */
    int wrong[MAX_THREADS];
} phases_job;

static int32_t n_units_of(int phase) {
    return phase % (MAX_UNITS + 1);
}

static void claim_phases(void *ctx, int32_t thread, int32_t n_threads) {
    phases_job *job = ctx;
    if (n_threads != job->n_threads) job->wrong[thread]++;
    for (int phase = 0; phase < N_PHASES; phase++) {
        const int32_t n_units = n_units_of(phase);
        for (int32_t unit; (unit = pn_team_claim(job->team, n_units)) >= 0;) {
            if (unit >= n_units) job->wrong[thread]++;
            job->claimed[phase][unit] += phase + 1;
        }
        pn_team_barrier(job->team);
        for (int32_t unit = 0; unit < n_units; unit++)
            if (job->claimed[phase][unit] != phase + 1) job->wrong[thread]++;
    }
}

static void test_units_claimed_once(void **state) {
    (void)state;
    for (int32_t n = 1; n <= MAX_THREADS; n++) {
        phases_job *job = calloc(1, sizeof *job);
        assert_non_null(job);
        job->n_threads = n;
        assert_int_equal(pn_team_open(n, &job->team, NULL), PUNA_OK);
        assert_int_equal(pn_team_size(job->team), n);
        pn_team_run(job->team, claim_phases, job);
        for (int32_t i = 0; i < n; i++) assert_int_equal(job->wrong[i], 0);
        pn_team_close(job->team);
        free(job);
    }
}

typedef struct runs_job {
    pn_team *team;
    int64_t total;
    int64_t parts[MAX_THREADS];
} runs_job;

static void add_units(void *ctx, int32_t thread, int32_t n_threads) {
    (void)n_threads;
    runs_job *job = ctx;
    for (int32_t unit; (unit = pn_team_claim(job->team, 10)) >= 0;) job->parts[thread] += unit;
}

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* Many runs back to back and some after the workers have gone to sleep; each starts the count anew.
 */
static void test_runs(void **state) {
    (void)state;
    for (int32_t n = 1; n <= MAX_THREADS; n++) {
        runs_job job = {0};
        assert_int_equal(pn_team_open(n, &job.team, NULL), PUNA_OK);
        const int n_runs = 1000;
        for (int i = 0; i < n_runs; i++) {
            pn_team_run(job.team, add_units, &job);
            if (i % 250 == 0) sleep_ms(3);
        }
        int64_t total = 0;
        for (int32_t i = 0; i < n; i++) total += job.parts[i];
        assert_int_equal(total, 45 * n_runs);
        pn_team_close(job.team);
    }
}

static void make_others_wait(void *ctx, int32_t thread, int32_t n_threads) {
    runs_job *job = ctx;
    for (int32_t late = 0; late < n_threads; late++) {
        if (thread == late) {
            sleep_ms(6); /* longer than spinning and yielding: the others sleep */
            job->total += late + 1;
        }
        pn_team_barrier(job->team);
    }
}

static void test_slow_phase(void **state) {
    (void)state;
    runs_job job = {0};
    assert_int_equal(pn_team_open(3, &job.team, NULL), PUNA_OK);
    pn_team_run(job.team, make_others_wait, &job);
    assert_int_equal(job.total, 1 + 2 + 3);
    pn_team_close(job.team);
}

static void test_idle_uses_no_cpu(void **state) {
    (void)state;
    runs_job job = {0};
    assert_int_equal(pn_team_open(3, &job.team, NULL), PUNA_OK);
    pn_team_run(job.team, add_units, &job);
    sleep_ms(20);
    const clock_t before = clock();
    sleep_ms(100);
    assert_true((double)(clock() - before) / CLOCKS_PER_SEC < 0.05);
    pn_team_close(job.team);
}

static void look_at_rounding(void *ctx, int32_t thread, int32_t n_threads) {
    (void)n_threads;
    ((int *)ctx)[thread] = fegetround();
}

static void test_float_environment(void **state) {
    (void)state;
    pn_team *team = NULL;
    int modes[2] = {-1, -1};
    fesetround(FE_UPWARD);
    assert_int_equal(pn_team_open(2, &team, NULL), PUNA_OK);
    pn_team_run(team, look_at_rounding, modes);
    const int after = fegetround();
    fesetround(FE_TONEAREST);
    assert_int_equal(modes[0], FE_TONEAREST);
    assert_int_equal(modes[1], FE_TONEAREST);
    assert_int_equal(after, FE_UPWARD);
    pn_team_close(team);
}

/* Half the time of two threads, or a quarter of many, may go into waiting; more leaves some out. */
static void test_pace(void **state) {
    (void)state;
    pn_pace p = pn_pace_of(2);
    pn_pace_after(&p, 1.0, 0.49);
    assert_int_equal(p.n, 2);
    pn_pace_after(&p, 1.0, 0.51);
    assert_int_equal(p.n, 1);
    int32_t patience = PN_PACE_PATIENCE;
    for (int i = 0; i < 6; i++) { /* two are tried again, ever more rarely */
        for (int32_t run = 0; run < patience; run++) {
            assert_int_equal(p.n, 1);
            pn_pace_after(&p, 1.0, 0.0);
        }
        assert_int_equal(p.n, 2);
        pn_pace_after(&p, 1.0, 0.9);
        patience = 2 * patience < PN_PACE_MOST_PATIENCE ? 2 * patience : PN_PACE_MOST_PATIENCE;
    }
    for (int32_t run = 0; run < patience; run++) pn_pace_after(&p, 1.0, 0.0);
    for (int32_t run = 0; run < 1000; run++) { /* and kept when all is well */
        assert_int_equal(p.n, 2);
        pn_pace_after(&p, run % 2, 0.0);
    }
    p = pn_pace_of(16);
    pn_pace_after(&p, 16.0, 8.5);
    assert_int_equal(p.n, 7);
    for (int32_t run = 0; run < 9 * PN_PACE_PATIENCE + 9; run++) pn_pace_after(&p, 1.0, 0.1);
    assert_int_equal(p.n, 16);
    pn_pace_after(&p, 1.0, 0.26);
    assert_int_equal(p.n, 11);
    pn_pace_after(&p, 1.0, 1.0);
    assert_int_equal(p.n, 1);
    p = pn_pace_of(1);
    for (int32_t run = 0; run < 100; run++) pn_pace_after(&p, 1.0, 1.0);
    assert_int_equal(p.n, 1);
}

typedef struct pace_job {
    pn_team *team;
    bool is_slow;
    int32_t n_threads;
} pace_job;

static void wait_for_the_last(void *ctx, int32_t thread, int32_t n_threads) {
    pace_job *job = ctx;
    if (thread == 0) job->n_threads = n_threads;
    for (int phase = 0; phase < 3; phase++) {
        if (job->is_slow && thread == 1) sleep_ms(8);
        pn_team_barrier(job->team);
    }
}

static void test_slow_thread(void **state) {
    (void)state;
    pace_job job = {.is_slow = true};
    assert_int_equal(pn_team_open(2, &job.team, NULL), PUNA_OK);
    pn_team_run(job.team, wait_for_the_last, &job);
    assert_int_equal(job.n_threads, 2);
    pn_team_run(job.team, wait_for_the_last, &job);
    assert_int_equal(job.n_threads, 1);
    assert_int_equal(pn_team_size(job.team), 2);
    sleep_ms(3); /* the worker left out sleeps, and comes back */
    job.is_slow = false;
    for (int i = 0; i < PN_PACE_PATIENCE; i++) pn_team_run(job.team, wait_for_the_last, &job);
    assert_int_equal(job.n_threads, 2);
    pn_team_close(job.team);
}

static void test_bad_count(void **state) {
    (void)state;
    pn_team *team = NULL;
    puna_error err;
    assert_int_equal(pn_team_open(0, &team, &err), PUNA_E_ARG);
    assert_null(team);
    pn_team_close(NULL);
}

/* In a child process, because giving up root (whom the limit does not bind) is for good. */
static int open_without_threads(void) {
    const struct rlimit none = {0};
    if (setrlimit(RLIMIT_NPROC, &none) != 0) return 1;
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return 1;
    pn_team *team = NULL;
    puna_error err;
    if (pn_team_open(4, &team, &err) != PUNA_E_LIMIT || team != NULL) return 2;
    return strstr(err.msg, "use fewer threads") == NULL ? 3 : 0;
}

/* More threads than the system gives: an error that says so. */
static void test_refused_threads(void **state) {
    (void)state;
    const pid_t child = fork();
    if (child == 0) _exit(open_without_threads());
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 1) skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units_claimed_once), cmocka_unit_test(test_runs),
        cmocka_unit_test(test_slow_phase),         cmocka_unit_test(test_idle_uses_no_cpu),
        cmocka_unit_test(test_float_environment),  cmocka_unit_test(test_bad_count),
        cmocka_unit_test(test_refused_threads),    cmocka_unit_test(test_pace),
        cmocka_unit_test(test_slow_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
