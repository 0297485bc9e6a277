/* schema_impl.h: what the parts of the schema conversion share.
 *
 * A schema is a JSON value in the place of one, with a number (pn_schema). What a schema says is a
 * list of alternatives (pn_shapes): each is a set of literals that must hold together, over some
 * kinds of values. The literals are not looked into until an alternative is written: "all keywords
 * of schema 7 that speak of values as such", "not its minLength", "has the property x". So $ref,
 * allOf, anyOf, oneOf, not and if are plain logic (schema_shapes.c).
 *
 * A conjunction (pn_conj) is a set of schemas, some negated, that a value fulfils all of: what a
 * property or an item must be. There are finitely many, each becomes one rule of the grammar, so
 * recursive schemas end. */
#ifndef PN_GRAMMAR_SCHEMA_IMPL_H
#define PN_GRAMMAR_SCHEMA_IMPL_H

#include "grammar/schema_automaton.h"
#include "grammar/schema_job.h"
#include "grammar/schema_json.h"
#include "grammar/schema_rules.h"

#include "base/strmap.h"

/* ---- keywords and formats -------------------------------------------------------------------- */

typedef enum pn_kw {
    PN_KW_NONE,
#define KEYWORD(id, name, form, about) PN_KW_##id,
#include "grammar/schema_keywords.def"
#undef KEYWORD
    PN_KW_N
} pn_kw;

/* Kinds of values, as bits. */
enum {
    PN_NULLS = 1,
    PN_BOOLEANS = 2,
    PN_NUMBERS = 4,
    PN_TEXTS = 8,
    PN_ARRAYS = 16,
    PN_OBJECTS = 32,
    PN_VALUES = 63,
    PN_N_KINDS = 6,
    PN_LOGIC = 64,
    PN_FRAME = 128,
    PN_NOTE = 256
};

/* What the value of a keyword is. */
typedef enum pn_form {
    PN_FORM_ANY,
    PN_FORM_TYPES, /* a type's name or a list of them */
    PN_FORM_LIST,
    PN_FORM_FLAG,
    PN_FORM_COUNT, /* an integer >= 0 */
    PN_FORM_NUMBER,
    PN_FORM_FACTOR, /* > 0 */
    PN_FORM_BOUND,  /* a number, or the flag of draft 4 */
    PN_FORM_TEXT,
    PN_FORM_PATTERN,
    PN_FORM_FORMAT,
    PN_FORM_NAMES,      /* a list of texts */
    PN_FORM_NAME_LISTS, /* lists of texts by name */
    PN_FORM_SCHEMA,
    PN_FORM_SCHEMAS, /* a list of at least one */
    PN_FORM_ITEMS,   /* a schema or a list of them */
    PN_FORM_SCHEMA_MAP,
    PN_FORM_PATTERN_MAP, /* schemas by pattern */
    PN_FORM_DEFINITIONS, /* schemas by name, of which only those are read that are referred to */
    PN_FORM_DEPENDENCIES /* schemas or lists of texts by name */
} pn_form;

const char *pn_kw_name(pn_kw kw);
pn_form pn_kw_form(pn_kw kw);
/* PN_KW_NONE: unknown. */
pn_kw pn_kw_find(pn_json_text name);
/* Kinds that the keyword constrains, or PN_LOGIC, PN_FRAME, PN_NOTE. */
int pn_kw_about(pn_kw kw);

/* What `format` names; NULL: unknown. */
typedef struct pn_format {
    const char *name;
    int about;
    const char *pattern, *outer; /* of numbers: the least and the greatest; NULL: an annotation */
} pn_format;
const pn_format *pn_format_find(pn_json_text name);

/* ---- schemas --------------------------------------------------------------------------------- */

typedef struct pn_shapes pn_shapes;

typedef struct pn_word {
    pn_kw kw;
    pn_json *value;
} pn_word;

typedef struct pn_schema {
    pn_json *json;
    /* where it stands: behind keyword via of schema parent, at a name or an index */
    int32_t parent;
    pn_kw via;
    int32_t index; /* -1: none */
    const pn_json_text *name;
    pn_json_text pointer; /* parent -1: the place, as a JSON pointer */
    pn_word *words;       /* its keywords, in their order */
    int32_t n_words;
    int32_t same; /* the first schema that is written like this one: it stands for all of them */
    int32_t ref, dynamic_ref; /* schemas referred to, -1: none */
    uint8_t kinds;            /* that its type, enum and const allow */
    uint8_t type_kinds;       /* that its type allows */
    uint8_t enum_kinds;       /* of the values in its enum */
    uint8_t about;            /* kinds that its keywords look into: it is worth a literal */
    bool typed;               /* has type, enum or const */
    bool finite;              /* has enum or const */
    bool integer;             /* of numbers its type allows integers alone */
    int32_t height;           /* of what it refers to in place; -1: being computed; 0: not yet */
    const pn_shapes *shapes;  /* pn_shapes_of */
} pn_schema;

