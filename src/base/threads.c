/* threads.c: the thread team over POSIX threads.
 *
 * Waiting is for a gate: a word that moves on. A waiter waits for it to differ from the value it
 * saw before it arrived, so there is no flag to reset and a late waiter cannot miss a release.
 * Every worker has a gate that counts its runs, and one gate counts completed barriers. The end of
 * a run is a barrier too.
 *
 * Waiting at a barrier spins (a phase usually ends within microseconds), then offers its core to
 * whoever was preempted, then sleeps. It spins for longer than a scheduler's time slice: a thread
 * that gives its core away while another program wants it comes back milliseconds late, to hundreds
 * of barriers a token, and the whole team with it. Only a team larger than the machine gives way at
 * once. Where waiting gets too long, the next runs are given to fewer threads (pace.h); the others sleep.
 * Between runs a worker sleeps soon, so an idle engine uses no processor.
 * `sleepers` lets the common release skip the mutex: a sleeper counts itself before it looks at the
 * word, a releaser changes the word before it looks at the count, both sequentially consistent, so
 * one of the two sees the other.
 *
 * Kernels promise equal bits on every thread, so each run starts from the default floating-point
 * environment (round to nearest, no flush to zero) whatever the caller's thread was set to, and
 * puts the caller's back. */
#define _POSIX_C_SOURCE 200809L
#include "base/threads.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/pace.h"

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
#define LONG_WAIT_SECONDS    1e-3 /* a whole phase of decode takes less */

typedef struct gate {
    _Alignas(LINE) atomic_uint word;
    _Alignas(LINE) atomic_int sleepers;
    pthread_mutex_t mutex;
    pthread_cond_t moved;
} gate;

typedef struct worker {
    gate runs;
    pn_team *team;
    pthread_t thread;
    int32_t index;
} worker;

struct pn_team {
    int32_t n_threads;
    int32_t n_started; /* workers with a thread, 0..n_threads-1 */
    worker *workers;
    pn_team_fn fn; /* fn, ctx, closing: written before the workers' gates move, read after */
    void *ctx;
    bool closing;
    double barrier_spin; /* seconds */
    pn_pace pace;        /* of thread 0 between runs; pace.n is the size of the run */
    gate phases;
    _Alignas(LINE) atomic_int arrived;
    _Alignas(LINE) atomic_int next_unit;
    _Alignas(LINE) atomic_llong used_ns; /* processor time of this run on all threads */
    atomic_llong waited_ns;              /* of it in long waits */
};

static void pause_core(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Looks at the word for `seconds`, pausing or yielding in between; true when it moved. */
static bool watch(gate *g, unsigned seen, double seconds, bool yield) {
    double end = 0.0;
    for (;;) {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            if (atomic_load_explicit(&g->word, memory_order_acquire) != seen) return true;
            pause_core();
        }
        const double now = pn_os_seconds();
        if (end == 0.0) end = now + seconds;
        if (now >= end) return false;
        if (yield) sched_yield();
    }
}

static void sleep_at(gate *g, unsigned seen) {
    pthread_mutex_lock(&g->mutex);
    atomic_fetch_add(&g->sleepers, 1);
    while (atomic_load(&g->word) == seen) pthread_cond_wait(&g->moved, &g->mutex);
    atomic_fetch_sub(&g->sleepers, 1);
    pthread_mutex_unlock(&g->mutex);
}

static void move(gate *g) {
    atomic_fetch_add(&g->word, 1);
    if (atomic_load(&g->sleepers) == 0) return;
    pthread_mutex_lock(&g->mutex);
    pthread_cond_broadcast(&g->moved);
    pthread_mutex_unlock(&g->mutex);
}

static void init_gate(gate *g) { /* neither can fail with default attributes */
    pthread_mutex_init(&g->mutex, NULL);
    pthread_cond_init(&g->moved, NULL);
}

static void destroy_gate(gate *g) {
    pthread_cond_destroy(&g->moved);
    pthread_mutex_destroy(&g->mutex);
}

