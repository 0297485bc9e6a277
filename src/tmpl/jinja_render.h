/* jinja_render.h: one rendering: its bounds, its memory, and the functions over values.
 *
 * Functions return false after a failure, which is then in r->status and *r->err. Every step and every piece of work
 * proportional to a size is charged; every allocation is counted. Nothing is freed before the rendering ends. */
#ifndef PN_TMPL_JINJA_RENDER_H
#define PN_TMPL_JINJA_RENDER_H

#include <jansson.h>
#include <time.h>

#include "base/error.h"
#include "tmpl/jinja_ast.h"

typedef struct pn_frame pn_frame;
typedef struct pn_render pn_render;

struct pn_render {
    const struct pn_tmpl *tmpl;
    const struct pn_tmpl_options *options;
    pn_arena arena;
    size_t used_bytes, max_bytes, max_output_bytes;
    uint64_t steps, max_steps;
    int32_t depth; /* nodes being walked inside each other, bounded for the C stack */
    int32_t calls, max_calls;
    uint64_t
        kept_frames; /* macros and recursive loops made so far: they remember the frame around them */
    int32_t line;    /* of the node being walked, for messages */
    int32_t data_origin; /* of values being read from variables */
    bool
        in_messages; /* the variable `messages` is being read: its elements have origins of their own */
    struct tm now;
    pn_value *globals;      /* by name id: variables, then built-in functions; UNSET: none */
    struct pn_builder *out; /* where statements print */
    puna_status status;
    puna_error *err;
};

#define PN_TMPL_MAX_VALUE_DEPTH 500  /* of lists in lists when they are printed, compared, read */
#define PN_TMPL_MAX_WALK_DEPTH  2500 /* of nodes walked: each costs some 300 bytes of stack */

