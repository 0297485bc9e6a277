/* vocab.c: opens a vocabulary: copies and checks what the file says, finds special and end
 * tokens, and hands over to the algorithm. Tokens with an empty text get one that no text
 * contains by chance ("[EMPTY_7]"), so that every id has a text. */
#include "text/vocab_impl.h"

#include "base/log.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_TOKENS (1 << 26)

static bool same(pn_vocab_text text, const char *literal) {
    return text.n == strlen(literal) && memcmp(text.data, literal, text.n) == 0;
}

int32_t pn_byte_of_text(pn_vocab_text text) {
    if (text.n != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>') return -1;
    int32_t byte = 0;
    for (int i = 3; i < 5; i++) {
        const char c = text.data[i];
        if (c >= '0' && c <= '9')
            byte = byte * 16 + (c - '0');
        else if (c >= 'A' && c <= 'F')
            byte = byte * 16 + (c - 'A' + 10);
        else if (c >= 'a' && c <= 'f')
            byte = byte * 16 + (c - 'a' + 10);
        else
            return -1;
    }
    return byte;
}

/* ---- special and end tokens ------------------------------------------------------------------ */

/* MARK_IF_SPECIAL: where the file calls it plain text, it neither ends nor is hidden ("</s>" is
 * also a tag of HTML), but is found where special tokens are, except in the family whose own
 * tokenizer does not. */
enum { MARK_END = 1, MARK_EOT = 2, MARK_IF_SPECIAL = 4 };

/* Texts of control tokens in the chat and infill formats of published models. Some files give
 * these tokens the type of plain text; they are control tokens all the same. */
static const struct {
    const char *text;
    int flags;
} markers[] = {
    {"<|eot_id|>", MARK_END | MARK_EOT},
    {"<|im_end|>", MARK_END | MARK_EOT},
    {"<|end|>", MARK_END | MARK_EOT},
    {"<end_of_turn>", MARK_END | MARK_EOT},
    {"<turn|>", MARK_END | MARK_EOT},
    {"<EOT>", MARK_END | MARK_EOT},
    {"_<EOT>", MARK_END | MARK_EOT},
    {"[EOT]", MARK_END | MARK_EOT},
    {"<end_of_utterance>", MARK_END | MARK_EOT},
    {"<|end_of_text|>", MARK_END | MARK_EOT},
    {"<|endoftext|>", MARK_END | MARK_EOT},
    {"<\xef\xbd\x9c"
     "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
     MARK_END | MARK_EOT},
    {"<|eom_id|>", MARK_END},
    {"<|return|>", MARK_END},
    {"<|call|>", MARK_END},
    {"<|calls|>", MARK_END},
    {"<|flush|>", MARK_END},
    {"</s>", MARK_END | MARK_IF_SPECIAL},
    {"[EOS]", MARK_END},
    {"<eos>", MARK_END},
    {"[e~[", MARK_END},
    {"<|tool_response>", MARK_END},
    {"<|fim_pad|>", MARK_END},
    {"<fim-pad>", MARK_END},
    {"<fim_pad>", MARK_END},
    {"<|fim_repo|>", MARK_END},
    {"<|repo_name|>", MARK_END},
    {"<reponame>", MARK_END},
    {"<PAD>", MARK_END},
    {"[PAD]", MARK_END},
    {"<fim-repo>", MARK_END},
    {"<|file_sep|>", MARK_END},
    {"<|fim_prefix|>", 0},
    {"<fim-prefix>", 0},
    {"<fim_prefix>", 0},
    {"<\xef\xbd\x9c"
     "fim\xe2\x96\x81"
     "begin\xef\xbd\x9c>",
     0},
    {"<|fim_suffix|>", 0},
    {"<fim-suffix>", 0},
    {"<fim_suffix>", 0},
    {"<\xef\xbd\x9c"
     "fim\xe2\x96\x81hole\xef\xbd\x9c>",
     0},
    {"<|fim_middle|>", 0},
    {"<fim-middle>", 0},
    {"<fim_middle>", 0},
    {"<\xef\xbd\x9c"
     "fim\xe2\x96\x81"
     "end\xef\xbd\x9c>",
     0},
};

static int32_t id_of(const pn_vocab *vocab, const char *text) {
    return pn_strmap_get(&vocab->ids, text, strlen(text));
}

static int32_t checked_id(const pn_vocab *vocab, int64_t id, const char *what) {
    if (id >= 0 && id < vocab->n_tokens) return (int32_t)id;
    if (id != -1)
        pn_log(PUNA_LOG_WARN, "vocabulary: %s %lld is not a token (there are %d); ignored", what,
               (long long)id, vocab->n_tokens);
    return -1;
}

/* Files of some age do not name these; their texts are conventional. */
static void guess_specials(pn_vocab *vocab) {
    static const struct {
        puna_special which;
        pn_vocab_model model;
        const char *text;
    } texts[] = {
        {PUNA_SPECIAL_BOS, PN_VOCAB_SPM, "<s>"},   {PUNA_SPECIAL_EOS, PN_VOCAB_SPM, "</s>"},
        {PUNA_SPECIAL_UNK, PN_VOCAB_SPM, "<unk>"}, {PUNA_SPECIAL_EOS, PN_VOCAB_UGM, "</s>"},
        {PUNA_SPECIAL_UNK, PN_VOCAB_UGM, "<unk>"}, {PUNA_SPECIAL_CLS, PN_VOCAB_WPM, "[CLS]"},
        {PUNA_SPECIAL_SEP, PN_VOCAB_WPM, "[SEP]"}, {PUNA_SPECIAL_UNK, PN_VOCAB_WPM, "[UNK]"},
        {PUNA_SPECIAL_PAD, PN_VOCAB_WPM, "[PAD]"}, {PUNA_SPECIAL_MASK, PN_VOCAB_WPM, "[MASK]"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (vocab->model == texts[i].model && vocab->special[texts[i].which] < 0)
            vocab->special[texts[i].which] = id_of(vocab, texts[i].text);
    if (vocab->model == PN_VOCAB_WPM) {
        int32_t *bos = &vocab->special[PUNA_SPECIAL_BOS], *cls = &vocab->special[PUNA_SPECIAL_CLS];
        if (*cls < 0) *cls = *bos;
        if (*bos < 0) *bos = *cls;
    }
    if (vocab->model == PN_VOCAB_SPM || vocab->model == PN_VOCAB_UGM)
        for (int32_t i = 0; i < vocab->n_tokens && vocab->special[PUNA_SPECIAL_UNK] < 0; i++)
            if (vocab->types[i] == PN_TOKEN_UNKNOWN) vocab->special[PUNA_SPECIAL_UNK] = i;
}

static void mark_end(pn_vocab *vocab, int32_t token) {
    if (token >= 0) vocab->ends[token] = 1;
}

/* Where a token ends a turn or a call, <|end|> only ends a message. */
static void unmark_message_end(pn_vocab *vocab) {
    const int32_t end = id_of(vocab, "<|end|>");
    const bool calls = id_of(vocab, "<|call|>") >= 0 || id_of(vocab, "<|calls|>") >= 0;
    const bool ends = id_of(vocab, "<|return|>") >= 0 || id_of(vocab, "<|flush|>") >= 0;
    if (end >= 0 && calls && ends) vocab->ends[end] = 0;
}

static void find_specials(pn_vocab *vocab, const pn_vocab_source *source) {
    int32_t *special = vocab->special;
    special[PUNA_SPECIAL_BOS] = checked_id(vocab, source->bos, "bos_token_id");
    special[PUNA_SPECIAL_EOS] = checked_id(vocab, source->eos, "eos_token_id");
    special[PUNA_SPECIAL_EOT] = checked_id(vocab, source->eot, "eot_token_id");
    special[PUNA_SPECIAL_UNK] = checked_id(vocab, source->unk, "unknown_token_id");
    special[PUNA_SPECIAL_PAD] = checked_id(vocab, source->pad, "padding_token_id");
    special[PUNA_SPECIAL_SEP] = checked_id(vocab, source->sep, "seperator_token_id");
    special[PUNA_SPECIAL_CLS] = checked_id(vocab, source->cls, "cls_token_id");
    special[PUNA_SPECIAL_MASK] = checked_id(vocab, source->mask, "mask_token_id");
    guess_specials(vocab);
    for (size_t i = 0; i < sizeof markers / sizeof markers[0]; i++) {
        const int32_t id = id_of(vocab, markers[i].text);
        if (id < 0) continue;
        if ((markers[i].flags & MARK_IF_SPECIAL) && vocab->types[id] == PN_TOKEN_NORMAL) {
            if (id_of(vocab, "<|tool_response>") < 0) vocab->marks[id] = PN_MARK_SPECIAL;
            continue;
        }
        vocab->types[id] = PN_TOKEN_CONTROL;
        if (markers[i].flags & MARK_END) mark_end(vocab, id);
        if ((markers[i].flags & MARK_EOT) && special[PUNA_SPECIAL_EOT] < 0 &&
            id != special[PUNA_SPECIAL_EOS])
            special[PUNA_SPECIAL_EOT] = id;
    }
    unmark_message_end(vocab);
    mark_end(vocab, special[PUNA_SPECIAL_EOS]);
    mark_end(vocab, special[PUNA_SPECIAL_EOT]);
    mark_end(vocab, checked_id(vocab, source->eom, "eom_token_id"));
    if (!source->types) /* without types nothing else keeps text from becoming these */
        for (int i = PUNA_SPECIAL_BOS; i <= PUNA_SPECIAL_MASK; i++)
            if (special[i] >= 0)
                vocab->types[special[i]] =
                    i == PUNA_SPECIAL_UNK ? PN_TOKEN_UNKNOWN : PN_TOKEN_CONTROL;
}

static bool contains(pn_vocab_text text, const char *part) {
    const size_t n = strlen(part);
    for (size_t i = 0; i + n <= text.n; i++) {
        size_t k = 0;
        while (k < n && tolower((unsigned char)text.data[i + k]) == part[k]) k++;
        if (k == n) return true;
    }
    return false;
}

/* The publishers' tokenizer.json has these switches per token; the file format has no key for
 * them. */
static void find_strips(pn_vocab *vocab, const pn_vocab_source *source) {
    const int32_t mask = id_of(vocab, "<mask>"), bert_mask = id_of(vocab, "[MASK]");
    if (mask >= 0 &&
        (contains(source->architecture, "nomic-bert-moe") ||
         contains(source->architecture, "jina-bert-v3") || contains(source->pre, "jina-v2-")))
        vocab->marks[mask] |= PN_MARK_STRIP_LEFT;
    if (bert_mask >= 0 && contains(source->name, "modern-bert"))
        vocab->marks[bert_mask] |= PN_MARK_STRIP_LEFT;
    if (!contains(source->name, "phi-3") && !contains(source->name, "phi3")) return;
    for (int32_t i = 0; i < vocab->n_tokens; i++)
        if (!pn_vocab_is_plain(vocab, i) || vocab->types[i] == PN_TOKEN_USER_DEFINED)
            vocab->marks[i] |= PN_MARK_STRIP_RIGHT;
    static const char *const kept[] = {"<unk>", "<s>", "<|endoftext|>"};
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        const int32_t id = id_of(vocab, kept[i]);
        if (id >= 0) vocab->marks[id] = 0;
    }
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static puna_status copy_token(pn_vocab *vocab, const pn_vocab_source *source, int32_t i,
                              puna_error *err) {
    pn_vocab_text text = source->tokens[i];
    char empty[24];
    if (text.n == 0) {
        text.n = (size_t)snprintf(empty, sizeof empty, "[EMPTY_%d]", i);
        text.data = empty;
    }
    char *copy = pn_arena_copy(&vocab->arena, text.data, text.n);
    if (!copy) return pn_fail_nomem(err, text.n, "a token's text");
    vocab->tokens[i] = (pn_vocab_text){copy, text.n};
    if (text.n > vocab->max_token_bytes) vocab->max_token_bytes = text.n;
    const float score = source->scores ? source->scores[i] : 0.0f;
    vocab->scores[i] = isnan(score) ? -INFINITY : score + 0.0f; /* no -0 */
    const int32_t type = source->types ? source->types[i] : PN_TOKEN_NORMAL;
    vocab->types[i] =
        type >= PN_TOKEN_NORMAL && type <= PN_TOKEN_BYTE ? (uint8_t)type : PN_TOKEN_NORMAL;
    return PUNA_OK;
}

static puna_status copy_tokens(pn_vocab *vocab, const pn_vocab_source *source, puna_error *err) {
    const int32_t n = source->n_tokens;
    if (n <= 0)
        return pn_fail(err, PUNA_E_FORMAT, "the vocabulary is empty: no tokenizer.ggml.tokens");
    if (n > MAX_TOKENS)
        return pn_fail(err, PUNA_E_LIMIT, "vocabulary of %d tokens: at most %d", n, MAX_TOKENS);
    const size_t count = (size_t)n;
    vocab->n_tokens = n;
    vocab->tokens = pn_arena_calloc(&vocab->arena, count, sizeof *vocab->tokens);
    vocab->scores = pn_arena_calloc(&vocab->arena, count, sizeof *vocab->scores);
    vocab->types = pn_arena_calloc(&vocab->arena, count, 1);
    vocab->marks = pn_arena_calloc(&vocab->arena, count, 1);
    vocab->ends = pn_arena_calloc(&vocab->arena, count, 1);
    if (!vocab->tokens || !vocab->scores || !vocab->types || !vocab->marks || !vocab->ends ||
        !pn_strmap_reserve(&vocab->ids, count))
        return pn_fail_nomem(err, count * 24, "the vocabulary");
    int32_t n_twice = 0;
    for (int32_t i = 0; i < n; i++) {
        const puna_status status = copy_token(vocab, source, i, err);
        if (status) return status;
        int32_t old;
        if (!pn_strmap_add(&vocab->ids, vocab->tokens[i].data, vocab->tokens[i].n, i, &old))
            return pn_fail_nomem(err, count * 24, "the vocabulary");
        n_twice += old >= 0;
    }
    if (n_twice > 0)
        pn_log(PUNA_LOG_WARN,
               "vocabulary: %d tokens have the text of an earlier one and are never produced",
               n_twice);
    return PUNA_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

static puna_status choose_model(pn_vocab *vocab, const pn_vocab_source *source,
                                const pn_pretok_info **pretok, puna_error *err) {
    char model[PN_ESCAPED_BYTES], pre[PN_ESCAPED_BYTES];
    pn_escape(model, source->model.data, source->model.n);
    pn_escape(pre, source->pre.data, source->pre.n);
    const char *row = NULL;
    if (source->model.n == 0)
        return pn_fail(err, PUNA_E_FORMAT, "no tokenizer: key tokenizer.ggml.model is missing");
    if (same(source->model, "llama"))
        vocab->model = PN_VOCAB_SPM;
    else if (same(source->model, "bert"))
        vocab->model = PN_VOCAB_WPM;
    else if (same(source->model, "t5"))
        vocab->model = PN_VOCAB_UGM;
    else if (same(source->model, "gpt2"))
        row = source->pre.n ? NULL : "default";
    else if (same(source->model, "gemma4"))
        row = "gemma4";
    else
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "tokenizer model \"%s\" (tokenizer.ggml.model) is not supported", model);
    (void)snprintf(vocab->name, sizeof vocab->name, "%.30s", model);
    if (vocab->model != PN_VOCAB_SPM || same(source->model, "llama")) return PUNA_OK;
    vocab->model = PN_VOCAB_BPE;
    *pretok =
        row ? pn_pretok_find(row, strlen(row)) : pn_pretok_find(source->pre.data, source->pre.n);
    if (!*pretok)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "pre-tokenizer \"%s\" (tokenizer.ggml.pre) is not supported", pre);
    if (row && same(source->model, "gpt2"))
        pn_log(
            PUNA_LOG_WARN,
            "vocabulary: tokenizer.ggml.pre is missing; \"default\" is used, and text may be split "
            "differently from how the model was trained");
    if (same(source->model, "gpt2"))
        (void)snprintf(vocab->name, sizeof vocab->name, "gpt2/%.40s", row ? row : pre);
    return PUNA_OK;
}

static bool choose(int32_t said, bool otherwise) {
    return said < 0 ? otherwise : said != 0;
}

static void choose_flags(pn_vocab *vocab, const pn_vocab_source *source,
                         const pn_pretok_info *pretok) {
    const bool spm = vocab->model == PN_VOCAB_SPM, wpm = vocab->model == PN_VOCAB_WPM;
    const uint32_t flags = pretok ? pretok->flags : 0;
    const bool bpe_bos = flags & PN_PRETOK_ADD_BOS;
    vocab->add_bos = choose(source->add_bos, spm || wpm || bpe_bos);
    vocab->add_eos = choose(source->add_eos, vocab->model == PN_VOCAB_UGM);
    if (wpm) vocab->add_bos = vocab->add_eos = true; /* [CLS] text [SEP] */
    vocab->add_space_prefix = choose(source->add_space_prefix, spm);
    vocab->remove_extra_whitespaces = choose(source->remove_extra_whitespaces, false);
    vocab->keep_case = source->keep_case;
    vocab->keep_accents = source->keep_accents;
    vocab->byte_level = vocab->model == PN_VOCAB_BPE && !(flags & PN_PRETOK_SPACES);
    vocab->escapes_spaces = !vocab->byte_level;
    vocab->cleans_up = wpm || (flags & PN_PRETOK_CLEAN_UP);
}

/* <0xNN> of the vocabularies that fall back to bytes. */
static void find_bytes(pn_vocab *vocab) {
    for (int i = 0; i < 256; i++) vocab->byte_ids[i] = -1;
    for (int32_t i = 0; i < vocab->n_tokens; i++) {
        const int32_t byte = pn_byte_of_text(vocab->tokens[i]);
        if (byte >= 0 && vocab->byte_ids[byte] < 0) vocab->byte_ids[byte] = i;
    }
}

/* What other implementations call the newline token: of SentencePiece vocabularies the byte, even
 * where a token has the text. */
static void find_newline(pn_vocab *vocab) {
    int32_t id = -1;
    if (vocab->model != PN_VOCAB_WPM && (vocab->byte_level || vocab->model != PN_VOCAB_BPE))
        id = vocab->byte_ids['\n'];
    if (id < 0 && !vocab->byte_level && vocab->model != PN_VOCAB_WPM) {
        id = id_of(vocab, "\n");
        if (id < 0) id = vocab->byte_ids['\n'];
    }
    vocab->special[PUNA_SPECIAL_NL] = id < vocab->n_tokens ? id : -1;
}

static puna_status open_vocab(pn_vocab *vocab, const pn_vocab_source *source, puna_error *err) {
    const pn_pretok_info *pretok = NULL;
    puna_status status = choose_model(vocab, source, &pretok, err);
    if (!status) status = copy_tokens(vocab, source, err);
    if (status) return status;
    choose_flags(vocab, source, pretok);
    find_bytes(vocab);
    find_specials(vocab, source);
    find_strips(vocab, source);
    const int32_t *special = vocab->special;
    const int32_t first =
        vocab->model == PN_VOCAB_WPM ? special[PUNA_SPECIAL_CLS] : special[PUNA_SPECIAL_BOS];
    const int32_t last =
        vocab->model == PN_VOCAB_WPM ? special[PUNA_SPECIAL_SEP] : special[PUNA_SPECIAL_EOS];
    if ((vocab->add_bos && first < 0) || (vocab->add_eos && last < 0))
        pn_log(PUNA_LOG_WARN,
               "vocabulary: a token is to be added at the %s of a text, but none is named",
               vocab->add_bos && first < 0 ? "beginning" : "end");
    vocab->add_bos = vocab->add_bos && first >= 0;
    vocab->add_eos = vocab->add_eos && last >= 0;
    if (vocab->model == PN_VOCAB_SPM) status = pn_spm_open(vocab, err);
    if (vocab->model == PN_VOCAB_BPE) status = pn_bpe_open(vocab, source, pretok, err);
    if (vocab->model == PN_VOCAB_WPM) status = pn_wpm_open(vocab, err);
    if (vocab->model == PN_VOCAB_UGM) status = pn_ugm_open(vocab, source, err);
    find_newline(vocab);
    return status ? status : pn_special_open(vocab, err);
}

puna_status pn_vocab_open(const pn_vocab_source *source, pn_vocab **out, puna_error *err) {
    pn_vocab *vocab = pn_calloc(1, sizeof *vocab);
    if (!vocab) return pn_fail_nomem(err, sizeof *vocab, "the vocabulary");
    const puna_status status = open_vocab(vocab, source, err);
    if (status) {
        pn_vocab_free(vocab);
        return status;
    }
    *out = vocab;
    return PUNA_OK;
}

void pn_vocab_free(pn_vocab *vocab) {
    if (!vocab) return;
    pn_bpe_free(vocab->bpe);
    pn_strmap_free(&vocab->ids);
    pn_arena_free(&vocab->arena);
    pn_free(vocab);
}

/* ---- questions ------------------------------------------------------------------------------- */

int32_t pn_vocab_n_tokens(const pn_vocab *vocab) {
    return vocab->n_tokens;
}

const char *pn_vocab_name(const pn_vocab *vocab) {
    return vocab->name;
}

static bool valid(const pn_vocab *vocab, int32_t token) {
    return token >= 0 && token < vocab->n_tokens;
}

pn_vocab_text pn_vocab_token_text(const pn_vocab *vocab, int32_t token) {
    return valid(vocab, token) ? vocab->tokens[token] : (pn_vocab_text){"", 0};
}

int32_t pn_vocab_token_type(const pn_vocab *vocab, int32_t token) {
    return valid(vocab, token) ? vocab->types[token] : PN_TOKEN_UNKNOWN;
}

int32_t pn_vocab_special(const pn_vocab *vocab, puna_special which) {
    return which >= PUNA_SPECIAL_BOS && which <= PUNA_SPECIAL_NL ? vocab->special[which] : -1;
}

bool pn_vocab_is_end(const pn_vocab *vocab, int32_t token) {
    return valid(vocab, token) && vocab->ends[token];
}

bool pn_vocab_is_control(const pn_vocab *vocab, int32_t token) {
    return valid(vocab, token) && vocab->types[token] == PN_TOKEN_CONTROL;
}

bool pn_vocab_adds_bos(const pn_vocab *vocab) {
    return vocab->add_bos;
}

bool pn_vocab_adds_eos(const pn_vocab *vocab) {
    return vocab->add_eos;
}
