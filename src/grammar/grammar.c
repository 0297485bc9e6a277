/* grammar.c: the grammar object and its public functions. */
#include "grammar/grammar_impl.h"

#include <string.h>

#include "grammar/matcher.h"
#include "grammar/matcher_impl.h"
#include "grammar/schema.h"

/* Any JSON object. Blanks come where people put them, one space or the start of a new line with at
 * most 20 blanks before the text, so that a model cannot go on with blanks for ever; and nothing
 * comes behind the object. */
static const char json_gbnf[] =
    "root ::= object\n"
    "value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"
    "object ::= \"{\" ws (member (\",\" ws member)*)? \"}\"\n"
    "member ::= string ws \":\" ws value ws\n"
    "array ::= \"[\" ws (value ws (\",\" ws value ws)*)? \"]\"\n"
    "string ::= \"\\\"\" ([^\"\\\\\\x00-\\x1F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" hex{4}))* "
    "\"\\\"\"\n"
    "hex ::= [0-9a-fA-F]\n"
    "number ::= \"-\"? (\"0\" | [1-9] [0-9]*) (\".\" [0-9]+)? ([eE] [-+]? [0-9]+)?\n"
    "ws ::= (\" \" | \"\\n\" [ \\t]{0,20})?\n";

static puna_status build(puna_grammar *g, size_t n, const char *root, puna_error *err) {
    pn_gbnf gbnf = {0};
    puna_status status = pn_gbnf_parse(g->text, n, root, &gbnf, err);
    if (!status) status = pn_gbnf_check(&gbnf, err);
    if (!status) status = pn_rtn_build(&gbnf, &g->rtn, err);
    pn_gbnf_free(&gbnf);
    return status;
}

static char *copy_text(const char *text, size_t n) {
    char *copy = pn_alloc(n + 1);
    if (!copy) return NULL;
    if (n) memcpy(copy, text, n);
    copy[n] = 0;
    return copy;
}

puna_status pn_grammar_open(const char *gbnf, size_t n, const char *root, const char *report,
                            puna_grammar **grammar, puna_error *err) {
    if (n > PN_GBNF_MAX_BYTES)
        return pn_fail(err, PUNA_E_LIMIT, "grammar: %zu bytes, at most %zu", n, PN_GBNF_MAX_BYTES);
    puna_grammar *g = pn_calloc(1, sizeof *g);
    if (!g) return pn_fail_nomem(err, sizeof *g, "the grammar");
    atomic_init(&g->refs, 1);
    g->text = copy_text(gbnf, n);
    g->report = copy_text(report, strlen(report));
    const puna_status status =
        g->text && g->report ? build(g, n, root, err) : pn_fail_nomem(err, n, "the grammar");
    if (status)
        puna_grammar_free(g);
    else
        *grammar = g;
    return status;
}

/* ---- puna.h ---------------------------------------------------------------------------------- */

puna_status puna_grammar_open(const char *gbnf, size_t gbnf_bytes, const char *root,
                              puna_grammar **grammar, puna_error *err) {
    return pn_grammar_open(gbnf, gbnf_bytes, root ? root : "root", "", grammar, err);
}

puna_status puna_grammar_open_schema(const char *schema, size_t schema_bytes,
                                     puna_grammar **grammar, puna_error *err) {
    pn_buf gbnf = {0}, report = {0};
    puna_status status = pn_schema_to_gbnf(schema, schema_bytes, &gbnf, &report, err);
    if (!status)
        status = pn_grammar_open(gbnf.data, gbnf.n, "root", report.data ? report.data : "", grammar,
                                 err);
    pn_buf_free(&gbnf);
    pn_buf_free(&report);
    return status;
}

puna_status puna_grammar_open_json(puna_grammar **grammar, puna_error *err) {
    return pn_grammar_open(json_gbnf, sizeof json_gbnf - 1, "root", "", grammar, err);
}

puna_grammar *puna_grammar_retain(puna_grammar *grammar) {
    if (grammar) atomic_fetch_add(&grammar->refs, 1);
    return grammar;
}

void puna_grammar_free(puna_grammar *grammar) {
    if (!grammar || atomic_fetch_sub(&grammar->refs, 1) > 1) return;
    for (int i = 0; i < PN_MAX_IDLE_MATCHERS; i++)
        pn_matcher_free(atomic_exchange(&grammar->idle[i], NULL));
    pn_rtn_free(&grammar->rtn);
    pn_free(grammar->text);
    pn_free(grammar->report);
    pn_free(grammar);
}

const char *puna_grammar_text(const puna_grammar *grammar) {
    return grammar->text;
}

const char *puna_grammar_report(const puna_grammar *grammar) {
    return grammar->report;
}

/* ---- matching -------------------------------------------------------------------------------- */

static puna_status match_part(pn_matching *m, const puna_grammar_part *part, size_t *byte,
                              puna_error *err) {
    *byte = 0;
    if (!part->text) return pn_matching_token(m, part->token, err);
    const int32_t token = pn_matcher_named(m->matcher, part->text, part->text_bytes);
    if (token == PN_TOKEN_ANY) return pn_matching_text(m, part->text, part->text_bytes, byte, err);
    return pn_matching_named(m, token, part->text, part->text_bytes, err);
}

static puna_status match_parts(pn_matching *m, const puna_grammar_part *parts, int32_t n_parts,
                               puna_grammar_match *match, puna_error *err) {
    puna_status status = PUNA_OK;
    for (int32_t i = 0; i < n_parts && !status && !pn_matching_is_dead(m); i++) {
        match->part = i;
        status = match_part(m, &parts[i], &match->byte, err);
    }
    match->accepted = pn_matching_is_complete(m);
    match->is_prefix = !pn_matching_is_dead(m);
    return status;
}

puna_status puna_grammar_match_parts(const puna_grammar *grammar, const puna_grammar_part *parts,
                                     int32_t n_parts, puna_grammar_match *match, puna_error *err) {
    puna_grammar_match result = {.size = match->size};
    pn_matching m = {0};
    /* what is written to is the matchers that wait in it, which is safe from any thread */
    puna_status status = pn_matching_open((puna_grammar *)(uintptr_t)grammar, NULL, &m, err);
    if (status) return status;
    status = match_parts(&m, parts, n_parts, &result, err);
    pn_matching_close(&m);
    if (!status) memcpy(match, &result, match->size < sizeof result ? match->size : sizeof result);
    return status;
}

puna_status puna_grammar_accepts(const puna_grammar *grammar, const char *text, size_t text_bytes,
                                 bool *accepted, puna_error *err) {
    const puna_grammar_part part = {.text = text ? text : "", .text_bytes = text_bytes};
    puna_grammar_match match = {.size = sizeof match};
    const puna_status status = puna_grammar_match_parts(grammar, &part, 1, &match, err);
    if (!status) *accepted = match.accepted;
    return status;
}
