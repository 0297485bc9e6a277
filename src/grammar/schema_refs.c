/* schema_refs.c: resources, anchors, and what $ref, $dynamicRef and $recursiveRef mean.
 *
 * A reference is resolved within the document: "#", "#/a/pointer", "#anchor", or the $id of a
 * schema in it before these. Nothing is ever fetched. A dynamic reference is supported where it can
 * mean only one schema. */
#include "grammar/schema_impl.h"

#include <string.h>

/* ---- URIs ------------------------------------------------------------------------------------ */

/* Up to the first '#'; *fragment gets what is behind it. */
static pn_json_text cut_fragment(pn_json_text uri, pn_json_text *fragment) {
    size_t n = 0;
    while (n < uri.n && uri.data[n] != '#') n++;
    if (fragment) *fragment = (pn_json_text){uri.data + n + 1, uri.n > n ? uri.n - n - 1 : 0};
    return (pn_json_text){uri.data, n};
}

/* Bytes of "scheme:" at the start, or 0. */
static size_t scheme_length(pn_json_text uri) {
    for (size_t i = 0; i < uri.n; i++) {
        if (uri.data[i] == ':') return i + 1;
        if (!uri.data[i] || strchr("/?#", uri.data[i])) return 0;
    }
    return 0;
}

/* What of the base stands before a relative URI: up to its last '/', or up to its path. */
static size_t base_length(pn_json_text base, bool rooted) {
    size_t n = scheme_length(base);
    if (base.n - n >= 2 && base.data[n] == '/' && base.data[n + 1] == '/') n += 2;
    if (rooted) {
        while (n < base.n && base.data[n] != '/') n++;
        return n;
    }
    size_t end = base.n;
    while (end > n && base.data[end - 1] != '/') end--;
    return end;
}

/* RFC 3986, section 5.2, without the removal of dots. */
static bool resolve_uri(pn_build *b, pn_json_text base, pn_json_text uri, pn_json_text *out) {
    uri = cut_fragment(uri, NULL);
    if (scheme_length(uri) || uri.n == 0) {
        *out = uri.n ? uri : base;
        return true;
    }
    const size_t n = base_length(base, uri.data[0] == '/');
    char *text = pn_job_alloc(&b->job, n + uri.n, 1);
    if (!text) return false;
    if (n) memcpy(text, base.data, n);
    memcpy(text + n, uri.data, uri.n);
    *out = (pn_json_text){text, n + uri.n};
    return true;
}

/* ---- the index ------------------------------------------------------------------------------- */

typedef struct indexer {
    pn_build *b;
    int32_t resource;
} indexer;

static const pn_json *get_text(const pn_json *schema, pn_kw kw) {
    const pn_json *value = pn_json_get(schema, pn_json_text_of(pn_kw_name(kw)));
    return value && value->kind == PN_JSON_STRING ? value : NULL;
}

static bool add_anchor(pn_build *b, pn_json *schema, pn_json_text name, bool dynamic) {
    if (!pn_job_grow(&b->job, &b->anchors, b->n_anchors, &b->cap_anchors, sizeof *b->anchors))
        return false;
    b->anchors[b->n_anchors++] = (pn_anchor){schema, schema->resource, name, dynamic};
    return true;
}

static int32_t add_resource(pn_build *b, pn_json *root, pn_json_text uri) {
    if (!pn_job_grow(&b->job, &b->resources, b->n_resources, &b->cap_resources,
                     sizeof *b->resources))
        return -1;
    b->resources[b->n_resources] = (pn_resource){root, uri};
    return b->n_resources++;
}

