/* params.c: from a request's JSON to numbers that were checked. The fields stand in params.def. */
#include "params.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What reading a field works on. */
typedef struct reader {
    pn_params *p;
    const pn_service *service;
    json_t *body;
    pn_api api;
    const char *name;
    pn_api_error *e;
} reader;

typedef enum kind { FLAG_FIELD, COUNT_FIELD, NUMBER_FIELD, READ_FIELD, REFUSED_FIELD } kind;

typedef struct field_row {
    unsigned apis;
    const char *name;
    kind kind;
    size_t offset;
    double low, high;
    bool (*read)(reader *r, json_t *value);
    const char *why;
} field_row;

/* ---- values -------------------------------------------------------------------------------------- */

static const char *kind_name(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    case JSON_NULL: break;
    }
    return "null";
}

bool pn_refuse_value(pn_api_error *e, const char *param, const char *what, const json_t *value) {
    if (!value)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, param, "%s is missing: expected %s",
                             param, what);
    return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, param, "%s: expected %s, got %s", param,
                         what, kind_name(value));
}

static bool refuse(reader *r, const char *why) {
    return pn_api_refuse(r->e, 400, PN_INVALID_REQUEST, NULL, r->name, "%s: %s", r->name, why);
}

json_t *pn_field(const json_t *object, const char *name) {
    json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

bool pn_field_text(const json_t *object, const char *name, const char **text, pn_api_error *e) {
    const json_t *value = pn_field(object, name);
    *text = NULL;
    if (value && !json_is_string(value)) return pn_refuse_value(e, name, "a string", value);
    *text = json_string_value(value);
    return true;
}

bool pn_field_flag(const json_t *object, const char *name, bool *value, pn_api_error *e) {
    const json_t *given = pn_field(object, name);
    if (given && !json_is_boolean(given)) return pn_refuse_value(e, name, "true or false", given);
    if (given) *value = json_is_true(given);
    return true;
}

static bool read_int(const json_t *value, const char *name, int64_t low, int64_t high, int64_t *out,
                     pn_api_error *e) {
    if (!json_is_integer(value)) return pn_refuse_value(e, name, "an integer", value);
    const int64_t given = json_integer_value(value);
    if (given < low || given > high)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, name,
                             "%s: %" PRId64 " is outside %" PRId64 "..%" PRId64, name, given, low,
                             high);
    *out = given;
    return true;
}

bool pn_field_int(const json_t *object, const char *name, int64_t low, int64_t high, int64_t *value,
                  pn_api_error *e) {
    const json_t *given = pn_field(object, name);
    return !given || read_int(given, name, low, high, value, e);
}

/* ---- single fields ------------------------------------------------------------------------------- */

static bool read_max_tokens(reader *r, json_t *value) {
    int64_t n = 0;
    if (!read_int(value, r->name, -1, INT64_MAX, &n, r->e)) return false;
    r->p->max_tokens = n > INT32_MAX ? INT32_MAX : (int32_t)n; /* no context is longer */
    return true;
}

/* Any integer; -1, and llama.cpp's 2^32 - 1, ask for a random one. */
static bool read_seed(reader *r, json_t *value) {
    int64_t seed = 0;
    if (!read_int(value, r->name, INT64_MIN, INT64_MAX, &seed, r->e)) return false;
    r->p->sampler.seed = seed == UINT32_MAX ? PUNA_SEED_RANDOM : (uint64_t)seed;
    return true;
}

static int32_t most_choices(const reader *r) {
    return r->service->plan.n_seq > PN_MAX_N ? r->service->plan.n_seq : PN_MAX_N;
}

static bool read_n(reader *r, json_t *value) {
    int64_t n = 0;
    if (!read_int(value, r->name, 1, most_choices(r), &n, r->e)) return false;
    r->p->n = (int32_t)n;
    return true;
}

static bool read_best_of(reader *r, json_t *value) {
    int64_t n = 0;
    if (!read_int(value, r->name, 1, most_choices(r), &n, r->e)) return false;
    r->p->best_of = (int32_t)n;
    return true;
}

