/* jinja_unicode.c: UTF-8, and characters as Python's str methods see them. The tables are those of unicode.def. */
#include "tmpl/jinja_unicode.h"

typedef struct class_row {
    uint32_t first, last;
    uint8_t even, odd;
} class_row;

typedef struct case_row {
    uint8_t map;
    uint32_t first, last;
    uint8_t step;
    int32_t delta;
} case_row;

typedef struct full_row {
    uint8_t map;
    uint32_t code, to[3];
} full_row;

#define CLASS(first, last, even, odd) {first, last, even, odd},
#define CASE(map, first, last, step, delta)
#define FULL(map, code, a, b, c)
static const class_row class_rows[] = {
#include "tmpl/unicode.def"
};
#undef CLASS
#undef CASE
#define CLASS(first, last, even, odd)
#define CASE(map, first, last, step, delta) {map, first, last, step, delta},
static const case_row case_rows[] = {
#include "tmpl/unicode.def"
};
#undef CASE
#undef FULL
#define CASE(map, first, last, step, delta)
#define FULL(map, code, a, b, c) {map, code, {a, b, c}},
static const full_row full_rows[] = {
#include "tmpl/unicode.def"
};
#undef CLASS
#undef CASE
#undef FULL

enum {
    PRINTABLE = 1,
    ALPHA = 2,
    DECIMAL = 4,
    DIGIT = 8,
    NUMERIC = 16,
    UPPER = 32,
    LOWER = 64,
    TITLE = 128
};

size_t pn_uni_decode(const char *s, size_t n, uint32_t *code) {
    const size_t len = pn_utf8_decode(s, n, code);
    if (len) return len;
    *code = 0xfffd;
    return 1;
}

static unsigned class_of(uint32_t code) {
    size_t lo = 0, hi = sizeof class_rows / sizeof class_rows[0];
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        const class_row *row = &class_rows[mid];
        if (code < row->first)
            hi = mid;
        else if (code > row->last)
            lo = mid + 1;
        else
            return (code - row->first) & 1 ? row->odd : row->even;
    }
    return 0;
}

bool pn_uni_is_space(uint32_t c) {
    if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20);
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool pn_uni_is_word(uint32_t c) {
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_';
    return class_of(c) & (ALPHA | DECIMAL | DIGIT | NUMERIC);
}

bool pn_uni_is_printable(uint32_t c) {
    return c < 0x80 ? c >= 0x20 && c < 0x7f : (class_of(c) & PRINTABLE) != 0;
}

bool pn_uni_is_alpha(uint32_t c) {
    return class_of(c) & ALPHA;
}

bool pn_uni_is_decimal(uint32_t c) {
    return class_of(c) & DECIMAL;
}

bool pn_uni_is_digit(uint32_t c) {
    return class_of(c) & DIGIT;
}

bool pn_uni_is_numeric(uint32_t c) {
    return class_of(c) & NUMERIC;
}

bool pn_uni_is_upper(uint32_t c) {
    return class_of(c) & UPPER;
}

bool pn_uni_is_lower(uint32_t c) {
    return class_of(c) & LOWER;
}

bool pn_uni_is_title(uint32_t c) {
    return class_of(c) & TITLE;
}

bool pn_uni_is_cased(uint32_t c) {
    return class_of(c) & (UPPER | LOWER | TITLE);
}

bool pn_uni_is_case_ignorable(uint32_t c) {
    return c == '\'' || c == '.' || c == ':' || c == '^' || c == '`' || c == 0xad || c == 0xb7 ||
           c == 0x2019 || (c >= 0x300 && c < 0x370) || (c >= 0x200b && c <= 0x200f);
}

size_t pn_uni_map(pn_case which, uint32_t code, uint32_t out[3]) {
    out[0] = code;
    if (code < 0x80) {
        const bool upper = code >= 'A' && code <= 'Z', lower = code >= 'a' && code <= 'z';
        if (which == PN_CASE_LOWER || which == PN_CASE_FOLD)
            out[0] = upper ? code + 32 : code;
        else
            out[0] = lower ? code - 32 : code;
        return 1;
    }
    for (size_t i = 0; i < sizeof full_rows / sizeof full_rows[0]; i++) {
        const full_row *row = &full_rows[i];
        if (row->map != which || row->code != code) continue;
        for (int k = 0; k < 3; k++) out[k] = row->to[k];
        return row->to[2] ? 3 : 2;
    }
    for (size_t i = 0; i < sizeof case_rows / sizeof case_rows[0]; i++) {
        const case_row *row = &case_rows[i];
        if (row->map == which && code >= row->first && code <= row->last &&
            (code - row->first) % row->step == 0) {
            out[0] = (uint32_t)((int32_t)code + row->delta);
            break;
        }
    }
    return 1;
}
