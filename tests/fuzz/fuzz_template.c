/* fuzz_template.c: any bytes as a template and its variables.
 *
 * Layout of an input: a template, a byte 0, the variables as JSON text (absent: those of a small chat). Whatever
 * parses must render within its bounds to valid UTF-8 whose spans cover it, the same twice. */
#include "replay.h"
#include "tmpl/jinja_unicode.h"
#include "tmpl/tmpl.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char chat[] = "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": "
                           "\"user\", \"content\": \"\\u00e9 <x>\"}],"
                           " \"tools\": [{\"name\": \"f\", \"n\": 1.5}], "
                           "\"add_generation_prompt\": true, \"bos_token\": \"<s>\"}";

static const char *const seeds[] = {
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m.content | trim "
    "+ '<|im_end|>' }}{% endfor %}",
    "{%- set ns = namespace(a=0) -%}{% for i in range(9) if i is odd %}{% set ns.a = ns.a + i %}{{ "
    "loop.index }}{% else %}-{% endfor %}",
    "{% macro f(a, b=2) %}{{ a ~ b }}{{ varargs }}{{ caller() if caller }}{% endmacro %}{% call "
    "f(1, 3, 4) %}x{% endcall %}{{ f(b=1) }}",
    "{{ tools | tojson(indent=2) }}{{ [1, 'a', none, 1.5, (2,)] }}{{ {'k': [true]} | dictsort }}{{ "
    "tools | map(attribute='n') | list }}",
    "{% set x | upper %}a{% endset %}{% filter indent(2) %}{{ x }}\nb{% endfilter %}{% with y = 1 "
    "%}{{ y }}{% endwith %}{# c #}",
    "{{ 'a,b c'.split(',') | join('-') | replace('b', 'xx') }}{{ 'abc'[::-1] }}{{ 'x'.center(9, "
    "'*') }}{{ 'aX'.title() }}",
    "{{ '%05d|%-4s|%.2f' % (42, 'a', 2.5) }}{{ '{:>6,.1f}|{!r}|{a[0]}'.format(1234.5, 'q', a=[1]) "
    "}}{{ strftime_now('%d %b %Y') }}",
    "{% for i in [1, [2, [3]]] recursive %}{{ loop(i) if i is iterable else i }}{{ loop.depth }}{% "
    "endfor %}{{ 2 ** 70 // 3 % 10 }}",
    "{% raw %}{{ x }}{% endraw %}{% if a is defined and not b or c in [1] %}1{% elif 1 < 2 <= 3 "
    "%}2{% else %}3{% endif %}",
    "{{ messages | groupby('role') | list }}{{ ['b', 'a'] | sort(reverse=true) | unique | batch(2, "
    "0) | list }}{{ 'a b' | wordwrap(1) }}",
    "{{ '\\u00e9\\x41' | tojson(ensure_ascii=true) }}{{ '<a>' | e ~ '<' }}{{ x }}\0{\"x\": [1, "
    "{\"y\": \"\\ud83d\\ude00\"}, 1e5, 99999999999999999999]}",
};

int64_t fuzz_n_accepted;

/* Behind each seed comes plain text, so that many a mutation leaves the tags whole. */
size_t fuzz_seed(int32_t index, uint8_t *data, size_t cap) {
    if ((size_t)index >= sizeof seeds / sizeof seeds[0]) return 0;
    static const char plain[] = "Text without tags: { nothing % happens # here }. ";
    const bool last =
        (size_t)index + 1 == sizeof seeds / sizeof seeds[0]; /* template, 0, variables */
    const char *const seed = seeds[index], *const vars = last ? seed + strlen(seed) + 1 : NULL;
    size_t n = strlen(seed);
    if (n + 1024 > cap) return 0;
    memcpy(data, seed, n);
    for (int i = 0; i < 12; i++, n += sizeof plain - 1) memcpy(data + n, plain, sizeof plain - 1);
    if (!vars) return n;
    data[n++] = 0;
    memcpy(data + n, vars, strlen(vars));
    return n + strlen(vars);
}

static void check_output(const pn_tmpl_output *out) {
    size_t at = 0;
    for (size_t i = 0; i < out->n_spans; i++) {
        if (out->spans[i].begin != at || out->spans[i].end <= at) abort();
        at = out->spans[i].end;
    }
    if (at != out->n_bytes || out->text[at] != 0) abort();
    for (size_t i = 0; i < out->n_bytes;) {
        uint32_t code;
        const size_t len = pn_utf8_decode(out->text + i, out->n_bytes - i, &code);
        if (!len) abort();
        i += len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *const zero = size ? memchr(data, 0, size) : NULL;
    const size_t n = zero ? (size_t)(zero - data) : size;
    pn_tmpl_options options = {
        .max_steps = 200000, .max_output_bytes = 1 << 20, .max_memory_bytes = 16 << 20};
    options.vars_text = zero ? (const char *)zero + 1 : chat;
    options.vars_text_bytes = zero ? size - n - 1 : sizeof chat - 1;
    pn_tmpl *tmpl = NULL;
    puna_error err = {0};
    if (pn_tmpl_parse((const char *)data, n, &tmpl, &err)) {
        if (err.msg[0] == 0 || tmpl) abort();
        return 0;
    }
    fuzz_n_accepted++;
    pn_tmpl_output first, second;
    const puna_status status = pn_tmpl_render(tmpl, NULL, &options, &first, &err);
    if (pn_tmpl_render(tmpl, NULL, &options, &second, NULL) != status) abort();
    if (status ? first.text != NULL
               : first.n_bytes != second.n_bytes ||
                     memcmp(first.text, second.text, first.n_bytes) != 0)
        abort();
    if (!status) check_output(&first);
    pn_tmpl_output_free(&first);
    pn_tmpl_output_free(&second);
    pn_tmpl_free(tmpl);
    return 0;
}
