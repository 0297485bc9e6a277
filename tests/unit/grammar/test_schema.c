/* test_schema.c: JSON schemas as grammars: texts that must and must not be derived, found by hand;
 * what is refused and with which words; the report; memory that runs out at every place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "grammar/schema.h"
#include "puna.h"
#include "unit/failing_allocator.h"

/* ---- texts ----------------------------------------------------------------------------------- */

#define MAX_TEXTS 12

/* Texts are separated by NUL in the table's strings: each list ends with NULL. */
typedef struct schema_case {
    const char *schema;
    const char *accept[MAX_TEXTS], *reject[MAX_TEXTS];
} schema_case;

static const schema_case types[] = {
    {"true", {"{}", "[1, \"a\", {\"b\": null}]", "-1.5e3"}, {"", "{", "tru", "[1,]"}},
    {"{}", {"{}", "null"}, {"undefined"}},
    {"{\"type\": \"null\"}", {"null"}, {"0", "\"null\"", "false"}},
    {"{\"type\": [\"string\", \"null\"]}", {"null", "\"a\""}, {"1", "[]"}},
    {"{\"type\": [\"integer\", \"number\"]}", {"1", "1.5"}, {"\"1\""}},
    {"{\"type\": \"object\"}",
     {"{}", "{\"a\": {\"b\": [1]}}", "{\n  \"a\": 1,\n  \"b\": 2\n}", "{\"a\":1,\"b\":2}"},
     {"[]", "{\"a\"}", "{ \n\"a\": 1}", "{\"a\" : 1}", "{\"a\":  1}"}},
    {"{\"type\": \"string\", \"nullable\": true}", {"null", "\"\""}, {"0"}},
    {"{\"description\": \"a\", \"x-y\": 1, \"type\": \"boolean\"}", {"true", "false"}, {"null"}},
};

