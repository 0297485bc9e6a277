/* grammar_option.c: the grammar that the options ask for. */
#include "grammar_option.h"

#include <stdlib.h>
#include <string.h>

#include "cli_print.h"
#include "text_input.h"

static int open_grammar(const char *bytes, size_t n_bytes, bool is_schema, puna_grammar **grammar) {
    puna_error err = {0};
    const puna_status status = is_schema ? puna_grammar_open_schema(bytes, n_bytes, grammar, &err)
                                         : puna_grammar_open(bytes, n_bytes, NULL, grammar, &err);
    if (status == PUNA_OK) return STATUS_DONE;
    (void)print_failure(&err);
    return status == PUNA_E_NOMEM ? STATUS_FAILED : STATUS_USAGE;
}

static int open_file(const char *path, bool is_schema, puna_grammar **grammar) {
    text in = {0};
    int status = text_read_file(path, &in);
    if (status == STATUS_DONE) status = open_grammar(in.bytes, in.n_bytes, is_schema, grammar);
    free(in.bytes);
    return status;
}

int grammar_from_options(const options *o, puna_grammar **grammar) {
    const int n = (o->grammar != NULL) + (o->grammar_path != NULL) + (o->schema != NULL) +
                  (o->schema_path != NULL);
    *grammar = NULL;
    if (n > 1) return print_usage_error("give one grammar or one JSON schema, not %d", n);
    if (o->grammar) return open_grammar(o->grammar, strlen(o->grammar), false, grammar);
    if (o->schema) return open_grammar(o->schema, strlen(o->schema), true, grammar);
    if (o->grammar_path) return open_file(o->grammar_path, false, grammar);
    if (o->schema_path) return open_file(o->schema_path, true, grammar);
    return STATUS_DONE;
}
