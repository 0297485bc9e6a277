/* schema_chars.c: characters and texts as JSON writes them.
 *
 * What must be escaped is escaped as short as can be; a control character without a short escape is
 * \u00XX with digits of either case. A set that holds many characters beyond ASCII also allows
 * these as \uXXXX, in pairs beyond U+FFFF. */
#include "grammar/schema_chars.h"

#include "base/utf8.h"

#include <string.h>

#define MANY 1000

static const char short_from[] = "\"\\\b\f\n\r\t", short_to[] = "\"\\bfnrt";

static const char *short_escape(uint32_t c) {
    const char *found = c && c < 0x80 ? strchr(short_from, (int)c) : NULL;
    return found ? short_to + (found - short_from) : NULL;
}

/* ---- \uXXXX ---------------------------------------------------------------------------------- */

/* The digits of either case that stand for the values lo to hi. */
static const pn_expr *hex_digits(pn_build *b, uint32_t lo, uint32_t hi) {
    pn_range ranges[3];
    int32_t n = 0;
    if (lo < 10) ranges[n++] = (pn_range){'0' + lo, '0' + (hi < 9 ? hi : 9)};
    if (hi > 9) {
        const uint32_t from = lo > 9 ? lo - 10 : 0;
        ranges[n++] = (pn_range){'A' + from, 'A' + hi - 10};
        ranges[n++] = (pn_range){'a' + from, 'a' + hi - 10};
    }
    return pn_expr_set(&b->rules, pn_set_of(&b->job, ranges, n));
}

/* `digits` digits for the numbers lo to hi, which do not differ before these digits. */
static const pn_expr *hex_range(pn_build *b, uint32_t lo, uint32_t hi, int digits) {
    pn_rules *r = &b->rules;
    if (digits == 0) return pn_expr_empty(r);
    const uint32_t unit = 1u << 4 * (digits - 1), mask = unit - 1;
    uint32_t first = lo / unit % 16, last = hi / unit % 16;
    if (first == last)
        return pn_expr_then(r, hex_digits(b, first, first), hex_range(b, lo, hi, digits - 1));
    pn_expr_list list = {0};
    if ((lo & mask) != 0) {
        const pn_expr *rest = hex_range(b, lo, lo | mask, digits - 1);
        if (!pn_expr_add(r, &list, pn_expr_then(r, hex_digits(b, first, first), rest))) return NULL;
        first++;
    }
    const bool cut = (hi & mask) != mask;
    if (first <= last - cut) {
        const pn_expr *rest = pn_expr_repeat(r, hex_digits(b, 0, 15), digits - 1, digits - 1);
        if (!pn_expr_add(r, &list, pn_expr_then(r, hex_digits(b, first, last - cut), rest)))
            return NULL;
    }
    if (cut) {
        const pn_expr *rest = hex_range(b, hi & ~mask, hi, digits - 1);
        if (!pn_expr_add(r, &list, pn_expr_then(r, hex_digits(b, last, last), rest))) return NULL;
    }
    return pn_expr_alt(r, &list);
}

static const pn_expr *unit_range(pn_build *b, uint32_t lo, uint32_t hi) {
    return pn_expr_then(&b->rules, pn_expr_word(&b->rules, "\\u"), hex_range(b, lo, hi, 4));
}

/* Adds the escapes \uXXXX of the characters of the set that lie between lo and hi. */
static bool add_units(pn_build *b, const pn_set *set, uint32_t lo, uint32_t hi, pn_expr_list *out) {
    for (int32_t i = 0; i < set->n; i++) {
        const uint32_t from = set->list[i].lo > lo ? set->list[i].lo : lo;
        const uint32_t to = set->list[i].hi < hi ? set->list[i].hi : hi;
        if (from <= to && !pn_expr_add(&b->rules, out, unit_range(b, from, to))) return false;
    }
    return true;
}

static const pn_expr *pair_range(pn_build *b) {
    return pn_expr_then(&b->rules, unit_range(b, 0xd800, 0xdbff), unit_range(b, 0xdc00, 0xdfff));
}

/* Any character from U+0080 on. */
static const pn_expr *escape_beyond_ascii(pn_build *b) {
    pn_expr_list list = {0};
    if (b->beyond_ascii) return b->beyond_ascii;
    if (!pn_expr_add(&b->rules, &list, unit_range(b, 0x80, 0xd7ff)) ||
        !pn_expr_add(&b->rules, &list, unit_range(b, 0xe000, 0xffff)) ||
        !pn_expr_add(&b->rules, &list, pair_range(b)))
        return NULL;
    b->beyond_ascii = pn_rules_add(&b->rules, "escape-beyond-ascii", pn_expr_alt(&b->rules, &list));
    return b->beyond_ascii;
}