static const schema_case texts[] = {
    {"{\"type\": \"string\"}",
     {"\"\"", "\"\\u00e9\\ud83d\\ude00\"", "\"\\/\"", "\"\x7f\"", "\"\xf0\x9f\x98\x80\""},
     {"\"\\ud83d\"", "\"\\ud83dx\"", "\"\\ude00\"", "\"\n\"", "\"\\x\""}},
    {"{\"minLength\": 2, \"maxLength\": 3}",
     {"\"ab\"", "\"abc\"", "\"\\u0061\\n\"", "\"\xf0\x9f\x98\x80\xc3\xa9\""},
     {"\"a\"", "\"abcd\"", "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"", "3"}},
    {"{\"pattern\": \"b\"}", {"\"abc\"", "\"b\"", "\"\\u00e9b\\n\""}, {"\"a\"", "\"\""}},
    {"{\"pattern\": \"^b\"}", {"\"bc\"", "\"b\\\"\""}, {"\"ab\""}},
    {"{\"pattern\": \"b$\"}", {"\"ab\"", "\"b\""}, {"\"ba\""}},
    {"{\"pattern\": \"^(a|b$)\"}", {"\"ac\"", "\"b\""}, {"\"bc\"", "\"c\""}},
    {"{\"pattern\": \"^.$\"}",
     {"\"a\"", "\"\xc3\xa9\"", "\"\\\"\""},
     {"\"\\n\"", "\"\"", "\"ab\""}},
    {"{\"pattern\": \"^[^a-y]$\"}",
     {"\"z\"", "\"\\n\"", "\"\xe6\x97\xa5\"", "\"\\u65e5\""},
     {"\"a\"", "\"\\u0061\"", "\"zz\""}},
    {"{\"pattern\": \"\\\\bfoo\\\\b\"}", {"\"foo\"", "\"a foo.\""}, {"\"afoo\"", "\"foob\""}},
    {"{\"pattern\": \"^\\\\u{1F600}\\\\x41\\\\cA\\\\/$\"}",
     {"\"\xf0\x9f\x98\x80"
      "A\\u0001/\""},
     {"\"A\""}},
    {"{\"pattern\": \"^(?=.*[A-Z])(?!.*x).{2,3}$\"}",
     {"\"aB\"", "\"Bab\""},
     {"\"ab\"", "\"Bx\"", "\"B\"", "\"Babc\""}},
    {"{\"pattern\": \"^[a-z]+$\", \"maxLength\": 3, \"not\": {\"const\": \"abc\"}}",
     {"\"ab\"", "\"abd\""},
     {"\"abc\"", "\"abcd\"", "\"\""}},
    {"{\"allOf\": [{\"pattern\": \"a\"}, {\"pattern\": \"b\"}], \"maxLength\": 2}",
     {"\"ab\"", "\"ba\""},
     {"\"aa\"", "\"a\"", "\"aba\""}},
    {"{\"enum\": [\"a\", \"\\n\\u0001/\\u00e9\"]}",
     {"\"a\"", "\"\\n\\u0001/\xc3\xa9\""},
     {"\"b\"", "\"\\u0061\""}},
    {"{\"format\": \"date\"}",
     {"\"2024-02-29\"", "\"2000-02-29\"", "\"0001-12-31\""},
     {"\"2023-02-29\"", "\"1900-02-29\"", "\"0000-01-01\"", "\"2024-04-31\"", "\"2024-1-01\""}},
    {"{\"format\": \"date-time\"}",
     {"\"2024-07-04T09:05:03Z\"", "\"2024-07-04T23:59:59.5-08:30\""},
     {"\"2024-07-04 09:05:03Z\"", "\"2024-07-04T24:00:00Z\"", "\"2024-07-04T09:05:03\""}},
    {"{\"format\": \"ipv4\"}",
     {"\"0.10.199.255\""},
     {"\"256.1.1.1\"", "\"01.1.1.1\"", "\"1.1.1\""}},
    {"{\"format\": \"ipv6\"}",
     {"\"::\"", "\"1:2:3:4:5:6:7:8\"", "\"fe80::1\"", "\"::1.2.3.4\""},
     {"\"1::2::3\"", "\"1:2:3:4:5:6:7\"", "\"12345::\"", "\"1:2:3:4:5:6:7:8:9\""}},
    {"{\"format\": \"email\", \"maxLength\": 100}",
     {"\"a.b+c@example.org\""},
     {"\"a@\"", "\"a..b@c.d\"", "\"a b@c.d\"", "\"@c.d\""}},
    {"{\"format\": \"uri\", \"minLength\": 1, \"maxLength\": 2083}",
     {"\"https://u:p@a.b:80/c/d?e=f#g\"", "\"urn:isbn:1\"", "\"http://[::1]/\""},
     {"\"a b\"", "\"/x\"", "\"http://a b\"", "\"http://%zz\""}},
    {"{\"format\": \"duration\"}",
     {"\"P1Y2M3DT4H5M6S\"", "\"PT1M\"", "\"P3W\""},
     {"\"P\"", "\"P1S\"", "\"P1Y3D\"", "\"PT\""}},
};

static const schema_case numbers[] = {
    {"{\"type\": \"integer\"}", {"0", "-7", "12345678901234567890"}, {"1.0", "1e3", "00", "-"}},
    {"{\"type\": \"number\"}", {"0.5", "-1E+9", "1e-5", "6.02e23"}, {".5", "1.", "1e", "NaN"}},
    {"{\"type\": \"integer\", \"minimum\": -12, \"exclusiveMaximum\": 207}",
     {"-12", "-1", "0", "206", "99"},
     {"-13", "207", "-0", "1000", "-100"}},
    {"{\"type\": \"integer\", \"minimum\": 12345678901234567890123}",
     {"12345678901234567890123", "99999999999999999999999", "100000000000000000000000"},
     {"12345678901234567890122", "9", "0"}},
    {"{\"type\": \"number\", \"minimum\": 0.25, \"maximum\": 1.5}",
     {"0.25", "0.3", "1", "1.50", "1.499999"},
     {"0.249", "1.51", "2", "0", "-1", "1.500001"}},
    {"{\"type\": \"number\", \"exclusiveMinimum\": -0.5, \"exclusiveMaximum\": 0}",
     {"-0.4", "-0.0001"},
     {"0", "-0.5", "-0", "-0.0", "-1", "0.1"}},
    {"{\"type\": \"number\", \"minimum\": 0}", {"0", "1e9", "2.5E-3"}, {"-1", "-1e-9"}},
    {"{\"minimum\": 5, \"exclusiveMinimum\": true}", {"5.1", "6"}, {"5", "5.0", "4"}},
    {"{\"type\": \"integer\", \"multipleOf\": 3600}",
     {"0", "3600", "-7200", "36000"},
     {"360", "1800", "3601"}},
    {"{\"type\": \"number\", \"multipleOf\": 0.05, \"minimum\": 0}",
     {"0.05", "1", "2.15", "0.1"},
     {"0.01", "0.075", "2.151"}},
    {"{\"multipleOf\": 1.5, \"minimum\": 0}", {"1.5", "3", "4.5", "3.0"}, {"1", "2.5", "0.15"}},
    {"{\"type\": \"integer\", \"format\": \"int32\"}",
     {"2147483647", "-2147483648"},
     {"2147483648", "-2147483649"}},
    {"{\"format\": \"uint8\"}", {"0", "255"}, {"-1", "256", "1.5"}},
    {"{\"format\": \"int64\", \"enum\": [9223372036854775807, 9223372036854775808, 0.5]}",
     {"9223372036854775807"},
     {"9223372036854775808", "0.5"}},
    {"{\"type\": \"integer\", \"not\": {\"multipleOf\": 2}}", {"1", "-3"}, {"0", "2", "10"}},
    {"{\"type\": \"integer\", \"minimum\": 0, \"not\": {\"enum\": [3, 4]}}",
     {"2", "5", "34"},
     {"3", "4"}},
    {"{\"type\": \"number\", \"minimum\": 0, \"maximum\": 2, \"not\": {\"type\": \"integer\"}}",
     {"0.5", "1.25"},
     {"1", "1.0", "0", "2"}},
    {"{\"enum\": [1.0, 2e2, -0.50]}", {"1", "1.0", "200", "2e2", "-0.5", "-0.50"}, {"2", "0.5"}},
    {"{\"enum\": [1, 2, 3.5, \"4\"], \"type\": \"integer\", \"minimum\": 2}",
     {"2"},
     {"1", "3.5", "\"4\""}},
};

static const schema_case arrays[] = {
    {"{\"items\": {\"type\": \"integer\"}, \"minItems\": 1, \"maxItems\": 3}",
     {"[1]", "[1,2]", "[ 1, 2, 3 ]", "[\n  1,\n  2\n]"},
     {"[]", "[1, 2, 3, 4]", "[\"a\"]", "[1,, 2]"}},
    {"{\"prefixItems\": [{\"type\": \"integer\"}, {\"type\": \"string\"}]}",
     {"[]", "[1]", "[1, \"a\"]"},
     {"[\"a\"]", "[1, 2]"}},
    {"{\"prefixItems\": [{\"type\": \"integer\"}], \"items\": {\"type\": \"null\"}, \"minItems\": "
     "2}",
     {"[1, null]", "[1, null, null]"},
     {"[1]", "[1, 1]", "[]"}},
    {"{\"items\": [{\"type\": \"integer\"}], \"additionalItems\": false}",
     {"[]", "[1]"},
     {"[1, 1]", "[null]"}},
    {"{\"type\": \"array\", \"items\": false}", {"[]", "[ ]"}, {"[1]"}},
    {"{\"type\": \"array\", \"items\": {\"type\": \"integer\"}, \"contains\": {\"const\": 7}}",
     {"[7]", "[1, 7, 2]", "[7, 7]"},
     {"[]", "[1, 2]"}},
    {"{\"type\": \"array\", \"items\": {\"enum\": [1, 2]}, \"contains\": {\"const\": 1}, "
     "\"minContains\": 0, \"maxContains\": 2, \"maxItems\": 3}",
     {"[]", "[2, 2, 2]", "[1, 2, 1]"},
     {"[1, 1, 1]", "[2, 2, 2, 2]"}},
    {"{\"items\": {\"enum\": [\"a\", \"b\", null]}, \"uniqueItems\": true, \"minItems\": 1}",
     {"[\"a\"]", "[null, \"b\", \"a\"]"},
     {"[]", "[\"a\", \"a\"]", "[\"b\", null, \"b\"]"}},
    {"{\"items\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 4}, \"uniqueItems\": true}",
     {"[4, 1]", "[1, 2, 3, 4]"},
     {"[1, 1]", "[5]"}},
    {"{\"prefixItems\": [{\"type\": \"integer\"}, {\"type\": \"string\"}], \"items\": false, "
     "\"uniqueItems\": true}",
     {"[1, \"a\"]"},
     {"[1, 1]"}},
    {"{\"type\": \"array\", \"not\": {\"items\": {\"type\": \"integer\"}}}",
     {"[\"a\"]", "[1, null]"},
     {"[]", "[1]"}},
    {"{\"allOf\": [{\"items\": {\"minimum\": 2}}, {\"items\": {\"type\": \"integer\", \"maximum\": "
     "3}}]}",
     {"[2, 3]", "[]"},
     {"[1]", "[4]", "[2.5]"}},
};

static const schema_case objects[] = {
    {"{\"properties\": {\"a\": {\"type\": \"integer\"}, \"b\": {}}, \"required\": [\"b\"]}",
     {"{\"b\": 1}", "{\"a\": 1, \"b\": [2]}"},
     {"{}", "{\"a\": 1}", "{\"b\": 1, \"a\": 1}", "{\"b\": 1, \"c\": 1}", "{\"b\": 1, \"b\": 1}"}},
    {"{\"properties\": {\"a\": {}}, \"required\": [\"z\"]}",
     {"{\"z\": 1}", "{\"a\": 1, \"z\": 2}"},
     {"{}", "{\"a\": 1}"}},
    {"{\"properties\": {\"a\": false, \"b\": true}}", {"{}", "{\"b\": 1}"}, {"{\"a\": 1}"}},
    {"{\"properties\": {\"a\": {}}, \"additionalProperties\": {\"type\": \"integer\"}}",
     {"{\"a\": \"x\", \"b\": 1}", "{\"aa\": 1}", "{\"\": 1}"},
     {"{\"b\": \"x\"}", "{\"aa\": \"x\"}", "{\"\\u0061\": \"x\"}"}},
    {"{\"patternProperties\": {\"^x\": {\"type\": \"integer\"}, \"y$\": {\"minimum\": 5}}, "
     "\"additionalProperties\": false}",
     {"{\"x\": 1}", "{\"xy\": 5}", "{\"y\": 7.5}", "{}"},
     {"{\"x\": 1.5}", "{\"xy\": 4}", "{\"xy\": 5.5}", "{\"z\": 1}"}},
    {"{\"patternProperties\": {\"^x\": {\"type\": \"integer\"}}}",
     {"{\"a\": \"b\", \"x\": 1}"},
     {"{\"x\": \"b\"}"}},
    {"{\"type\": \"object\", \"propertyNames\": {\"pattern\": \"^[a-z]+$\", \"maxLength\": 2}}",
     {"{\"ab\": 1}", "{}"},
     {"{\"abc\": 1}", "{\"A\": 1}"}},
    {"{\"type\": \"object\", \"propertyNames\": {\"enum\": [\"a\", \"b\"]}, "
     "\"additionalProperties\": {\"type\": \"null\"}}",
     {"{\"b\": null, \"a\": null}"},
     {"{\"c\": null}", "{\"a\": 1}"}},
    {"{\"properties\": {\"a\": {}, \"b\": {}, \"c\": {}}, \"minProperties\": 2}",
     {"{\"a\": 1, \"b\": 1}", "{\"b\": 1, \"c\": 1}", "{\"a\": 1, \"b\": 1, \"c\": 1}"},
     {"{}", "{\"a\": 1}", "{\"c\": 1}"}},
    {"{\"properties\": {\"a\": {}, \"b\": {}, \"c\": {}}, \"maxProperties\": 1}",
     {"{}", "{\"a\": 1}", "{\"c\": 1}"},
     {"{\"a\": 1, \"b\": 1}", "{\"b\": 1, \"c\": 1}"}},
    {"{\"additionalProperties\": {\"type\": \"null\"}, \"minProperties\": 1, \"maxProperties\": 2}",
     {"{\"a\": null}", "{\"a\": null, \"b\": null}"},
     {"{}", "{\"a\": null, \"b\": null, \"c\": null}"}},
    {"{\"properties\": {\"a\": {}, \"b\": {}}, \"dependentRequired\": {\"a\": [\"b\"]}}",
     {"{}", "{\"b\": 1}", "{\"a\": 1, \"b\": 1}"},
     {"{\"a\": 1}"}},
    {"{\"properties\": {\"a\": {}, \"b\": {\"type\": \"integer\"}}, \"dependencies\": {\"a\": "
     "{\"required\": [\"b\"], \"properties\": {\"b\": {\"minimum\": 3}}}}}",
     {"{\"b\": 1}", "{\"a\": 1, \"b\": 3}"},
     {"{\"a\": 1, \"b\": 2}", "{\"a\": 1}"}},
    {"{\"allOf\": [{\"properties\": {\"a\": {\"type\": \"integer\"}}}, {\"properties\": {\"b\": "
     "{}}}], \"unevaluatedProperties\": false}",
     {"{\"a\": 1, \"b\": 2}"},
     {"{\"c\": 1}", "{\"a\": \"x\"}"}},
    {"{\"enum\": [{\"a\": [1, {}], \"b\": null}]}",
     {"{\"a\": [1, {}], \"b\": null}", "{\"a\":[1,{}],\"b\":null}"},
     {"{\"b\": null, \"a\": [1, {}]}", "{\"a\": [1]}"}},
    {"{\"properties\": {\"a\\u0000\\\"\": {\"type\": \"null\"}}}",
     {"{\"a\\u0000\\\"\": null}"},
     {"{\"a\": null}"}},
};

static const schema_case logic[] = {
    {"{\"anyOf\": [{\"type\": \"integer\"}, {\"type\": \"string\", \"maxLength\": 1}]}",
     {"1", "\"a\""},
     {"1.5", "\"ab\"", "null"}},
    {"{\"oneOf\": [{\"type\": \"integer\", \"minimum\": 0}, {\"type\": \"integer\", \"maximum\": "
     "3}]}",
     {"-1", "4"},
     {"0", "3"}},
    {"{\"oneOf\": [{\"properties\": {\"a\": {\"type\": \"integer\"}}, \"required\": [\"a\"]}, "
     "{\"properties\": {\"b\": {\"type\": \"integer\"}}, \"required\": [\"b\"]}]}",
     {"{\"a\": 1}", "{\"b\": 1}"},
     {"{}", "{\"a\": 1, \"b\": 1}", "{\"a\": \"x\"}"}},
    {"{\"oneOf\": [{\"pattern\": \"a\"}, {\"pattern\": \"b\"}], \"type\": \"string\"}",
     {"\"a\"", "\"xbx\""},
     {"\"ab\"", "\"c\""}},
    {"{\"type\": \"object\", \"properties\": {\"k\": {\"enum\": [\"a\", \"b\"]}, \"v\": {}}, "
     "\"required\": [\"k\", \"v\"], \"if\": {\"properties\": {\"k\": {\"const\": \"a\"}}}, "
     "\"then\": {\"properties\": {\"v\": {\"type\": \"integer\"}}}, \"else\": {\"properties\": "
     "{\"v\": {\"type\": \"null\"}}}}",
     {"{\"k\": \"a\", \"v\": 1}", "{\"k\": \"b\", \"v\": null}"},
     {"{\"k\": \"a\", \"v\": null}", "{\"k\": \"b\", \"v\": 1}"}},
    {"{\"not\": {\"type\": [\"object\", \"array\", \"string\"]}}",
     {"1", "null", "true"},
     {"{}", "[]", "\"a\""}},
    {"{\"not\": {\"anyOf\": [{\"type\": \"object\"}, {\"type\": \"array\"}, {\"enum\": [1, \"a\", "
     "null, true]}]}}",
     {"2", "\"b\"", "false"},
     {"1", "\"a\"", "null", "true", "{}"}},
    {"{\"properties\": {\"a\": {}, \"b\": {}}, \"not\": {\"required\": [\"a\", \"b\"]}}",
     {"{}", "{\"a\": 1}", "{\"b\": 1}"},
     {"{\"a\": 1, \"b\": 1}"}},
    {"{\"$ref\": \"#/$defs/n\", \"$defs\": {\"n\": {\"properties\": {\"v\": {\"type\": "
     "\"integer\"}, \"next\": {\"$ref\": \"#/$defs/n\"}}, \"required\": [\"v\"]}}}",
     {"{\"v\": 1}", "{\"v\": 1, \"next\": {\"v\": 2}}"},
     {"{\"v\": 1, \"next\": {}}", "{\"next\": {\"v\": 1}}"}},
    {"{\"$id\": \"http://a.b/c\", \"properties\": {\"x\": {\"$ref\": \"#t\"}, \"y\": {\"$ref\": "
     "\"d#/$defs/u\"}, \"z\": {\"$ref\": \"#/$defs/a~1b%25\"}}, \"$defs\": {\"t\": {\"$anchor\": "
     "\"t\", \"type\": \"null\"}, \"o\": {\"$id\": \"d\", \"$defs\": {\"u\": {\"const\": 5}}}, "
     "\"a/b%\": {\"const\": 6}}}",
     {"{\"x\": null, \"y\": 5, \"z\": 6}"},
     {"{\"x\": 1}", "{\"y\": 6}", "{\"z\": 5}"}},
    {"{\"allOf\": [{\"enum\": [1, 2, \"x\"]}, {\"enum\": [2, \"x\", 3]}, {\"not\": {\"const\": "
     "\"x\"}}]}",
     {"2"},
     {"1", "3", "\"x\""}},
    {"{\"$schema\": \"http://json-schema.org/draft-07/schema#\", \"$ref\": \"#/definitions/a\", "
     "\"definitions\": {\"a\": {\"type\": \"integer\"}}}",
     {"1"},
     {"\"a\""}},
};

static bool derives(const puna_grammar *grammar, const char *text) {
    bool accepted = false;
    puna_error err = {0};
    if (puna_grammar_accepts(grammar, text, strlen(text), &accepted, &err) != PUNA_OK)
        fail_msg("%s: %s", text, err.msg);
    return accepted;
}

static void check_cases(const schema_case *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const schema_case *c = &cases[i];
        puna_grammar *grammar = NULL;
        puna_error err = {0};
        if (puna_grammar_open_schema(c->schema, strlen(c->schema), &grammar, &err) != PUNA_OK)
            fail_msg("%s: %s", c->schema, err.msg);
        for (int j = 0; j < MAX_TEXTS && c->accept[j]; j++)
            if (!derives(grammar, c->accept[j])) fail_msg("%s: no %s", c->schema, c->accept[j]);
        for (int j = 0; j < MAX_TEXTS && c->reject[j]; j++)
            if (derives(grammar, c->reject[j])) fail_msg("%s: %s", c->schema, c->reject[j]);
        puna_grammar_free(grammar);
    }
}

#define CASES(table)                                                                               \
    static void test_##table(void **state) {                                                       \
        (void)state;                                                                               \
        check_cases(table, sizeof table / sizeof table[0]);                                        \
    }

