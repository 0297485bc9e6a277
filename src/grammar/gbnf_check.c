/* gbnf_check.c: what may be empty, which rules are recursive, and that none is left-recursive.
 *
 * Everything is linear in the size of the grammar and none of it recurses, whatever the grammar:
 * emptiness spreads from the leaves up, each node being looked at once for each child (Dowling and
 * Gallier, 1984); the order of the rules is that of Tarjan's strongly connected components. */
#include "grammar/gbnf.h"

#include <string.h>

/* Lists of rules, one for each rule: rules[first[r] .. first[r + 1]). */
typedef struct edges {
    int32_t *first, *rules;
} edges;

typedef struct checker {
    pn_gbnf *gbnf;
    puna_error *err;
    int32_t *parent;   /* [n_nodes]: a node, ~rule for the body of a rule, NONE */
    int32_t *missing;  /* [n_nodes]: children of a sequence not yet known to be nullable */
    int32_t *next_use; /* [n_nodes]: the next node that refers to the same rule, or NONE */
    int32_t *uses;     /* [n_rules]: the first */
    int32_t *queue;    /* [n_nodes] */
    int32_t n_queue;
    int32_t *path, *place, *low, *at; /* [n_rules]: of the walk along edges */
    edges all, left;
} checker;

#define NONE INT32_MIN

static bool alloc_ints(int32_t **list, size_t n) {
    return (*list = pn_alloc(n * sizeof **list)) != NULL;
}

static bool alloc_lists(checker *c) {
    const size_t n_nodes = (size_t)c->gbnf->n_nodes, n_rules = (size_t)c->gbnf->n_rules;
    return alloc_ints(&c->parent, n_nodes) && alloc_ints(&c->missing, n_nodes) &&
           alloc_ints(&c->next_use, n_nodes) && alloc_ints(&c->queue, n_nodes + 1) &&
           alloc_ints(&c->uses, n_rules) && alloc_ints(&c->path, n_rules) &&
           alloc_ints(&c->place, n_rules) && alloc_ints(&c->low, n_rules) &&
           alloc_ints(&c->at, n_rules) && alloc_ints(&c->all.first, n_rules + 1) &&
           alloc_ints(&c->all.rules, n_nodes) && alloc_ints(&c->left.first, n_rules + 1) &&
           alloc_ints(&c->left.rules, n_nodes) && alloc_ints(&c->gbnf->order, n_rules);
}

static void free_lists(checker *c) {
    int32_t *const lists[] = {c->parent,    c->missing,    c->next_use,  c->queue, c->uses,
                              c->path,      c->place,      c->low,       c->at,    c->all.first,
                              c->all.rules, c->left.first, c->left.rules};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) pn_free(lists[i]);
}

/* ---- what may be empty ----------------------------------------------------------------------- */

static void set_nullable(checker *c, int32_t node) {
    if (c->gbnf->nodes[node].nullable) return;
    c->gbnf->nodes[node].nullable = true;
    c->queue[c->n_queue++] = node;
}

static void link_nodes(checker *c) {
    const pn_gbnf *g = c->gbnf;
    for (int32_t i = 0; i < g->n_rules; i++) c->uses[i] = NONE;
    for (int32_t i = 0; i < g->n_nodes; i++) c->parent[i] = NONE;
    for (int32_t i = 1; i < g->n_nodes; i++) {
        const pn_gbnf_node *node = &g->nodes[i];
        if (node->kind == PN_GBNF_REPEAT) c->parent[node->a] = i;
        if (node->kind == PN_GBNF_SEQ || node->kind == PN_GBNF_ALT)
            for (int32_t k = 0; k < node->b; k++) c->parent[g->children[node->a + k]] = i;
        if (node->kind == PN_GBNF_RULE) {
            c->next_use[i] = c->uses[node->a];
            c->uses[node->a] = i;
        }
    }
    for (int32_t i = 0; i < g->n_rules; i++) c->parent[g->rules[i].body] = ~i;
    c->parent[0] = NONE; /* it has many */
}

static void set_rule_nullable(checker *c, int32_t rule) {
    c->gbnf->rules[rule].nullable = true;
    for (int32_t use = c->uses[rule]; use != NONE; use = c->next_use[use]) set_nullable(c, use);
}

