/* jinja_textops.h: operations on text that filters and methods share. All keep the origin of every byte. */
#ifndef PN_TMPL_JINJA_TEXTOPS_H
#define PN_TMPL_JINJA_TEXTOPS_H

#include "tmpl/jinja_render.h"

typedef enum pn_map {
    PN_MAP_UPPER,
    PN_MAP_LOWER,
    PN_MAP_CAPITALIZE,
    PN_MAP_TITLE,
    PN_MAP_SWAP,
    PN_MAP_FOLD
} pn_map;
bool pn_text_map(pn_render *r, const pn_text *text, pn_map map, pn_value *out);

enum { PN_STRIP_LEFT = 1, PN_STRIP_RIGHT = 2, PN_STRIP_BOTH = 3 };
/* chars NULL: white space */
bool pn_text_strip(pn_render *r, const pn_text *text, const pn_text *chars, int sides,
                   pn_value *out);

/* At most count replacements; count < 0: all. */
bool pn_text_replace(pn_render *r, const pn_text *text, const pn_text *old, const pn_text *with,
                     int64_t count, pn_value *out);

typedef enum pn_pad { PN_PAD_LEFT, PN_PAD_RIGHT, PN_PAD_CENTER } pn_pad; /* where the text goes */
/* fill NULL: spaces */
bool pn_text_pad(pn_render *r, const pn_text *text, int64_t width, const pn_text *fill,
                 pn_pad where, pn_value *out);

bool pn_text_wrap(pn_render *r, const pn_text *text, size_t width, bool break_long,
                  const pn_text *by, pn_value *out);
/* str.join over any iterable of texts */
bool pn_text_join(pn_render *r, const pn_text *between, const pn_value *items, pn_value *out);

#endif
