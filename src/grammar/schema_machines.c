/* schema_machines.c: each kind of demand as a machine that reads a text character by character.
 *
 * A machine's state is one int32_t; the machines of decimals pack several small numbers into it. */
#include "grammar/schema_automaton.h"
#include "grammar/schema_nfa.h"

#include "base/utf8.h"

/* ---- texts ----------------------------------------------------------------------------------- */

static bool add_text(pn_job *job, pn_demand *d, const pn_alphabet *alphabet, pn_json_text text,
                     int32_t *end) {
    int32_t at = 0;
    for (size_t i = 0; i < text.n;) {
        uint32_t c = 0;
        const size_t len = pn_utf8_decode(text.data + i, text.n - i, &c);
        const int32_t edge[2] = {at, pn_alphabet_class(alphabet, c)};
        at = pn_intern_add(job, &d->edges, edge, 2, NULL) + 1;
        if (!at) return false;
        i += len ? len : 1;
    }
    *end = at;
    return true;
}

static bool start_texts(pn_job *job, pn_demand *d, const pn_alphabet *alphabet) {
    int32_t *ends = pn_job_alloc(job, (size_t)d->n_texts + 1, sizeof *ends);
    d->edges = (pn_intern){0};
    if (!ends) return false;
    for (int32_t i = 0; i < d->n_texts; i++)
        if (!add_text(job, d, alphabet, d->texts[i], &ends[i])) return false;
    d->is_text = pn_job_alloc(job, (size_t)d->edges.n + 1, sizeof *d->is_text);
    if (!d->is_text) return false;
    for (int32_t i = 0; i < d->n_texts; i++) d->is_text[ends[i]] = true;
    return true;
}

static int32_t step_texts(const pn_demand *d, int32_t state, int32_t letter) {
    const int32_t edge[2] = {state, letter};
    const int32_t found = pn_intern_find(&d->edges, edge, 2);
    return found < 0 ? -1 : found + 1;
}

static int32_t step_length(const pn_demand *d, int32_t state) {
    if (d->max != PN_NO_MAX) return state < d->max ? state + 1 : -1;
    return state < d->min ? state + 1 : state;
}

/* ---- the syntax of decimals ------------------------------------------------------------------ */

typedef enum phase { AT_START, AT_SIGN, AT_ZERO, IN_WHOLE, AT_POINT, IN_FRACTION } phase;

typedef struct syntax_state {
    phase phase;
    int32_t count; /* digits read of this part, 0 where they are not limited */
    bool negative, nonzero;
} syntax_state;

static int32_t pack_syntax(syntax_state s) {
    return ((s.count * 8 + (int32_t)s.phase) * 2 + s.negative) * 2 + s.nonzero;
}

static syntax_state unpack_syntax(int32_t v) {
    return (syntax_state){(phase)(v / 4 % 8), v / 32, v / 2 % 2 != 0, v % 2 != 0};
}

static bool begin_whole(const pn_demand *d, syntax_state *s, uint32_t c) {
    s->phase = c == '0' ? AT_ZERO : IN_WHOLE;
    s->count = d->max_whole >= 0;
    s->nonzero = c != '0';
    return d->max_whole != 0 || c == '0';
}

static int32_t step_syntax(const pn_demand *d, int32_t state, uint32_t c) {
    syntax_state s = unpack_syntax(state);
    const bool digit = c >= '0' && c <= '9', whole = s.phase == AT_ZERO || s.phase == IN_WHOLE;
    if (c == '-' && s.phase == AT_START) {
        s.phase = AT_SIGN;
        s.negative = true;
    } else if (digit && s.phase <= AT_SIGN) {
        if (!begin_whole(d, &s, c)) return -1;
    } else if (digit && s.phase == IN_WHOLE) {
        if (d->max_whole >= 0 && ++s.count > d->max_whole) return -1;
    } else if (c == '.' && whole && d->max_fraction) {
        s.phase = AT_POINT;
        s.count = 0;
    } else if (digit && s.phase >= AT_POINT) {
        s.phase = IN_FRACTION;
        s.nonzero |= c != '0';
        if (++s.count > d->max_fraction) return -1;
    } else {
        return -1;
    }
    return pack_syntax(s);
}