static bool read_stops(reader *r, json_t *value) {
    const size_t n = json_is_array(value) ? json_array_size(value) : 1;
    size_t n_bytes = 0;
    if (!json_is_array(value) && !json_is_string(value))
        return pn_refuse_value(r->e, r->name, "a string or a list of strings", value);
    if (n > PN_MAX_STOPS)
        return pn_api_refuse(r->e, 400, PN_INVALID_REQUEST, NULL, r->name,
                             "%s: %zu texts, at most %d are possible", r->name, n, PN_MAX_STOPS);
    free(r->p->stops);
    r->p->n_stops = 0;
    r->p->stops = calloc(n + 1, sizeof *r->p->stops);
    if (!r->p->stops) return pn_api_refuse(r->e, 500, "server_error", NULL, NULL, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const json_t *stop = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_string(stop))
            return pn_refuse_value(r->e, r->name, "a string or a list of strings", stop);
        n_bytes += json_string_length(stop);
        if (json_string_length(stop) > 0) /* an empty one stops nothing */
            r->p->stops[r->p->n_stops++] = json_string_value(stop);
    }
    if (n_bytes > PN_MAX_STOP_BYTES)
        return pn_api_refuse(r->e, 400, PN_INVALID_REQUEST, NULL, r->name,
                             "%s: %zu bytes, at most %d are possible", r->name, n_bytes,
                             PN_MAX_STOP_BYTES);
    return true;
}

static bool read_breakers(reader *r, json_t *value) {
    enum { MOST = 64 };
    if (!json_is_array(value) || json_array_size(value) > MOST)
        return pn_refuse_value(r->e, r->name, "a list of at most 64 strings", value);
    const size_t n = json_array_size(value);
    const char **breakers = calloc(n + 1, sizeof *breakers);
    if (!breakers) return pn_api_refuse(r->e, 500, "server_error", NULL, NULL, "out of memory");
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        const json_t *text = json_array_get(value, i);
        breakers[i] = json_string_value(text);
        ok = breakers[i] || pn_refuse_value(r->e, r->name, "a list of at most 64 strings", text);
    }
    r->p->sampler.dry_sequence_breakers = breakers;
    r->p->sampler.n_dry_sequence_breakers = ok ? (int32_t)n : 0;
    return ok;
}

/* ---- log-probabilities --------------------------------------------------------------------------- */

static bool read_logprobs_flag(reader *r, json_t *value) {
    if (!json_is_boolean(value)) return pn_refuse_value(r->e, r->name, "true or false", value);
    if (json_is_true(value) && r->p->n_logprobs < 0) r->p->n_logprobs = 0;
    return true;
}

/* Stands behind logprobs in the list. */
static bool read_top_logprobs(reader *r, json_t *value) {
    int64_t n = 0;
    if (!read_int(value, r->name, 0, PN_MAX_TOP_LOGPROBS, &n, r->e)) return false;
    if (r->api == PN_API_CHAT && r->p->n_logprobs < 0 && n > 0)
        return refuse(r, "needs logprobs to be true");
    if (r->api != PN_API_CHAT || r->p->n_logprobs >= 0) r->p->n_logprobs = (int32_t)n;
    return true;
}

static bool read_logprobs_count(reader *r, json_t *value) {
    int64_t n = 0;
    if (json_is_false(value)) return true;
    if (!read_int(value, r->name, 0, PN_MAX_TOP_LOGPROBS, &n, r->e)) return false;
    r->p->n_logprobs = (int32_t)n;
    return true;
}

/* ---- logit_bias ---------------------------------------------------------------------------------- */

typedef struct biases {
    puna_logit_bias *rows;
    int32_t n, cap;
} biases;

static bool add_bias(reader *r, biases *b, int32_t token, float bias) {
    if (b->n == b->cap) {
        const int32_t cap = b->cap ? b->cap * 2 : 16;
        puna_logit_bias *rows = realloc(b->rows, (size_t)cap * sizeof *rows);
        if (!rows) return pn_api_refuse(r->e, 500, "server_error", NULL, NULL, "out of memory");
        b->rows = rows;
        b->cap = cap;
    }
    b->rows[b->n++] = (puna_logit_bias){token, bias};
    return true;
}

static bool read_bias(reader *r, const json_t *value, float *bias) {
    if (json_is_false(value)) {
        *bias = -INFINITY;
        return true;
    }
    if (!json_is_number(value)) return pn_refuse_value(r->e, r->name, "numbers as values", value);
    const double given = json_number_value(value);
    if (!(fabs(given) <= 1e6)) return refuse(r, "a bias is outside -1000000..1000000");
    *bias = (float)given;
    return true;
}

