/* model.h: a loaded file inside the library: the container, its vocabulary and its compute plan.
 *
 * Immutable once puna_model_open has returned, so any thread may read it. What is filled depends
 * on the level it was opened at: gguf always; vocab unless PUNA_OPEN_FILE; plan and hparams at
 * PUNA_OPEN_FULL only (plan.n_ops is 0 otherwise). */
#ifndef PN_RUN_MODEL_H
#define PN_RUN_MODEL_H

#include "arch/arch.h"
#include "gguf/gguf.h"
#include "grammar/token_trie.h"
#include "plan/plan.h"
#include "text/vocab.h"

#include <stdatomic.h>

struct puna_model {
    atomic_int refs;
    puna_open_level level;
    pn_gguf *gguf;
    /* n_tokens <= plan.n_vocab: ids from there on have no text and must not be sampled */
    pn_vocab *vocab;
    pn_plan plan;
    pn_hparams hparams;
    puna_model_info info;
    _Atomic(pn_token_trie *) trie; /* NULL until a grammar wants it: pn_model_trie */
};

/* The vocabulary's token texts for grammars; lives as long as the model. Any thread. vocab_trie.c */
puna_status pn_model_trie(puna_model *model, const pn_token_trie **trie, puna_error *err);

/* Reads the tokenizer.ggml.* keys: types and counts are checked here, their contents by
 * pn_vocab_open. */
puna_status pn_vocab_load(const pn_gguf *gguf, pn_vocab **vocab, puna_error *err);

#endif