static bool accepts_syntax(int32_t state) {
    const syntax_state s = unpack_syntax(state);
    return (s.phase == AT_ZERO || s.phase == IN_WHOLE || s.phase == IN_FRACTION) &&
           (s.nonzero || !s.negative);
}

/* ---- comparison ------------------------------------------------------------------------------ */

/* Digit by digit with a number that has `whole` digits before the point (1 below 10). */
typedef struct compare_state {
    bool negative, fraction;
    int32_t order; /* of what was read so far to as many digits of the number: -1, 0, 1 */
    int32_t count; /* digits read of this part; more than all: one more */
} compare_state;

static int32_t pack_compare(compare_state s) {
    return ((s.count * 3 + s.order + 1) * 2 + s.fraction) * 2 + s.negative;
}

static compare_state unpack_compare(int32_t v) {
    return (compare_state){v % 2 != 0, v / 2 % 2 != 0, v / 4 % 3 - 1, v / 12};
}

static int32_t whole_digits(const pn_decimal *number) {
    const int32_t whole = pn_decimal_whole(number);
    return whole ? whole : 1;
}

/* The order when the part before the point is complete. */
static int32_t whole_order(const pn_demand *d, const compare_state *s) {
    const int32_t whole = whole_digits(&d->number);
    return s->count < whole ? -1 : s->count > whole ? 1 : s->order;
}

static void compare_digit(compare_state *s, uint32_t c, char digit) {
    if (s->order == 0) s->order = ((int32_t)c > digit) - ((int32_t)c < digit);
}

static int32_t step_compare(const pn_demand *d, int32_t state, uint32_t c) {
    compare_state s = unpack_compare(state);
    const int32_t whole = whole_digits(&d->number), fraction = pn_decimal_fraction(&d->number);
    if (c == '-') {
        s.negative = true;
    } else if (c == '.') {
        s = (compare_state){s.negative, true, whole_order(d, &s), 0};
    } else if (!s.fraction) {
        if (s.count < whole) compare_digit(&s, c, pn_decimal_digit(&d->number, whole - s.count));
        if (s.count <= whole) s.count++;
    } else if (s.order == 0) {
        compare_digit(&s, c, pn_decimal_digit(&d->number, -s.count));
        if (s.count < fraction) s.count++;
    }
    if (s.fraction && s.order) s.count = 0;
    return pack_compare(s);
}

static bool accepts_compare(const pn_demand *d, int32_t state) {
    const compare_state s = unpack_compare(state);
    int32_t order = s.fraction ? s.order : whole_order(d, &s);
    if (order == 0 && pn_decimal_fraction(&d->number) > (s.fraction ? s.count : 0)) order = -1;
    if (s.negative != d->number.negative)
        order = s.negative ? -1 : 1;
    else if (s.negative)
        order = -order;
    return (d->wanted & (order < 0 ? PN_LESS : order > 0 ? PN_GREATER : PN_EQUAL)) != 0;
}

/* ---- multiples ------------------------------------------------------------------------------- */

/* shift >= 0: the digits read so far are u * 10^zeros, zeros <= shift, and rest is u mod factor.
 * shift < 0: rest is the digits read so far, with the point left out, mod factor; zeros of them lie
 * behind it, at most -shift. */
typedef struct multiple_state {
    int32_t rest, zeros;
    bool fraction;
} multiple_state;

static int32_t limit_of(const pn_demand *d) {
    return d->shift < 0 ? -d->shift : d->shift;
}

static int32_t pack_multiple(const pn_demand *d, multiple_state s) {
    return (s.rest * (limit_of(d) + 1) + s.zeros) * 2 + s.fraction;
}

static multiple_state unpack_multiple(const pn_demand *d, int32_t v) {
    const int32_t limit = limit_of(d) + 1;
    return (multiple_state){v / 2 / limit, v / 2 % limit, v % 2 != 0};
}

