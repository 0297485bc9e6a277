/* schema.h: from a JSON schema to a grammar in GBNF.
 *
 * The grammar derives JSON texts, and each of them is valid against the schema; which valid texts
 * it leaves out (the order of properties, white space, 1.0 for an integer) is in
 * docs/STRUCTURED-OUTPUT.md. A keyword that cannot be enforced is refused by name. The way there:
 * schema_json.c reads the text, schema_read.c finds the schemas in it, schema_shapes.c turns them
 * into alternatives, schema_emit.c and its neighbours write these as rules. */
#ifndef PN_GRAMMAR_SCHEMA_H
#define PN_GRAMMAR_SCHEMA_H

#include "base/error.h"
#include "base/mem.h"

/* Appends the grammar (start rule `root`) to *gbnf, and to *report lines "path: keyword: enforced"
 * or "path: keyword: annotation". report may be NULL. The caller owns both buffers; after a failure
 * they hold what they held before. PUNA_E_FORMAT: no JSON, no schema, or a schema that nothing
 * satisfies; PUNA_E_UNSUPPORTED: a keyword, or a use of one, that cannot be enforced; PUNA_E_LIMIT:
 * a bound was passed. The message names the path and the keyword. */
puna_status pn_schema_to_gbnf(const char *schema, size_t n, pn_buf *gbnf, pn_buf *report,
                              puna_error *err);

#endif