static bool has_empty_child(const pn_gbnf *g, const pn_gbnf_node *node) {
    for (int32_t k = 0; k < node->b; k++)
        if (g->children[node->a + k] == 0) return true;
    return false;
}

static void find_nullable(checker *c) {
    const pn_gbnf *g = c->gbnf;
    link_nodes(c);
    for (int32_t i = 1; i < g->n_nodes; i++) {
        const pn_gbnf_node *node = &g->nodes[i];
        c->missing[i] = node->b;
        if ((node->kind == PN_GBNF_REPEAT && node->min == 0) ||
            (node->kind == PN_GBNF_ALT && has_empty_child(g, node)))
            set_nullable(c, i);
    }
    for (int32_t i = 0; i < g->n_rules; i++)
        if (g->rules[i].body == 0) set_rule_nullable(c, i);
    while (c->n_queue > 0) {
        const int32_t parent = c->parent[c->queue[--c->n_queue]];
        if (parent == NONE) continue;
        if (parent < 0)
            set_rule_nullable(c, ~parent);
        else if (g->nodes[parent].kind != PN_GBNF_SEQ || --c->missing[parent] == 0)
            set_nullable(c, parent);
    }
}

/* ---- which rule leads to which --------------------------------------------------------------- */

static void list_all(checker *c) {
    const pn_gbnf *g = c->gbnf;
    int32_t n = 0;
    for (int32_t r = 0; r < g->n_rules; r++) {
        c->all.first[r] = n;
        for (int32_t i = g->rules[r].first; i <= g->rules[r].body; i++)
            if (g->nodes[i].kind == PN_GBNF_RULE) c->all.rules[n++] = g->nodes[i].a;
    }
    c->all.first[g->n_rules] = n;
}

/* The rules that a text of rule r may begin with. */
static int32_t list_left_of(checker *c, int32_t r, int32_t n) {
    const pn_gbnf *g = c->gbnf;
    int32_t n_stack = 0;
    c->queue[n_stack++] = g->rules[r].body;
    while (n_stack > 0) {
        const pn_gbnf_node *node = &g->nodes[c->queue[--n_stack]];
        if (node->kind == PN_GBNF_RULE) c->left.rules[n++] = node->a;
        if (node->kind == PN_GBNF_REPEAT) c->queue[n_stack++] = node->a;
        if (node->kind != PN_GBNF_SEQ && node->kind != PN_GBNF_ALT) continue;
        for (int32_t k = 0; k < node->b; k++) {
            const int32_t child = g->children[node->a + k];
            if (child) c->queue[n_stack++] = child;
            if (node->kind == PN_GBNF_SEQ && !g->nodes[child].nullable) break;
        }
    }
    return n;
}

static void list_left(checker *c) {
    int32_t n = 0;
    for (int32_t r = 0; r < c->gbnf->n_rules; r++) {
        c->left.first[r] = n;
        n = list_left_of(c, r, n);
    }
    c->left.first[c->gbnf->n_rules] = n;
}

/* ---- left recursion -------------------------------------------------------------------------- */

/* path[from .. n_path) leads back to path[from]. */
static puna_status refuse_cycle(const checker *c, int32_t from, int32_t n_path) {
    enum { SHOWN = 5, NAME_BYTES = 24 };
    const pn_gbnf *g = c->gbnf;
    char names[(SHOWN + 2) * (NAME_BYTES + 5)] = "";
    size_t n = 0;
    for (int32_t i = from; i < n_path && i < from + SHOWN; i++) {
        const pn_gbnf_rule *rule = &g->rules[c->path[i]];
        const size_t length = rule->name_bytes < NAME_BYTES ? rule->name_bytes : NAME_BYTES;
        memcpy(names + n, rule->name, length);
        memcpy(names + n + length, " -> ", 5);
        n += length + 4;
    }
    if (n_path - from > SHOWN) memcpy(names + n, "... -> ", 8);
    const pn_gbnf_rule *rule = &g->rules[c->path[from]];
    int32_t line, column;
    pn_gbnf_place(g, rule->name, &line, &column);
    return pn_fail(c->err, PUNA_E_FORMAT, "grammar: line %d: left recursion: %s%.*s", line, names,
                   rule->name_bytes < NAME_BYTES ? (int)rule->name_bytes : NAME_BYTES, rule->name);
}

