/* threads.c: the thread team over POSIX threads.
 *
 * One word, `runs`, counts pn_team_run calls and one, `phases`, counts completed barriers; a waiter
 * waits for a word to move on from the value it saw before it arrived, so there is no flag to reset
 * and a late waiter cannot miss a release. The end of a run is a barrier too.
 *
 * Waiting at a barrier spins (a phase usually ends within microseconds), then offers its core to
 * whoever was preempted, then sleeps. It spins for longer than a scheduler's time slice: a thread
 * that gives its core away while another program wants it comes back milliseconds late, to hundreds
 * of barriers a token, and the whole team with it. Only a team larger than the machine gives way at
 * once. Between runs a worker sleeps soon, so an idle engine uses no processor.
 * `sleepers` lets the common release skip the mutex: a sleeper
 * counts itself before it looks at the word, a releaser changes the word before it looks at the
 * count, both sequentially consistent, so one of the two sees the other.
 *
 * Kernels promise equal bits on every thread, so each run starts from the default floating-point
 * environment (round to nearest, no flush to zero) whatever the caller's thread was set to, and
 * puts the caller's back. */
#define _POSIX_C_SOURCE 200809L
#include "base/threads.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/os.h"

#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#define LINE                 64 /* bytes of a cache line; words of different writers do not share one */
#define PAUSES_PER_LOOK      32 /* pauses between looks at the clock */
#define IDLE_SPIN_SECONDS    300e-6
#define BARRIER_SPIN_SECONDS 10e-3
#define CROWDED_SPIN_SECONDS 50e-6 /* more threads than processors */
#define YIELD_SECONDS        2e-3

struct pn_team {
    int32_t n_threads;
    int32_t n_started; /* workers with a thread, 0..n_threads-1 */
    struct worker *workers;
    pn_team_fn fn; /* fn, ctx, closing: written before `runs` moves, read after */
    void *ctx;
    bool closing;
    double barrier_spin; /* seconds */
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    _Alignas(LINE) atomic_uint runs;
    _Alignas(LINE) atomic_uint phases;
    _Alignas(LINE) atomic_int arrived;
    _Alignas(LINE) atomic_int next_unit;
    _Alignas(LINE) atomic_int sleepers;
};

struct worker {
    pn_team *team;
    pthread_t thread;
    int32_t index;
};

static void pause_core(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Looks at the word for `seconds`, pausing or yielding in between; true when it moved. */
static bool watch_word(atomic_uint *word, unsigned seen, double seconds, bool yield) {
    double end = 0.0;
    for (;;) {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != seen) return true;
            pause_core();
        }
        const double now = pn_os_seconds();
        if (end == 0.0) end = now + seconds;
        if (now >= end) return false;
        if (yield) sched_yield();
    }
}

static void await_word(pn_team *team, atomic_uint *word, unsigned seen, double spin, bool yield) {
    if (watch_word(word, seen, spin, false)) return;
    if (yield && watch_word(word, seen, YIELD_SECONDS, true)) return;
    pthread_mutex_lock(&team->mutex);
    atomic_fetch_add(&team->sleepers, 1);
    while (atomic_load(word) == seen) pthread_cond_wait(&team->moved, &team->mutex);
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->mutex);
}

static void move_word(pn_team *team, atomic_uint *word) {
    atomic_fetch_add(word, 1);
    if (atomic_load(&team->sleepers) == 0) return;
    pthread_mutex_lock(&team->mutex);
    pthread_cond_broadcast(&team->moved);
    pthread_mutex_unlock(&team->mutex);
}

static void *work(void *arg) {
    const struct worker *worker = arg;
    pn_team *team = worker->team;
    fesetenv(FE_DFL_ENV);
    for (unsigned seen = 0;; seen++) {
        await_word(team, &team->runs, seen, IDLE_SPIN_SECONDS, false);
        if (team->closing) return NULL;
        team->fn(team->ctx, worker->index, team->n_threads);
        pn_team_barrier(team);
    }
}

/* Starts workers 1..n_threads-1 with signals blocked: handlers run on the program's own threads.
 * Not blocked are the faults a thread makes itself, such as reading a mapped file that was cut: a
 * blocked one would end the process past the program's handler. */
