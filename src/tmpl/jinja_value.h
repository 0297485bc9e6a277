/* jinja_value.h: the values of a template and of Python, 16 bytes each, all in the render's arena.
 *
 * Text is UTF-8 and immutable; it carries the origin of its bytes, either one for all or a list of spans. An origin
 * is 0 for the template, 1 for data in general, 2+i for data of messages[i]. Numbers and containers carry one too:
 * it becomes the origin of their digits and brackets when they are printed. */
#ifndef PN_TMPL_JINJA_VALUE_H
#define PN_TMPL_JINJA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PN_FROM_TEMPLATE = 0, PN_FROM_DATA = 1, PN_FROM_MESSAGES = 2 };

typedef enum pn_kind {
    PN_V_UNSET, /* an argument that was not given */
    PN_V_UNDEFINED,
    PN_V_NONE,
    PN_V_BOOL,
    PN_V_INT,
    PN_V_BIG, /* beyond 64 bits */
    PN_V_FLOAT,
    PN_V_STRING,
    PN_V_LIST,
    PN_V_TUPLE,
    PN_V_VIEW, /* keys(), values(), items() of a dict */
    PN_V_ITER, /* what a lazy filter gives: can be walked once */
    PN_V_DICT,
    PN_V_RANGE,
    PN_V_NAMESPACE,
    PN_V_MACRO,
    PN_V_FUNCTION, /* a global function */
    PN_V_METHOD,   /* value.name, to be called */
    PN_V_LOOP,
    PN_V_CYCLER,
    PN_V_JOINER
} pn_kind;

typedef struct pn_text pn_text;
typedef struct pn_list pn_list;
typedef struct pn_dict pn_dict;
typedef struct pn_big pn_big;
typedef struct pn_undefined pn_undefined;
typedef struct pn_macro pn_macro;
typedef struct pn_loop pn_loop;
typedef struct pn_range pn_range;
typedef struct pn_method pn_method;
typedef struct pn_builtin pn_builtin;

typedef struct pn_value {
    uint8_t kind;
    int32_t origin; /* of numbers and containers; a text has its own */
    union {
        bool b;
        int64_t i;
        double f;
        const pn_text *text;
        pn_list *list; /* list, tuple, view, iter, cycler */
        pn_dict *dict; /* dict, namespace */
        const pn_big *big;
        const pn_undefined *undefined;
        const pn_macro *macro;
        pn_loop *loop;
        const pn_range *range;
        const pn_method *method;
        const pn_builtin *builtin;
    };
} pn_value;

typedef struct pn_text_span {
    size_t end; /* may lie beyond the text's own end: cut there */
    int32_t origin;
} pn_text_span;

/* The buffer behind texts that grew by concatenation: the newest one may be appended to in place. */
typedef struct pn_text_room {
    size_t used, cap, n_spans, cap_spans;
} pn_text_room;

struct pn_text {
    const char *data;
    size_t n;
    size_t n_chars; /* code points, or SIZE_MAX: not counted yet */
    const pn_text_span *spans;
    size_t n_spans; /* 0: one origin for all */
    int32_t origin;
    bool markup; /* Markup: adding other text to it escapes that text */
    pn_text_room *room;
};

struct pn_list {
    pn_value *items;
    size_t n, cap;
    size_t pos;       /* iter, cycler: items already given */
    const char *type; /* view, iter: the name Python prints */
};

typedef struct pn_entry {
    pn_value key, value;
    uint64_t hash;
} pn_entry;

struct pn_dict {
    pn_entry *entries; /* in order of insertion */
    size_t n, cap;
    uint32_t *index; /* open addressing: entry + 1; NULL while n is small */
    size_t index_cap;
};

struct pn_undefined {
    const char *hint; /* the whole message, or NULL */
    const char *type; /* of the object that lacks `name`, or NULL: a variable */
    pn_value name;
    bool secret; /* the sandbox hides the attribute */
};

struct pn_range {
    int64_t start, stop, step, n;
};

struct pn_method {
    pn_value self;
    const pn_builtin *builtin;
};

#endif
