/* jinja_text_methods.c: methods of text that change it or ask what it is made of. */
#include "tmpl/jinja_render.h"
#include "tmpl/jinja_textops.h"
#include "tmpl/jinja_unicode.h"

#include <string.h>

static bool text_upper(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return pn_text_map(r, s[0].text, PN_MAP_UPPER, out);
}

static bool text_lower(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return pn_text_map(r, s[0].text, PN_MAP_LOWER, out);
}

static bool text_title(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return pn_text_map(r, s[0].text, PN_MAP_TITLE, out);
}

static bool text_capitalize(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return pn_text_map(r, s[0].text, PN_MAP_CAPITALIZE, out);
}

static bool text_swapcase(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return pn_text_map(r, s[0].text, PN_MAP_SWAP, out);
}

static bool text_casefold(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return pn_text_map(r, s[0].text, PN_MAP_FOLD, out);
}

static bool strip(pn_render *r, pn_value *s, int sides, pn_value *out) {
    const pn_text *chars = NULL;
    if (s[1].kind != PN_V_NONE && !pn_arg_text(r, &s[1], "strip arg", &chars)) return false;
    return pn_text_strip(r, s[0].text, chars, sides, out);
}

static bool text_strip(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return strip(r, s, PN_STRIP_BOTH, out);
}

static bool text_lstrip(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return strip(r, s, PN_STRIP_LEFT, out);
}

static bool text_rstrip(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return strip(r, s, PN_STRIP_RIGHT, out);
}

static bool text_replace(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    const pn_text *old = NULL, *new = NULL;
    int64_t count = -1;
    (void)args;
    return pn_arg_text(r, &s[1], "replace() argument 1", &old) &&
           pn_arg_text(r, &s[2], "replace() argument 2", &new) &&
           pn_arg_int(r, &s[3], "replace(): count", &count) &&
           pn_text_replace(r, s[0].text, old, new, count, out);
}

static bool text_join(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return pn_text_join(r, s[0].text, &s[1], out);
}

static bool pad(pn_render *r, pn_value *s, pn_pad where, pn_value *out) {
    const pn_text *fill = NULL;
    int64_t width = 0;
    return pn_arg_int(r, &s[1], "width", &width) && pn_arg_text(r, &s[2], "fillchar", &fill) &&
           pn_text_pad(r, s[0].text, width, fill, where, out);
}

static bool text_ljust(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return pad(r, s, PN_PAD_LEFT, out);
}

static bool text_rjust(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return pad(r, s, PN_PAD_RIGHT, out);
}

static bool text_center(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return pad(r, s, PN_PAD_CENTER, out);
}

/* Zeros between a sign and the digits. */
static bool text_zfill(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    static const pn_text zero = {.data = "0", .n = 1, .n_chars = 1};
    const pn_text *text = s[0].text;
    int64_t width = 0;
    pn_builder b = pn_builder_new(r);
    (void)args;
    if (!pn_arg_int(r, &s[1], "zfill(): width", &width)) return false;
    const int64_t n = (int64_t)pn_text_chars(text);
    const size_t sign = text->n && (text->data[0] == '-' || text->data[0] == '+');
    return pn_put_range(&b, text, 0, sign) &&
           pn_put_fill(&b, &zero, width > n ? (size_t)(width - n) : 0) &&
           pn_put_range(&b, text, sign, text->n) && pn_builder_text(&b, out);
}

static bool text_expandtabs(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    static const pn_text space = {.data = " ", .n = 1, .n_chars = 1};
    const pn_text *text = s[0].text;
    int64_t size = 8, column = 0;
    pn_builder b = pn_builder_new(r);
    (void)args;
    if (!pn_arg_int(r, &s[1], "expandtabs(): tabsize", &size) || !pn_r_charge(r, text->n / 4))
        return false;
    for (size_t i = 0; i < text->n; i++) {
        if (text->data[i] == '\t') {
            const int64_t n = size > 0 ? size - column % size : 0;
            if (!pn_put_fill(&b, &space, (size_t)n)) return false;
            column += n;
            continue;
        }
        if (!pn_put_range(&b, text, i, i + 1)) return false;
        column += ((unsigned char)text->data[i] & 0xc0) != 0x80;
        if (text->data[i] == '\n' || text->data[i] == '\r') column = 0;
    }
    return pn_builder_text(&b, out);
}

static bool text_format(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    return pn_str_format(r, s[0].text, args, out);
}

static bool text_unsupported(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)s, (void)args, (void)out;
    return pn_r_fail(r, "this method of str is not available in a template");
}

/* ---- questions ------------------------------------------------------------------------------------------------ */