/* ---- bounds, memory, failures (jinja_render.c) ---- */
bool pn_r_fail(pn_render *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool pn_r_limit(pn_render *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* From here on values are read for the variable `name`: sets their origin. */
void pn_r_begin_variable(pn_render *r, const char *name, size_t n);
bool pn_r_charge(pn_render *r, size_t steps);
void *pn_r_alloc(pn_render *r, size_t bytes);
/* n * size bytes */
void *pn_r_array(pn_render *r, size_t n, size_t size);

/* ---- text (jinja_text.c) ---- */
typedef struct pn_builder {
    pn_render *r;
    char *data;
    size_t n, cap, max; /* max: the output's bound, or SIZE_MAX */
    pn_text_span *spans;
    size_t n_spans, cap_spans;
    bool markup;
} pn_builder;

/* A builder with nothing in it; the memory comes with the first append. */
pn_builder pn_builder_new(pn_render *r);
bool pn_put(pn_builder *b, const char *data, size_t n, int32_t origin);
bool pn_put_c(pn_builder *b, const char *text, int32_t origin);
bool pn_put_code(pn_builder *b, uint32_t code, int32_t origin);
/* Bytes [from, to) of a text with their origins. */
bool pn_put_range(pn_builder *b, const pn_text *text, size_t from, size_t to);
bool pn_put_text(pn_builder *b, const pn_text *text);
/* n times the same character */
bool pn_put_fill(pn_builder *b, const pn_text *fill, size_t n);
bool pn_builder_text(pn_builder *b, pn_value *out);
/* A builder that begins with `text`, in place where possible. */
bool pn_builder_resume(pn_render *r, const pn_text *text, pn_builder *b);

bool pn_text_value(pn_render *r, const char *data, size_t n, int32_t origin,
                   pn_value *out); /* not copied */
bool pn_text_copy(pn_render *r, const char *data, size_t n, int32_t origin, pn_value *out);
bool pn_text_slice(pn_render *r, const pn_text *text, size_t from, size_t to,
                   pn_value *out);                      /* bytes */
int32_t pn_text_origin(const pn_text *text, size_t at); /* of the byte */
size_t pn_text_chars(const pn_text *text);
/* Byte offset of character i (<= the number of characters). */
size_t pn_text_offset(const pn_text *text, size_t i);
bool pn_text_is(const pn_text *text, const char *s);
/* First place >= from where needle begins and ends before to, or SIZE_MAX (also when the steps run out: r->status). */
size_t pn_text_find(pn_render *r, const pn_text *text, const pn_text *needle, size_t from,
                    size_t to);
bool pn_put_escaped(pn_builder *b, const pn_text *text); /* & < > ' " as HTML entities */
/* Text of length n with a NUL behind it, for C functions. */
const char *pn_text_c(pn_render *r, const pn_text *text);

/* ---- values (jinja_values.c, jinja_print.c) ---- */
pn_value pn_none(void);
pn_value pn_bool(bool b);
pn_value pn_int(int64_t i);
pn_value pn_float(double f);
bool pn_is_list_like(const pn_value *v); /* has list.items */
bool pn_is_number(const pn_value *v);    /* bool, int, float */
const char *pn_type_name(const pn_value *v);
bool pn_truth(const pn_value *v);

bool pn_list_new(pn_render *r, pn_kind kind, const char *type, pn_value *out);
bool pn_list_add(pn_render *r, pn_list *list, pn_value item);
bool pn_dict_new(pn_render *r, pn_value *out);
bool pn_dict_set(pn_render *r, pn_dict *d, pn_value key, pn_value value);
/* *found: the value or NULL; fails for keys that cannot be hashed. */
bool pn_dict_get(pn_render *r, const pn_dict *d, const pn_value *key, pn_value **found);

bool pn_undefined_name(pn_render *r, const char *name, size_t n, pn_value *out);
bool pn_undefined_attr(pn_render *r, const pn_value *object, pn_value name, pn_value *out);
bool pn_undefined_hint(pn_render *r, const char *hint, pn_value *out);
/* Fails with the message of an undefined value. */
bool pn_undefined_fail(pn_render *r, const pn_value *v);

bool pn_equal(pn_render *r, const pn_value *a, const pn_value *b, bool *equal);
/* *order < 0, 0, > 0; fails for types without order. op names the operator in the message. */
bool pn_compare(pn_render *r, const pn_value *a, const pn_value *b, const char *op, int *order);
bool pn_contains(pn_render *r, const pn_value *container, const pn_value *item, bool *found);
bool pn_length(pn_render *r, const pn_value *v, int64_t *n);

/* Walking any iterable. */
typedef struct pn_iter {
    pn_value source;
    size_t at;
    int64_t index;
} pn_iter;
bool pn_iter_open(pn_render *r, const pn_value *v, pn_iter *it);
/* *more is false at the end. */
bool pn_iter_next(pn_render *r, pn_iter *it, pn_value *item, bool *more);
/* The items as a fresh list, or the list itself where v is a list or tuple. */
bool pn_items_of(pn_render *r, const pn_value *v, pn_list **out);

bool pn_print(pn_builder *b, const pn_value *v);      /* str(v) */
bool pn_print_repr(pn_builder *b, const pn_value *v); /* repr(v) */
bool pn_to_text(pn_render *r, const pn_value *v, const pn_text **out);

/* Stable sort of rows of width values by their first; reverse keeps equal ones in order too. */
bool pn_sort_rows(pn_render *r, pn_value *rows, size_t n, size_t width, bool reverse);

/* ---- numbers (jinja_numbers.c, jinja_bigint.c) ---- */
bool pn_binary(pn_render *r, uint8_t op, const pn_value *a, const pn_value *b, pn_value *out);
bool pn_negate(pn_render *r, const pn_value *v, pn_value *out);
bool pn_parse_int(pn_render *r, const char *s, size_t n, int base, pn_value *out, bool *ok);
bool pn_parse_float(const char *s, size_t n, double *out);
/* Shortest digits that read back the same, as repr(float). */
size_t pn_format_double(double f, char out[40]);
bool pn_put_int(pn_builder *b, const pn_value *v);
double pn_as_double(const pn_value *v); /* bool, int, big, float */
bool pn_float_to_int(pn_render *r, double f, pn_value *out);

bool pn_big_from_int(pn_render *r, int64_t i, const pn_big **out);
bool pn_big_binary(pn_render *r, uint8_t op, const pn_value *a, const pn_value *b, pn_value *out);
int pn_big_compare(pn_render *r, const pn_value *a, const pn_value *b);
bool pn_big_negate(pn_render *r, const pn_value *v, pn_value *out);
bool pn_big_parse(pn_render *r, const char *digits, size_t n, bool negative, pn_value *out);
bool pn_big_put(pn_builder *b, const pn_value *v);
double pn_big_double(const pn_big *big);
bool pn_big_from_double(pn_render *r, double f, pn_value *out);
bool pn_big_is_negative(const pn_big *big);
bool pn_big_is_odd(const pn_big *big);

/* ---- attributes and items (jinja_access.c) ---- */
bool pn_get_attr(pn_render *r, const pn_value *v, const pn_value *name, pn_value *out);
bool pn_get_item(pn_render *r, const pn_value *v, const pn_value *key, pn_value *out);
bool pn_get_slice(pn_render *r, const pn_value *v, const pn_value part[3], pn_value *out);
/* "a.b.0": the attribute argument of filters. */
bool pn_get_path(pn_render *r, const pn_value *v, const pn_value *path, pn_value *out);

/* ---- calls (jinja_call.c) ---- */
typedef struct pn_args {
    pn_value *pos;
    size_t n_pos;
    pn_value *kw; /* name, value, name, value ... */
    size_t n_kw;  /* pairs */
} pn_args;

#define PN_MAX_PARAMS 8

/* A filter, test, method or global function. `params`: names divided by commas, bound to slots (UNSET: not given);
 * NULL: the function reads args itself. Filters, tests and methods find their subject in slots[0]. */
typedef bool pn_builtin_fn(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out);
struct pn_builtin {
    const char *name;
    const char *params;
    int n_required;
    pn_builtin_fn *fn;
};
/* self: put before the arguments, or NULL. */
bool pn_call_builtin(pn_render *r, const pn_builtin *f, const pn_value *self, const pn_args *args,
                     pn_value *out);
bool pn_call(pn_render *r, const pn_value *callee, const pn_args *args, pn_value *out);
bool pn_call_filter(pn_render *r, const pn_text *name, const pn_value *v, const pn_args *args,
                    pn_value *out);
bool pn_call_test(pn_render *r, const pn_text *name, const pn_value *v, const pn_args *args,
                  bool *result);
const pn_builtin *pn_find_builtin(const pn_builtin *list, const char *name, size_t n);
/* Arguments of builtins: text, int, bool. UNSET leaves *out as it is. */
bool pn_arg_text(pn_render *r, const pn_value *v, const char *what, const pn_text **out);
bool pn_arg_int(pn_render *r, const pn_value *v, const char *what, int64_t *out);
bool pn_arg_bool(pn_render *r, const pn_value *v, bool *out);

extern const pn_builtin pn_filters_text[], pn_filters_list[], pn_tests[], pn_globals[];
extern const pn_builtin pn_text_methods[], pn_text_search_methods[], pn_list_methods[],
    pn_dict_methods[], pn_number_methods[], pn_cycler_methods[];

/* ---- statements and expressions (jinja_eval.c, jinja_exec.c) ---- */
bool pn_eval(pn_render *r, pn_frame *frame, const pn_node *node, pn_value *out);
bool pn_eval_args(pn_render *r, pn_frame *frame, const pn_call_args *args, pn_args *out);
bool pn_apply_filters(pn_render *r, pn_frame *frame, const pn_node *node, const pn_value *input,
                      pn_value *out);
bool pn_lookup(pn_render *r, pn_frame *frame, int32_t name, pn_value *out);
bool pn_assign(pn_render *r, pn_frame *frame, int32_t name, const pn_value *v);
bool pn_exec_template(pn_render *r);
bool pn_call_macro(pn_render *r, const pn_macro *m, const pn_args *args, pn_value *out);
bool pn_call_loop(pn_render *r, pn_loop *loop, const pn_args *args, pn_value *out);
bool pn_loop_attr(pn_render *r, pn_loop *loop, const pn_text *name, pn_value *out, bool *found);
const char *pn_macro_name(const pn_macro *m);

/* ---- JSON, printf and str.format, dates ---- */
bool pn_to_json(pn_builder *b, const pn_value *v, const pn_text *indent, const pn_text *item,
                const pn_text *key, bool ensure_ascii, bool sort_keys);
bool pn_read_json_text(pn_render *r, const char *text, size_t n, pn_value *out);
bool pn_read_json(pn_render *r, const json_t *json, int depth, pn_value *out);
bool pn_percent_format(pn_render *r, const pn_text *format, const pn_args *args,
                       const pn_value *one, pn_value *out);
bool pn_str_format(pn_render *r, const pn_text *format, const pn_args *args, pn_value *out);
bool pn_strftime(pn_render *r, const pn_text *format, pn_value *out);

#endif