/* $id: of a fragment alone it is an anchor (drafts 6 and 7), else a resource begins. */
static bool index_id(indexer *x, pn_json *schema) {
    const pn_json *id = get_text(schema, PN_KW_ID);
    if (!id && x->b->legacy_ref) id = get_text(schema, PN_KW_OLD_ID);
    if (!id) return true;
    if (id->text.n && id->text.data[0] == '#') {
        pn_json_text name;
        cut_fragment(id->text, &name);
        return add_anchor(x->b, schema, name, false);
    }
    pn_json_text uri;
    if (!resolve_uri(x->b, x->b->resources[x->resource].uri, id->text, &uri)) return false;
    if (schema == &x->b->doc.root) {
        x->b->resources[0].uri = uri;
        return true;
    }
    x->resource = add_resource(x->b, schema, uri);
    schema->resource = x->resource;
    return x->resource >= 0;
}

static bool index_schema(void *user, pn_json *schema, int32_t index, const pn_json_text *name) {
    indexer x = *(const indexer *)user;
    (void)index;
    (void)name;
    if (schema->kind != PN_JSON_OBJECT) return true;
    schema->resource = x.resource;
    if (!pn_job_charge(&x.b->job, 2 + 8 * (size_t)schema->n) || !index_id(&x, schema)) return false;
    const pn_json *anchor = get_text(schema, PN_KW_ANCHOR);
    const pn_json *dynamic = get_text(schema, PN_KW_DYNAMIC_ANCHOR);
    if ((anchor && !add_anchor(x.b, schema, anchor->text, false)) ||
        (dynamic && !add_anchor(x.b, schema, dynamic->text, true)))
        return false;
    for (int32_t i = 0; i < schema->n; i++) {
        pn_json *value = &schema->members[i].value;
        const pn_kw kw = pn_kw_find(schema->members[i].name);
        if (kw && value->kind >= PN_JSON_ARRAY && !pn_kw_visit(kw, value, index_schema, &x))
            return false;
    }
    return true;
}

bool pn_refs_index(pn_build *b) {
    indexer x = {b, add_resource(b, &b->doc.root, (pn_json_text){"", 0})};
    return x.resource >= 0 && index_schema(&x, &b->doc.root, -1, NULL);
}

/* ---- fragments ------------------------------------------------------------------------------- */