/* True when the text is not empty and every character is. */
static bool all_are(pn_render *r, const pn_text *text, bool (*is)(uint32_t), pn_value *out) {
    bool all = text->n > 0;
    for (size_t i = 0; all && i < text->n;) {
        uint32_t c;
        i += pn_uni_decode(text->data + i, text->n - i, &c);
        all = is(c);
    }
    *out = pn_bool(all);
    return pn_r_charge(r, text->n / 8);
}

static bool is_alnum(uint32_t c) {
    return c != '_' && pn_uni_is_word(c);
}

static bool is_ascii(uint32_t c) {
    return c < 0x80;
}

static bool text_isalpha(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return all_are(r, s[0].text, pn_uni_is_alpha, out);
}

static bool text_isdigit(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return all_are(r, s[0].text, pn_uni_is_digit, out);
}

static bool text_isdecimal(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return all_are(r, s[0].text, pn_uni_is_decimal, out);
}

static bool text_isnumeric(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return all_are(r, s[0].text, pn_uni_is_numeric, out);
}

static bool text_isalnum(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return all_are(r, s[0].text, is_alnum, out);
}

static bool text_isspace(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return all_are(r, s[0].text, pn_uni_is_space, out);
}

static bool text_isprintable(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    if (!all_are(r, s[0].text, pn_uni_is_printable, out)) return false;
    if (!s[0].text->n) *out = pn_bool(true);
    return true;
}

static bool text_isascii(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    if (!all_are(r, s[0].text, is_ascii, out)) return false;
    if (!s[0].text->n) *out = pn_bool(true);
    return true;
}

static bool text_isidentifier(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    const pn_text *text = s[0].text;
    uint32_t first = 0;
    (void)args;
    if (!all_are(r, text, pn_uni_is_word, out)) return false;
    if (text->n) pn_uni_decode(text->data, text->n, &first);
    *out = pn_bool(out->b && (first == '_' || pn_uni_is_alpha(first)));
    return true;
}

static bool text_isupper(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    static const pn_text name = {.data = "upper", .n = 5, .n_chars = 5};
    bool yes = false;
    if (!pn_call_test(r, &name, &s[0], args, &yes)) return false;
    *out = pn_bool(yes);
    return true;
}

static bool text_islower(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    static const pn_text name = {.data = "lower", .n = 5, .n_chars = 5};
    bool yes = false;
    if (!pn_call_test(r, &name, &s[0], args, &yes)) return false;
    *out = pn_bool(yes);
    return true;
}

static bool text_istitle(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    const pn_text *text = s[0].text;
    bool any = false, after_cased = false, ok = true;
    (void)args;
    for (size_t i = 0; ok && i < text->n;) {
        uint32_t c;
        i += pn_uni_decode(text->data + i, text->n - i, &c);
        const bool upper = pn_uni_is_upper(c) || pn_uni_is_title(c), lower = pn_uni_is_lower(c);
        ok = !(upper && after_cased) && !(lower && !after_cased);
        after_cased = upper || lower;
        any = any || after_cased;
    }
    *out = pn_bool(ok && any);
    return pn_r_charge(r, text->n / 8);
}

const pn_builtin pn_text_methods[] = {
    {"upper", "", 0, text_upper},
    {"lower", "", 0, text_lower},
    {"title", "", 0, text_title},
    {"capitalize", "", 0, text_capitalize},
    {"swapcase", "", 0, text_swapcase},
    {"casefold", "", 0, text_casefold},
    {"strip", "chars", 0, text_strip},
    {"lstrip", "chars", 0, text_lstrip},
    {"rstrip", "chars", 0, text_rstrip},
    {"replace", "old,new,count", 2, text_replace},
    {"join", "iterable", 1, text_join},
    {"ljust", "width,fillchar", 1, text_ljust},
    {"rjust", "width,fillchar", 1, text_rjust},
    {"center", "width,fillchar", 1, text_center},
    {"zfill", "width", 1, text_zfill},
    {"expandtabs", "tabsize", 0, text_expandtabs},
    {"format", NULL, 0, text_format},
    {"format_map", NULL, 0, text_unsupported},
    {"encode", NULL, 0, text_unsupported},
    {"translate", NULL, 0, text_unsupported},
    {"maketrans", NULL, 0, text_unsupported},
    {"isalpha", "", 0, text_isalpha},
    {"isdigit", "", 0, text_isdigit},
    {"isdecimal", "", 0, text_isdecimal},
    {"isnumeric", "", 0, text_isnumeric},
    {"isalnum", "", 0, text_isalnum},
    {"isspace", "", 0, text_isspace},
    {"isprintable", "", 0, text_isprintable},
    {"isascii", "", 0, text_isascii},
    {"isidentifier", "", 0, text_isidentifier},
    {"isupper", "", 0, text_isupper},
    {"islower", "", 0, text_islower},
    {"istitle", "", 0, text_istitle},
    {NULL, NULL, 0, NULL},
};
