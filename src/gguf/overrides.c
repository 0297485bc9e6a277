/* overrides.c: keys that the caller puts in place of the file's, or adds. From here on nobody can
 * tell them from the file's own, so a wrong type or value is refused where the file's would be. */
#include "gguf/part.h"

#include <string.h>

#define MAX_OVERRIDES 1024

/* Keys that say how the file is laid out; they have done their work when overrides are applied. */
static bool is_about_the_file(const char *key) {
    return strcmp(key, "general.alignment") == 0 || strncmp(key, "split.", 6) == 0;
}

static puna_status check(const puna_override *o, int32_t index, puna_error *err) {
    if (!o->key || !o->key[0])
        return pn_fail(err, PUNA_E_ARG, "overrides[%d]: the key is empty", index);
    if (strlen(o->key) > PN_GGUF_MAX_KEY)
        return pn_fail(err, PUNA_E_LIMIT, "overrides[%d]: the key has %zu bytes, at most %d", index,
                       strlen(o->key), PN_GGUF_MAX_KEY);
    if (is_about_the_file(o->key))
        return pn_fail(err, PUNA_E_ARG,
                       "overrides[%d]: key %s says how the file is laid out: it has no other value",
                       index, o->key);
    if ((unsigned)o->kind > PUNA_OVERRIDE_TEXT)
        return pn_fail(err, PUNA_E_ARG, "overrides[%d]: key %.100s: kind %d is unknown", index,
                       o->key, (int)o->kind);
    if (o->kind == PUNA_OVERRIDE_BOOL && o->integer != 0 && o->integer != 1)
        return pn_fail(err, PUNA_E_ARG, "overrides[%d]: key %.100s: a bool is 0 or 1, not %lld",
                       index, o->key, (long long)o->integer);
    if (o->kind == PUNA_OVERRIDE_TEXT && !o->text)
        return pn_fail(err, PUNA_E_ARG, "overrides[%d]: key %.100s: the text is NULL", index,
                       o->key);
    return PUNA_OK;
}

static bool copy_text(pn_arena *arena, const char *text, pn_str *out) {
    *out = (pn_str){pn_arena_copy(arena, text, strlen(text)), strlen(text)};
    return out->data != NULL;
}

static bool set_value(pn_arena *arena, const puna_override *o, pn_gguf_kv *kv) {
    switch (o->kind) {
    case PUNA_OVERRIDE_BOOL:
        kv->type = PN_GGUF_BOOL;
        kv->value.u = (uint64_t)o->integer;
        break;
    case PUNA_OVERRIDE_INT:
        kv->type = PN_GGUF_I64;
        kv->value.i = o->integer;
        break;
    case PUNA_OVERRIDE_FLOAT:
        kv->type = PN_GGUF_F64;
        kv->value.f = o->real;
        break;
    case PUNA_OVERRIDE_TEXT:
        kv->type = PN_GGUF_STRING;
        return copy_text(arena, o->text, &kv->value.str);
    }
    return true;
}

/* table->kv and keys have room for one more. */
static bool apply(pn_arena *arena, pn_gguf_table *table, const puna_override *o) {
    int32_t at = pn_strmap_get(&table->keys, o->key, strlen(o->key));
    if (at < 0) {
        at = table->n_kv;
        pn_gguf_kv *kv = &table->kv[at];
        int32_t old;
        *kv = (pn_gguf_kv){0};
        if (!copy_text(arena, o->key, &kv->key)) return false;
        if (!pn_strmap_add(&table->keys, kv->key.data, kv->key.n, at, &old)) return false;
        table->n_kv++;
    }
    return set_value(arena, o, &table->kv[at]);
}

puna_status pn_overrides_apply(pn_gguf *gguf, const puna_override *overrides, int32_t n,
                               puna_error *err) {
    pn_gguf_table *table = &gguf->parts[0].table;
    if (n < 0 || n > MAX_OVERRIDES)
        return pn_fail(err, PUNA_E_ARG, "n_overrides is %d, allowed: 0 to %d", n, MAX_OVERRIDES);
    if (n == 0) return PUNA_OK;
    if (!overrides) return pn_fail(err, PUNA_E_ARG, "overrides: NULL with n_overrides = %d", n);
    for (int32_t i = 0; i < n; i++) TRY(check(&overrides[i], i, err));
    const size_t room = (size_t)table->n_kv + (size_t)n;
    pn_gguf_kv *kv = pn_arena_calloc(&gguf->arena, room, sizeof *kv);
    bool ok = kv && pn_strmap_reserve(&table->keys, room);
    if (kv && table->n_kv > 0) memcpy(kv, table->kv, (size_t)table->n_kv * sizeof *kv);
    if (ok) table->kv = kv;
    for (int32_t i = 0; i < n && ok; i++) ok = apply(&gguf->arena, table, &overrides[i]);
    return ok ? PUNA_OK : pn_fail_nomem(err, room * sizeof *kv, "overrides");
}
