/* fuzz_schema.c: any bytes as a JSON schema.
 *
 * Whatever is converted must be a grammar that can be opened (or is too large to be), and come out
 * the same twice; whatever is refused must leave the buffers alone and say why. */
#include "replay.h"
#include "base/utf8.h"
#include "grammar/schema.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const seeds[] = {
    "\"type\": [\"object\", \"null\"], \"properties\": {\"a\": {\"type\": \"integer\", "
    "\"minimum\": "
    "-12, \"maximum\": 30}, \"b\\u00e9\": {\"enum\": [\"x\", 1.5, null, [{}]]}}, \"required\": "
    "[\"a\"], \"additionalProperties\": false",
    "\"items\": {\"type\": \"string\", \"minLength\": 1, \"maxLength\": 9}, \"prefixItems\": "
    "[true, "
    "{\"format\": \"date\"}], \"minItems\": 2, \"maxItems\": 5",
    "\"pattern\": \"^[a-z\\\\d_]+(?:-|\\\\.)?(b{2,3}|c*)$\", \"maxLength\": 12, \"not\": "
    "{\"const\": "
    "\"abc\"}",
    "\"type\": \"number\", \"multipleOf\": 0.25, \"exclusiveMinimum\": -1, \"maximum\": 2e3",
    "\"$ref\": \"#/$defs/n\", \"$defs\": {\"n\": {\"properties\": {\"v\": {}, \"k\": {\"items\": "
    "{\"$ref\": \"#/$defs/n\"}}}, \"required\": [\"v\"]}}",
    "\"oneOf\": [{\"properties\": {\"k\": {\"const\": \"a\"}}, \"required\": [\"k\"]}, "
    "{\"properties\": {\"k\": {\"const\": \"b\"}, \"z\": {}}, \"minProperties\": 2}], \"anyOf\": "
    "[{}, {\"required\": [\"q\"]}]",
    "\"patternProperties\": {\"^x\": {\"type\": \"null\"}}, \"propertyNames\": {\"maxLength\": 4}, "
    "\"maxProperties\": 3, \"dependentRequired\": {\"x\": [\"xx\"]}",
    "\"if\": {\"type\": \"integer\"}, \"then\": {\"minimum\": 3}, \"else\": {\"type\": \"array\", "
    "\"contains\": {\"const\": 1}, \"maxContains\": 2, \"items\": {\"enum\": [1, 2]}, "
    "\"uniqueItems\": true}",
    "\"allOf\": [{\"properties\": {\"a\": {\"format\": \"email\", \"maxLength\": 40}}}, "
    "{\"properties\": {\"b\": false}}], \"unevaluatedProperties\": {\"type\": \"boolean\"}",
};

int64_t fuzz_n_accepted;

/* Each schema has a long description, so that many a mutation leaves the rest whole. */
size_t fuzz_seed(int32_t index, uint8_t *data, size_t cap) {
    static const char open[] = "{\"description\": \"", close[] = "\", ";
    static const char plain[] = "words that mean nothing, 0123456789; ";
    if ((size_t)index >= sizeof seeds / sizeof seeds[0]) return 0;
    size_t n = 0;
    if (cap < 4096 + strlen(seeds[index])) return 0;
    memcpy(data, open, sizeof open - 1);
    n = sizeof open - 1;
    for (int i = 0; i < 80; i++, n += sizeof plain - 1) memcpy(data + n, plain, sizeof plain - 1);
    memcpy(data + n, close, sizeof close - 1);
    n += sizeof close - 1;
    memcpy(data + n, seeds[index], strlen(seeds[index]));
    n += strlen(seeds[index]);
    data[n++] = '}';
    return n;
}

static bool same(const pn_buf *a, const pn_buf *b) {
    return a->n == b->n && (a->n == 0 || memcmp(a->data, b->data, a->n) == 0);
}

static void check_grammar(const pn_buf *gbnf) {
    puna_grammar *grammar = NULL;
    puna_error err = {0};
    const puna_status status = puna_grammar_open(gbnf->data, gbnf->n, NULL, &grammar, &err);
    if (status != PUNA_OK && status != PUNA_E_LIMIT) abort();
    if (!status) puna_grammar_free(grammar);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    pn_buf gbnf = {0}, report = {0}, again = {0};
    puna_error err = {0};
    const puna_status status = pn_schema_to_gbnf((const char *)data, size, &gbnf, &report, &err);
    if (status) {
        if (gbnf.n || report.n || !err.msg[0] || err.code != status) abort();
    } else {
        fuzz_n_accepted++;
        if (pn_utf8_valid(gbnf.data, gbnf.n) != gbnf.n) abort();
        if (report.n && report.data[report.n - 1] != '\n') abort();
        check_grammar(&gbnf);
    }
    if (pn_schema_to_gbnf((const char *)data, size, &again, NULL, NULL) != status) abort();
    if (!same(&gbnf, &again)) abort();
    pn_buf_free(&gbnf);
    pn_buf_free(&report);
    pn_buf_free(&again);
    return 0;
}