CASES(types)
CASES(texts)
CASES(numbers)
CASES(arrays)
CASES(objects)
CASES(logic)

/* ---- what is refused ------------------------------------------------------------------------- */

static const struct {
    const char *schema;
    puna_status status;
    const char *message; /* all of it */
} refused[] = {
    {"{\"a\": 1", PUNA_E_FORMAT, "schema: not JSON: line 1, column 8: expected ',' or '}'"},
    {"{\n \"a\": 1, \"a\": 2}", PUNA_E_FORMAT, "schema: the name \"a\" occurs twice in an object"},
    {"{\"const\": \"\\ud800\"}", PUNA_E_FORMAT,
     "schema: not JSON: line 1, column 12: no such escape, or half a character"},
    {"[]", PUNA_E_FORMAT, "schema: expected a schema: an object, true or false"},
    {"{\"properties\": {\"a\": {\"minLenght\": 1}}}", PUNA_E_UNSUPPORTED,
     "schema: #/properties/a: minLenght: this keyword is not known"},
    {"{\"properties\": {\"a\": {\"type\": \"int\"}}}", PUNA_E_FORMAT,
     "schema: #/properties/a: type: expected null, boolean, number, integer, string, array, "
     "object, or a list of these"},
    {"{\"minLength\": -1}", PUNA_E_FORMAT, "schema: #: minLength: expected an integer >= 0"},
    {"{\"multipleOf\": 0}", PUNA_E_FORMAT, "schema: #: multipleOf: expected a number > 0"},
    {"{\"required\": \"a\"}", PUNA_E_FORMAT, "schema: #: required: expected a list of names"},
    {"{\"items\": 1}", PUNA_E_FORMAT, "schema: #: items: expected a schema or a list of schemas"},
    {"{\"anyOf\": []}", PUNA_E_FORMAT, "schema: #: anyOf: expected a list of schemas"},
    {"{\"format\": \"regex\"}", PUNA_E_UNSUPPORTED,
     "schema: #: format: the format \"regex\" cannot be enforced"},
    {"{\"pattern\": \"(a)\\\\1\"}", PUNA_E_UNSUPPORTED,
     "schema: #: pattern: a back reference at byte 4"},
    {"{\"pattern\": \"a(?=b)\"}", PUNA_E_UNSUPPORTED,
     "schema: #: pattern: look-ahead (allowed only right behind a leading ^) at byte 3"},
    {"{\"pattern\": \"(?<!a)b\"}", PUNA_E_UNSUPPORTED, "schema: #: pattern: look-behind at byte 2"},
    {"{\"pattern\": \"\\\\p{L}\"}", PUNA_E_UNSUPPORTED,
     "schema: #: pattern: Unicode properties (\\p) at byte 1"},
    {"{\"pattern\": \"a{2,1}\"}", PUNA_E_FORMAT,
     "schema: #: pattern: a repetition whose counts are in reverse at byte 6"},
    {"{\"pattern\": \"[b-a]\"}", PUNA_E_FORMAT,
     "schema: #: pattern: a class with a range in reverse at byte 4"},
    {"{\"pattern\": \"(a\"}", PUNA_E_FORMAT, "schema: #: pattern: a group without ) at byte 2"},
    {"{\"patternProperties\": {\"[\": {}}}", PUNA_E_FORMAT,
     "schema: #: patternProperties: a class without ] at byte 1"},
    {"{\"$ref\": \"other.json\"}", PUNA_E_UNSUPPORTED,
     "schema: #: $ref: \"other.json\" points out of this schema; nothing else is read"},
    {"{\"$ref\": \"#/a\"}", PUNA_E_FORMAT, "schema: #: $ref: \"#/a\" does not exist"},
    {"{\"items\": {\"allOf\": [{\"$ref\": \"#/items\"}]}}", PUNA_E_FORMAT,
     "schema: #/items/allOf/0: $ref: leads back to a schema that is being defined: nothing could "
     "satisfy it"},
    {"{\"not\": {\"$ref\": \"#\"}}", PUNA_E_FORMAT,
     "schema: #/not: $ref: leads back to a schema that is being defined: nothing could satisfy it"},
    {"{\"type\": \"array\", \"uniqueItems\": true}", PUNA_E_UNSUPPORTED,
     "schema: #: uniqueItems: only items that are among at most 24 values can be told apart"},
    {"{\"type\": \"object\", \"not\": {\"additionalProperties\": {\"type\": \"null\"}}}",
     PUNA_E_UNSUPPORTED,
     "schema: #/not: additionalProperties: cannot be negated where names are open"},
    {"{\"enum\": []}", PUNA_E_FORMAT, "schema: #: no value satisfies this schema"},
    {"false", PUNA_E_FORMAT, "schema: #: no value satisfies this schema"},
    {"{\"properties\": {\"a\": {\"items\": {\"minimum\": 3, \"maximum\": 2}, \"minItems\": 1}}, "
     "\"required\": [\"a\"]}",
     PUNA_E_FORMAT, "schema: #/properties/a/items: no value satisfies this schema"},
    {"{\"properties\": {\"a\": {\"$ref\": \"#\"}}, \"required\": [\"a\"]}", PUNA_E_FORMAT,
     "schema: #/properties/a: no value satisfies this schema"},
    {"{\"type\": \"string\", \"pattern\": \"^a$\", \"minLength\": 2}", PUNA_E_FORMAT,
     "schema: #: no value satisfies this schema"},
    {"{\"minimum\": 1e600}", PUNA_E_LIMIT, "schema: #: minimum: a number of more than 500 digits"},
};

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        pn_buf gbnf = {0}, report = {0};
        puna_error err = {0};
        const puna_status status =
            pn_schema_to_gbnf(refused[i].schema, strlen(refused[i].schema), &gbnf, &report, &err);
        if (status != refused[i].status || strcmp(err.msg, refused[i].message) != 0)
            fail_msg("%s: %d: %s", refused[i].schema, (int)status, err.msg);
        assert_int_equal(gbnf.n, 0);
        assert_int_equal(report.n, 0);
        pn_buf_free(&gbnf);
        pn_buf_free(&report);
    }
}

