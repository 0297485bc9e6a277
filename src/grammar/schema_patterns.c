/* schema_patterns.c: patterns as they stand, and patterns made shorter. */
#include "grammar/schema_patterns.h"

#define FEW_REPEATS 16 /* a repetition of at most so many does little harm around others */

/* ---- anchors --------------------------------------------------------------------------------- */

static bool has_assertion(const pn_re *re) {
    bool found = re->op >= PN_RE_BEGIN;
    for (int32_t i = 0; i < re->n && !found; i++) found = has_assertion(re->kids[i]);
    return found;
}

/* One alternative without its ^ and $. */
typedef struct branch {
    const pn_re *const *list;
    int32_t n;
    bool begin, end;
} branch;

static branch open_branch(const pn_re *const *re) {
    branch out = {.list = re, .n = 1};
    if ((*re)->op == PN_RE_SEQ) {
        out.list = (const pn_re *const *)(*re)->kids;
        out.n = (*re)->n;
    }
    if ((*re)->op == PN_RE_EMPTY) out.n = 0;
    if (out.n && out.list[0]->op == PN_RE_BEGIN) {
        out.begin = true;
        out.list++;
        out.n--;
    }
    if (out.n && out.list[out.n - 1]->op == PN_RE_END) {
        out.end = true;
        out.n--;
    }
    return out;
}

static const pn_re *const *branches_of(const pn_re *const *re, int32_t *n) {
    *n = (*re)->op == PN_RE_ALT ? (*re)->n : 1;
    return (*re)->op == PN_RE_ALT ? (const pn_re *const *)(*re)->kids : re;
}

bool pn_re_is_plain(const pn_re *re) {
    int32_t n;
    const pn_re *const *list = branches_of(&re, &n);
    for (int32_t i = 0; i < n; i++) {
        const branch x = open_branch(&list[i]);
        for (int32_t j = 0; j < x.n; j++)
            if (has_assertion(x.list[j])) return false;
    }
    return true;
}

bool pn_re_is_anchored(const pn_re *re, bool end_too) {
    int32_t n;
    const pn_re *const *list = branches_of(&re, &n);
    for (int32_t i = 0; i < n; i++) {
        const branch x = open_branch(&list[i]);
        if (!x.begin || (end_too && !x.end)) return false;
    }
    return true;
}

/* around: what the repetitions around do. */
static pn_tangle tangle_of(const pn_re *re, pn_tangle around) {
    const bool varies = re->op == PN_RE_REPEAT && re->min != re->max;
    pn_tangle out = varies ? around : PN_TANGLE_NONE;
    if (varies) {
        const bool few = re->max != PN_RE_NO_MAX && re->max <= FEW_REPEATS;
        const pn_tangle own = few ? PN_TANGLE_SOME : PN_TANGLE_MUCH;
        if (own > around) around = own;
    }
    for (int32_t i = 0; i < re->n; i++) {
        const pn_tangle inside = tangle_of(re->kids[i], around);
        if (inside > out) out = inside;
    }
    return out;
}

pn_tangle pn_re_tangle(const pn_re *re) {
    return tangle_of(re, PN_TANGLE_NONE);
}

/* ---- expressions ----------------------------------------------------------------------------- */

static const pn_expr *re_expr(pn_build *b, const pn_re *re) {
    pn_rules *r = &b->rules;
    pn_expr_list list = {0};
    if (!pn_job_charge(&b->job, 1)) return NULL;
    if (re->op == PN_RE_EMPTY) return pn_expr_empty(r);
    if (re->op == PN_RE_SET) return pn_expr_character(b, re->set);
    for (int32_t i = 0; i < re->n; i++)
        if (!pn_expr_add(r, &list, re_expr(b, re->kids[i]))) return NULL;
    const pn_expr *out;
    if (re->op == PN_RE_SEQ)
        out = pn_expr_seq(r, &list);
    else if (re->op == PN_RE_ALT)
        out = pn_expr_alt(r, &list);
    else
        out = pn_expr_repeat(r, list.list[0], re->min,
                             re->max == PN_RE_NO_MAX ? PN_EXPR_NO_MAX : re->max);
    return pn_expr_shallow(r, out, b->rule_name);
}

