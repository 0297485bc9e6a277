/* json.h: JSON text as a flat list of nodes, and writing JSON text.
 *
 * The text stays as it is and is owned by the caller: a node says where its value stands. So what
 * is only passed on keeps every digit, and memory is bounded by the number of values. RFC 8259,
 * with two tolerances: an escaped surrogate without its other half and bytes that are no UTF-8 are
 * U+FFFD when read. Of members with the same name the last one counts. */
#ifndef PN_BASE_JSON_H
#define PN_BASE_JSON_H

#include "base/mem.h"
#include "puna.h"

#define PN_JSON_MAX_DEPTH 128
#define PN_JSON_MAX_NODES (4 << 20)
#define PN_JSON_MAX_BYTES ((size_t)256 << 20)

typedef enum pn_json_kind {
    PN_JSON_NULL,
    PN_JSON_FALSE,
    PN_JSON_TRUE,
    PN_JSON_NUMBER,
    PN_JSON_STRING,
    PN_JSON_LIST,
    PN_JSON_OBJECT
} pn_json_kind;

/* Depth first: a list is followed by its items, an object by name, value, name, value, ... */
typedef struct pn_json_node {
    pn_json_kind kind;
    uint32_t begin, end; /* bytes of the text, quotes and brackets included */
    int32_t next;        /* the node after this one and all inside it */
    int32_t n;           /* items of a list, members of an object */
} pn_json_node;

/* Zeroed: empty. */
typedef struct pn_json {
    const char *text;
    size_t n_bytes;
    pn_json_node *nodes; /* nodes[0] is the whole value */
    int32_t n_nodes, cap;
} pn_json;

/* what: the name of the text in messages, which say where in it the fault is ("messages[2].content:
 * byte 71: ..."). PUNA_E_FORMAT, or PUNA_E_LIMIT beyond the bounds above. Free with pn_json_free,
 * also on failure. */
puna_status pn_json_parse(const char *text, size_t n, const char *what, pn_json *json,
                          puna_error *err);
/* The same for the value that text begins with; *used gets its bytes, blanks before it included. */
puna_status pn_json_parse_prefix(const char *text, size_t n, const char *what, pn_json *json,
                                 size_t *used, puna_error *err);
void pn_json_free(pn_json *json);

/* The value of a member of an object, or -1. */
int32_t pn_json_member(const pn_json *json, int32_t object, const char *name);
static inline pn_json_kind pn_json_kind_of(const pn_json *json, int32_t node) {
    return json->nodes[node].kind;
}
/* A word for messages: "a string". */
const char *pn_json_kind_name(pn_json_kind kind);
/* True for the string node that says exactly this. */
bool pn_json_equals(const pn_json *json, int32_t node, const char *text);

/* All append to buf and are false when memory runs out. */
/* What a string node says, escapes resolved, as valid UTF-8. */
bool pn_json_append_text(const pn_json *json, int32_t node, pn_buf *buf);
/* The JSON text of a node as it stands. */
bool pn_json_append_raw(const pn_json *json, int32_t node, pn_buf *buf);
/* Text as a JSON string with its quotes; what is no UTF-8 becomes U+FFFD. */
bool pn_json_put(pn_buf *buf, const char *text, size_t n);
static inline bool pn_buf_put(pn_buf *buf, const char *text) {
    size_t n = 0;
    while (text[n]) n++;
    return pn_buf_append(buf, text, n);
}

#endif