static bool add_bias_of_id(reader *r, biases *b, int64_t id, float bias) {
    if (id < 0 || id >= r->service->info.n_vocab)
        return pn_api_refuse(r->e, 400, PN_INVALID_REQUEST, NULL, r->name,
                             "%s: token %" PRId64 " is outside the vocabulary of %d tokens",
                             r->name, id, r->service->info.n_vocab);
    return add_bias(r, b, (int32_t)id, bias);
}

/* Every token of a text. */
static bool add_bias_of_text(reader *r, biases *b, const char *text, float bias) {
    int32_t ids[64], n = 0;
    puna_error err;
    const puna_status status = puna_tokenize(r->service->model, text, strlen(text),
                                             PUNA_TOKENIZE_PARSE_SPECIAL, ids, 64, &n, &err);
    if (status == PUNA_E_LIMIT) return refuse(r, "a text of more than 64 tokens");
    if (status) return pn_api_refuse_status(r->e, &err, r->name);
    for (int32_t i = 0; i < n; i++)
        if (!add_bias(r, b, ids[i], bias)) return false;
    return true;
}

static bool read_bias_key(reader *r, biases *b, const char *key, const json_t *value, bool texts) {
    float bias = 0;
    if (!read_bias(r, value, &bias)) return false;
    if (texts) return add_bias_of_text(r, b, key, bias);
    char *end = NULL;
    errno = 0;
    const long long id = strtoll(key, &end, 10);
    if (!isdigit((unsigned char)key[0]) || *end || errno)
        return pn_api_refuse(r->e, 400, PN_INVALID_REQUEST, NULL, r->name,
                             "%s: \"%.40s\" is no token id", r->name, key);
    return add_bias_of_id(r, b, id, bias);
}

/* {"ID": bias}, or llama.cpp's [[ID or text, bias or false], ...]; llama-cpp-python's logit_bias_type "tokens" has
 * texts for ids. */
static bool read_logit_bias(reader *r, json_t *value) {
    const char *type = json_string_value(json_object_get(r->body, "logit_bias_type"));
    const bool texts = type && strcmp(type, "tokens") == 0;
    biases b = {0};
    bool ok = true;
    if (json_is_object(value)) {
        const char *key;
        json_t *bias;
        json_object_foreach(value, key, bias) {
            if (!(ok = read_bias_key(r, &b, key, bias, texts))) break;
        }
    } else if (json_is_array(value)) {
        for (size_t i = 0; ok && i < json_array_size(value); i++) {
            const json_t *pair = json_array_get(value, i), *id = json_array_get(pair, 0);
            float bias = 0;
            if (json_array_size(pair) != 2 || !(json_is_integer(id) || json_is_string(id)))
                ok = pn_refuse_value(r->e, r->name, "an object, or a list of [token, bias]", pair);
            ok = ok && read_bias(r, json_array_get(pair, 1), &bias);
            if (ok && json_is_string(id))
                ok = add_bias_of_text(r, &b, json_string_value(id), bias);
            else if (ok)
                ok = add_bias_of_id(r, &b, json_integer_value(id), bias);
        }
    } else {
        ok = pn_refuse_value(r->e, r->name, "an object of token ids and numbers", value);
    }
    r->p->sampler.logit_bias = b.rows;
    r->p->sampler.n_logit_bias = b.n;
    return ok;
}

/* ---- the form of the answer ---------------------------------------------------------------------- */

static bool read_stream_options(reader *r, json_t *value) {
    if (!json_is_object(value)) return pn_refuse_value(r->e, r->name, "an object", value);
    const json_t *usage = pn_field(value, "include_usage");
    r->name = "stream_options.include_usage";
    if (usage && !json_is_boolean(usage))
        return pn_refuse_value(r->e, r->name, "true or false", usage);
    r->p->include_usage = json_is_true(usage);
    return true;
}

/* Takes the grammar. */
static bool set_grammar(pn_params *p, puna_grammar *grammar, bool is_content, const char *param,
                        pn_api_error *e) {
    if (p->sampler.grammar) {
        puna_grammar_free(grammar);
        return pn_api_refuse(
            e, 400, PN_INVALID_REQUEST, NULL, param,
            "%s: only one of grammar, json_schema and response_format can be given", param);
    }
    p->sampler.grammar = grammar;
    p->grammar_is_content = is_content;
    return true;
}

