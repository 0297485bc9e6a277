/* workers.c: a few threads and a queue. */
#define _POSIX_C_SOURCE 200809L
#include "workers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server_fail.h"

struct pn_workers {
    pthread_mutex_t lock;
    pthread_cond_t posted;
    pthread_cond_t idle;
    pn_job *first; /* the queue, linked by next */
    pn_job *last;
    bool ending;
    int32_t n_running;
    int32_t n_threads;
    pthread_t threads[];
};

static pn_job *take_job(pn_workers *w) {
    pthread_mutex_lock(&w->lock);
    while (!w->first && !w->ending) pthread_cond_wait(&w->posted, &w->lock);
    pn_job *job = w->first;
    if (job) {
        w->first = job->next;
        if (!w->first) w->last = NULL;
        w->n_running++;
    }
    pthread_mutex_unlock(&w->lock);
    return job;
}

static void *work(void *user) {
    pn_workers *w = user;
    pn_job *job;
    while ((job = take_job(w))) {
        job->run(job);
        pthread_mutex_lock(&w->lock);
        if (--w->n_running == 0 && !w->first) pthread_cond_broadcast(&w->idle);
        pthread_mutex_unlock(&w->lock);
    }
    return NULL;
}

puna_status pn_workers_open(int32_t n_threads, pn_workers **workers, puna_error *err) {
    pn_workers *w = calloc(1, sizeof *w + (size_t)n_threads * sizeof *w->threads);
    if (!w) return pn_server_fail(err, PUNA_E_NOMEM, "out of memory: %d workers", n_threads);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->posted, NULL);
    pthread_cond_init(&w->idle, NULL);
    while (w->n_threads < n_threads) {
        int failure = pthread_create(&w->threads[w->n_threads], NULL, work, w);
        if (failure) {
            pn_workers_free(w);
            return pn_server_fail(err, PUNA_E_NOMEM, "cannot start a thread: %s",
                                  strerror(failure));
        }
        w->n_threads++;
    }
    *workers = w;
    return PUNA_OK;
}

void pn_workers_free(pn_workers *w) {
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_cond_broadcast(&w->posted);
    pthread_mutex_unlock(&w->lock);
    for (int32_t i = 0; i < w->n_threads; i++) pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->posted);
    pthread_cond_destroy(&w->idle);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void pn_workers_wait(pn_workers *w) {
    pthread_mutex_lock(&w->lock);
    while (w->first || w->n_running) pthread_cond_wait(&w->idle, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

void pn_workers_post(pn_workers *w, pn_job *job) {
    job->next = NULL;
    pthread_mutex_lock(&w->lock);
    if (w->last) {
        w->last->next = job;
    } else {
        w->first = job;
    }
    w->last = job;
    pthread_cond_signal(&w->posted);
    pthread_mutex_unlock(&w->lock);
}