static puna_status start_workers(pn_team *team, puna_error *err) {
    static const int own_faults[] = {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGABRT};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof own_faults / sizeof *own_faults; i++)
        sigdelset(&blocked, own_faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int failure = 0;
    while (failure == 0 && team->n_started < team->n_threads - 1) {
        struct worker *worker = &team->workers[team->n_started];
        *worker = (struct worker){.team = team, .index = team->n_started + 1};
        failure = pthread_create(&worker->thread, NULL, work, worker);
        if (failure == 0) team->n_started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure == 0) return PUNA_OK;
    return pn_fail(err, PUNA_E_LIMIT,
                   "threads: the system refused thread %d of %d (error %d); use fewer threads",
                   (int)team->n_started + 2, (int)team->n_threads, failure);
}

puna_status pn_team_open(int32_t n_threads, pn_team **team, puna_error *err) {
    if (n_threads < 1)
        return pn_fail(err, PUNA_E_ARG, "threads: need at least 1, got %d", (int)n_threads);
    pn_team *t = pn_alloc_aligned(sizeof *t, LINE);
    if (t == NULL) return pn_fail_nomem(err, sizeof *t, "thread team");
    memset(t, 0, sizeof *t);
    t->n_threads = n_threads;
    t->barrier_spin = n_threads > pn_os_n_cpus() ? CROWDED_SPIN_SECONDS : BARRIER_SPIN_SECONDS;
    pthread_mutex_init(&t->mutex, NULL); /* neither can fail with default attributes */
    pthread_cond_init(&t->moved, NULL);
    puna_status status = PUNA_OK;
    t->workers = pn_calloc((size_t)n_threads, sizeof *t->workers);
    if (t->workers == NULL)
        status = pn_fail_nomem(err, (size_t)n_threads * sizeof *t->workers, "thread team");
    if (status == PUNA_OK) status = start_workers(t, err);
    if (status != PUNA_OK) {
        pn_team_close(t);
        return status;
    }
    *team = t;
    return PUNA_OK;
}

void pn_team_close(pn_team *team) {
    if (team == NULL) return;
    team->closing = true;
    move_word(team, &team->runs);
    for (int32_t i = 0; i < team->n_started; i++) pthread_join(team->workers[i].thread, NULL);
    pthread_cond_destroy(&team->moved);
    pthread_mutex_destroy(&team->mutex);
    pn_free(team->workers);
    pn_free_aligned(team);
}

int32_t pn_team_size(const pn_team *team) {
    return team->n_threads;
}

void pn_team_run(pn_team *team, pn_team_fn fn, void *ctx) {
    fenv_t before;
    fegetenv(&before);
    fesetenv(FE_DFL_ENV);
    if (team->n_threads > 1) {
        team->fn = fn;
        team->ctx = ctx;
        move_word(team, &team->runs);
    }
    fn(ctx, 0, team->n_threads);
    pn_team_barrier(team);
    fesetenv(&before);
}

void pn_team_barrier(pn_team *team) {
    if (team->n_threads == 1) {
        atomic_store_explicit(&team->next_unit, 0, memory_order_relaxed);
        return;
    }
    const unsigned seen = atomic_load_explicit(&team->phases, memory_order_relaxed);
    if (atomic_fetch_add(&team->arrived, 1) + 1 < team->n_threads) {
        await_word(team, &team->phases, seen, team->barrier_spin, true);
        return;
    }
    atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&team->next_unit, 0, memory_order_relaxed);
    move_word(team, &team->phases);
}

int32_t pn_team_claim(pn_team *team, int32_t n_units) {
    int32_t unit;
    if (team->n_threads == 1) { /* no other thread: no locked instruction */
        unit = atomic_load_explicit(&team->next_unit, memory_order_relaxed);
        atomic_store_explicit(&team->next_unit, unit + 1, memory_order_relaxed);
    } else {
        unit = atomic_fetch_add_explicit(&team->next_unit, 1, memory_order_relaxed);
    }
    return unit < n_units ? unit : -1;
}