static void append(pn_buf *text, const char *part, int times) {
    for (int i = 0; i < times; i++) assert_true(pn_buf_append(text, part, strlen(part)));
}

static void check_limit(pn_buf *text, const char *begin) {
    pn_buf gbnf = {0};
    puna_error err = {0};
    const puna_status status = pn_schema_to_gbnf(text->data, text->n, &gbnf, NULL, &err);
    if (status != PUNA_E_LIMIT || strncmp(err.msg, begin, strlen(begin)) != 0)
        fail_msg("%.80s: %d: %s", text->data, (int)status, err.msg);
    pn_buf_free(text);
    pn_buf_free(&gbnf);
}

/* Nesting, in the JSON and of what applies to one value, and the number of alternatives. */
static void test_bounds(void **state) {
    (void)state;
    pn_buf text = {0};
    append(&text, "{\"items\": ", 100000);
    append(&text, "{}", 1);
    append(&text, "}", 100000);
    check_limit(&text, "schema: nested deeper than 400 values");
    append(&text, "{\"not\": ", 300);
    append(&text, "{\"minimum\": 1}", 1);
    append(&text, "}", 300);
    check_limit(&text, "schema: #/.../not");
    append(&text, "{\"allOf\": [{}", 1);
    for (int i = 0; i < 16; i++)
        assert_true(
            pn_buf_printf(&text, ", {\"anyOf\": [{\"minimum\": %d}, {\"minLength\": %d}]}", i, i));
    append(&text, "]}", 1);
    check_limit(&text, "schema: #: allOf: more than 3000 alternatives");
}

