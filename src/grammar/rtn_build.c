/* rtn_build.c: the tree of a grammar becomes a network (rtn.h).
 *
 * Every part of the tree is built from its end: given the node that follows, it yields the node it
 * begins with. So a node can be looked up by what it is and what follows, and equal ends of texts
 * exist once. The tree is walked with a stack of our own: it may be as deep as it likes.
 *
 * Repetitions: x* is a node that splits between x and what follows; x{m,n} with few, small copies is
 * written out; any other is a loop node, and the matcher counts. */
#include "grammar/rtn.h"

#include <string.h>

enum {
    MAX_COPIES = 64, /* of a repetition that is written out */
    MAX_COPIED_SIZE = 1024,
    MAX_WRITTEN_OUT = 64,     /* nodes of a rule that is not called */
    WRITE_OUT_UNTIL = 1 << 19 /* nodes of the network; beyond, rules are called */
};

static int32_t failed(pn_rtn_builder *b, puna_status status) {
    if (!b->status) b->status = status;
    return -1;
}

static int32_t no_memory(pn_rtn_builder *b) {
    return b->status
               ? -1
               : failed(b, pn_fail_nomem(b->err, (size_t)b->rtn->n_nodes * sizeof(pn_rtn_node),
                                         "the grammar"));
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* The slot of key, or the free one for it. */
static size_t slot_of(const pn_key_map *map, uint64_t key) {
    size_t i = (size_t)pn_hash(&key, sizeof key) & (map->cap - 1);
    while (map->keys[i] && map->keys[i] != key) i = (i + 1) & (map->cap - 1);
    return i;
}

static int32_t map_get(const pn_key_map *map, uint64_t key) {
    if (map->cap == 0) return -1;
    const size_t i = slot_of(map, key);
    return map->keys[i] ? map->values[i] : -1;
}

static void map_free(pn_key_map *map) {
    pn_free(map->keys);
    pn_free(map->values);
    *map = (pn_key_map){0};
}

static bool map_add(pn_key_map *map, uint64_t key, int32_t value) {
    if (map->n * 3 >= map->cap * 2) {
        pn_key_map grown = {.n = map->n, .cap = map->cap ? map->cap * 2 : 256};
        grown.keys = pn_calloc(grown.cap, sizeof *grown.keys);
        grown.values = pn_alloc(grown.cap * sizeof *grown.values);
        if (!grown.keys || !grown.values) {
            map_free(&grown);
            return false;
        }
        for (size_t i = 0; i < map->cap; i++) {
            if (!map->keys[i]) continue;
            const size_t k = slot_of(&grown, map->keys[i]);
            grown.keys[k] = map->keys[i];
            grown.values[k] = map->values[i];
        }
        map_free(map);
        *map = grown;
    }
    const size_t i = slot_of(map, key);
    map->n += !map->keys[i];
    map->keys[i] = key;
    map->values[i] = value;
    return true;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static int32_t add_node(pn_rtn_builder *b, pn_rtn_kind kind, int32_t what, int32_t next) {
    pn_rtn *rtn = b->rtn;
    if (b->status) return -1;
    if (rtn->n_nodes == PN_RTN_MAX_NODES)
        return failed(b, pn_fail(b->err, PUNA_E_LIMIT,
                                 "grammar: too large: more than %d states when written out",
                                 PN_RTN_MAX_NODES));
    if ((size_t)rtn->n_nodes == b->cap_nodes) {
        const size_t cap = b->cap_nodes ? b->cap_nodes * 2 : 256;
        pn_rtn_node *nodes = pn_realloc(rtn->nodes, cap, sizeof *nodes);
        if (!nodes) return no_memory(b);
        rtn->nodes = nodes;
        b->cap_nodes = cap;
    }
    rtn->nodes[rtn->n_nodes] = (pn_rtn_node){
        .kind = (uint32_t)kind & 15, .what = (uint32_t)what & 0xfffffff, .next = next};
    return rtn->n_nodes++;
}

int32_t pn_rtn_node_of(pn_rtn_builder *b, pn_rtn_kind kind, int32_t what, int32_t next) {
    if (next < 0 || what < 0) return -1;
    const uint64_t key = (uint64_t)kind << 60 | (uint64_t)(uint32_t)what << 32 | (uint32_t)next;
    int32_t node = map_get(&b->node_ids, key);
    if (node >= 0) return node;
    node = add_node(b, kind, what, next);
    if (node >= 0 && !map_add(&b->node_ids, key, node)) return no_memory(b);
    return node;
}

int32_t pn_rtn_split(pn_rtn_builder *b, int32_t one, int32_t other) {
    return one == other ? one : pn_rtn_node_of(b, PN_RTN_SPLIT, one, other);
}

int32_t pn_rtn_bytes(pn_rtn_builder *b, const pn_byte_set *set, int32_t next) {
    const char *key = (const char *)set;
    int32_t index = pn_strmap_get(&b->set_ids, key, sizeof *set), old;
    if (index < 0) {
        index = (int32_t)(b->set_list.n / sizeof(pn_byte_set *));
        pn_byte_set *copy = pn_arena_alloc(&b->set_arena, sizeof *copy);
        if (!copy || !pn_buf_append(&b->set_list, &copy, sizeof(pn_byte_set *)))
            return no_memory(b);
        *copy = *set;
        if (!pn_strmap_add(&b->set_ids, (const char *)copy, sizeof *copy, index, &old))
            return no_memory(b);
    }
    return pn_rtn_node_of(b, PN_RTN_BYTES, index, next);
}

static int32_t build_text(pn_rtn_builder *b, const pn_gbnf_node *node, int32_t next) {
    for (int32_t i = node->b; i-- > 0 && next >= 0;) {
        const unsigned char byte = (unsigned char)b->gbnf->bytes[node->a + i];
        pn_byte_set set = {0};
        set.words[byte >> 6] = (uint64_t)1 << (byte & 63);
        next = pn_rtn_bytes(b, &set, next);
    }
    return next;
}

/* ---- sizes: what is written out, and what is called ------------------------------------------ */

static bool is_written_out(const pn_rtn_builder *b, const pn_gbnf_node *repeat) {
    if (repeat->max == PN_GBNF_NO_MAX && repeat->min <= 1) return true;
    const uint32_t copies = repeat->max == PN_GBNF_NO_MAX ? repeat->min : repeat->max;
    return copies <= 1 ||
           (copies <= MAX_COPIES && (uint64_t)copies * b->sizes[repeat->a] <= MAX_COPIED_SIZE);
}

static uint64_t size_of(const pn_rtn_builder *b, const pn_gbnf_node *node) {
    const pn_gbnf *g = b->gbnf;
    uint64_t size = 0;
    switch ((pn_gbnf_kind)node->kind) {
    case PN_GBNF_EMPTY: return 0;
    case PN_GBNF_TEXT: return (uint64_t)node->b;
    case PN_GBNF_CLASS:
        return g->ranges[node->a + node->b - 1].last < 0x80 ? 1 : 8 + 4 * (uint64_t)node->b;
    case PN_GBNF_TOKEN: return 1;
    case PN_GBNF_RULE: {
        const pn_gbnf_rule *rule = &g->rules[node->a];
        return b->written_out[node->a] ? b->sizes[rule->body] : 1;
    }
    case PN_GBNF_ALT: size = (uint64_t)node->b - 1; /* fall through */
    case PN_GBNF_SEQ:
        for (int32_t k = 0; k < node->b; k++) size += b->sizes[g->children[node->a + k]];
        return size;
    case PN_GBNF_REPEAT: {
        if (!is_written_out(b, node)) return 1;
        const uint32_t copies = node->max == PN_GBNF_NO_MAX ? node->min : node->max;
        const uint32_t splits = node->max == PN_GBNF_NO_MAX ? 1 : node->max - node->min;
        return (uint64_t)b->sizes[node->a] * (copies ? copies : 1) + splits;
    }
    }
    return size;
}

/* From the rules that others are made of to those. */
static void find_sizes(pn_rtn_builder *b) {
    const pn_gbnf *g = b->gbnf;
    for (int32_t i = 0; i < g->n_rules; i++) {
        const int32_t r = g->order[i];
        const pn_gbnf_rule *rule = &g->rules[r];
        for (int32_t n = rule->first; n <= rule->body; n++) {
            const uint64_t size = size_of(b, &g->nodes[n]);
            b->sizes[n] = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
        }
        b->written_out[r] = !rule->recursive && b->sizes[rule->body] <= MAX_WRITTEN_OUT;
    }
}

/* ---- what is called -------------------------------------------------------------------------- */

static int32_t add_callee(pn_rtn_builder *b, int32_t body, bool nullable) {
    const pn_rtn_callee callee = {.start = -1, .nullable = nullable};
    const int32_t index = (int32_t)(b->callees.n / sizeof callee);
    if (!pn_buf_append(&b->callees, &callee, sizeof callee) ||
        !pn_buf_append(&b->bodies, &body, sizeof body))
        return no_memory(b);
    return index;
}

static int32_t callee_of_rule(pn_rtn_builder *b, int32_t rule) {
    if (b->callee_of[rule] < 0)
        b->callee_of[rule] =
            add_callee(b, b->gbnf->rules[rule].body, b->gbnf->rules[rule].nullable);
    return b->callee_of[rule];
}

/* The loop of a repetition; the same one wherever its rule is written out. */
static int32_t build_loop(pn_rtn_builder *b, int32_t repeat, int32_t next) {
    const pn_gbnf_node *node = &b->gbnf->nodes[repeat];
    const uint64_t key = (uint64_t)(uint32_t)repeat << 32 | UINT32_MAX;
    int32_t index = map_get(&b->built, key);
    if (index < 0) {
        const bool nullable = b->gbnf->nodes[node->a].nullable;
        pn_rtn_loop loop = {.min = nullable ? 0 : node->min, .max = node->max};
        loop.callee = add_callee(b, node->a, nullable);
        index = (int32_t)(b->loops.n / sizeof loop);
        if (loop.callee < 0) return -1;
        if (!pn_buf_append(&b->loops, &loop, sizeof loop) || !map_add(&b->built, key, index))
            return no_memory(b);
    }
    return pn_rtn_node_of(b, PN_RTN_LOOP, index, next);
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* A part of the tree that is under way. n_done: parts of it that are built. */
typedef struct task {
    int32_t part, next;
    int32_t so_far; /* the node its rest begins with; of a x* the splitting node */
    uint32_t n_done;
    bool remembered; /* the same part may be asked for again with the same continuation */
} task;

static bool push_task(pn_rtn_builder *b, int32_t part, int32_t next) {
    const task t = {.part = part, .next = next, .so_far = next};
    return pn_buf_append(&b->work, &t, sizeof t);
}

static uint64_t task_key(int32_t part, int32_t next) {
    return (uint64_t)(uint32_t)part << 32 | (uint32_t)next;
}

/* Goes on with a sequence (from its end), alternatives or a repetition; `built` is the node of the
 * part that was asked for last, when n_done > 0. Returns the part to be built next and the node
 * that follows it, or -1 when so_far is the result. */
static int32_t advance_sequence(const pn_gbnf *g, task *t, int32_t built, int32_t *next) {
    const pn_gbnf_node *node = &g->nodes[t->part];
    if (t->n_done > 0) t->so_far = built;
    *next = t->so_far;
    if (t->n_done == (uint32_t)node->b) return -1;
    return g->children[node->a + node->b - 1 - (int32_t)t->n_done++];
}

static int32_t advance_alternatives(pn_rtn_builder *b, task *t, int32_t built, int32_t *next) {
    const pn_gbnf_node *node = &b->gbnf->nodes[t->part];
    if (t->n_done > 0) t->so_far = t->n_done == 1 ? built : pn_rtn_split(b, built, t->so_far);
    *next = t->next;
    if (t->n_done == (uint32_t)node->b) return -1;
    return b->gbnf->children[node->a + (int32_t)t->n_done++];
}

/* x{m,} : m copies of x, the last of which leads to the split between it and what follows. */
static int32_t advance_endless(pn_rtn_builder *b, task *t, int32_t built, int32_t *next) {
    const pn_gbnf_node *node = &b->gbnf->nodes[t->part];
    if (t->n_done == 0) {
        t->so_far = add_node(b, PN_RTN_SPLIT, 0, t->next);
        if (t->so_far < 0) return -1;
    } else if (t->n_done == 1) {
        b->rtn->nodes[t->so_far].what = (uint32_t)built & 0xfffffff;
        if (node->min > 0) t->so_far = built;
    } else {
        t->so_far = built;
    }
    *next = t->so_far;
    if (t->n_done >= (node->min > 1 ? node->min : 1)) return -1;
    t->n_done++;
    return node->a;
}

/* x{m,n}: from the end, n-m copies that may be left out and m others. */
static int32_t advance_counted(pn_rtn_builder *b, task *t, int32_t built, int32_t *next) {
    const pn_gbnf_node *node = &b->gbnf->nodes[t->part];
    if (t->n_done > 0)
        t->so_far = t->n_done <= node->max - node->min ? pn_rtn_split(b, built, t->next) : built;
    *next = t->so_far;
    if (t->n_done == node->max) return -1;
    t->n_done++;
    return node->a;
}

static int32_t advance(pn_rtn_builder *b, task *t, int32_t built, int32_t *next) {
    const pn_gbnf_node *node = &b->gbnf->nodes[t->part];
    if (node->kind == PN_GBNF_SEQ) return advance_sequence(b->gbnf, t, built, next);
    if (node->kind == PN_GBNF_ALT) return advance_alternatives(b, t, built, next);
    return node->max == PN_GBNF_NO_MAX ? advance_endless(b, t, built, next)
                                       : advance_counted(b, t, built, next);
}

/* The node of a part without parts of its own; *done is false when it has some. */
static int32_t build_leaf(pn_rtn_builder *b, int32_t part, int32_t next, bool *done) {
    const pn_gbnf_node *node = &b->gbnf->nodes[part];
    *done = true;
    switch ((pn_gbnf_kind)node->kind) {
    case PN_GBNF_EMPTY: return next;
    case PN_GBNF_TEXT: return build_text(b, node, next);
    case PN_GBNF_CLASS: return pn_rtn_class(b, b->gbnf->ranges + node->a, node->b, next);
    case PN_GBNF_TOKEN:
        b->rtn->has_not_tokens |= node->b != 0;
        return pn_rtn_node_of(b, node->b ? PN_RTN_NOT_TOKEN : PN_RTN_TOKEN, node->a, next);
    case PN_GBNF_RULE:
        if (b->written_out[node->a] && b->rtn->n_nodes < WRITE_OUT_UNTIL) break;
        return pn_rtn_node_of(b, PN_RTN_CALL, callee_of_rule(b, node->a), next);
    case PN_GBNF_REPEAT:
        if (is_written_out(b, node)) break;
        return build_loop(b, part, next);
    case PN_GBNF_SEQ:
    case PN_GBNF_ALT: break;
    }
    *done = false;
    return -1;
}

/* The node that `part` followed by `next` begins with. */
static int32_t build_part(pn_rtn_builder *b, int32_t part, int32_t next) {
    int32_t node = -1; /* of the part that was finished last */
    b->work.n = 0;
    if (!push_task(b, part, next)) return no_memory(b);
    while (b->work.n > 0 && !b->status) {
        task *t = (task *)(void *)(b->work.data + b->work.n) - 1;
        const pn_gbnf_node *tree = &b->gbnf->nodes[t->part];
        bool done = false;
        if (t->n_done == 0) {
            t->remembered |= tree->kind == PN_GBNF_REPEAT;
            const int32_t known =
                t->remembered && t->part ? map_get(&b->built, task_key(t->part, t->next)) : -1;
            done = known >= 0;
            node = done ? known : build_leaf(b, t->part, t->next, &done);
        }
        if (!done && tree->kind == PN_GBNF_RULE) { /* is written out: its body in its place */
            t->part = b->gbnf->rules[tree->a].body;
            t->remembered = true;
            continue;
        }
        if (!done) {
            int32_t before, child = advance(b, t, node, &before);
            if (b->status) break;
            if (child >= 0) {
                if (!push_task(b, child, before)) return no_memory(b);
                continue;
            }
            node = t->so_far;
            if (t->remembered && !map_add(&b->built, task_key(t->part, t->next), node))
                return no_memory(b);
        }
        b->work.n -= sizeof *t;
    }
    return b->status ? -1 : node;
}

/* ---- byte classes ---------------------------------------------------------------------------- */

static void find_byte_classes(pn_rtn *rtn) {
    rtn->n_classes = 1;
    for (int32_t i = 0; i < rtn->n_sets && rtn->n_classes < 256; i++) {
        int16_t split_to[256];
        bool outside[256] = {false};
        for (int c = 0; c < 256; c++) split_to[c] = -1;
        for (unsigned byte = 0; byte < 256; byte++)
            if (!pn_byte_set_has(&rtn->sets[i], byte)) outside[rtn->class_of[byte]] = true;
        for (unsigned byte = 0; byte < 256; byte++) {
            const uint8_t class = rtn->class_of[byte];
            if (!pn_byte_set_has(&rtn->sets[i], byte) || !outside[class]) continue;
            if (split_to[class] < 0) split_to[class] = (int16_t)rtn->n_classes++;
            rtn->class_of[byte] = (uint8_t)split_to[class];
        }
    }
    for (int byte = 255; byte >= 0; byte--) rtn->byte_of[rtn->class_of[byte]] = (uint8_t)byte;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool begin(pn_rtn_builder *b) {
    const pn_gbnf *g = b->gbnf;
    b->sizes = pn_calloc((size_t)g->n_nodes, sizeof *b->sizes);
    b->written_out = pn_calloc((size_t)g->n_rules, sizeof *b->written_out);
    b->callee_of = pn_alloc((size_t)g->n_rules * sizeof *b->callee_of);
    if (!b->sizes || !b->written_out || !b->callee_of) return false;
    for (int32_t i = 0; i < g->n_rules; i++) b->callee_of[i] = -1;
    return true;
}

/* Builds the root, and what is called, and what that calls. */
static void build_all(pn_rtn_builder *b) {
    if (add_node(b, PN_RTN_END, 0, 0) < 0 || add_node(b, PN_RTN_ACCEPT, 0, 0) < 0) return;
    if (callee_of_rule(b, b->gbnf->root) < 0) return;
    for (size_t i = 0; i < b->callees.n / sizeof(pn_rtn_callee) && !b->status; i++) {
        const int32_t body = ((const int32_t *)(const void *)b->bodies.data)[i];
        const int32_t start = build_part(b, body, PN_RTN_END_NODE);
        ((pn_rtn_callee *)(void *)b->callees.data)[i].start = start;
    }
}

static void hand_over(pn_rtn_builder *b, pn_gbnf *gbnf) {
    pn_rtn *rtn = b->rtn;
    rtn->n_sets = (int32_t)(b->set_list.n / sizeof(pn_byte_set *));
    rtn->sets = pn_alloc((size_t)rtn->n_sets * sizeof *rtn->sets);
    if (!rtn->sets) {
        no_memory(b);
        return;
    }
    pn_byte_set *const *list = (pn_byte_set *const *)(void *)b->set_list.data;
    for (int32_t i = 0; i < rtn->n_sets; i++) rtn->sets[i] = *list[i];
    find_byte_classes(rtn);
    rtn->callees = (void *)b->callees.data;
    rtn->n_callees = (int32_t)(b->callees.n / sizeof *rtn->callees);
    rtn->loops = (void *)b->loops.data;
    rtn->n_loops = (int32_t)(b->loops.n / sizeof *rtn->loops);
    rtn->tokens = gbnf->tokens;
    rtn->n_tokens = gbnf->n_tokens;
    gbnf->tokens = NULL;
    b->callees = b->loops = (pn_buf){0};
}

static void free_builder(pn_rtn_builder *b) {
    map_free(&b->node_ids);
    map_free(&b->built);
    pn_strmap_free(&b->set_ids);
    pn_arena_free(&b->set_arena);
    pn_buf_free(&b->set_list);
    pn_free(b->sizes);
    pn_free(b->written_out);
    pn_free(b->callee_of);
    pn_buf_free(&b->callees);
    pn_buf_free(&b->bodies);
    pn_buf_free(&b->loops);
    pn_buf_free(&b->work);
}

puna_status pn_rtn_build(pn_gbnf *gbnf, pn_rtn *rtn, puna_error *err) {
    pn_rtn_builder b = {.gbnf = gbnf, .rtn = rtn, .err = err};
    if (begin(&b)) {
        find_sizes(&b);
        build_all(&b);
    } else {
        no_memory(&b);
    }
    if (!b.status) hand_over(&b, gbnf);
    free_builder(&b);
    return b.status;
}

void pn_rtn_free(pn_rtn *rtn) {
    pn_free(rtn->nodes);
    pn_free(rtn->sets);
    pn_free(rtn->callees);
    pn_free(rtn->loops);
    pn_free(rtn->tokens);
    *rtn = (pn_rtn){0};
}
