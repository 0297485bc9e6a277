/* schema_texts.c: texts: minLength, maxLength, pattern, format, and what must not be.
 *
 * One pattern alone is written as it stands where that is harmless; everything else goes through an
 * automaton. Where that is too large because of the length, the pattern's repetitions are cut down
 * (or up) instead, so that all it can match is of the right length: that leaves out some texts,
 * never lets a wrong one in. */
#include "grammar/schema_patterns.h"

#define FEW_STATES  300
#define MANY_STATES 2000
#define MOST_STATES 8000

typedef struct text_facts {
    pn_demand *demands;
    int32_t n, cap;
    int64_t min, max;
    bool outer; /* all texts that may fulfil the literals, not those that surely do */
} text_facts;

/* ---- what is demanded ------------------------------------------------------------------------ */

static bool add_demand(pn_build *b, text_facts *f, pn_demand demand) {
    if (!pn_job_grow(&b->job, &f->demands, f->n, &f->cap, sizeof *f->demands)) return false;
    f->demands[f->n++] = demand;
    return true;
}

static bool add_re(pn_build *b, text_facts *f, const pn_re *re, bool has_boundary, bool positive) {
    return add_demand(b, f,
                      (pn_demand){.kind = PN_DEMAND_RE,
                                  .re = re,
                                  .has_boundary = has_boundary,
                                  .negative = !positive,
                                  .min = 0,
                                  .max = PN_NO_MAX});
}

static bool add_regex(pn_build *b, text_facts *f, const pn_regex *regex) {
    for (int32_t i = 0; i < regex->n_aheads; i++)
        if (!add_re(b, f, regex->aheads[i].root, regex->has_boundary, regex->aheads[i].positive))
            return false;
    return add_re(b, f, regex->root, regex->has_boundary, true);
}

static const pn_regex *regex_of(pn_build *b, int32_t schema) {
    const pn_json *pattern = pn_schema_get(b, schema, PN_KW_PATTERN);
    const pn_pattern *found =
        pattern ? pn_pattern_get(b, pattern->text.data, pattern->text.n) : NULL;
    return found ? found->regex : NULL;
}

static bool add_format(pn_build *b, text_facts *f, int32_t schema, bool positive) {
    const pn_json *name = pn_schema_get(b, schema, PN_KW_FORMAT);
    const pn_format *format = name ? pn_format_find(name->text) : NULL;
    if (!format || format->about != PN_TEXTS || !format->pattern) return true;
    if (positive == f->outer && !format->outer)
        return f->outer || pn_build_fail(b, schema, PN_KW_FORMAT, PUNA_E_UNSUPPORTED,
                                         "\"%s\" cannot be negated", format->name);
    const pn_pattern *pattern = pn_pattern_of_format(b, format, positive == f->outer);
    if (!pattern || !add_re(b, f, pattern->regex->root, false, positive)) return false;
    f->demands[f->n - 1].is_format = true;
    return true;
}

static bool add_holds(pn_build *b, text_facts *f, int32_t schema) {
    int64_t min, max;
    if (!pn_schema_count(b, schema, PN_KW_MIN_LENGTH, 0, &min) ||
        !pn_schema_count(b, schema, PN_KW_MAX_LENGTH, PN_NO_MAX, &max))
        return false;
    if (min > f->min) f->min = min;
    if (max < f->max) f->max = max;
    if (pn_schema_get(b, schema, PN_KW_PATTERN)) {
        const pn_regex *regex = regex_of(b, schema);
        if (!regex || !add_regex(b, f, regex)) return false;
    }
    return add_format(b, f, schema, true);
}

/* Part arg of a pattern does not hold: 0 for the pattern itself, then what it looks ahead for. */
static bool add_pattern_fails(pn_build *b, text_facts *f, int32_t schema, int32_t arg) {
    const pn_regex *regex = regex_of(b, schema);
    if (!regex) return false;
    const pn_re *root = arg ? regex->aheads[arg - 1].root : regex->root;
    return add_re(b, f, root, regex->has_boundary, arg && !regex->aheads[arg - 1].positive);
}

/* The text is none of an enum or const. */
static bool add_others(pn_build *b, text_facts *f, int32_t schema, pn_kw kw) {
    const pn_json *value = pn_schema_get(b, schema, kw);
    const int32_t n = kw == PN_KW_CONST ? 1 : value->n;
    const pn_json *items = kw == PN_KW_CONST ? value : value->items;
    pn_json_text *texts = pn_job_alloc(&b->job, (size_t)n, sizeof *texts);
    int32_t n_texts = 0;
    if (!texts) return false;
    for (int32_t i = 0; i < n; i++)
        if (items[i].kind == PN_JSON_STRING) texts[n_texts++] = items[i].text;
    return n_texts == 0 || add_demand(b, f,
                                      (pn_demand){.kind = PN_DEMAND_TEXTS,
                                                  .texts = texts,
                                                  .n_texts = n_texts,
                                                  .negative = true,
                                                  .max = PN_NO_MAX});
}

