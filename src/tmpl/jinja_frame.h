/* jinja_frame.h: names of one scope: the template, a macro's call, a turn of a loop, a with block. Assignments go
 * into the innermost frame; a name is looked up outwards, then among the globals. Frames live as long as the
 * rendering, since macros keep the one they were defined in. */
#ifndef PN_TMPL_JINJA_FRAME_H
#define PN_TMPL_JINJA_FRAME_H

#include "tmpl/jinja_render.h"

typedef struct pn_binding {
    int32_t name;
    pn_value value;
} pn_binding;

struct pn_frame {
    pn_frame *outer;
    pn_value *by_name; /* the template's own frame: a value for every name; else NULL */
    pn_binding *list;
    int32_t n, cap;
};

struct pn_macro {
    const pn_node *node;
    pn_frame *frame; /* where it was defined */
    const char *name;
};

struct pn_loop {
    const pn_node *node;
    pn_frame *frame;       /* around the loop */
    const pn_list *items;  /* what it walks: a list, or */
    const pn_range *range; /* numbers, which are not made into a list */
    size_t n, at;          /* items; the current one */
    int32_t depth;
    bool changed_once;
    pn_value last_changed;
};

#endif
