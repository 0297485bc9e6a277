/* schema_same.c: which values of a document are written alike.
 *
 * Schemas that are written alike say the same, wherever they stand: one of them is worked with, and
 * one rule serves all. (Not so where a document has several resources: there a reference depends on
 * where it stands.) */
#include "grammar/schema_impl.h"

typedef struct numbering {
    pn_build *b;
    pn_strmap texts;
    pn_intern values;
    int32_t n_texts;
    int32_t *stack; /* vectors being made */
    int32_t n, cap;
} numbering;

static bool push(numbering *x, int32_t value) {
    if (!pn_job_grow(&x->b->job, &x->stack, x->n, &x->cap, sizeof *x->stack)) return false;
    x->stack[x->n++] = value;
    return true;
}

static bool push_text(numbering *x, pn_json_text text) {
    int32_t old;
    if (!pn_job_charge(&x->b->job, text.n / 64 + 1)) return false;
    if (!pn_strmap_add(&x->texts, text.data, text.n, x->n_texts, &old)) {
        x->b->job.status = pn_fail_nomem(x->b->job.err, text.n, "the texts of a JSON schema");
        return false;
    }
    if (old < 0) old = x->n_texts++;
    return push(x, old);
}

/* The vector of a value: its kind, then texts and the numbers of the values in it. */
static bool number_value(numbering *x, pn_json *value) {
    const int32_t base = x->n;
    if (!push(x, value->kind)) return false;
    if (value->kind == PN_JSON_NUMBER || value->kind == PN_JSON_STRING) {
        if (!push_text(x, value->text)) return false;
    } else if (value->kind >= PN_JSON_ARRAY) {
        for (int32_t i = 0; i < value->n; i++) {
            const bool object = value->kind == PN_JSON_OBJECT;
            pn_json *item = object ? &value->members[i].value : &value->items[i];
            if ((object && !push_text(x, value->members[i].name)) || !number_value(x, item) ||
                !push(x, item->same))
                return false;
        }
    }
    value->same = pn_intern_add(&x->b->job, &x->values, x->stack + base, x->n - base, NULL);
    x->n = base;
    return value->same >= 0;
}

bool pn_same_number(pn_build *b) {
    numbering x = {.b = b};
    const bool done = number_value(&x, &b->doc.root);
    pn_strmap_free(&x.texts);
    if (!done) return false;
    b->firsts = pn_job_alloc(&b->job, (size_t)x.values.n, sizeof *b->firsts);
    for (int32_t i = 0; b->firsts && i < x.values.n; i++) b->firsts[i] = -1;
    return b->firsts != NULL;
}