static bool add_fails(pn_build *b, text_facts *f, const pn_literal *l) {
    int64_t count;
    switch ((pn_kw)l->kw) {
    case PN_KW_MIN_LENGTH:
        if (!pn_schema_count(b, l->schema, PN_KW_MIN_LENGTH, 0, &count)) return false;
        if (count - 1 < f->max) f->max = count - 1;
        return true;
    case PN_KW_MAX_LENGTH:
        if (!pn_schema_count(b, l->schema, PN_KW_MAX_LENGTH, PN_NO_MAX, &count)) return false;
        if (count == PN_NO_MAX)
            f->max = -1;
        else if (count + 1 > f->min)
            f->min = count + 1;
        return true;
    case PN_KW_PATTERN: return add_pattern_fails(b, f, l->schema, l->arg);
    case PN_KW_FORMAT: return add_format(b, f, l->schema, false);
    case PN_KW_ENUM:
    case PN_KW_CONST: return add_others(b, f, l->schema, (pn_kw)l->kw);
    default: return true;
    }
}

static bool add_shape(pn_build *b, text_facts *f, const pn_shape *shape) {
    for (int32_t i = 0; i < shape->n; i++) {
        const pn_literal *l = &shape->literals[i];
        if (!(pn_literal_about(b, l) & PN_TEXTS)) continue;
        if (l->op == PN_HOLDS && !add_holds(b, f, l->schema)) return false;
        if (l->op == PN_FAILS && !add_fails(b, f, l)) return false;
    }
    return true;
}

static bool add_length(pn_build *b, text_facts *f) {
    return (f->min == 0 && f->max == PN_NO_MAX) ||
           add_demand(b, f, (pn_demand){.kind = PN_DEMAND_LENGTH, .min = f->min, .max = f->max});
}

bool pn_texts_disjoint(pn_build *b, const pn_shape *a, const pn_shape *c) {
    text_facts f = {.max = PN_NO_MAX};
    pn_dfa dfa;
    if (!add_shape(b, &f, a)) return false;
    f.outer = true;
    if (!add_shape(b, &f, c)) return false;
    if (f.max < f.min) return true;
    if (f.n == 0 || !add_length(b, &f)) return false;
    return pn_automaton_build(&b->job, f.demands, f.n, 4 * MANY_STATES, &dfa) == PN_BUILT &&
           dfa.n == 0;
}

/* ---- texts ----------------------------------------------------------------------------------- */

static const pn_expr *too_large(pn_build *b) {
    pn_job_fail(&b->job, PUNA_E_LIMIT, "too large an automaton for this and the other keywords");
    return NULL;
}

/* Whether the one pattern says it all: where a text can begin and end, and the length. */
static bool says_all(const pn_re *re, const text_facts *f) {
    int64_t min, max;
    pn_re_lengths(re, &min, &max);
    if (!pn_re_is_anchored(re, true)) max = PN_RE_NO_MAX;
    return min >= f->min && (f->max == PN_NO_MAX || (max >= 0 && max <= f->max));
}

static bool is_single(const text_facts *f, int32_t i) {
    return f->demands[i].kind == PN_DEMAND_RE && !f->demands[i].negative &&
           pn_re_is_plain(f->demands[i].re);
}

/* The automaton of all demands; *out NULL: it is too large. */
static bool automaton_expr(pn_build *b, text_facts *f, int32_t max_states, int32_t max_kept,
                           const pn_expr **out) {
    const int32_t n = f->n;
    pn_dfa dfa;
    *out = NULL;
    if (!add_length(b, f)) return false;
    const pn_built built = pn_automaton_build(&b->job, f->demands, f->n, max_states, &dfa);
    f->n = n;
    if (built == PN_BUILT && dfa.n <= max_kept) *out = pn_expr_of_dfa(b, &dfa, true, b->rule_name);
    return built != PN_BUILD_FAILED && !b->job.status;
}

/* What is short enough of a pattern that is too large to be cut at exactly the right length. */
static const pn_expr *shortened_expr(pn_build *b, text_facts *f) {
    const pn_expr *out = NULL;
    int32_t i = 0;
    while (i < f->n && !is_single(f, i)) i++;
    if (f->max == PN_NO_MAX || i == f->n) return too_large(b);
    const pn_re *re = pn_re_shorten(&b->job, f->demands[i].re, f->max);
    if (!re) return b->job.status ? NULL : pn_expr_never(&b->rules);
    f->demands[i].re = re;
    f->max = PN_NO_MAX;
    if (f->n == 1 && says_all(re, f)) return pn_re_expr(b, re);
    if (!automaton_expr(b, f, 4 * MANY_STATES, MANY_STATES, &out)) return NULL;
    if (out || f->n > 1) return out ? out : too_large(b);
    const pn_re *longer = pn_re_lengthen(&b->job, re, f->min);
    return longer ? pn_re_expr(b, longer) : too_large(b);
}