static const pn_expr *branch_expr(pn_build *b, const branch *x) {
    pn_rules *r = &b->rules;
    pn_expr_list list = {0};
    const pn_expr *any = pn_expr_repeat(r, b->builtins->character, 0, PN_EXPR_NO_MAX);
    if (!x->begin && x->n && !pn_expr_add(r, &list, any)) return NULL;
    for (int32_t i = 0; i < x->n; i++)
        if (!pn_expr_add(r, &list, re_expr(b, x->list[i]))) return NULL;
    /* nothing between ^ and $ is the empty text; without one of them it is any */
    if ((x->n ? !x->end : !x->begin || !x->end) && !pn_expr_add(r, &list, any)) return NULL;
    return pn_expr_seq(r, &list);
}

const pn_expr *pn_re_expr(pn_build *b, const pn_re *re) {
    pn_expr_list list = {0};
    int32_t n;
    const pn_re *const *branches = branches_of(&re, &n);
    for (int32_t i = 0; i < n; i++) {
        const branch x = open_branch(&branches[i]);
        if (!pn_expr_add(&b->rules, &list, branch_expr(b, &x))) return NULL;
    }
    return pn_expr_alt(&b->rules, &list);
}

/* ---- new trees ------------------------------------------------------------------------------- */

typedef struct re_list {
    const pn_re **list;
    int32_t n, cap;
} re_list;

static bool add(pn_job *job, re_list *l, const pn_re *re) {
    if (!re || !pn_job_charge(job, 1) ||
        !pn_job_grow(job, &l->list, l->n, &l->cap, sizeof *l->list))
        return false;
    l->list[l->n++] = re;
    return true;
}

static pn_re *new_re(pn_job *job, pn_re_op op) {
    pn_re *re = pn_job_alloc(job, 1, sizeof *re);
    if (re) re->op = op;
    return re;
}

static const pn_re *combine(pn_job *job, pn_re_op op, const re_list *l) {
    if (l->n == 1) return l->list[0];
    pn_re *re = new_re(job, op);
    if (!re) return NULL;
    re->n = l->n;
    re->kids = l->list;
    return re;
}

static const pn_re *repeat(pn_job *job, const pn_re *kid, int64_t min, int64_t max) {
    pn_re *re = kid ? new_re(job, PN_RE_REPEAT) : NULL;
    re_list l = {0};
    if (!re || !add(job, &l, kid)) return NULL;
    re->min = (int32_t)min;
    re->max = max == PN_NO_MAX || max > PN_RE_MAX_COUNT ? PN_RE_NO_MAX : (int32_t)max;
    re->n = 1;
    re->kids = l.list;
    return re;
}

/* ^ list $ */
static const pn_re *anchored(pn_job *job, const re_list *list) {
    re_list all = {0};
    if (!add(job, &all, new_re(job, PN_RE_BEGIN))) return NULL;
    for (int32_t i = 0; i < list->n; i++)
        if (!add(job, &all, list->list[i])) return NULL;
    return add(job, &all, new_re(job, PN_RE_END)) ? combine(job, PN_RE_SEQ, &all) : NULL;
}

const pn_re *pn_re_with_counts(pn_job *job, const pn_re *re, int64_t min, int64_t max) {
    const branch x = open_branch(&re);
    if (!x.begin || !x.end || x.n != 1 || x.list[0]->op != PN_RE_REPEAT ||
        x.list[0]->kids[0]->op != PN_RE_SET)
        return NULL;
    const pn_re *old = x.list[0];
    if (old->min > min) min = old->min;
    if (old->max != PN_RE_NO_MAX && old->max < max) max = old->max;
    re_list one = {0};
    if (max < min || min > PN_RE_MAX_COUNT || !add(job, &one, repeat(job, old->kids[0], min, max)))
        return NULL;
    return anchored(job, &one);
}

/* ---- shorter patterns ------------------------------------------------------------------------ */

static const pn_re *shorten(pn_job *job, const pn_re *re, int64_t max);

/* Shares out what the parts may have beyond their least: each gets the same, or all that it can
 * use. */