static bool read_grammar(reader *r, json_t *value) {
    puna_grammar *grammar = NULL;
    puna_error err;
    if (!json_is_string(value)) return pn_refuse_value(r->e, r->name, "GBNF in a string", value);
    if (json_string_length(value) == 0) return true;
    if (puna_grammar_open(json_string_value(value), json_string_length(value), NULL, &grammar,
                          &err))
        return pn_api_refuse(r->e, 400, PN_INVALID_REQUEST, NULL, r->name, "%s: %s", r->name,
                             err.msg);
    return set_grammar(r->p, grammar, false, r->name, r->e);
}

bool pn_params_schema(pn_params *p, json_t *schema, const char *param, pn_api_error *e) {
    puna_grammar *grammar = NULL;
    puna_error err;
    puna_status status;
    if (schema && !json_is_object(schema) && !json_is_boolean(schema))
        return pn_refuse_value(e, param, "a JSON schema", schema);
    if (schema) {
        char *text = json_dumps(schema, JSON_COMPACT | JSON_ENCODE_ANY);
        if (!text) return pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory");
        status = puna_grammar_open_schema(text, strlen(text), &grammar, &err);
        free(text);
    } else {
        status = puna_grammar_open_json(&grammar, &err);
    }
    if (status == PUNA_E_NOMEM) return pn_api_refuse_status(e, &err, param);
    if (status)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, param, "%s: %s", param, err.msg);
    return set_grammar(p, grammar, true, param, e);
}

static bool read_json_schema(reader *r, json_t *value) {
    return pn_params_schema(r->p, value, r->name, r->e);
}

static bool read_response_format(reader *r, json_t *value) {
    if (!json_is_object(value)) return pn_refuse_value(r->e, r->name, "an object", value);
    const json_t *type = json_object_get(value, "type");
    r->name = "response_format.type";
    if (!json_is_string(type)) return pn_refuse_value(r->e, r->name, "a string", type);
    const char *name = json_string_value(type);
    if (strcmp(name, "text") == 0) return true;
    if (strcmp(name, "json_object") == 0) /* llama.cpp's servers take a schema here */
        return pn_params_schema(r->p, pn_field(value, "schema"), "response_format.schema", r->e);
    if (strcmp(name, "json_schema") != 0)
        return refuse(r, "is none of text, json_object and json_schema");
    json_t *format = pn_field(value, "json_schema");
    r->name = "response_format.json_schema";
    if (!json_is_object(format)) return pn_refuse_value(r->e, r->name, "an object", format);
    /* a schema is always kept to, strict or not */
    return pn_params_schema(r->p, pn_field(format, "schema"), "response_format.json_schema.schema",
                            r->e);
}

static bool read_modalities(reader *r, json_t *value) {
    if (!json_is_array(value)) return pn_refuse_value(r->e, r->name, "a list", value);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *name = json_string_value(json_array_get(value, i));
        if (!name || strcmp(name, "text") != 0) return refuse(r, "only text is supported");
    }
    return true;
}

/* ---- the list ------------------------------------------------------------------------------------ */

#define FLAG(apis, name, field)                                                                    \
    {apis, name, FLAG_FIELD, offsetof(pn_params, field), 0, 0, NULL, NULL},
#define COUNT(apis, name, field, low, high)                                                        \
    {apis, name, COUNT_FIELD, offsetof(pn_params, field), low, high, NULL, NULL},
#define NUMBER(apis, name, field, low, high)                                                       \
    {apis, name, NUMBER_FIELD, offsetof(pn_params, field), low, high, NULL, NULL},
#define READ(apis, name, function) {apis, name, READ_FIELD, 0, 0, 0, function, NULL},
#define REFUSE(apis, name, why)    {apis, name, REFUSED_FIELD, 0, 0, 0, NULL, why},
static const field_row rows[] = {
#include "params.def"
};

static bool read_number(reader *r, const field_row *row, const json_t *value) {
    if (!json_is_number(value)) return pn_refuse_value(r->e, r->name, "a number", value);
    const double given = json_number_value(value);
    if (!(given >= row->low && given <= row->high))
        return pn_api_refuse(r->e, 400, PN_INVALID_REQUEST, NULL, r->name,
                             "%s: %g is outside %g..%g", r->name, given, row->low, row->high);
    const float number = (float)given;
    memcpy((char *)r->p + row->offset, &number, sizeof number);
    return true;
}

