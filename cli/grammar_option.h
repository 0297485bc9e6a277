/* grammar_option.h: the grammar that the options ask for. */
#ifndef PUNA_CLI_GRAMMAR_OPTION_H
#define PUNA_CLI_GRAMMAR_OPTION_H

#include "cli_options.h"

/* From --grammar, --grammar-file (--gbnf), --json-schema or --json-schema-file (--schema), of which
 * one may be given; NULL when none is. Returns an exit status, after a message: STATUS_USAGE when
 * the grammar is refused. The caller owns one reference to *grammar. */
int grammar_from_options(const options *o, puna_grammar **grammar);

#endif