static bool share_out(pn_job *job, const pn_re *const *list, int32_t n, int64_t extra,
                      int64_t **shares) {
    int64_t *share = pn_job_alloc(job, 2 * (size_t)n, sizeof *share), *wish = share + n;
    int32_t wishing = 0;
    if (!share) return false;
    for (int32_t i = 0; i < n; i++) {
        int64_t lo, hi;
        pn_re_lengths(list[i], &lo, &hi);
        share[i] = lo;
        wish[i] = hi < 0 ? extra : hi - lo < extra ? hi - lo : extra;
        extra -= lo;
        wishing += wish[i] > 0;
    }
    for (bool again = true; again && wishing;) {
        const int64_t each = extra / wishing;
        again = false;
        for (int32_t i = 0; i < n; i++) {
            if (wish[i] <= 0 || wish[i] > each) continue;
            share[i] += wish[i];
            extra -= wish[i];
            wish[i] = 0;
            wishing--;
            again = true;
        }
    }
    for (int32_t i = 0; i < n && extra > 0; i++)
        if (wish[i] > 0) share[i] += extra / wishing;
    *shares = share;
    return pn_job_charge(job, 4 * (size_t)n);
}

static bool shorten_all(pn_job *job, const pn_re *const *list, int32_t n, int64_t max,
                        re_list *out) {
    int64_t *shares;
    if (!share_out(job, list, n, max, &shares)) return false;
    for (int32_t i = 0; i < n; i++)
        if (!add(job, out, shorten(job, list[i], shares[i]))) return false;
    return true;
}

static const pn_re *shorten_alt(pn_job *job, const pn_re *re, int64_t max) {
    re_list list = {0};
    for (int32_t i = 0; i < re->n; i++) {
        const pn_re *kid = shorten(job, re->kids[i], max);
        if (job->status || (kid && !add(job, &list, kid))) return NULL;
    }
    return list.n ? combine(job, PN_RE_ALT, &list) : NULL;
}

/* Fewer repetitions of what is repeated, or, where that is long or has no bound, several numbers of
 * shorter ones. */
static const pn_re *shorten_repeat(pn_job *job, const pn_re *re, int64_t max) {
    re_list list = {0};
    int64_t lo, hi, last = 0;
    pn_re_lengths(re->kids[0], &lo, &hi);
    const int64_t most = re->max == PN_RE_NO_MAX ? max : re->max;
    const int64_t fit = hi > 0 ? (max / hi < most ? max / hi : most) : 0;
    if (fit && fit >= re->min && !add(job, &list, repeat(job, re->kids[0], re->min, fit)))
        return NULL;
    for (int64_t wish = 1; wish <= 16 && hi != lo && fit < 8; wish *= 4) {
        int64_t count = wish < re->min ? re->min : wish;
        if (count > most) count = most;
        if (count <= last) continue;
        last = count;
        const pn_re *kid = shorten(job, re->kids[0], max / count);
        if (job->status || (kid && !add(job, &list, repeat(job, kid, re->min, count)))) return NULL;
    }
    if (list.n == 0) return re->min ? NULL : new_re(job, PN_RE_EMPTY);
    return combine(job, PN_RE_ALT, &list);
}

static const pn_re *shorten(pn_job *job, const pn_re *re, int64_t max) {
    int64_t lo, hi;
    pn_re_lengths(re, &lo, &hi);
    if (!pn_job_charge(job, 8) || lo > max) return NULL;
    if (hi >= 0 && hi <= max) return re;
    if (re->op == PN_RE_ALT) return shorten_alt(job, re, max);
    if (re->op == PN_RE_REPEAT) return shorten_repeat(job, re, max);
    re_list list = {0};
    return shorten_all(job, re->kids, re->n, max, &list) ? combine(job, PN_RE_SEQ, &list) : NULL;
}

/* ---- longer patterns ------------------------------------------------------------------------- */

static const pn_re *lengthen(pn_job *job, const pn_re *re, int64_t min);

