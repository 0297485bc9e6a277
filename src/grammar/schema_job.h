/* schema_job.h: the memory, the bounds and the failure of one conversion, and tables in that
 * memory.
 *
 * Functions return false (or NULL, or -1) after a failure, which is then in job->status and
 * *job->err; the message gets its path and keyword at the end (schema.c). Every piece of work
 * proportional to a size is charged, every allocation counted; nothing is freed before the
 * conversion ends. */
#ifndef PN_GRAMMAR_SCHEMA_JOB_H
#define PN_GRAMMAR_SCHEMA_JOB_H

#include "base/error.h"
#include "base/mem.h"

#define PN_JOB_MAX_BYTES ((size_t)96 << 20)
#define PN_JOB_MAX_STEPS ((uint64_t)60 * 1000 * 1000) /* less than a second */

typedef struct pn_job {
    pn_arena arena;
    size_t used_bytes;
    uint64_t steps;
    puna_status status;
    puna_error *err;
} pn_job;

/* Records the first failure. Always false. */
bool pn_job_fail(pn_job *job, puna_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool pn_job_charge(pn_job *job, size_t steps);
/* n * size zero bytes, or NULL. */
void *pn_job_alloc(pn_job *job, size_t n, size_t size);
/* Makes room for one more element in an array of n: *list is of type T **, size is sizeof(T). */
bool pn_job_grow(pn_job *job, void *list, int32_t n, int32_t *cap, size_t size);

/* Numbers distinct vectors of int32_t in the order of their coming. A zeroed table is empty. */
typedef struct pn_intern {
    int32_t *pool, *begins; /* vector i: pool[begins[i] .. begins[i + 1]) */
    int32_t n, cap_begins, n_pool, cap_pool;
    int32_t *slots; /* number + 1, or 0; a power of two */
    int32_t n_slots;
} pn_intern;
/* The number of the vector, or -1 when the job failed. *fresh (may be NULL): it was not there. */
int32_t pn_intern_add(pn_job *job, pn_intern *table, const int32_t *v, int32_t n, bool *fresh);
/* The vector's number, or -1 when it is not there. */
int32_t pn_intern_find(const pn_intern *table, const int32_t *v, int32_t n);
/* Vector i and its length; valid until the next one is added. */
const int32_t *pn_intern_get(const pn_intern *table, int32_t i, int32_t *n);

#endif
