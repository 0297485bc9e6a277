/* arch.c: which architecture a file is, and the way from its keys to a finished plan. */
#include "arch/arch.h"

#include "arch/builders.h"

#include <string.h>

typedef struct arch_row {
    const char *name;
    puna_status (*hparams)(const pn_gguf *gguf, pn_hparams *hparams, puna_error *err);
    puna_status (*build)(pn_build *b, puna_error *err);
} arch_row;

static const arch_row rows[] = {
#define ARCH(name, meaning) {#name, pn_arch_hparams_##name, pn_arch_build_##name},
#include "arch/archs.def"
#undef ARCH
};
#define N_ROWS ((int32_t)(sizeof rows / sizeof rows[0]))

const char *const *pn_arch_names(int32_t *n) {
    static const char *const names[] = {
#define ARCH(name, meaning) #name,
#include "arch/archs.def"
#undef ARCH
    };
    *n = N_ROWS;
    return names;
}

static puna_status unknown(const pn_gguf *gguf, pn_str name, puna_error *err) {
    char shown[PN_ESCAPED_BYTES];
    return pn_fail(err, PUNA_E_UNSUPPORTED,
                   "%s: architecture \"%s\" is not supported; supported are"
#define ARCH(row, meaning) " " #row
#include "arch/archs.def"
#undef ARCH
                   ,
                   pn_gguf_path(gguf), pn_escape(shown, name.data, name.n < 48 ? name.n : 48));
}

static puna_status find_row(const pn_gguf *gguf, const arch_row **row, puna_error *err) {
    pn_str name = {"", 0};
    bool found;
    PN_TRY(pn_gguf_get_string(gguf, "general.architecture", &name, &found, err));
    if (!found) return pn_gguf_missing(gguf, "general.architecture", err);
    for (int32_t i = 0; i < N_ROWS; i++)
        if (name.n == strlen(rows[i].name) && memcmp(name.data, rows[i].name, name.n) == 0) {
            *row = &rows[i];
            return PUNA_OK;
        }
    return unknown(gguf, name, err);
}

static puna_status build(const arch_row *row, pn_build *b, puna_error *err) {
    const pn_gguf *gguf = b->plan->gguf;
    PN_TRY(pn_hparams_read(gguf, row->name, &b->plan->arena, b->hp, err));
    PN_TRY(row->hparams(gguf, b->hp, err));
    b->plan->n_layer = b->hp->n_layer;
    b->plan->n_embd = b->hp->n_embd;
    b->plan->n_ctx_train = b->hp->n_ctx_train;
    PN_TRY(row->build(b, err));
    PN_TRY(pn_build_check_unused(b, err));
    return pn_plan_finish(b->plan, err);
}

puna_status pn_arch_build(const pn_gguf *gguf, pn_plan *plan, pn_hparams *hparams,
                          puna_error *err) {
    const arch_row *row = NULL;
    PN_TRY(find_row(gguf, &row, err));
    PN_TRY(pn_plan_init(plan, gguf, err));
    pn_build b = {.plan = plan, .hp = hparams};
    const puna_status status = build(row, &b, err);
    pn_strmap_free(&b.used);
    if (status != PUNA_OK) pn_plan_free(plan);
    return status;
}