static int hex_value(char c) {
    const char *hex = "0123456789abcdef";
    const char *found = c ? strchr(hex, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;
    return found ? (int)(found - hex) : -1;
}

/* Undoes %XX. */
static bool decode_percent(pn_build *b, pn_json_text text, pn_json_text *out) {
    char *data = pn_job_alloc(&b->job, text.n + 1, 1);
    size_t n = 0;
    if (!data) return false;
    for (size_t i = 0; i < text.n; i++) {
        const bool escape = text.data[i] == '%' && text.n - i > 2 &&
                            hex_value(text.data[i + 1]) >= 0 && hex_value(text.data[i + 2]) >= 0;
        data[n++] = escape ? (char)(hex_value(text.data[i + 1]) * 16 + hex_value(text.data[i + 2]))
                           : text.data[i];
        if (escape) i += 2;
    }
    *out = (pn_json_text){data, n};
    return true;
}

/* The next reference token of a pointer at *at (behind its '/'), with ~0 and ~1 undone in
 * `token`. */
static pn_json_text next_token(pn_json_text pointer, size_t *at, char *token) {
    size_t n = 0;
    for (; *at < pointer.n && pointer.data[*at] != '/'; (*at)++) {
        const bool escape = pointer.data[*at] == '~' && *at + 1 < pointer.n &&
                            (pointer.data[*at + 1] == '0' || pointer.data[*at + 1] == '1');
        token[n++] = !escape ? pointer.data[*at] : pointer.data[*at + 1] == '0' ? '~' : '/';
        *at += escape;
    }
    return (pn_json_text){token, n};
}

static pn_json *item_at(pn_json *array, pn_json_text token) {
    int64_t index = 0;
    for (size_t i = 0; i < token.n; i++) {
        if (token.data[i] < '0' || token.data[i] > '9' || index > INT32_MAX) return NULL;
        index = 10 * index + (token.data[i] - '0');
    }
    return token.n && index < array->n ? &array->items[index] : NULL;
}

/* The value that a JSON pointer (RFC 6901) leads to, or NULL. */
static pn_json *follow_pointer(pn_build *b, pn_json *at, pn_json_text pointer) {
    char *token = pn_job_alloc(&b->job, pointer.n + 1, 1);
    if (!token) return NULL;
    for (size_t i = 0; i < pointer.n && at;) {
        i++;
        const pn_json_text name = next_token(pointer, &i, token);
        if (at->kind == PN_JSON_OBJECT)
            at = pn_json_get(at, name);
        else
            at = at->kind == PN_JSON_ARRAY ? item_at(at, name) : NULL;
    }
    return at;
}

static pn_json *find_anchor(const pn_build *b, int32_t resource, pn_json_text name) {
    for (int32_t i = 0; i < b->n_anchors; i++)
        if (b->anchors[i].resource == resource && pn_json_text_equal(b->anchors[i].name, name))
            return b->anchors[i].schema;
    return NULL;
}

/* ---- references ------------------------------------------------------------------------------ */

static int32_t find_resource(const pn_build *b, pn_json_text uri) {
    for (int32_t i = 0; i < b->n_resources; i++)
        if (pn_json_text_equal(b->resources[i].uri, uri)) return i;
    return -1;
}

static bool refuse(pn_build *b, int32_t schema, pn_kw kw, puna_status status, pn_json_text ref,
                   const char *why) {
    char name[PN_ESCAPED_BYTES];
    return pn_build_fail(b, schema, kw, status, "\"%s\" %s", pn_escape(name, ref.data, ref.n), why);
}

/* A dynamic reference means whichever schema of that anchor comes first on the way there: of one
 * there is no choice. */
static bool check_dynamic(pn_build *b, int32_t schema, pn_kw kw, pn_json_text ref,
                          pn_json_text name) {
    int32_t n = 0;
    if (kw == PN_KW_RECURSIVE_REF) n = b->n_resources;
    for (int32_t i = 0; kw == PN_KW_DYNAMIC_REF && i < b->n_anchors; i++)
        n += b->anchors[i].dynamic && pn_json_text_equal(b->anchors[i].name, name);
    return n < 2 || refuse(b, schema, kw, PUNA_E_UNSUPPORTED, ref,
                           "can mean more than one schema; that is not supported");
}

/* The schema at a place of the document; its number is new unless it was read already. */
static int32_t add_target(pn_build *b, pn_json *json, pn_json_text fragment) {
    const bool known = json->schema >= 0;
    const int32_t before = b->n_schemas;
    if (known) return json->schema;
    b->at_pointer = fragment;
    const int32_t target = pn_schema_add(b, json, -1, PN_KW_NONE, -1, NULL);
    return target < 0 ? -1 : before;
}

int32_t pn_refs_follow(pn_build *b, int32_t schema, pn_kw kw, pn_json_text ref) {
    pn_json_text fragment, uri;
    const int32_t from = b->schemas[schema].json->resource;
    pn_build_at(b, schema, kw);
    const bool here = cut_fragment(ref, &fragment).n == 0;
    if (!resolve_uri(b, b->resources[from].uri, ref, &uri) ||
        !decode_percent(b, fragment, &fragment))
        return -1;
    const int32_t resource = here ? from : find_resource(b, uri);
    if (resource < 0) {
        refuse(b, schema, kw, PUNA_E_UNSUPPORTED, ref,
               "points out of this schema; nothing else is read");
        return -1;
    }
    pn_json *root = b->resources[resource].root, *target = root;
    if (fragment.n && fragment.data[0] == '/')
        target = follow_pointer(b, root, fragment);
    else if (fragment.n)
        target = find_anchor(b, resource, fragment);
    if (b->job.status) return -1;
    if (!target || !pn_json_is_schema(target)) {
        refuse(b, schema, kw, PUNA_E_FORMAT, ref, target ? "is no schema" : "does not exist");
        return -1;
    }
    if (kw != PN_KW_REF && !check_dynamic(b, schema, kw, ref, fragment)) return -1;
    return add_target(b, target, fragment);
}