/* One of the parts is long enough for all. */
static const pn_re *lengthen_seq(pn_job *job, const pn_re *re, int64_t min) {
    int64_t lo, hi, least = 0;
    re_list out = {0};
    pn_re_lengths(re, &least, &hi);
    for (int32_t i = 0; i < re->n; i++) {
        re_list parts = {0};
        pn_re_lengths(re->kids[i], &lo, &hi);
        const pn_re *longer = lengthen(job, re->kids[i], min - least + lo);
        for (int32_t j = 0; longer && j < re->n; j++)
            if (!add(job, &parts, j == i ? longer : re->kids[j])) return NULL;
        if (job->status || (longer && !add(job, &out, combine(job, PN_RE_SEQ, &parts))))
            return NULL;
    }
    return out.n ? combine(job, PN_RE_ALT, &out) : NULL;
}

static const pn_re *lengthen_alt(pn_job *job, const pn_re *re, int64_t min) {
    re_list out = {0};
    for (int32_t i = 0; i < re->n; i++) {
        const pn_re *longer = lengthen(job, re->kids[i], min);
        if (job->status || (longer && !add(job, &out, longer))) return NULL;
    }
    return out.n ? combine(job, PN_RE_ALT, &out) : NULL;
}

/* More repetitions, or, where these are not enough, longer ones. */
static const pn_re *lengthen_repeat(pn_job *job, const pn_re *re, int64_t min) {
    int64_t lo, hi;
    pn_re_lengths(re->kids[0], &lo, &hi);
    const int64_t most = re->max == PN_RE_NO_MAX ? PN_RE_MAX_COUNT : re->max;
    const int64_t count = lo ? (min + lo - 1) / lo : most + 1, least = re->min ? re->min : 1;
    const int64_t max = re->max == PN_RE_NO_MAX ? PN_NO_MAX : re->max;
    if (count <= most) return repeat(job, re->kids[0], count, max);
    return repeat(job, lengthen(job, re->kids[0], (min + least - 1) / least), least, max);
}

static const pn_re *lengthen(pn_job *job, const pn_re *re, int64_t min) {
    int64_t lo, hi;
    pn_re_lengths(re, &lo, &hi);
    if (!pn_job_charge(job, 8) || (hi >= 0 && hi < min)) return NULL;
    if (lo >= min) return re;
    if (re->op == PN_RE_SEQ) return lengthen_seq(job, re, min);
    if (re->op == PN_RE_ALT) return lengthen_alt(job, re, min);
    return re->op == PN_RE_REPEAT ? lengthen_repeat(job, re, min) : NULL;
}

const pn_re *pn_re_lengthen(pn_job *job, const pn_re *re, int64_t min) {
    return lengthen(job, re, min);
}

/* ---- whole patterns -------------------------------------------------------------------------- */

/* The parts of an alternative, with any characters where it has no anchor. */
static bool whole_branch(pn_job *job, const branch *x, re_list *out) {
    const pn_set *all = pn_set_one(job, 0, PN_CODE_MAX);
    pn_re *any = all ? new_re(job, PN_RE_SET) : NULL;
    if (!any) return false;
    any->set = all;
    if (!x->begin && !add(job, out, repeat(job, any, 0, PN_NO_MAX))) return false;
    for (int32_t i = 0; i < x->n; i++)
        if (!add(job, out, x->list[i])) return false;
    return x->end || add(job, out, repeat(job, any, 0, PN_NO_MAX));
}

const pn_re *pn_re_shorten(pn_job *job, const pn_re *re, int64_t max) {
    re_list out = {0};
    int32_t n;
    const pn_re *const *branches = branches_of(&re, &n);
    for (int32_t i = 0; i < n; i++) {
        const branch x = open_branch(&branches[i]);
        re_list whole = {0}, list = {0};
        int64_t least = 0, lo, hi;
        if (!whole_branch(job, &x, &whole)) return NULL;
        for (int32_t j = 0; j < whole.n; j++) {
            pn_re_lengths(whole.list[j], &lo, &hi);
            least += lo;
        }
        if (least > max) continue;
        if (!shorten_all(job, whole.list, whole.n, max, &list) ||
            !add(job, &out, anchored(job, &list)))
            return NULL;
    }
    return out.n ? combine(job, PN_RE_ALT, &out) : NULL;
}