typedef struct pn_resource {
    pn_json *root;
    pn_json_text uri;
} pn_resource;

typedef struct pn_anchor {
    pn_json *schema;
    int32_t resource;
    pn_json_text name;
    bool dynamic;
} pn_anchor;

/* ---- logic ----------------------------------------------------------------------------------- */

typedef enum pn_literal_op {
    PN_HOLDS,     /* the keywords of the schema about values as such */
    PN_FAILS,     /* keyword kw of the schema does not hold; arg: which part of it, see pn_negate */
    PN_FAILS_ALL, /* the whole schema does not hold; expanded only where needed */
    PN_FAILS_REST, /* of the schema's oneOf no other holds than number arg; likewise */
    PN_HAS,        /* an object has the property `name` */
    PN_LACKS,      /* an object has no property `name` */
    PN_UNEVALUATED /* unevaluatedProperties or -Items (kw) of the schema, beside `beside` */
} pn_literal_op;

typedef struct pn_shape pn_shape;

typedef struct pn_literal {
    uint8_t op;
    uint8_t kw;
    int32_t schema;
    int32_t arg;
    const pn_json_text *name;
    const pn_shape *beside;
} pn_literal;

struct pn_shape {
    uint8_t kinds;
    bool typed; /* a type was named: kinds is meant, not merely left open */
    int32_t n;
    pn_literal *literals;
    struct pn_object_facts **object; /* what it demands of an object, once that was asked for */
};

struct pn_shapes {
    int32_t n;
    const pn_shape **list;
};

/* Elements are 2 * schema, plus 1 when it is negated; ascending. */
typedef struct pn_conj {
    int32_t id, n;
    const int32_t *elements;
    const pn_shapes *shapes; /* pn_conj_shapes */
    const struct pn_cases *cases;
    int32_t rule; /* -1: none yet */
} pn_conj;

/* ---- the whole ------------------------------------------------------------------------------- */

typedef struct pn_build {
    pn_job job;
    pn_json_doc doc;
    pn_rules rules;
    pn_buf *report; /* NULL: none wanted */
    size_t report_begin;
    pn_buf path;        /* of the schema being read, for the report */
    pn_schema *schemas; /* of pn_realloc */
    int32_t n_schemas, cap_schemas;
    pn_resource *resources;
    int32_t n_resources, cap_resources;
    pn_anchor *anchors;
    int32_t n_anchors, cap_anchors;
    bool legacy_ref; /* $schema names draft 3 to 7: what is beside $ref does not count */
    int32_t *firsts; /* by pn_json.same: the first schema, -1: none yet */
    int32_t *refs;   /* schemas with a reference, the first n_followed of which were followed */
    int32_t n_refs, cap_refs, n_followed;
    pn_strmap patterns; /* pattern_list by text */
    struct pn_pattern **pattern_list;
    int32_t n_patterns, cap_patterns;
    pn_intern conj_index;
    pn_conj **conjs;
    int32_t cap_conjs;
    int32_t *queue; /* conjunctions whose rules are to be written */
    int32_t n_queue, cap_queue, n_written;
    const pn_conj *any_conj; /* of nothing: any value fulfils it */
    const pn_shapes *any;    /* its alternatives */
    pn_intern disjoint_index;
    uint8_t *disjoint;
    int32_t cap_disjoint;
    int32_t depth;  /* of calls that follow the nesting of values or schemas */
    pn_intern sets; /* sets of characters with a rule */
    const pn_expr **set_exprs;
    int32_t cap_set_exprs;
    const pn_expr *beyond_ascii; /* escapes of these characters; NULL: not made yet */
    const struct pn_builtins *builtins;
    const char *rule_name;   /* of the rule being written */
    pn_json_text at_pointer; /* where a reference leads, for the schema that is read there */
    /* what is being worked on, for messages */
    int32_t at_schema;
    pn_kw at_kw;
} pn_build;