/* rest * 10^n + digit mod factor */
static int32_t shift_rest(const pn_demand *d, int32_t rest, int32_t n, int32_t digit) {
    int64_t value = rest;
    for (int32_t i = 0; i < n; i++) value = value * 10 % d->factor;
    return (int32_t)((value + digit) % d->factor);
}

static int32_t step_multiple(const pn_demand *d, int32_t state, uint32_t c) {
    multiple_state s = unpack_multiple(d, state);
    const int32_t digit = (int32_t)c - '0', limit = limit_of(d);
    if (c == '-') return state;
    if (c == '.') {
        s.fraction = true;
    } else if (s.fraction && (d->shift >= 0 || s.zeros == limit)) {
        if (digit) return -1;
    } else if (d->shift < 0) {
        s.rest = shift_rest(d, s.rest, 1, digit);
        s.zeros += s.fraction;
    } else if (digit) {
        s.rest = shift_rest(d, s.rest, s.zeros + 1, digit);
        s.zeros = 0;
    } else if (s.zeros == limit) {
        s.rest = shift_rest(d, s.rest, 1, 0);
    } else {
        s.zeros++;
    }
    return pack_multiple(d, s);
}

static bool accepts_multiple(const pn_demand *d, int32_t state) {
    const multiple_state s = unpack_multiple(d, state);
    if (d->shift >= 0) return s.rest == 0 && s.zeros == d->shift;
    return shift_rest(d, s.rest, -d->shift - s.zeros, 0) == 0;
}

static int32_t step_integer(int32_t state, uint32_t c) {
    if (c == '.') return 1;
    return state && c != '0' ? -1 : state;
}

/* ---- all ------------------------------------------------------------------------------------- */

bool pn_machine_start(pn_job *job, pn_demand *d, const pn_alphabet *alphabet, int32_t *state) {
    *state = 0;
    switch (d->kind) {
    case PN_DEMAND_RE:
        d->nfa = pn_nfa_make(job, d->re, d->has_boundary);
        if (d->nfa) *state = pn_nfa_start(d->nfa);
        return d->nfa != NULL;
    case PN_DEMAND_TEXTS: return start_texts(job, d, alphabet);
    case PN_DEMAND_COMPARE: *state = pack_compare((compare_state){0}); return true;
    case PN_DEMAND_MULTIPLE:
        *state = pack_multiple(d, (multiple_state){.zeros = d->shift > 0 ? d->shift : 0});
        return true;
    default: return true;
    }
}

int32_t pn_machine_step(pn_job *job, pn_demand *d, int32_t state, uint32_t c, int32_t letter) {
    if (state < 0) return state;
    switch (d->kind) {
    case PN_DEMAND_RE: return pn_nfa_step(job, d->nfa, state, c);
    case PN_DEMAND_LENGTH: return step_length(d, state);
    case PN_DEMAND_TEXTS: return step_texts(d, state, letter);
    case PN_DEMAND_SYNTAX: return step_syntax(d, state, c);
    case PN_DEMAND_COMPARE: return step_compare(d, state, c);
    case PN_DEMAND_MULTIPLE: return step_multiple(d, state, c);
    case PN_DEMAND_INTEGER: return step_integer(state, c);
    }
    return -1;
}

bool pn_machine_accepts(pn_job *job, const pn_demand *d, int32_t state) {
    if (state < 0) return d->negative;
    bool accepts = true;
    switch (d->kind) {
    case PN_DEMAND_RE: accepts = pn_nfa_accepts(job, d->nfa, state); break;
    case PN_DEMAND_LENGTH: accepts = state >= d->min; break;
    case PN_DEMAND_TEXTS: accepts = d->is_text[state]; break;
    case PN_DEMAND_SYNTAX: accepts = accepts_syntax(state); break;
    case PN_DEMAND_COMPARE: accepts = accepts_compare(d, state); break;
    case PN_DEMAND_MULTIPLE: accepts = accepts_multiple(d, state); break;
    case PN_DEMAND_INTEGER: break;
    }
    return accepts != d->negative;
}