static bool read_row(reader *r, const field_row *row) {
    json_t *value = pn_field(r->body, row->name);
    int64_t count = 0;
    if (!value) return true;
    r->name = row->name;
    switch (row->kind) {
    case FLAG_FIELD:
        if (!json_is_boolean(value)) return pn_refuse_value(r->e, r->name, "true or false", value);
        *((bool *)((char *)r->p + row->offset)) = json_is_true(value);
        return true;
    case COUNT_FIELD:
        if (!read_int(value, r->name, (int64_t)row->low, (int64_t)row->high, &count, r->e))
            return false;
        memcpy((char *)r->p + row->offset, &(int32_t){(int32_t)count}, sizeof(int32_t));
        return true;
    case NUMBER_FIELD: return read_number(r, row, value);
    case READ_FIELD: return row->read(r, value);
    case REFUSED_FIELD: return refuse(r, row->why);
    }
    return true;
}

/* What no single field says. */
static bool check_together(reader *r) {
    pn_params *p = r->p;
    if (p->best_of == 0) p->best_of = p->n;
    r->name = "best_of";
    if (p->best_of < p->n) return refuse(r, "is less than n");
    if (p->best_of > p->n && p->stream) return refuse(r, "cannot be streamed");
    return true;
}

bool pn_params_read(pn_params *p, const pn_service *service, pn_api api, json_t *body,
                    pn_api_error *e) {
    *p = (pn_params){.sampler = service->defaults, .max_tokens = -1, .n = 1, .n_logprobs = -1};
    p->sampler.grammar = NULL;
    p->sampler.logit_bias = NULL;
    p->sampler.n_logit_bias = 0;
    reader r = {p, service, body, api, "", e};
    bool ok = true;
    /* these two lists are replaced by the request's own, which pn_params_free frees */
    const char *const *breakers = p->sampler.dry_sequence_breakers;
    const int32_t n_breakers = p->sampler.n_dry_sequence_breakers;
    p->sampler.dry_sequence_breakers = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && ok; i++)
        if (rows[i].apis & (unsigned)api) ok = read_row(&r, &rows[i]);
    ok = ok && check_together(&r);
    p->body = json_incref(body);
    p->own_breakers = p->sampler.dry_sequence_breakers != NULL;
    if (!p->own_breakers) {
        p->sampler.dry_sequence_breakers = breakers;
        p->sampler.n_dry_sequence_breakers = n_breakers;
    }
    if (!ok) pn_params_free(p);
    return ok;
}

void pn_params_free(pn_params *p) {
    puna_grammar_free(p->sampler.grammar);
    free((void *)(uintptr_t)p->sampler.logit_bias);
    if (p->own_breakers) free((void *)(uintptr_t)p->sampler.dry_sequence_breakers);
    free(p->stops);
    json_decref(p->body);
    *p = (pn_params){0};
}

/* ---- bodies -------------------------------------------------------------------------------------- */

/* What a quick look at a JSON text shows, before memory is taken for it. */
typedef struct shape {
    size_t too_deep; /* where lists and objects are nested too deep, or SIZE_MAX */
    size_t n_values; /* at most so many are in it */
} shape;

static shape look_at(const char *s, size_t n) {
    shape found = {SIZE_MAX, 1};
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        const char c = s[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            found.n_values++;
            if (++depth > PN_MAX_JSON_DEPTH) {
                found.too_deep = i;
                break;
            }
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        } else if (c == ',') {
            found.n_values++;
        }
    }
    return found;
}

json_t *pn_body_parse(const char *text, size_t n, pn_api_error *e) {
    const shape seen = look_at(text, n);
    json_error_t error;
    json_t *body = NULL;
    if (n == 0)
        (void)pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, NULL,
                            "the body is empty: expected a JSON object");
    else if (seen.too_deep != SIZE_MAX)
        (void)pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, NULL,
                            "the body is nested deeper than %d at byte %zu", PN_MAX_JSON_DEPTH,
                            seen.too_deep);
    else if (seen.n_values > PN_MAX_JSON_VALUES)
        (void)pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, NULL,
                            "the body has more than %d values", PN_MAX_JSON_VALUES);
    else if (!(body = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error)))
        (void)pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, NULL,
                            "the body is not JSON: %.200s (line %d, column %d, byte %d)",
                            error.text, error.line, error.column, error.position);
    else if (!json_is_object(body))
        (void)pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, NULL,
                            "the body is a list: expected a JSON object");
    if (json_is_object(body)) return body;
    json_decref(body);
    return NULL;
}

json_t *pn_body_read(const pn_exchange *x, pn_api_error *e) {
    size_t n = 0;
    const char *text = pn_exchange_body(x, &n);
    return pn_body_parse(text, n, e);
}
