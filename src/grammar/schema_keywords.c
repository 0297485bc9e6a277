/* schema_keywords.c: the lists of keywords and formats, and access to a schema's keywords. */
#include "grammar/schema_impl.h"

#include <string.h>

enum {
    ABOUT_VALUES = PN_VALUES,
    ABOUT_NUMBERS = PN_NUMBERS,
    ABOUT_TEXTS = PN_TEXTS,
    ABOUT_ARRAYS = PN_ARRAYS,
    ABOUT_OBJECTS = PN_OBJECTS,
    ABOUT_LOGIC = PN_LOGIC,
    ABOUT_FRAME = PN_FRAME,
    ABOUT_NOTE = PN_NOTE
};

typedef struct keyword {
    const char *name;
    pn_form form;
    int about;
} keyword;

static const keyword keywords[PN_KW_N] = {
    [PN_KW_NONE] = {"", PN_FORM_ANY, 0},
#define KEYWORD(id, name, form, about) [PN_KW_##id] = {name, PN_FORM_##form, ABOUT_##about},
#include "grammar/schema_keywords.def"
#undef KEYWORD
};

static const pn_format formats[] = {
#define FORMAT(name, about, pattern, outer) {name, ABOUT_##about, pattern, outer},
#include "grammar/schema_formats.def"
#undef FORMAT
};

const char *pn_kw_name(pn_kw kw) {
    return keywords[kw].name;
}

int pn_kw_about(pn_kw kw) {
    return keywords[kw].about;
}

pn_form pn_kw_form(pn_kw kw) {
    return keywords[kw].form;
}

pn_kw pn_kw_find(pn_json_text name) {
    for (int kw = PN_KW_NONE + 1; kw < PN_KW_N; kw++)
        if (pn_json_text_equal(name, pn_json_text_of(keywords[kw].name))) return (pn_kw)kw;
    return PN_KW_NONE;
}

const pn_format *pn_format_find(pn_json_text name) {
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (pn_json_text_equal(name, pn_json_text_of(formats[i].name))) return &formats[i];
    return NULL;
}

bool pn_json_is_schema(const pn_json *value) {
    return value->kind == PN_JSON_OBJECT || value->kind == PN_JSON_TRUE ||
           value->kind == PN_JSON_FALSE;
}

static bool visit_items(const pn_json *list, pn_visit visit, void *user) {
    for (int32_t i = 0; i < list->n; i++)
        if (!visit(user, &list->items[i], i, NULL)) return false;
    return true;
}

static bool visit_members(const pn_json *map, bool schemas_only, pn_visit visit, void *user) {
    for (int32_t i = 0; i < map->n; i++) {
        pn_json_member *m = &map->members[i];
        if ((!schemas_only || pn_json_is_schema(&m->value)) &&
            !visit(user, &m->value, -1, &m->name))
            return false;
    }
    return true;
}

bool pn_kw_visit(pn_kw kw, pn_json *value, pn_visit visit, void *user) {
    switch (keywords[kw].form) {
    case PN_FORM_SCHEMA: return visit(user, value, -1, NULL);
    case PN_FORM_ITEMS:
        return value->kind == PN_JSON_ARRAY ? visit_items(value, visit, user)
                                            : visit(user, value, -1, NULL);
    case PN_FORM_SCHEMAS: return value->kind != PN_JSON_ARRAY || visit_items(value, visit, user);
    case PN_FORM_SCHEMA_MAP:
    case PN_FORM_PATTERN_MAP:
    case PN_FORM_DEFINITIONS:
        return value->kind != PN_JSON_OBJECT || visit_members(value, false, visit, user);
    case PN_FORM_DEPENDENCIES:
        return value->kind != PN_JSON_OBJECT || visit_members(value, true, visit, user);
    default: return true;
    }
}

/* ---- a schema's keywords --------------------------------------------------------------------- */

const pn_json *pn_schema_get(const pn_build *b, int32_t schema, pn_kw kw) {
    const pn_schema *s = &b->schemas[schema];
    for (int32_t i = 0; i < s->n_words; i++)
        if (s->words[i].kw == kw) return s->words[i].value;
    return NULL;
}

int32_t pn_schema_child(const pn_build *b, int32_t schema, pn_kw kw) {
    const pn_json *value = pn_schema_get(b, schema, kw);
    return value ? value->schema : -1;
}

bool pn_json_count(pn_job *job, const pn_json *value, int64_t *out) {
    pn_decimal number;
    if (!pn_decimal_read(job, value->text, &number)) return false;
    if (!pn_decimal_to_int(&number, out)) *out = PN_NO_MAX - 1; /* of more than nine digits */
    return true;
}

bool pn_schema_count(pn_build *b, int32_t schema, pn_kw kw, int64_t otherwise, int64_t *out) {
    const pn_json *value = pn_schema_get(b, schema, kw);
    *out = otherwise;
    return !value || pn_json_count(&b->job, value, out);
}

const pn_json *pn_schema_prefix(const pn_build *b, int32_t schema, pn_kw *kw) {
    const pn_json *prefix = pn_schema_get(b, schema, PN_KW_PREFIX_ITEMS);
    const pn_json *items = pn_schema_get(b, schema, PN_KW_ITEMS);
    *kw = PN_KW_PREFIX_ITEMS;
    if (prefix && prefix->kind == PN_JSON_ARRAY) return prefix;
    *kw = PN_KW_ITEMS;
    if (items && items->kind == PN_JSON_ARRAY) return items;
    *kw = PN_KW_NONE;
    return NULL;
}

int32_t pn_schema_rest(const pn_build *b, int32_t schema, pn_kw *kw) {
    const pn_json *prefix = pn_schema_get(b, schema, PN_KW_PREFIX_ITEMS);
    const pn_json *items = pn_schema_get(b, schema, PN_KW_ITEMS);
    *kw = PN_KW_NONE;
    if (items && items->kind == PN_JSON_ARRAY) {
        if (pn_schema_get(b, schema, PN_KW_ADDITIONAL_ITEMS)) *kw = PN_KW_ADDITIONAL_ITEMS;
    } else if (items) {
        *kw = PN_KW_ITEMS;
    } else if (prefix && prefix->kind != PN_JSON_ARRAY) {
        *kw = PN_KW_PREFIX_ITEMS; /* as llama.cpp reads it */
    }
    return *kw ? pn_schema_child(b, schema, *kw) : -1;
}
