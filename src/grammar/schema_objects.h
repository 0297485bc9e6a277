/* schema_objects.h: what is demanded of an object, for the files that compare and write objects. */
#ifndef PN_GRAMMAR_SCHEMA_OBJECTS_H
#define PN_GRAMMAR_SCHEMA_OBJECTS_H

#include "grammar/schema_emit.h"

#define PN_MAX_NAME_PATTERNS 5

/* A property that the schema names. */
typedef struct pn_property {
    pn_json_text name;
    bool required, lacking;
    bool named;           /* in `properties`, not only in required and the like */
    pn_elements extra;    /* what its value must also be: of negated keywords */
    const pn_conj *value; /* all that its value must be; pn_object_value */
} pn_property;

/* An object has some property that breaks a keyword (additionalProperties, patternProperties,
 * propertyNames). */
typedef struct pn_breach {
    int32_t schema;
    pn_kw kw;
} pn_breach;

typedef struct pn_object_facts {
    const pn_shape *shape;
    pn_property *list; /* in the order in which they are written */
    int32_t n, cap;
    pn_intern index; /* names to numbers in the list */
    int64_t min, max;
    bool closed; /* no names but those listed, and those that match a pattern */
    pn_breach breaches[4];
    int32_t n_breaches;
    const pn_pattern *patterns[PN_MAX_NAME_PATTERNS]; /* of patternProperties */
    int32_t n_patterns;
} pn_object_facts;

/* Of the shape, computed once; NULL when the job failed. */
pn_object_facts *pn_object_facts_of(pn_build *b, const pn_shape *shape);
/* What a property must be. known: which patterns of f match its name, or NULL to find out. */
bool pn_object_elements(pn_build *b, const pn_object_facts *f, pn_json_text name, const bool *known,
                        pn_elements *out);
/* Whether propertyNames surely allows a name. */
bool pn_object_allows(pn_build *b, const pn_object_facts *f, pn_json_text name);

#endif