static puna_status refuse_left_recursion(checker *c) {
    enum { NEW, OPEN, DONE };
    const int32_t n_rules = c->gbnf->n_rules;
    int32_t *const state = c->place, n_path = 0;
    for (int32_t i = 0; i < n_rules; i++) state[i] = NEW;
    for (int32_t start = 0; start < n_rules; start++) {
        if (state[start] != NEW) continue;
        c->path[n_path++] = start;
        state[start] = OPEN;
        c->at[start] = c->left.first[start];
        while (n_path > 0) {
            const int32_t rule = c->path[n_path - 1];
            if (c->at[rule] == c->left.first[rule + 1]) {
                state[rule] = DONE;
                n_path--;
                continue;
            }
            const int32_t next = c->left.rules[c->at[rule]++];
            if (state[next] == OPEN) {
                int32_t from = n_path - 1;
                while (c->path[from] != next) from--;
                return refuse_cycle(c, from, n_path);
            }
            if (state[next] == DONE) continue;
            c->path[n_path++] = next;
            state[next] = OPEN;
            c->at[next] = c->left.first[next];
        }
    }
    return PUNA_OK;
}

/* ---- recursion ------------------------------------------------------------------------------- */

/* Tarjan's components along `all`. They come out with those first that others lead to. */
typedef struct component_walk {
    int32_t n_path, n_pending, n_seen, n_order;
    int32_t *pending; /* rules whose component is not complete */
} component_walk;

static void enter_rule(checker *c, component_walk *w, int32_t rule) {
    c->path[w->n_path++] = rule;
    w->pending[w->n_pending++] = rule;
    c->place[rule] = c->low[rule] = w->n_seen++;
    c->at[rule] = c->all.first[rule];
}

/* The rule at the end of the path has no more edges. */
static void leave_rule(checker *c, component_walk *w) {
    pn_gbnf *g = c->gbnf;
    const int32_t rule = c->path[--w->n_path];
    if (w->n_path > 0) {
        const int32_t before = c->path[w->n_path - 1];
        if (c->low[rule] < c->low[before]) c->low[before] = c->low[rule];
    }
    if (c->low[rule] != c->place[rule]) return;
    const bool alone = w->pending[w->n_pending - 1] == rule;
    for (int32_t member = -1; member != rule;) {
        member = w->pending[--w->n_pending];
        if (!alone) g->rules[member].recursive = true;
        g->rules[member].in_turn = w->n_order;
        g->order[w->n_order++] = member;
        c->place[member] = INT32_MAX; /* done */
    }
}

static void find_recursion(checker *c) {
    const int32_t n_rules = c->gbnf->n_rules;
    component_walk w = {.pending = c->uses};
    for (int32_t i = 0; i < n_rules; i++) c->place[i] = -1;
    for (int32_t start = 0; start < n_rules; start++) {
        if (c->place[start] >= 0) continue;
        enter_rule(c, &w, start);
        while (w.n_path > 0) {
            const int32_t rule = c->path[w.n_path - 1];
            if (c->at[rule] == c->all.first[rule + 1]) {
                leave_rule(c, &w);
                continue;
            }
            const int32_t next = c->all.rules[c->at[rule]++];
            if (next == rule) c->gbnf->rules[rule].recursive = true;
            if (c->place[next] < 0)
                enter_rule(c, &w, next);
            else if (c->place[next] < c->low[rule])
                c->low[rule] = c->place[next];
        }
    }
}

puna_status pn_gbnf_check(pn_gbnf *gbnf, puna_error *err) {
    checker c = {.gbnf = gbnf, .err = err};
    puna_status status;
    if (!alloc_lists(&c)) {
        status = pn_fail_nomem(err, (size_t)gbnf->n_nodes * sizeof(int32_t), "the grammar");
    } else {
        find_nullable(&c);
        list_all(&c);
        list_left(&c);
        status = refuse_left_recursion(&c);
        if (!status) find_recursion(&c);
    }
    free_lists(&c);
    return status;
}
