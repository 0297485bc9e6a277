/* tmpl.h: chat templates: the Jinja that models carry, rendered with every byte's origin known.
 *
 * The language is Jinja2 3.1 as Hugging Face transformers sets it up: immutable sandbox, trim_blocks, lstrip_blocks,
 * loop controls, the `generation` tag, tojson without HTML escaping, raise_exception, strftime_now. Values are those
 * of Python: text is Unicode, integers do not overflow (beyond 256 bits they are an error), printing is str() and repr().
 *
 * Provenance: a byte of the output is TEMPLATE when it was written in the template (or in a trusted variable), DATA
 * when it came from any other variable, whatever filters, slices and joins it passed through. So the tokenizer can
 * read special tokens in the template's own text and nowhere else.
 *
 * Bounds: steps, call depth, bytes of output and of memory; a template that passes one ends in PUNA_E_LIMIT. A
 * parsed template is immutable and may be rendered by any number of threads at once. */
#ifndef PN_TMPL_TMPL_H
#define PN_TMPL_TMPL_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "puna.h"

typedef struct pn_tmpl pn_tmpl;

/* Parses n bytes of template. PUNA_E_FORMAT names the line and what was expected. Free with pn_tmpl_free. */
puna_status pn_tmpl_parse(const char *text, size_t n, pn_tmpl **tmpl, puna_error *err);
void pn_tmpl_free(pn_tmpl *tmpl);

typedef struct pn_tmpl_options {
    struct tm now;           /* the local time that strftime_now shows */
    uint64_t max_steps;      /* 0: 10 million */
    size_t max_output_bytes; /* 0: 64 MiB */
    size_t max_memory_bytes; /* 0: 160 MiB, everything a render allocates */
    int32_t max_depth;       /* macro calls inside each other; 0: 200 */
    const char *const
        *trusted; /* names of variables whose text counts as the template's, ended by NULL;
                                   NULL: bos_token, eos_token, unk_token and pad_token */
    const char *const *roles; /* values of `role` in an element of `messages` that count as the
                                   template's text too, ended by NULL; NULL: none */
    const char
        *vars_text; /* further variables: a JSON object as text, or NULL. Read by the template
                                   engine's own reader: integers beyond 64 bits, NaN and Infinity keep their
                                   value. A name given twice: this one counts. */
    size_t vars_text_bytes;
} pn_tmpl_options;

typedef enum pn_tmpl_origin { PN_TMPL_TEMPLATE = 0, PN_TMPL_DATA = 1 } pn_tmpl_origin;

typedef struct pn_tmpl_span {
    size_t begin, end; /* bytes of the output; spans touch, and cover all of it */
    pn_tmpl_origin origin;
    int32_t message; /* DATA from element i of the variable `messages`: i; else -1 */
} pn_tmpl_span;

typedef struct pn_tmpl_output {
    char *text; /* valid UTF-8, NUL-terminated; may hold NULs of its own */
    size_t n_bytes;
    pn_tmpl_span *spans; /* neighbours differ */
    size_t n_spans;
} pn_tmpl_output;

/* Renders with the members of vars (a JSON object, or NULL). options may be NULL. What the template refuses by
 * raise_exception is PUNA_E_ARG with the template's words, other failures of the template PUNA_E_FORMAT, bounds
 * PUNA_E_LIMIT. On failure *out is empty. Free with pn_tmpl_output_free. */
puna_status pn_tmpl_render(const pn_tmpl *tmpl, const json_t *vars, const pn_tmpl_options *options,
                           pn_tmpl_output *out, puna_error *err);
void pn_tmpl_output_free(pn_tmpl_output *out);

#endif