/* A pattern of the schema, read once. */
typedef struct pn_pattern {
    int32_t number;
    const pn_regex *regex;
    pn_demand match, *aheads; /* for pn_pattern_matches */
} pn_pattern;

/* Fails, naming schema and keyword. Always false. */
bool pn_build_fail(pn_build *b, int32_t schema, pn_kw kw, puna_status status, const char *format,
                   ...) __attribute__((format(printf, 5, 6)));
/* From here on failures are about this. */
void pn_build_at(pn_build *b, int32_t schema, pn_kw kw);
/* Appends what the place of a schema adds to that of its parent. */
bool pn_build_put_step(pn_build *b, int32_t schema, pn_buf *out);
/* Appends text; false, and the job has failed, when memory runs out. */
bool pn_build_put(pn_build *b, pn_buf *out, const char *text, size_t n);

/* Reads the schemas of the document (schema_read.c). */
bool pn_schema_read_all(pn_build *b);
/* The number of a JSON value read as a schema (schema_read.c), -1 when the job failed. */
int32_t pn_schema_add(pn_build *b, pn_json *json, int32_t parent, pn_kw via, int32_t index,
                      const pn_json_text *name);
/* Numbers the document's values by how they are written (schema_same.c). */
bool pn_same_number(pn_build *b);
/* Notes resources and anchors (schema_refs.c). */
bool pn_refs_index(pn_build *b);
/* The schema that $ref or its like means, -1 when the job failed. */
int32_t pn_refs_follow(pn_build *b, int32_t schema, pn_kw kw, pn_json_text ref);
/* Calls visit for each schema in the value of a keyword, whatever its form is. */
typedef bool (*pn_visit)(void *user, pn_json *schema, int32_t index, const pn_json_text *name);
bool pn_kw_visit(pn_kw kw, pn_json *value, pn_visit visit, void *user);
bool pn_json_is_schema(const pn_json *value);

/* The keyword's value, or NULL. */
const pn_json *pn_schema_get(const pn_build *b, int32_t schema, pn_kw kw);
/* The schema in a keyword's value, -1 when it has none. */
int32_t pn_schema_child(const pn_build *b, int32_t schema, pn_kw kw);
/* A count (saturated), or `otherwise`. */
bool pn_schema_count(pn_build *b, int32_t schema, pn_kw kw, int64_t otherwise, int64_t *out);
bool pn_json_count(pn_job *job, const pn_json *value, int64_t *out);
/* Items before those that all others are like, the keyword of these (PN_KW_NONE: none) and of the
 * others. */
const pn_json *pn_schema_prefix(const pn_build *b, int32_t schema, pn_kw *kw);
int32_t pn_schema_rest(const pn_build *b, int32_t schema, pn_kw *kw);

const pn_pattern *pn_pattern_get(pn_build *b, const char *text, size_t n);
bool pn_pattern_matches(pn_build *b, const pn_pattern *pattern, pn_json_text text);
/* A format's pattern; outer: the other one. */
const pn_pattern *pn_pattern_of_format(pn_build *b, const pn_format *format, bool outer);

/* schema_shapes.c */
const pn_shapes *pn_shapes_of(pn_build *b, int32_t schema);
const pn_shapes *pn_shapes_without(pn_build *b, int32_t schema);
/* Only the literals about these kinds, and no negated schemas. */
const pn_shape *pn_shape_of_kinds(pn_build *b, const pn_shape *shape, int kinds);
const pn_shape *pn_shape_both(pn_build *b, const pn_shape *a, const pn_shape *c);
const pn_conj *pn_conj_of(pn_build *b, const int32_t *elements, int32_t n);
const pn_shapes *pn_conj_shapes(pn_build *b, const pn_conj *conj);
int pn_literal_about(const pn_build *b, const pn_literal *literal);

/* schema_check.c: whether a value of the schema fulfils another part of it */
typedef enum pn_truth { PN_NO, PN_MAYBE, PN_YES } pn_truth;
pn_truth pn_check(pn_build *b, const pn_json *value, int32_t schema);
pn_truth pn_check_conj(pn_build *b, const pn_json *value, const pn_conj *conj);
/* PN_NO: surely one of the literals does not hold. */
pn_truth pn_check_shape(pn_build *b, const pn_json *value, const pn_shape *shape);
bool pn_json_equal(pn_build *b, const pn_json *x, const pn_json *y);
int pn_json_kinds(const pn_json *value);

#endif
