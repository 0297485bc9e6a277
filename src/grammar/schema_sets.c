/* schema_sets.c: arithmetic of sets of code points as sorted ranges. */
#include "grammar/schema_sets.h"

#include "grammar/gbnf.h"

#include <string.h>

const pn_set *pn_set_of(pn_job *job, const pn_range *ranges, int32_t n) {
    if (!pn_job_charge(job, (size_t)n + 1)) return NULL;
    pn_set *set = pn_job_alloc(job, 1, sizeof *set);
    uint64_t *keys = pn_job_alloc(job, (size_t)n, sizeof *keys);
    pn_range *list = pn_job_alloc(job, (size_t)n, sizeof *list);
    if (!set || !keys || !list) return NULL;
    for (int32_t i = 0; i < n; i++) keys[i] = (uint64_t)ranges[i].lo << 32 | ranges[i].hi;
    pn_sort_u64(keys, (size_t)n);
    int32_t last = -1;
    for (int32_t i = 0; i < n; i++) {
        const pn_range range = {(uint32_t)(keys[i] >> 32), (uint32_t)keys[i]};
        if (last < 0 || range.lo > list[last].hi + 1)
            list[++last] = range;
        else if (range.hi > list[last].hi)
            list[last].hi = range.hi;
    }
    *set = (pn_set){last + 1, list};
    return set;
}

const pn_set *pn_set_one(pn_job *job, uint32_t lo, uint32_t hi) {
    const pn_range range = {lo, hi};
    return pn_set_of(job, &range, 1);
}

const pn_set *pn_set_not(pn_job *job, const pn_set *set) {
    if (!pn_job_charge(job, (size_t)set->n + 1)) return NULL;
    pn_range *list = pn_job_alloc(job, (size_t)set->n + 1, sizeof *list);
    pn_set *out = pn_job_alloc(job, 1, sizeof *out);
    if (!list || !out) return NULL;
    uint32_t next = 0;
    int32_t n = 0;
    for (int32_t i = 0; i < set->n; i++) {
        if (set->list[i].lo > next) list[n++] = (pn_range){next, set->list[i].lo - 1};
        next = set->list[i].hi + 1;
    }
    if (next <= PN_CODE_MAX) list[n++] = (pn_range){next, PN_CODE_MAX};
    *out = (pn_set){n, list};
    return out;
}

const pn_set *pn_set_and(pn_job *job, const pn_set *a, const pn_set *b) {
    pn_range *list = pn_job_alloc(job, (size_t)a->n + (size_t)b->n, sizeof *list);
    if (!list) return NULL;
    int32_t n = 0;
    for (int32_t i = 0, j = 0; i < a->n && j < b->n;) {
        const pn_range x = a->list[i], y = b->list[j];
        const pn_range both = {x.lo > y.lo ? x.lo : y.lo, x.hi < y.hi ? x.hi : y.hi};
        if (both.lo <= both.hi) list[n++] = both;
        if (x.hi < y.hi)
            i++;
        else
            j++;
    }
    return pn_set_of(job, list, n);
}

bool pn_set_has(const pn_set *set, uint32_t c) {
    int32_t lo = 0, hi = set->n;
    while (lo < hi) {
        const int32_t mid = lo + (hi - lo) / 2;
        if (set->list[mid].hi < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < set->n && set->list[lo].lo <= c;
}

bool pn_set_is_all(const pn_set *set) {
    return set->n == 1 && set->list[0].lo == 0 && set->list[0].hi == PN_CODE_MAX;
}

/* ---- alphabets ------------------------------------------------------------------------------- */

static bool collect_bounds(pn_job *job, const pn_set *const *sets, int32_t n, pn_alphabet *out) {
    size_t n_keys = 1;
    for (int32_t i = 0; i < n; i++) n_keys += 2 * (size_t)sets[i]->n;
    uint64_t *keys = pn_job_alloc(job, n_keys, sizeof *keys);
    out->bounds = pn_job_alloc(job, n_keys, sizeof *out->bounds);
    if (!keys || !out->bounds || !pn_job_charge(job, 16 * n_keys)) return false;
    size_t k = 1; /* the first bound is 0 */
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < sets[i]->n; j++) {
            keys[k++] = sets[i]->list[j].lo;
            keys[k++] = (uint64_t)sets[i]->list[j].hi + 1;
        }
    pn_sort_u64(keys, n_keys);
    for (size_t i = 0; i < n_keys; i++)
        if ((i == 0 || keys[i] != keys[i - 1]) && keys[i] <= PN_CODE_MAX)
            out->bounds[out->n_bounds++] = (uint32_t)keys[i];
    return true;
}

/* Divides the classes by one set: an interval's class becomes the number of (class, inside). */
static bool refine(pn_job *job, const pn_set *set, pn_alphabet *a) {
    pn_intern seen = {0};
    for (int32_t i = 0; i < a->n_bounds; i++) {
        const int32_t key[2] = {a->classes[i], pn_set_has(set, a->bounds[i])};
        const int32_t id = pn_intern_add(job, &seen, key, 2, NULL);
        if (id < 0) return false;
        a->classes[i] = id;
    }
    a->n = seen.n;
    return true;
}

/* The interval that c lies in. */
static int32_t interval_of(const pn_alphabet *a, uint32_t c) {
    int32_t lo = 0, hi = a->n_bounds;
    while (hi - lo > 1) {
        const int32_t mid = lo + (hi - lo) / 2;
        if (a->bounds[mid] <= c)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static bool is_single(const pn_set *set) {
    return set->n == 1 && set->list[0].lo == set->list[0].hi;
}

bool pn_alphabet_make(pn_job *job, const pn_set *const *sets, int32_t n, pn_alphabet *out) {
    *out = (pn_alphabet){.n = 1};
    if (!collect_bounds(job, sets, n, out)) return false;
    out->classes = pn_job_alloc(job, (size_t)out->n_bounds, sizeof *out->classes);
    if (!out->classes) return false;
    /* a single code point is a class whatever else there is: no need to compare it with all
     * others */
    for (int32_t i = 0; i < n; i++)
        if (is_single(sets[i])) {
            int32_t *at = &out->classes[interval_of(out, sets[i]->list[0].lo)];
            if (!*at) *at = out->n++;
        }
    for (int32_t i = 0; i < n; i++)
        if (!is_single(sets[i]) && (i == 0 || sets[i] != sets[i - 1]) && !refine(job, sets[i], out))
            return false;
    out->samples = pn_job_alloc(job, (size_t)out->n, sizeof *out->samples);
    if (!out->samples) return false;
    for (int32_t i = out->n_bounds; i-- > 0;) out->samples[out->classes[i]] = out->bounds[i];
    return true;
}

int32_t pn_alphabet_class(const pn_alphabet *alphabet, uint32_t c) {
    return alphabet->classes[interval_of(alphabet, c)];
}

const pn_set *pn_alphabet_set(pn_job *job, const pn_alphabet *alphabet, const bool *wanted) {
    pn_range *list = pn_job_alloc(job, (size_t)alphabet->n_bounds, sizeof *list);
    if (!list) return NULL;
    int32_t n = 0;
    for (int32_t i = 0; i < alphabet->n_bounds; i++)
        if (wanted[alphabet->classes[i]])
            list[n++] =
                (pn_range){alphabet->bounds[i],
                           i + 1 < alphabet->n_bounds ? alphabet->bounds[i + 1] - 1 : PN_CODE_MAX};
    return pn_set_of(job, list, n);
}