/* One pattern: as it stands where that is harmless, as an automaton where that is small, else as it
 * stands. */
static const pn_expr *single_expr(pn_build *b, text_facts *f) {
    static const int32_t worth[] = {
        [PN_TANGLE_NONE] = 0, [PN_TANGLE_SOME] = FEW_STATES, [PN_TANGLE_MUCH] = MANY_STATES};
    const pn_re *re = f->demands[0].re;
    const pn_expr *out;
    if (!says_all(re, f)) {
        const pn_re *counted = pn_re_with_counts(&b->job, re, f->min, f->max);
        if (counted) return pn_re_expr(b, counted);
        const int32_t kept = f->demands[0].is_format ? MANY_STATES : MOST_STATES;
        if (b->job.status || !automaton_expr(b, f, 4 * kept, kept, &out)) return NULL;
        return out ? out : shortened_expr(b, f);
    }
    pn_tangle tangle = pn_re_tangle(re);
    if (!pn_re_is_anchored(re, false) && tangle == PN_TANGLE_NONE) tangle = PN_TANGLE_SOME;
    if (tangle == PN_TANGLE_NONE) return pn_re_expr(b, re);
    f->min = 0;
    f->max = PN_NO_MAX; /* says_all */
    if (!automaton_expr(b, f, 4 * worth[tangle], worth[tangle], &out)) return NULL;
    return out ? out : pn_re_expr(b, re);
}

static const pn_expr *characters_of(pn_build *b, text_facts *f) {
    const pn_expr *out;
    if (f->n == 0)
        return pn_expr_repeat(&b->rules, b->builtins->character, f->min,
                              f->max == PN_NO_MAX ? PN_EXPR_NO_MAX : f->max);
    if (f->n == 1 && is_single(f, 0)) return single_expr(b, f);
    if (!automaton_expr(b, f, 4 * MANY_STATES, MOST_STATES, &out)) return NULL;
    return out ? out : shortened_expr(b, f);
}

const pn_expr *pn_emit_text(pn_build *b, const pn_shape *shape) {
    return pn_emit_name(b, shape, &(pn_name_demands){0});
}

/* ---- names of properties --------------------------------------------------------------------- */

static bool add_name_patterns(pn_build *b, text_facts *f, const pn_name_demands *d) {
    for (int32_t i = 0; i < d->n_patterns; i++) {
        const pn_regex *regex = d->patterns[i]->regex;
        if (!d->known[i] && regex->n_aheads)
            return pn_job_fail(&b->job, PUNA_E_UNSUPPORTED,
                               "look-ahead in a pattern that names must not match");
        if (d->known[i] ? !add_regex(b, f, regex)
                        : !add_re(b, f, regex->root, regex->has_boundary, false))
            return false;
    }
    if (!d->n_listed) return true;
    return add_demand(b, f,
                      (pn_demand){.kind = PN_DEMAND_TEXTS,
                                  .negative = true,
                                  .texts = d->listed,
                                  .n_texts = d->n_listed,
                                  .max = PN_NO_MAX});
}

/* Whether a name is not listed and matches the patterns that it must match, and no others. */
static bool fits(pn_build *b, pn_json_text name, const pn_name_demands *d) {
    bool fits = true;
    for (int32_t i = 0; i < d->n_listed; i++) fits &= !pn_json_text_equal(d->listed[i], name);
    for (int32_t i = 0; i < d->n_patterns; i++)
        fits &= pn_pattern_matches(b, d->patterns[i], name) == d->known[i];
    return fits;
}

const pn_expr *pn_emit_name(pn_build *b, const pn_shape *shape, const pn_name_demands *d) {
    text_facts f = {.max = PN_NO_MAX};
    if (!add_shape(b, &f, shape) || !add_name_patterns(b, &f, d)) return NULL;
    if (f.max < f.min) return pn_expr_never(&b->rules);
    if (f.n == 0 && f.min == 0 && f.max == PN_NO_MAX) return b->builtins->text;
    return pn_expr_three(&b->rules, b->builtins->quote, characters_of(b, &f), b->builtins->quote);
}

const pn_expr *pn_emit_listed_name(pn_build *b, pn_json_text name, const pn_name_demands *d) {
    return fits(b, name, d) ? pn_expr_quoted(b, name, "") : pn_expr_never(&b->rules);
}
