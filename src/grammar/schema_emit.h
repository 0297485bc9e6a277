/* schema_emit.h: from alternatives to expressions, kind by kind. A shape handed to pn_emit_KIND
 * holds only literals about that kind; none of them is PN_FAILS_ALL. */
#ifndef PN_GRAMMAR_SCHEMA_EMIT_H
#define PN_GRAMMAR_SCHEMA_EMIT_H

#include "grammar/schema_chars.h"
#include "grammar/schema_impl.h"

/* The rule of a conjunction, made now or later (schema_emit.c). */
const pn_expr *pn_emit_conj(pn_build *b, const pn_conj *conj);
/* The same, with a rule that is there already. */
bool pn_emit_as(pn_build *b, const pn_conj *conj, int32_t rule);
/* A value of the schema as it stands, with blanks between its parts; a number in all its plain
 * forms. */
const pn_expr *pn_emit_literal(pn_build *b, const pn_json *value);
/* Many texts with their quotes; sorts them. */
const pn_expr *pn_emit_texts(pn_build *b, pn_json_text *texts, int32_t n);
/* Writes the rules that were asked for, and those that they ask for. */
bool pn_emit_all(pn_build *b);

/* A conjunction, ready to be written (schema_cases.c): values that its enums and consts leave, and
 * alternatives over one kind each, with negated schemas resolved and only literals about that
 * kind. */
typedef struct pn_cases {
    const pn_shape **list;
    int32_t n, cap;
    const pn_json **values;
    int32_t n_values, cap_values;
} pn_cases;
const pn_cases *pn_conj_cases(pn_build *b, const pn_conj *conj);

const pn_expr *pn_emit_number(pn_build *b, const pn_shape *shape);
/* The integers that the alternative leaves, when they are at most max; else NULL. */
const pn_json *pn_number_values(pn_build *b, const pn_shape *shape, int32_t max, int32_t *n);
const pn_expr *pn_emit_text(pn_build *b, const pn_shape *shape);
/* Names of properties: those of the alternative that match just the known patterns and are none of
 * those listed. */
typedef struct pn_name_demands {
    const pn_pattern *const *patterns;
    const bool *known; /* of pattern i: names match it; otherwise they must not */
    int32_t n_patterns;
    const pn_json_text *listed;
    int32_t n_listed;
} pn_name_demands;
const pn_expr *pn_emit_name(pn_build *b, const pn_shape *shape, const pn_name_demands *demands);
/* The name, if it is one of these. */
const pn_expr *pn_emit_listed_name(pn_build *b, pn_json_text name, const pn_name_demands *demands);
const pn_expr *pn_emit_array(pn_build *b, const pn_shape *shape);
const pn_expr *pn_emit_object(pn_build *b, const pn_shape *shape);

/* Whether surely no value that is generated for a is valid for b. PN_NO also when it cannot be
 * told. */
bool pn_conjs_disjoint(pn_build *b, const pn_conj *a, const pn_conj *c);
/* The same for alternatives over one kind. */
bool pn_numbers_disjoint(pn_build *b, const pn_shape *a, const pn_shape *c);
bool pn_texts_disjoint(pn_build *b, const pn_shape *a, const pn_shape *c);
bool pn_arrays_disjoint(pn_build *b, const pn_shape *a, const pn_shape *c);
bool pn_objects_disjoint(pn_build *b, const pn_shape *a, const pn_shape *c);

/* A growing set of what a value must fulfil: schemas, negated or not. */
typedef struct pn_elements {
    int32_t *list;
    int32_t n, cap;
} pn_elements;
/* A schema that says nothing is left out. schema < 0: none. */
bool pn_elements_add(pn_build *b, pn_elements *elements, int32_t schema, bool negated);
bool pn_elements_copy(pn_build *b, const pn_elements *from, pn_elements *to);
/* The conjunction of them. */
const pn_conj *pn_elements_conj(pn_build *b, const pn_elements *elements);

#endif
