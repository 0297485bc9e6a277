/* schema_read.c: finds the schemas of a document, checks their keywords, and reports them.
 *
 * Read is what is reachable: the root, schemas within schemas, and what references point to;
 * definitions that nothing refers to are not looked at. A keyword that is not known, or whose value
 * has not the form it must have, is an error. */
#include "grammar/schema_impl.h"

#include <string.h>

#define MAX_REPORT (16 << 20)

static bool bad_value(pn_build *b, int32_t schema, pn_kw kw, const char *expected) {
    return pn_build_fail(b, schema, kw, PUNA_E_FORMAT, "expected %s", expected);
}

/* ---- forms ----------------------------------------------------------------------------------- */

static int kinds_of_type(const pn_json *name) {
    static const struct {
        const char *name;
        int kinds;
    } types[] = {{"null", PN_NULLS},      {"boolean", PN_BOOLEANS}, {"number", PN_NUMBERS},
                 {"integer", PN_NUMBERS}, {"string", PN_TEXTS},     {"array", PN_ARRAYS},
                 {"object", PN_OBJECTS}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (name->kind == PN_JSON_STRING &&
            pn_json_text_equal(name->text, pn_json_text_of(types[i].name)))
            return types[i].kinds;
    return 0;
}

static bool check_types(pn_build *b, int32_t schema, const pn_json *value) {
    static const char expected[] =
        "null, boolean, number, integer, string, array, object, or a list of these";
    const bool list = value->kind == PN_JSON_ARRAY;
    const int32_t n = list ? value->n : 1;
    pn_schema *s = &b->schemas[schema];
    bool number = false, integer = false;
    s->type_kinds = 0;
    for (int32_t i = 0; i < n; i++) {
        const pn_json *name = list ? &value->items[i] : value;
        const int kinds = kinds_of_type(name);
        if (!kinds) return bad_value(b, schema, PN_KW_TYPE, expected);
        s->type_kinds |= (uint8_t)kinds;
        if (kinds == PN_NUMBERS) *(name->text.data[0] == 'i' ? &integer : &number) = true;
    }
    s->integer = integer && !number;
    return n > 0 || bad_value(b, schema, PN_KW_TYPE, expected);
}

static bool is_list_of_texts(const pn_json *value) {
    if (value->kind != PN_JSON_ARRAY) return false;
    for (int32_t i = 0; i < value->n; i++)
        if (value->items[i].kind != PN_JSON_STRING) return false;
    return true;
}

static bool check_number(pn_build *b, int32_t schema, pn_kw kw, const pn_json *value) {
    const pn_form form = pn_kw_form(kw);
    pn_decimal number;
    if (form == PN_FORM_BOUND && (value->kind == PN_JSON_TRUE || value->kind == PN_JSON_FALSE))
        return true;
    if (value->kind != PN_JSON_NUMBER)
        return bad_value(b, schema, kw, form == PN_FORM_COUNT ? "an integer >= 0" : "a number");
    if (!pn_decimal_read(&b->job, value->text, &number)) return false;
    if (form == PN_FORM_COUNT && (number.negative || !pn_decimal_is_integer(&number)))
        return bad_value(b, schema, kw, "an integer >= 0");
    if (form == PN_FORM_FACTOR && (number.negative || number.n == 0))
        return bad_value(b, schema, kw, "a number > 0");
    return true;
}

static bool check_format(pn_build *b, int32_t schema, const pn_json *value) {
    if (value->kind != PN_JSON_STRING) return bad_value(b, schema, PN_KW_FORMAT, "a text");
    if (pn_format_find(value->text)) return true;
    char name[PN_ESCAPED_BYTES];
    return pn_build_fail(b, schema, PN_KW_FORMAT, PUNA_E_UNSUPPORTED,
                         "the format \"%s\" cannot be enforced",
                         pn_escape(name, value->text.data, value->text.n));
}

static bool check_map(pn_build *b, int32_t schema, pn_kw kw, const pn_json *value) {
    const pn_form form = pn_kw_form(kw);
    if (value->kind != PN_JSON_OBJECT) return bad_value(b, schema, kw, "an object");
    for (int32_t i = 0; i < value->n; i++) {
        const pn_json_member *m = &value->members[i];
        if (form == PN_FORM_NAME_LISTS && !is_list_of_texts(&m->value))
            return bad_value(b, schema, kw, "lists of names");
        if (form == PN_FORM_DEPENDENCIES && !pn_json_is_schema(&m->value) &&
            !is_list_of_texts(&m->value))
            return bad_value(b, schema, kw, "schemas or lists of names");
        if (form == PN_FORM_PATTERN_MAP && !pn_pattern_get(b, m->name.data, m->name.n))
            return false;
    }
    return true;
}

static bool check_schemas(pn_build *b, int32_t schema, pn_kw kw, const pn_json *value) {
    const pn_form form = pn_kw_form(kw);
    if (form == PN_FORM_SCHEMAS && (value->kind != PN_JSON_ARRAY || value->n == 0))
        return bad_value(b, schema, kw, "a list of schemas");
    if (form == PN_FORM_ITEMS && value->kind != PN_JSON_ARRAY && !pn_json_is_schema(value))
        return bad_value(b, schema, kw, "a schema or a list of schemas");
    const pn_json *prefix = pn_schema_get(b, schema, PN_KW_PREFIX_ITEMS);
    if (kw == PN_KW_ITEMS && value->kind == PN_JSON_ARRAY && prefix)
        return bad_value(b, schema, kw, "a schema beside prefixItems");
    return true;
}

/* Whether a keyword's value has the form that it must have. */
static bool check_form(pn_build *b, int32_t schema, const pn_word *w) {
    const pn_json *v = w->value;
    switch (pn_kw_form(w->kw)) {
    case PN_FORM_ANY: return true;
    case PN_FORM_TYPES: return check_types(b, schema, v);
    case PN_FORM_LIST: return v->kind == PN_JSON_ARRAY || bad_value(b, schema, w->kw, "a list");
    case PN_FORM_FLAG:
        return v->kind == PN_JSON_TRUE || v->kind == PN_JSON_FALSE ||
               bad_value(b, schema, w->kw, "true or false");
    case PN_FORM_COUNT:
    case PN_FORM_NUMBER:
    case PN_FORM_FACTOR:
    case PN_FORM_BOUND: return check_number(b, schema, w->kw, v);
    case PN_FORM_TEXT: return v->kind == PN_JSON_STRING || bad_value(b, schema, w->kw, "a text");
    case PN_FORM_PATTERN:
        if (v->kind != PN_JSON_STRING) return bad_value(b, schema, w->kw, "a text");
        return pn_pattern_get(b, v->text.data, v->text.n) != NULL;
    case PN_FORM_FORMAT: return check_format(b, schema, v);
    case PN_FORM_NAMES:
        return is_list_of_texts(v) || bad_value(b, schema, w->kw, "a list of names");
    case PN_FORM_SCHEMA: return true; /* pn_schema_add sees */
    case PN_FORM_SCHEMAS:
    case PN_FORM_ITEMS: return check_schemas(b, schema, w->kw, v);
    case PN_FORM_NAME_LISTS:
    case PN_FORM_SCHEMA_MAP:
    case PN_FORM_PATTERN_MAP:
    case PN_FORM_DEFINITIONS:
    case PN_FORM_DEPENDENCIES: return check_map(b, schema, w->kw, v);
    }
    return true;
}

/* ---- the report ------------------------------------------------------------------------------ */

/* Whether a keyword that could be enforced has no effect because of what is not beside it. */
static bool is_idle(const pn_build *b, int32_t schema, const pn_word *w) {
    const pn_json *items = pn_schema_get(b, schema, PN_KW_ITEMS);
    switch (w->kw) {
    case PN_KW_ADDITIONAL_ITEMS: return !items || items->kind != PN_JSON_ARRAY;
    case PN_KW_MIN_CONTAINS:
    case PN_KW_MAX_CONTAINS: return !pn_schema_get(b, schema, PN_KW_CONTAINS);
    case PN_KW_THEN:
    case PN_KW_ELSE: return !pn_schema_get(b, schema, PN_KW_IF);
    case PN_KW_IF:
        return !pn_schema_get(b, schema, PN_KW_THEN) && !pn_schema_get(b, schema, PN_KW_ELSE);
    case PN_KW_NULLABLE: return !pn_schema_get(b, schema, PN_KW_TYPE);
    case PN_KW_EXCLUSIVE_MINIMUM:
        return w->value->kind == PN_JSON_TRUE && !pn_schema_get(b, schema, PN_KW_MINIMUM);
    case PN_KW_EXCLUSIVE_MAXIMUM:
        return w->value->kind == PN_JSON_TRUE && !pn_schema_get(b, schema, PN_KW_MAXIMUM);
    case PN_KW_FORMAT: return !pn_format_find(w->value->text)->pattern;
    default: return false;
    }
}

static bool report(pn_build *b, pn_json_text keyword, bool enforced) {
    char name[PN_ESCAPED_BYTES];
    const char *verdict = enforced ? ": enforced\n" : ": annotation\n";
    if (!b->report) return true;
    if (b->report->n - b->report_begin > MAX_REPORT)
        return pn_job_fail(&b->job, PUNA_E_LIMIT, "a report of more than %d MiB", MAX_REPORT >> 20);
    pn_escape(name, keyword.data, keyword.n);
    return pn_job_charge(&b->job, b->path.n / 16 + 1) &&
           pn_build_put(b, b->report, b->path.data, b->path.n) &&
           pn_build_put(b, b->report, ": ", 2) && pn_build_put(b, b->report, name, strlen(name)) &&
           pn_build_put(b, b->report, verdict, strlen(verdict));
}

/* ---- schemas --------------------------------------------------------------------------------- */

typedef struct child_of {
    pn_build *b;
    int32_t schema;
    pn_kw kw;
} child_of;

static bool read_child(void *user, pn_json *json, int32_t index, const pn_json_text *name) {
    const child_of *c = user;
    return pn_schema_add(c->b, json, c->schema, c->kw, index, name) >= 0;
}

static bool is_extension(pn_json_text name) {
    return name.n > 2 && name.data[0] == 'x' && name.data[1] == '-';
}

static bool refuse_keyword(pn_build *b, int32_t schema, pn_json_text keyword) {
    char name[PN_ESCAPED_BYTES];
    pn_build_at(b, schema, PN_KW_NONE);
    return pn_job_fail(&b->job, PUNA_E_UNSUPPORTED, "%s: this keyword is not known",
                       pn_escape(name, keyword.data, keyword.n));
}

/* Lists the keywords of a schema. */
static bool list_words(pn_build *b, int32_t schema) {
    const pn_json *json = b->schemas[schema].json;
    pn_word *words = pn_job_alloc(&b->job, (size_t)json->n, sizeof *words);
    if (!words || !pn_job_charge(&b->job, (size_t)json->n * 8)) return false;
    b->schemas[schema].words = words;
    for (int32_t i = 0; i < json->n; i++) {
        pn_json_member *m = &json->members[i];
        const pn_kw kw = pn_kw_find(m->name);
        if (kw)
            words[b->schemas[schema].n_words++] = (pn_word){kw, &m->value};
        else if (!is_extension(m->name))
            return refuse_keyword(b, schema, m->name);
        else if (!report(b, m->name, false))
            return false;
    }
    return true;
}

static bool add_reference(pn_build *b, int32_t schema) {
    if (b->n_refs && b->refs[b->n_refs - 1] == schema) return true;
    if (!pn_job_grow(&b->job, &b->refs, b->n_refs, &b->cap_refs, sizeof *b->refs)) return false;
    b->refs[b->n_refs++] = schema;
    return true;
}

/* The kinds of values that type, enum and const leave, and those that the other keywords look
 * into. */
static void note_kinds(pn_schema *s) {
    s->kinds = s->type_kinds;
    for (int32_t i = 0; i < s->n_words; i++) {
        const pn_kw kw = s->words[i].kw;
        const pn_json *v = s->words[i].value;
        const int about = pn_kw_about(kw);
        if (kw == PN_KW_FORMAT)
            s->about |= (uint8_t)pn_format_find(v->text)->about;
        else if (about < PN_VALUES)
            s->about |= (uint8_t)about;
        if (kw == PN_KW_NULLABLE || about != PN_VALUES) continue;
        s->typed = true;
        if (kw == PN_KW_TYPE) continue;
        for (int32_t j = 0; kw == PN_KW_ENUM && j < v->n; j++)
            s->enum_kinds |= (uint8_t)pn_json_kinds(&v->items[j]);
        s->kinds &= (uint8_t)(kw == PN_KW_CONST ? pn_json_kinds(v) : s->enum_kinds);
        s->finite = true;
        s->about = PN_VALUES;
    }
    if (s->integer) s->about |= PN_NUMBERS;
}

static bool read_word(pn_build *b, int32_t schema, const pn_word *w) {
    child_of child = {b, schema, w->kw};
    const int about = pn_kw_about(w->kw);
    pn_build_at(b, schema, w->kw);
    if (!check_form(b, schema, w)) return false;
    if (!report(b, pn_json_text_of(pn_kw_name(w->kw)), about < PN_FRAME && !is_idle(b, schema, w)))
        return false;
    const bool ref =
        w->kw == PN_KW_REF || w->kw == PN_KW_DYNAMIC_REF || w->kw == PN_KW_RECURSIVE_REF;
    if (ref && !add_reference(b, schema)) return false;
    return pn_kw_form(w->kw) == PN_FORM_DEFINITIONS ||
           pn_kw_visit(w->kw, w->value, read_child, &child);
}

static bool read_schema(pn_build *b, int32_t schema) {
    if (!list_words(b, schema)) return false;
    for (int32_t i = 0; i < b->schemas[schema].n_words; i++) {
        const pn_word w = b->schemas[schema].words[i];
        if (!read_word(b, schema, &w)) return false;
    }
    pn_schema *s = &b->schemas[schema];
    const pn_json *nullable = pn_schema_get(b, schema, PN_KW_NULLABLE);
    if (nullable && nullable->kind == PN_JSON_TRUE) s->type_kinds |= PN_NULLS;
    note_kinds(s);
    return true;
}

static bool grow_schemas(pn_build *b) {
    if (b->n_schemas < b->cap_schemas) return true;
    const int32_t cap = b->cap_schemas ? 2 * b->cap_schemas : 16;
    pn_schema *schemas = pn_realloc(b->schemas, (size_t)cap, sizeof *schemas);
    if (!schemas) {
        b->job.status =
            pn_fail_nomem(b->job.err, (size_t)cap * sizeof *schemas, "the parts of a JSON schema");
        return false;
    }
    b->schemas = schemas;
    b->cap_schemas = cap;
    return true;
}

static bool no_schema(pn_build *b, int32_t parent, pn_kw via) {
    if (parent >= 0) return bad_value(b, parent, via, "a schema: an object, true or false");
    return pn_job_fail(&b->job, PUNA_E_FORMAT, "expected a schema: an object, true or false");
}

/* The first schema that is written like this one. */
static int32_t first_alike(pn_build *b, const pn_json *json, int32_t schema) {
    int32_t *first = &b->firsts[json->same];
    if (b->n_resources > 1) return schema;
    if (*first < 0) *first = schema;
    return *first;
}

int32_t pn_schema_add(pn_build *b, pn_json *json, int32_t parent, pn_kw via, int32_t index,
                      const pn_json_text *name) {
    const size_t path = b->path.n;
    if (json->schema >= 0) return json->schema;
    if (!pn_json_is_schema(json)) {
        no_schema(b, parent, via);
        return -1;
    }
    if (!pn_job_charge(&b->job, 16) || !grow_schemas(b)) return -1;
    const int32_t schema = b->n_schemas++;
    json->schema = schema;
    b->schemas[schema] = (pn_schema){.json = json,
                                     .parent = parent,
                                     .via = via,
                                     .index = index,
                                     .name = name,
                                     .pointer = b->at_pointer,
                                     .same = first_alike(b, json, schema),
                                     .ref = -1,
                                     .dynamic_ref = -1,
                                     .kinds = PN_VALUES,
                                     .type_kinds = PN_VALUES};
    if (b->report && !pn_build_put_step(b, schema, &b->path)) return -1;
    const bool done = json->kind != PN_JSON_OBJECT || read_schema(b, schema);
    b->path.n = path;
    return done ? schema : -1;
}

/* Follows references until no new ones turn up. */
static bool follow_references(pn_build *b) {
    for (; b->n_followed < b->n_refs; b->n_followed++) {
        const int32_t schema = b->refs[b->n_followed];
        for (int32_t i = 0; i < b->schemas[schema].n_words; i++) {
            const pn_word w = b->schemas[schema].words[i];
            if (w.kw != PN_KW_REF && w.kw != PN_KW_DYNAMIC_REF && w.kw != PN_KW_RECURSIVE_REF)
                continue;
            const int32_t target = pn_refs_follow(b, schema, w.kw, w.value->text);
            if (target < 0) return false;
            *(w.kw == PN_KW_REF ? &b->schemas[schema].ref : &b->schemas[schema].dynamic_ref) =
                target;
        }
    }
    return true;
}

static void note_dialect(pn_build *b) {
    const pn_json *root = &b->doc.root;
    const pn_json *dialect =
        root->kind == PN_JSON_OBJECT ? pn_json_get(root, pn_json_text_of("$schema")) : NULL;
    if (!dialect || dialect->kind != PN_JSON_STRING) return;
    static const char *const legacy[] = {"draft-03", "draft-04", "draft-05", "draft-06",
                                         "draft-07"};
    for (size_t i = 0; i < sizeof legacy / sizeof legacy[0]; i++)
        for (size_t at = 0; at + 8 <= dialect->text.n; at++)
            if (memcmp(dialect->text.data + at, legacy[i], 8) == 0) b->legacy_ref = true;
}

bool pn_schema_read_all(pn_build *b) {
    note_dialect(b);
    return pn_same_number(b) && pn_refs_index(b) &&
           pn_schema_add(b, &b->doc.root, -1, PN_KW_NONE, -1, NULL) >= 0 && follow_references(b);
}

/* ---- patterns -------------------------------------------------------------------------------- */

const pn_pattern *pn_pattern_get(pn_build *b, const char *text, size_t n) {
    const int32_t found = pn_strmap_get(&b->patterns, text, n);
    int32_t old;
    if (found >= 0) return b->pattern_list[found];
    pn_pattern *p = pn_job_alloc(&b->job, 1, sizeof *p);
    if (!p || !pn_job_grow(&b->job, &b->pattern_list, b->n_patterns, &b->cap_patterns,
                           sizeof *b->pattern_list))
        return NULL;
    p->number = b->n_patterns;
    p->regex = pn_regex_parse(&b->job, (pn_json_text){text, n});
    if (!p->regex) return NULL;
    p->aheads = pn_job_alloc(&b->job, (size_t)p->regex->n_aheads, sizeof *p->aheads);
    if (!p->aheads) return NULL;
    p->match = (pn_demand){
        .kind = PN_DEMAND_RE, .re = p->regex->root, .has_boundary = p->regex->has_boundary};
    for (int32_t i = 0; i < p->regex->n_aheads; i++)
        p->aheads[i] = (pn_demand){.kind = PN_DEMAND_RE,
                                   .re = p->regex->aheads[i].root,
                                   .has_boundary = p->regex->has_boundary,
                                   .negative = !p->regex->aheads[i].positive};
    if (!pn_strmap_add(&b->patterns, text, n, b->n_patterns, &old)) {
        b->job.status = pn_fail_nomem(b->job.err, n, "the patterns of a JSON schema");
        return NULL;
    }
    b->pattern_list[b->n_patterns++] = p;
    return p;
}

bool pn_pattern_matches(pn_build *b, const pn_pattern *pattern, pn_json_text text) {
    pn_pattern *p = b->pattern_list[pattern->number];
    for (int32_t i = 0; i < p->regex->n_aheads; i++)
        if (!pn_demand_matches(&b->job, &p->aheads[i], text)) return false;
    return pn_demand_matches(&b->job, &p->match, text);
}

const pn_pattern *pn_pattern_of_format(pn_build *b, const pn_format *format, bool outer) {
    pn_buf text = {0};
    const char *copy = NULL;
    if (pn_buf_printf(&text, "^(?:%s)$", outer ? format->outer : format->pattern))
        copy = pn_arena_copy(&b->job.arena, text.data, text.n);
    const size_t n = text.n;
    pn_buf_free(&text);
    if (copy) return pn_pattern_get(b, copy, n);
    b->job.status = pn_fail_nomem(b->job.err, n, "the patterns of a JSON schema");
    return NULL;
}
