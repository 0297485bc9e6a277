/* schema_job.c: bounds and memory of a conversion; the table of vectors (open addressing, keyed
 * hash). */
#include "grammar/schema_job.h"

#include "base/strmap.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool pn_job_fail(pn_job *job, puna_status status, const char *format, ...) {
    if (job->status) return false;
    char text[PUNA_ERROR_BYTES];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    job->status = pn_fail(job->err, status, "%s", text);
    return false;
}

bool pn_job_charge(pn_job *job, size_t steps) {
    if (job->status) return false;
    job->steps += steps;
    if (job->steps <= PN_JOB_MAX_STEPS) return true;
    return pn_job_fail(job, PUNA_E_LIMIT, "too much work");
}

void *pn_job_alloc(pn_job *job, size_t n, size_t size) {
    size_t bytes;
    if (job->status) return NULL;
    if (!pn_mul_size(n, size, &bytes) || bytes > PN_JOB_MAX_BYTES - job->used_bytes) {
        pn_job_fail(job, PUNA_E_LIMIT, "needs more than %zu MiB", PN_JOB_MAX_BYTES >> 20);
        return NULL;
    }
    void *p = pn_arena_calloc(&job->arena, n, size);
    if (p)
        job->used_bytes += bytes;
    else
        job->status = pn_fail_nomem(job->err, bytes, "a grammar made of a JSON schema");
    return p;
}

bool pn_job_grow(pn_job *job, void *list, int32_t n, int32_t *cap, size_t size) {
    if (n < *cap) return true;
    const int32_t more = *cap ? 2 * *cap : 4;
    void *old, *fresh = pn_job_alloc(job, (size_t)more, size);
    if (!fresh) return false;
    memcpy(&old, list, sizeof old);
    if (*cap) memcpy(fresh, old, (size_t)*cap * size);
    memcpy(list, &fresh, sizeof fresh);
    *cap = more;
    return true;
}

const int32_t *pn_intern_get(const pn_intern *table, int32_t i, int32_t *n) {
    *n = table->begins[i + 1] - table->begins[i];
    return table->pool + table->begins[i];
}

static bool equals(const pn_intern *table, int32_t i, const int32_t *v, int32_t n) {
    int32_t n_there;
    const int32_t *there = pn_intern_get(table, i, &n_there);
    return n == n_there && (n == 0 || memcmp(there, v, (size_t)n * sizeof *v) == 0);
}

/* The slot of the vector, or the free one where it belongs. */
static int32_t find_slot(const pn_intern *table, const int32_t *v, int32_t n) {
    const uint64_t mask = (uint64_t)table->n_slots - 1;
    uint64_t at = pn_hash(v, (size_t)n * sizeof *v) & mask;
    while (table->slots[at] && !equals(table, table->slots[at] - 1, v, n)) at = (at + 1) & mask;
    return (int32_t)at;
}

int32_t pn_intern_find(const pn_intern *table, const int32_t *v, int32_t n) {
    return table->n_slots ? table->slots[find_slot(table, v, n)] - 1 : -1;
}

static bool grow_slots(pn_job *job, pn_intern *table) {
    if (2 * table->n < table->n_slots) return true;
    const int32_t n_slots = table->n_slots ? 2 * table->n_slots : 16;
    int32_t *slots = pn_job_alloc(job, (size_t)n_slots, sizeof *slots);
    if (!slots) return false;
    table->slots = slots;
    table->n_slots = n_slots;
    for (int32_t i = 0; i < table->n; i++) {
        int32_t n;
        const int32_t *v = pn_intern_get(table, i, &n);
        slots[find_slot(table, v, n)] = i + 1;
    }
    return true;
}

static bool grow_pool(pn_job *job, pn_intern *table, int32_t n) {
    if (n <= table->cap_pool - table->n_pool) return true;
    size_t cap = table->cap_pool ? 2 * (size_t)table->cap_pool : 64;
    while (cap < (size_t)table->n_pool + (size_t)n) cap *= 2;
    int32_t *pool = pn_job_alloc(job, cap, sizeof *pool);
    if (!pool) return false;
    if (table->n_pool) memcpy(pool, table->pool, (size_t)table->n_pool * sizeof *pool);
    table->pool = pool;
    table->cap_pool = (int32_t)cap;
    return true;
}

int32_t pn_intern_add(pn_job *job, pn_intern *table, const int32_t *v, int32_t n, bool *fresh) {
    if (fresh) *fresh = false;
    if (!pn_job_charge(job, (size_t)n / 4 + 4) || !grow_slots(job, table)) return -1;
    const int32_t slot = find_slot(table, v, n);
    if (table->slots[slot]) return table->slots[slot] - 1;
    if (!grow_pool(job, table, n) ||
        !pn_job_grow(job, &table->begins, table->n + 1, &table->cap_begins, sizeof *table->begins))
        return -1;
    if (n) memcpy(table->pool + table->n_pool, v, (size_t)n * sizeof *v);
    table->n_pool += n;
    table->begins[table->n + 1] = table->n_pool;
    table->slots[slot] = table->n + 1;
    if (fresh) *fresh = true;
    return table->n++;
}