/* ---- the report ------------------------------------------------------------------------------ */

static void test_report(void **state) {
    (void)state;
    static const char schema[] =
        "{\"title\": \"T\", \"properties\": {\"a/\\n\": {\"format\": \"double\", \"then\": {}, "
        "\"x-z\": 1}, \"b\": {\"$ref\": \"#/$defs/c\"}}, \"$defs\": {\"c\": {\"minLength\": 1}, "
        "\"unused\": {\"nonsense\": 1}}}";
    static const char expected[] = "before\n"
                                   "#: title: annotation\n"
                                   "#: properties: enforced\n"
                                   "#/properties/a~1\\x0a: x-z: annotation\n"
                                   "#/properties/a~1\\x0a: format: annotation\n"
                                   "#/properties/a~1\\x0a: then: annotation\n"
                                   "#/properties/b: $ref: enforced\n"
                                   "#: $defs: annotation\n"
                                   "#/$defs/c: minLength: enforced\n";
    pn_buf gbnf = {0}, report = {0};
    assert_true(pn_buf_append(&report, "before\n", 7));
    assert_int_equal(pn_schema_to_gbnf(schema, strlen(schema), &gbnf, &report, NULL), PUNA_OK);
    assert_string_equal(report.data, expected);
    pn_buf_free(&gbnf);
    pn_buf_free(&report);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static const char busy[] =
    "{\"properties\": {\"a\": {\"pattern\": \"^(a|b)*c\", \"minLength\": 3, \"not\": {\"const\": "
    "\"abc\"}}, \"b\": {\"type\": \"number\", \"minimum\": 0.5, \"multipleOf\": 0.25, \"maximum\": "
    "9}, \"c\": {\"items\": {\"enum\": [1, 2, \"x\"]}, \"uniqueItems\": true}, \"d\": {\"$ref\": "
    "\"#/$defs/e\"}, \"f\": {\"oneOf\": [{\"type\": \"integer\", \"minimum\": 3}, {\"type\": "
    "\"integer\", \"maximum\": 5}]}, \"g\": {\"contains\": {\"type\": \"null\"}, "
    "\"prefixItems\": [true]}, \"h\": {\"format\": \"date\"}, \"i\": {\"enum\": [\"a1\", \"a2\", "
    "\"a3\", \"a4\", \"a5\", \"a6\", \"a7\", \"a8\", \"a9\", \"b1\", \"b2\", \"b3\", \"b4\", "
    "\"b5\", \"b6\", \"b7\", \"b8\"]}}, \"additionalProperties\": {\"type\": \"null\"}, "
    "\"maxProperties\": 4, \"dependentRequired\": {\"a\": [\"b\"]}, \"$defs\": {\"e\": "
    "{\"$anchor\": "
    "\"e\", \"properties\": {\"x\": {\"$ref\": \"#\"}}, \"patternProperties\": {\"^y\": {}}}}}";

static void test_no_memory(void **state) {
    (void)state;
    bool done = false;
    for (long n = 0; !done; n++) {
        pn_buf gbnf = {0}, report = {0};
        puna_error err = {0};
        allocations_left = n;
        puna_set_allocator(&failing_allocator);
        const puna_status status = pn_schema_to_gbnf(busy, sizeof busy - 1, &gbnf, &report, &err);
        puna_set_allocator(NULL);
        done = status == PUNA_OK;
        if (!done && status != PUNA_E_NOMEM) fail_msg("%ld: %s", n, err.msg);
        if (!done) assert_int_equal(err.code, PUNA_E_NOMEM);
        pn_buf_free(&gbnf);
        pn_buf_free(&report);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),   cmocka_unit_test(test_texts),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_objects), cmocka_unit_test(test_logic),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_report),  cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