static bool add_escapes_beyond_ascii(pn_build *b, const pn_set *set, pn_expr_list *out) {
    uint64_t n = 0;
    for (int32_t i = 0; i < set->n; i++)
        if (set->list[i].hi >= 0x80)
            n += set->list[i].hi + 1 - (set->list[i].lo > 0x80 ? set->list[i].lo : 0x80);
    if (n < MANY) return true;
    const pn_range last = set->list[set->n - 1];
    if (n == PN_CODE_MAX + 1 - 0x80) return pn_expr_add(&b->rules, out, escape_beyond_ascii(b));
    if (!add_units(b, set, 0x80, 0xd7ff, out) || !add_units(b, set, 0xe000, 0xffff, out))
        return false;
    return last.lo > 0x10000 || last.hi < PN_CODE_MAX || pn_expr_add(&b->rules, out, pair_range(b));
}

/* ---- characters ------------------------------------------------------------------------------ */

static bool add_escapes_of_ascii(pn_build *b, const pn_set *set, pn_expr_list *out) {
    pn_range letters[sizeof short_to];
    int32_t n = 0;
    for (size_t i = 0; i < sizeof short_to - 1; i++) {
        const uint32_t letter = (unsigned char)short_to[i];
        if (pn_set_has(set, (unsigned char)short_from[i]))
            letters[n++] = (pn_range){letter, letter};
    }
    if (n) {
        const pn_expr *letter = pn_expr_set(&b->rules, pn_set_of(&b->job, letters, n));
        if (!pn_expr_add(&b->rules, out,
                         pn_expr_then(&b->rules, pn_expr_word(&b->rules, "\\"), letter)))
            return false;
    }
    return add_units(b, set, 0, 0x1f, out);
}

static const pn_expr *make_character(pn_build *b, const pn_set *set) {
    static const pn_range plain[] = {{' ', '!'}, {'#', '['}, {']', PN_CODE_MAX}};
    pn_expr_list list = {0};
    const pn_set *allowed = pn_set_of(&b->job, plain, 3);
    const pn_set *as_is = allowed ? pn_set_and(&b->job, set, allowed) : NULL;
    if (!pn_expr_add(&b->rules, &list, pn_expr_set(&b->rules, as_is)) ||
        !add_escapes_of_ascii(b, set, &list) || !add_escapes_beyond_ascii(b, set, &list))
        return NULL;
    const pn_expr *e = pn_expr_alt(&b->rules, &list);
    const bool simple = e && (e->op == PN_EXPR_TEXT || e->op == PN_EXPR_NEVER ||
                              (e->op == PN_EXPR_SET && e->set->n <= 8));
    return simple ? e : pn_rules_add(&b->rules, "one", e);
}

const pn_expr *pn_expr_character(pn_build *b, const pn_set *set) {
    if (!set) return NULL;
    if (pn_set_is_all(set)) return b->builtins->character;
    int32_t *key = pn_job_alloc(&b->job, 2 * (size_t)set->n, sizeof *key);
    if (!key) return NULL;
    for (int32_t i = 0; i < set->n; i++) {
        key[2 * i] = (int32_t)set->list[i].lo;
        key[2 * i + 1] = (int32_t)set->list[i].hi;
    }
    bool fresh;
    const int32_t id = pn_intern_add(&b->job, &b->sets, key, 2 * set->n, &fresh);
    if (id < 0 || !pn_job_grow(&b->job, &b->set_exprs, id, &b->cap_set_exprs, sizeof *b->set_exprs))
        return NULL;
    if (fresh) b->set_exprs[id] = make_character(b, set);
    return b->set_exprs[id];
}

/* ---- texts ----------------------------------------------------------------------------------- */

static size_t escape_char(uint32_t c, char out[6]) {
    const char *found = short_escape(c);
    if (found) {
        out[0] = '\\';
        out[1] = *found;
        return 2;
    }
    if (c >= 0x20) return pn_utf8_encode(c, out);
    memcpy(out, "\\u00", 4);
    out[4] = "01"[c >> 4];
    out[5] = "0123456789abcdef"[c & 15];
    return 6;
}

bool pn_text_escape(pn_build *b, pn_json_text text, pn_json_text *out) {
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) n += (unsigned char)text.data[i] < 0x20 ? 6 : 2;
    char *data = pn_job_alloc(&b->job, n, 1);
    if (!data || !pn_job_charge(&b->job, text.n / 16)) return false;
    n = 0;
    for (size_t i = 0; i < text.n;) {
        uint32_t c = 0;
        const size_t len = pn_utf8_decode(text.data + i, text.n - i, &c);
        n += escape_char(c, data + n);
        i += len ? len : 1;
    }
    *out = (pn_json_text){data, n};
    return true;
}

const pn_expr *pn_expr_quoted(pn_build *b, pn_json_text text, const char *behind) {
    pn_json_text escaped;
    const size_t n_behind = strlen(behind);
    if (!pn_text_escape(b, text, &escaped)) return NULL;
    char *quoted = pn_job_alloc(&b->job, escaped.n + 2 + n_behind, 1);
    if (!quoted) return NULL;
    quoted[0] = '"';
    memcpy(quoted + 1, escaped.data, escaped.n);
    quoted[escaped.n + 1] = '"';
    memcpy(quoted + escaped.n + 2, behind, n_behind);
    return pn_expr_text(&b->rules, quoted, escaped.n + 2 + n_behind);
}