static void wait_for_phase(pn_team *team, unsigned seen) {
    gate *g = &team->phases;
    const double first =
        team->barrier_spin < LONG_WAIT_SECONDS ? team->barrier_spin : LONG_WAIT_SECONDS;
    if (watch(g, seen, first, false)) return;
    const double before = pn_os_thread_seconds() - first;
    if (!watch(g, seen, team->barrier_spin - first, false))
        if (!watch(g, seen, YIELD_SECONDS, true)) sleep_at(g, seen);
    atomic_fetch_add(&team->waited_ns, (long long)(1e9 * (pn_os_thread_seconds() - before)));
}

/* One thread's part in a run, up to the barrier at its end. */
static void take_part(pn_team *team, int32_t thread) {
    const double before = team->n_threads > 1 ? pn_os_thread_seconds() : 0;
    team->fn(team->ctx, thread, team->pace.n);
    if (team->n_threads > 1)
        atomic_fetch_add(&team->used_ns, (long long)(1e9 * (pn_os_thread_seconds() - before)));
    pn_team_barrier(team);
}

static void *work(void *arg) {
    worker *w = arg;
    fesetenv(FE_DFL_ENV);
    for (unsigned seen = 0;; seen++) {
        if (!watch(&w->runs, seen, IDLE_SPIN_SECONDS, false)) sleep_at(&w->runs, seen);
        if (w->team->closing) return NULL;
        take_part(w->team, w->index);
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
        worker *w = &team->workers[team->n_started];
        w->team = team;
        w->index = team->n_started + 1;
        failure = pthread_create(&w->thread, NULL, work, w);
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
    t->pace = pn_pace_of(n_threads);
    t->barrier_spin = n_threads > pn_os_n_cpus() ? CROWDED_SPIN_SECONDS : BARRIER_SPIN_SECONDS;
    init_gate(&t->phases);
    puna_status status = PUNA_OK;
    const size_t bytes = (size_t)n_threads * sizeof *t->workers;
    t->workers = pn_alloc_aligned(bytes, LINE);
    if (t->workers == NULL) {
        status = pn_fail_nomem(err, bytes, "thread team");
    } else {
        memset(t->workers, 0, bytes);
        for (int32_t i = 0; i < n_threads; i++) init_gate(&t->workers[i].runs);
    }
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
    for (int32_t i = 0; i < team->n_started; i++) move(&team->workers[i].runs);
    for (int32_t i = 0; i < team->n_started; i++) pthread_join(team->workers[i].thread, NULL);
    for (int32_t i = 0; team->workers && i < team->n_threads; i++)
        destroy_gate(&team->workers[i].runs);
    destroy_gate(&team->phases);
    pn_free_aligned(team->workers);
    pn_free_aligned(team);
}

int32_t pn_team_size(const pn_team *team) {
    return team->n_threads;
}

void pn_team_run(pn_team *team, pn_team_fn fn, void *ctx) {
    fenv_t before;
    fegetenv(&before);
    fesetenv(FE_DFL_ENV);
    team->fn = fn;
    team->ctx = ctx;
    for (int32_t i = 0; i < team->pace.n - 1; i++) move(&team->workers[i].runs);
    take_part(team, 0);
    const double used = 1e-9 * (double)atomic_exchange(&team->used_ns, 0);
    pn_pace_after(&team->pace, used, 1e-9 * (double)atomic_exchange(&team->waited_ns, 0));
    fesetenv(&before);
}

void pn_team_barrier(pn_team *team) {
    const int32_t n = team->pace.n; /* after the last barrier of a run it may change */
    if (n == 1) {
        atomic_store_explicit(&team->next_unit, 0, memory_order_relaxed);
        return;
    }
    const unsigned seen = atomic_load_explicit(&team->phases.word, memory_order_relaxed);
    if (atomic_fetch_add(&team->arrived, 1) + 1 < n) {
        wait_for_phase(team, seen);
        return;
    }
    atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&team->next_unit, 0, memory_order_relaxed);
    move(&team->phases);
}

int32_t pn_team_claim(pn_team *team, int32_t n_units) {
    int32_t unit;
    if (team->pace.n == 1) { /* no other thread: no locked instruction */
        unit = atomic_load_explicit(&team->next_unit, memory_order_relaxed);
        atomic_store_explicit(&team->next_unit, unit + 1, memory_order_relaxed);
    } else {
        unit = atomic_fetch_add_explicit(&team->next_unit, 1, memory_order_relaxed);
    }
    return unit < n_units ? unit : -1;
}
