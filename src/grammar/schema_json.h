/* schema_json.h: the JSON text of a schema as a tree.
 *
 * Not jansson, because of what a schema needs: numbers keep their digits (0.1 is a tenth, and
 * bounds may lie beyond 64 bits), texts may hold U+0000, and all memory comes from pn_alloc and is
 * counted. Members keep their order; a name that occurs twice in an object is refused, as are half
 * surrogate pairs. */
#ifndef PN_GRAMMAR_SCHEMA_JSON_H
#define PN_GRAMMAR_SCHEMA_JSON_H

#include "base/error.h"
#include "base/mem.h"

#define PN_JSON_MAX_BYTES  ((size_t)16 << 20)
#define PN_JSON_MAX_VALUES ((size_t)500 * 1000)
#define PN_JSON_MAX_DEPTH  400

typedef enum pn_json_kind {
    PN_JSON_NULL,
    PN_JSON_FALSE,
    PN_JSON_TRUE,
    PN_JSON_NUMBER,
    PN_JSON_STRING,
    PN_JSON_ARRAY,
    PN_JSON_OBJECT
} pn_json_kind;

/* UTF-8, not NUL-terminated. */
typedef struct pn_json_text {
    const char *data;
    size_t n;
} pn_json_text;

typedef struct pn_json pn_json;
typedef struct pn_json_member pn_json_member;
typedef struct pn_json_index pn_json_index;

struct pn_json {
    uint8_t kind;     /* pn_json_kind */
    int32_t schema;   /* id of the schema that this value is read as, or -1 (schema_read.c) */
    int32_t resource; /* the resource that it belongs to (schema_refs.c) */
    int32_t n;        /* items or members */
    int32_t same;     /* alike in two values that are written alike (schema_same.c) */
    union {
        pn_json_text text; /* of a string; of a number: as it was written */
        pn_json *items;
        struct {
            pn_json_member *members;
            pn_json_index *index; /* NULL: few members */
        };
    };
};

struct pn_json_member {
    pn_json_text name;
    pn_json value;
};

typedef struct pn_json_doc {
    pn_arena arena;
    pn_json root;
    pn_json_index *indexes;
} pn_json_doc;

/* Zero *doc before; pn_json_close releases it also after a failure. text need not outlive it. */
puna_status pn_json_open(pn_json_doc *doc, const char *text, size_t n, puna_error *err);
void pn_json_close(pn_json_doc *doc);

/* The member's position in object, or -1. */
int32_t pn_json_find(const pn_json *object, pn_json_text name);
/* The member's value, or NULL. */
pn_json *pn_json_get(const pn_json *object, pn_json_text name);

bool pn_json_text_equal(pn_json_text a, pn_json_text b);
pn_json_text pn_json_text_of(const char *text);
/* Code points. */
int64_t pn_json_text_length(pn_json_text text);

#endif
