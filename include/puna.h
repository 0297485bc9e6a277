/*
 * puna.h: the public interface of libpuna, the only header a program needs.
 *
 * Four objects do the work:
 *   puna_model    a loaded GGUF file. Immutable once open, reference-counted; any thread.
 *   puna_engine   a model put to work: KV cache, workspace, threads, sequences. One thread at a
 *                 time.
 *   puna_seq      one timeline of tokens inside an engine, with its sampler. Belongs to its engine.
 *   puna_scheduler
 *                 many requests of many callers on one engine of its own; any thread.
 * and two say what goes in and what may come out; both are immutable, for any thread:
 *   puna_chat     how a model wants a conversation to be written: messages become a puna_prompt.
 *   puna_grammar  the texts a sequence may sample.
 *
 * The whole life of a completion:
 *
 *   puna_model_open -> puna_tokenize -> puna_engine_open -> puna_seq_open -> puna_seq_feed
 *   -> puna_engine_step until the sequence's PUNA_EVENT_FINISHED arrives -> the _free functions
 *
 * Conventions
 *   - Every function that can fail returns puna_status (PUNA_OK is 0) and takes a puna_error *
 *     last, which may be NULL; on failure it holds one line that names the file, key, tensor or
 *     argument. Out-pointers are written on success only (counts documented as "needed" excepted).
 *   - Every option struct begins with its own size: call its _init function, then change fields. A
 *     struct of an older or newer size than the library's is accepted; fields the caller does not
 *     know keep their defaults.
 *   - Text is UTF-8 with an explicit length in bytes. Token ids are int32_t, counts int32_t, sizes
 *     size_t.
 *   - X_free(NULL) does nothing. The library never exits, aborts, prints, or installs signal
 *     handlers.
 *   - Same model, prompt, seed and sampler give the same tokens and the same bits, whatever the
 *     batch, the number of threads, the chunking of the prompt, or what was reused from the cache.
 */
#ifndef PUNA_H
#define PUNA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define PUNA_API
#else
#define PUNA_API __attribute__((visibility("default")))
#endif

#define PUNA_VERSION "0.1.0"

/* ---- status and errors ----------------------------------------------------------------------- */

/* ORDER src/base/status.def */
typedef enum puna_status {
    PUNA_OK = 0,
    PUNA_E_ARG = 1,
    PUNA_E_NOMEM = 2,
    PUNA_E_IO = 3,
    PUNA_E_FORMAT = 4,
    PUNA_E_UNSUPPORTED = 5,
    PUNA_E_LIMIT = 6,
    PUNA_E_CANCELLED = 7,
    PUNA_E_STATE = 8,
    PUNA_E_NUMERIC = 9,
    PUNA_E_TIMEOUT = 10
} puna_status;

#define PUNA_ERROR_BYTES 256

/* Owned by the caller. msg is one line of valid UTF-8 without control characters,
 * NUL-terminated, cut to fit. */
typedef struct puna_error {
    puna_status code;
    char msg[PUNA_ERROR_BYTES];
} puna_error;

/* A short English name such as "out of memory". Never NULL; static storage. */
PUNA_API const char *puna_status_name(puna_status status);

/* Frees what a function of this header says is to be freed with it. */
PUNA_API void puna_free(void *memory);

/* ---- process-wide settings: call before anything else, from one thread ----------------------- */

/* Version of the library actually linked, "major.minor.patch". */
PUNA_API const char *puna_version(void);

/* Name of the instruction set the kernels use: "avx512", "avx2" or "scalar". The best the CPU
 * has, unless the environment variable PUNA_ISA names a lower one. */
PUNA_API const char *puna_cpu_isa(void);

/* realloc(user, NULL, n) allocates; alloc and realloc return NULL on failure. All memory the
 * library takes, file mappings and thread stacks excepted, comes from here. NULL restores
 * malloc/realloc/free. */
typedef struct puna_allocator {
    void *(*alloc)(void *user, size_t bytes);
    void *(*realloc)(void *user, void *ptr, size_t bytes);
    void (*free)(void *user, void *ptr);
    void *user;
} puna_allocator;
PUNA_API void puna_set_allocator(const puna_allocator *allocator);

typedef enum puna_log_level {
    PUNA_LOG_DEBUG = 0,
    PUNA_LOG_INFO = 1,
    PUNA_LOG_WARN = 2
} puna_log_level;

/* msg: one line, no newline, valid during the call only. May be called from any thread. */
typedef void (*puna_log_fn)(void *user, puna_log_level level, const char *msg);

/* Nothing is logged until a function is set; NULL silences again. */
PUNA_API void puna_set_log(puna_log_fn fn, void *user);

/* ---- model ----------------------------------------------------------------------------------- */

typedef struct puna_model puna_model;

/* How much of the file is read and checked. */
typedef enum puna_open_level {
    PUNA_OPEN_FULL = 0,  /* everything a model needs to run (default) */
    PUNA_OPEN_VOCAB = 1, /* keys and tokenizer only: vocabulary-only files open too */
    PUNA_OPEN_FILE =
        2 /* the container only: keys and tensor table, for puna_model_meta and _tensor */
} puna_open_level;

/* Progress of long work, 0.0 to 1.0. Return false to stop: the call then fails with
 * PUNA_E_CANCELLED. */
typedef bool (*puna_progress_fn)(void *user, double fraction);

typedef enum puna_override_kind {
    PUNA_OVERRIDE_BOOL = 0, /* integer is 0 or 1 */
    PUNA_OVERRIDE_INT = 1,
    PUNA_OVERRIDE_FLOAT = 2,
    PUNA_OVERRIDE_TEXT = 3
} puna_override_kind;

/* A metadata key that counts as if the file said so: it replaces the file's value, or is added. */
typedef struct puna_override {
    const char *key;
    puna_override_kind kind;
    int64_t integer;
    double real;
    const char *text; /* NUL-terminated UTF-8 */
} puna_override;

typedef struct puna_model_options {
    size_t size;
    puna_open_level level;
    bool use_mmap;  /* default true; false reads the weights into memory */
    bool use_mlock; /* default false; keep the weights in RAM, a warning is logged when refused */
    puna_progress_fn progress;
    void *progress_user;
    const puna_override *overrides; /* n_overrides rows, copied; at most 1024 */
    int32_t n_overrides;
} puna_model_options;
PUNA_API void puna_model_options_init(puna_model_options *options);

/* Opens a GGUF file (for a split model: its first part, ...-00001-of-0000N.gguf). options may be
 * NULL. Everything that depends on the file is checked here. The caller owns one reference to
 * *model. */
PUNA_API puna_status puna_model_open(const char *path, const puna_model_options *options,
                                     puna_model **model, puna_error *err);
/* Adds a reference and returns the same model. Thread-safe. */
PUNA_API puna_model *puna_model_retain(puna_model *model);
/* Drops a reference; the last one releases everything. Thread-safe. */
PUNA_API void puna_model_free(puna_model *model);

/* Facts about an open model. Strings live as long as the model and are "" when unknown. */
typedef struct puna_model_info {
    size_t size;
    const char *architecture;  /* "llama", "qwen3", ... */
    const char *name;          /* general.name */
    const char *quantization;  /* the type holding most weights, "Q5_K" */
    const char *tokenizer;     /* tokenizer.ggml.model, with its pre-tokenizer: "gpt2/smollm" */
    const char *chat_template; /* the Jinja text or "" */
    uint64_t file_bytes;       /* all parts */
    uint64_t n_params;         /* elements of all tensors */
    int32_t n_tensors;
    int32_t n_parts;     /* files of a split model */
    int32_t n_vocab;     /* 0 at PUNA_OPEN_FILE */
    int32_t n_ctx_train; /* the rest is 0 below PUNA_OPEN_FULL */
    int32_t n_embd;
    int32_t n_layer;
    int32_t n_head;
    int32_t n_head_kv; /* of the first layer */
    int32_t n_ff;
    int32_t n_expert;
    int32_t n_expert_used;
} puna_model_info;
/* Fills *info; info->size must be set by the caller. */
PUNA_API void puna_model_get_info(const puna_model *model, puna_model_info *info);

/* Number of metadata keys, and the i-th. The value is rendered as text (arrays as "[n x type]",
 * long strings whole) into buf, cut to buf_bytes with a NUL; *needed gets its full length
 * without the NUL. Any may be NULL. */
PUNA_API int32_t puna_model_n_meta(const puna_model *model);
PUNA_API const char *puna_model_meta(const puna_model *model, int32_t index, char *buf,
                                     size_t buf_bytes, size_t *needed);

typedef struct puna_tensor_info {
    size_t size;
    const char *name;
    const char *type; /* "Q5_K", ... */
    int32_t n_dims;
    int64_t dims[4]; /* fastest first, as in the file; unused ones are 1 */
    uint64_t bytes;
    bool supported; /* puna has kernels for the type */
} puna_tensor_info;
PUNA_API void puna_model_tensor(const puna_model *model, int32_t index, puna_tensor_info *info);

/* The compute plan as text, for people. Writes at most buf_bytes with a NUL; *needed gets the
 * full length. */
PUNA_API puna_status puna_model_explain(const puna_model *model, char *buf, size_t buf_bytes,
                                        size_t *needed, puna_error *err);

/* ---- tokens ---------------------------------------------------------------------------------- */

#define PUNA_TOKENIZE_ADD_SPECIAL   1u /* BOS, EOS, CLS, SEP as the vocabulary asks */
#define PUNA_TOKENIZE_PARSE_SPECIAL 2u /* the text of special tokens becomes those tokens */

/* Text to ids. Writes at most max_tokens ids; *n_tokens gets the number needed even when that is
 * more, and the status is then PUNA_E_LIMIT. Invalid UTF-8 is tokenized byte by byte where the
 * vocabulary can spell it. */
PUNA_API puna_status puna_tokenize(const puna_model *model, const char *text, size_t text_bytes,
                                   uint32_t flags, int32_t *tokens, int32_t max_tokens,
                                   int32_t *n_tokens, puna_error *err);

#define PUNA_DETOKENIZE_SPECIAL 1u /* write the text of special tokens too */
#define PUNA_DETOKENIZE_KEEP_SPACE                                                                 \
    2u /* keep the leading space a SentencePiece vocabulary puts before text */
/* Tidy spaces before punctuation and contractions ("a , b" becomes "a, b") where the vocabulary
 * asks for it, as other implementations do. Without it the text of a list of tokens is their
 * texts one after another, and for byte-level BPE exactly what was tokenized. */
#define PUNA_DETOKENIZE_CLEAN_UP 4u

/* Ids to text, as bytes (a token may be part of a character). Same size protocol as
 * puna_tokenize; no NUL. */
PUNA_API puna_status puna_detokenize(const puna_model *model, const int32_t *tokens,
                                     int32_t n_tokens, uint32_t flags, char *text, size_t max_bytes,
                                     size_t *n_bytes, puna_error *err);

typedef enum puna_special {
    PUNA_SPECIAL_BOS = 0,
    PUNA_SPECIAL_EOS,
    PUNA_SPECIAL_EOT,
    PUNA_SPECIAL_UNK,
    PUNA_SPECIAL_PAD,
    PUNA_SPECIAL_SEP,
    PUNA_SPECIAL_CLS,
    PUNA_SPECIAL_MASK,
    PUNA_SPECIAL_NL
} puna_special;
/* The id of a special token, or -1 when the vocabulary has none. */
PUNA_API int32_t puna_token_special(const puna_model *model, puna_special which);
/* True when the token ends a generation (EOS, EOT and their like). */
PUNA_API bool puna_token_is_end(const puna_model *model, int32_t token);
/* True for control tokens: they have no text of their own. */
PUNA_API bool puna_token_is_control(const puna_model *model, int32_t token);
/* True when the vocabulary asks for BOS / EOS to be added. */
PUNA_API bool puna_model_adds_bos(const puna_model *model);
PUNA_API bool puna_model_adds_eos(const puna_model *model);

/* ---- chat: from messages to a prompt --------------------------------------------------------- */

typedef struct puna_chat puna_chat;
typedef struct puna_prompt puna_prompt;

typedef struct puna_chat_options {
    size_t size;
    /* The name of a known format (puna_chat_format). NULL: the model's own template, or where it
     * has none the format that its family is known to want. */
    const char *format;
    /* A Jinja template in place of the model's, or NULL. */
    const char *template_text;
    size_t template_bytes;
    /* The name of one of the model's further templates (tokenizer.chat_template.<name>), or NULL. */
    const char *template_name;
    /* Text of the tokens that begin and end a text; NULL: the model's. */
    const char *bos, *eos;
    /* Messages reach the template as they are. Default false: what a template does not take is
     * rewritten for it (a system message where there is no such role, arguments of calls given as
     * text, a list of text parts, ...); what a template takes is never changed. docs/CHAT.md */
    bool exact;
} puna_chat_options;
PUNA_API void puna_chat_options_init(puna_chat_options *options);

/* Compiles the way of writing a conversation. model may be NULL when the options name a format or a
 * template: then prompts have no tokens. A model about which nothing can be said is refused
 * (PUNA_E_UNSUPPORTED) with the names that puna_chat_format knows. Takes a reference to the model.
 * Free with puna_chat_free; every prompt must be freed before. */
PUNA_API puna_status puna_chat_open(puna_model *model, const puna_chat_options *options,
                                    puna_chat **chat, puna_error *err);
PUNA_API void puna_chat_free(puna_chat *chat);
/* Where it came from: "template of the model", "llama-2", ... Lives as long as the chat. */
PUNA_API const char *puna_chat_source(const puna_chat *chat);
/* The i-th name that puna_chat_options.format takes, or NULL from the end on. Static storage. */
PUNA_API const char *puna_chat_format(int32_t index);

typedef struct puna_chat_input {
    size_t size;
    const char *messages; /* JSON: a list of {"role", "content", ...} as OpenAI's API has them */
    size_t messages_bytes;
    const char *tools; /* JSON: a list of tools as OpenAI's API has them, or NULL */
    size_t tools_bytes;
    const char *vars; /* JSON: an object of further template variables, or NULL */
    size_t vars_bytes;
    bool no_generation_prompt; /* default false: the prompt ends where the answer begins */
    /* Seconds since 1970, what templates show as today's date in local time; 0: now. */
    int64_t now;
} puna_chat_input;
PUNA_API void puna_chat_input_init(puna_chat_input *input);

/* Renders a conversation. What the template itself refuses is PUNA_E_ARG with its words. Free the
 * prompt with puna_prompt_free. */
PUNA_API puna_status puna_chat_render(const puna_chat *chat, const puna_chat_input *input,
                                      puna_prompt **prompt, puna_error *err);
PUNA_API void puna_prompt_free(puna_prompt *prompt);
/* The text, NUL-terminated, n_bytes long. All that a prompt hands out lives as long as it. */
PUNA_API const char *puna_prompt_text(const puna_prompt *prompt, size_t *n_bytes);

typedef struct puna_prompt_span {
    size_t begin, end; /* bytes of the text; spans touch and cover all of it */
    bool from_template;
    int32_t message; /* the message it came from; -1: the template, a tool or a variable */
} puna_prompt_span;
PUNA_API const puna_prompt_span *puna_prompt_spans(const puna_prompt *prompt, int32_t *n_spans);
/* The ids to feed: exactly one BOS where the vocabulary asks for one. Special tokens come from the
 * template's own text alone: what a message says is never more than text. 0 without a model. */
PUNA_API const int32_t *puna_prompt_tokens(const puna_prompt *prompt, int32_t *n_tokens);
/* The span of each token's first byte, or -1 for a token that stands for no text (a BOS that was
 * added): [n_tokens]. */
PUNA_API const int32_t *puna_prompt_token_spans(const puna_prompt *prompt);
/* The i-th text that ends an answer beside the end tokens, or NULL from the end on. */
PUNA_API const char *puna_prompt_stop(const puna_prompt *prompt, int32_t index);

/* Takes an answer apart: *json becomes a message object {"role": "assistant", "content": text or
 * null, "reasoning_content"?: text, "tool_calls"?: [{"id", "type": "function", "function": {"name",
 * "arguments": JSON as text}}]}, NUL-terminated, to be freed with puna_free. The forms that the
 * formats and templates of the known families use are recognised; what is none of them is content.
 * is_partial: the answer goes on; a call that has begun but not ended is left out, and so is its
 * text: what is said so far is the beginning of what will be said. prompt: whose answer it is (a
 * template may have opened the reasoning; calls count only where tools were given), or NULL.
 * answer: what was sampled with its special tokens written out (PUNA_DETOKENIZE_SPECIAL), for many
 * families mark with them what is not said to the user; puna_chat_parse_tokens does that. */
PUNA_API puna_status puna_chat_parse(const puna_chat *chat, const puna_prompt *prompt,
                                     const char *answer, size_t answer_bytes, bool is_partial,
                                     char **json, puna_error *err);
/* The same for sampled ids, up to the first of the prompt's stop texts. Needs a chat with a
 * model. */
PUNA_API puna_status puna_chat_parse_tokens(const puna_chat *chat, const puna_prompt *prompt,
                                            const int32_t *tokens, int32_t n_tokens,
                                            bool is_partial, char **json, puna_error *err);

/* ---- grammars: what may be sampled ----------------------------------------------------------- */

typedef struct puna_grammar puna_grammar;

/* Reads a grammar in GBNF, as llama.cpp's users write it. The whole text must derive from rule
 * `root` (NULL: "root"). PUNA_E_FORMAT names the line and what was expected, PUNA_E_LIMIT the
 * bound that was passed. The caller owns one reference to *grammar. */
PUNA_API puna_status puna_grammar_open(const char *gbnf, size_t gbnf_bytes, const char *root,
                                       puna_grammar **grammar, puna_error *err);
/* The JSON texts that a JSON schema allows (drafts 4 to 2020-12), with properties in the order of
 * the schema. A keyword that cannot be enforced is refused by name (PUNA_E_UNSUPPORTED), never
 * dropped; annotations are not enforced by definition: see puna_grammar_report. */
PUNA_API puna_status puna_grammar_open_schema(const char *schema, size_t schema_bytes,
                                              puna_grammar **grammar, puna_error *err);
/* Any JSON value whose top level is an object: "response_format": {"type": "json_object"}. */
PUNA_API puna_status puna_grammar_open_json(puna_grammar **grammar, puna_error *err);
/* Adds a reference and returns the same grammar. Thread-safe, like puna_grammar_free. */
PUNA_API puna_grammar *puna_grammar_retain(puna_grammar *grammar);
PUNA_API void puna_grammar_free(puna_grammar *grammar);
/* The grammar as GBNF, NUL-terminated; lives as long as the grammar. */
PUNA_API const char *puna_grammar_text(const puna_grammar *grammar);
/* What was made of a schema: lines "path: keyword: enforced | annotation", NUL-terminated; "" for a
 * grammar that came from GBNF. Lives as long as the grammar. */
PUNA_API const char *puna_grammar_report(const puna_grammar *grammar);
/* Whether the whole text derives from the grammar. Each character counts as a token for terminals
 * such as !<[10]>. */
PUNA_API puna_status puna_grammar_accepts(const puna_grammar *grammar, const char *text,
                                          size_t text_bytes, bool *accepted, puna_error *err);

/* A piece of what is matched: text, or with text NULL the token with this id. A text that is the name
 * of a token in the grammar, such as "<think>", counts as that token, too. */
typedef struct puna_grammar_part {
    const char *text;
    size_t text_bytes;
    int32_t token;
} puna_grammar_part;

typedef struct puna_grammar_match {
    size_t size;
    bool accepted;  /* the pieces, one after another, derive from the grammar */
    bool is_prefix; /* a text of the grammar begins with them */
    int32_t part;   /* when not is_prefix: no text of the grammar goes on with this byte of this */
    size_t byte;    /* piece */
} puna_grammar_match;
/* match->size must be set. */
PUNA_API puna_status puna_grammar_match_parts(const puna_grammar *grammar,
                                              const puna_grammar_part *parts, int32_t n_parts,
                                              puna_grammar_match *match, puna_error *err);

/* ---- samplers -------------------------------------------------------------------------------- */

typedef enum puna_chain {
    /* penalties dry top-n-sigma top-k typical top-p min-p xtc temperature */
    PUNA_CHAIN_LLAMA_CPP = 0,
    /* penalties top-k typical top-p min-p temperature; penalties are for sampled tokens alone, not
     * for those of the prompt */
    PUNA_CHAIN_LLAMA_CPP_PYTHON = 1
} puna_chain;

typedef struct puna_logit_bias {
    int32_t token;
    float bias; /* added to the logit; -INFINITY forbids the token */
} puna_logit_bias;

#define PUNA_SEED_RANDOM  UINT64_MAX
#define PUNA_MAX_LOGPROBS 64

/* A value outside its range is refused by puna_seq_open and puna_seq_set_sampler, by name. */
typedef struct puna_sampler_params {
    size_t size;
    puna_chain chain;
    uint64_t seed;           /* PUNA_SEED_RANDOM: drawn from the system (default) */
    float temperature;       /* >= 0; 0 is greedy */
    int32_t top_k;           /* <= 0: off */
    float top_p;             /* 0..1; 1: off */
    float min_p;             /* 0..1; 0: off */
    float typical_p;         /* 0..1; 1: off */
    float top_n_sigma;       /* < 0 or 0: off */
    float xtc_probability;   /* 0..1; 0: off */
    float xtc_threshold;     /* 0..1; > 0.5: off */
    int32_t mirostat;        /* 0 off, 1, 2 */
    float mirostat_tau;      /* target surprise in bits */
    float mirostat_eta;      /* learning rate */
    int32_t penalty_last_n;  /* window; 0 off, -1 the whole context */
    float repeat_penalty;    /* > 0; 1: off */
    float frequency_penalty; /* 0: off */
    float presence_penalty;  /* 0: off */
    float dry_multiplier;    /* >= 0; 0: off */
    float dry_base;          /* >= 1 */
    int32_t dry_allowed_length;
    int32_t dry_penalty_last_n;               /* 0 off, -1 the whole context */
    const char *const *dry_sequence_breakers; /* n_ strings, copied */
    int32_t n_dry_sequence_breakers;
    const puna_logit_bias *logit_bias; /* n_logit_bias rows, copied */
    int32_t n_logit_bias;
    int32_t n_logprobs; /* 0..PUNA_MAX_LOGPROBS: report the n most likely tokens of each step */
    bool ignore_end;    /* never sample a token that ends the generation */
    /* Only tokens that keep the sampled text within the grammar are possible; the end only where it
     * is complete. A reference is taken. NULL: anything. */
    puna_grammar *grammar;
} puna_sampler_params;
/* Defaults of the named program: llama.cpp (temperature 0.8, top-k 40, top-p 0.95, min-p 0.05), or
 * llama-cpp-python's (the same numbers, its own order). */
PUNA_API void puna_sampler_params_init(puna_sampler_params *params, puna_chain chain);

/* ---- engine ---------------------------------------------------------------------------------- */

typedef struct puna_engine puna_engine;
typedef struct puna_seq puna_seq;

typedef enum puna_kv_type { PUNA_KV_F16 = 0, PUNA_KV_F32 = 1, PUNA_KV_Q8_0 = 2 } puna_kv_type;

/* Values of puna_engine_options.n_gpu_layers. */
#define PUNA_GPU_LAYERS_ALL  (-1)
#define PUNA_GPU_LAYERS_AUTO (-2)

#define PUNA_MAX_GPUS    16 /* cards that one engine can use */
#define PUNA_MAX_DEVICES 17 /* and the CPU */

typedef enum puna_split_mode {
    PUNA_SPLIT_NONE = 0,  /* main_gpu alone */
    PUNA_SPLIT_LAYER = 1, /* each card computes some of the layers */
    PUNA_SPLIT_ROW = 2    /* of llama.cpp; not there: the same as PUNA_SPLIT_LAYER */
} puna_split_mode;

typedef struct puna_engine_options {
    size_t size;
    int32_t n_ctx; /* positions per sequence; 0: what the model was trained for, cut to what fits */
    int32_t n_seq; /* sequences at once, 1 (default) to 1024 */
    int32_t n_batch;           /* rows of one step at most, default 512 */
    int32_t n_threads;         /* 0: the cores this process may use */
    puna_kv_type kv_type;      /* default PUNA_KV_F16 */
    uint64_t max_bytes;        /* memory beside the weights; 0: what the machine has available */
    puna_progress_fn progress; /* prefill: share of the fed tokens computed */
    void *progress_user;
    /* rows a sequence may have guessed ahead in one step (puna_seq_options.draft), 0 to 64 */
    int32_t max_draft;
    /* positions that the KV cache holds for all sequences together, at least n_ctx; 0 (default): n_seq
     * times n_ctx, so that every sequence can be full. With less, a step that finds no free page fails
     * with PUNA_E_LIMIT; a puna_scheduler never comes to that. */
    int64_t n_kv;
    /* Default false. Pages that a sequence gives up are kept as long as nobody needs their room, and
     * a feed of any sequence reuses the longest beginning that was ever computed and is still kept. */
    bool prefix_cache;
    /* Layers that NVIDIA cards compute: 0 (default) none, N the last N of the model, where the output counts as one
     * layer more, PUNA_GPU_LAYERS_ALL or more than there are: all, PUNA_GPU_LAYERS_AUTO: as many as fit into
     * the memory that is free. The CPU computes the rest. What cannot be is computed by the CPU altogether, and
     * puna_memory_plan.where says why; with gpu_required that is an error of opening and planning. Which device
     * computes a layer changes no bit. */
    int32_t n_gpu_layers;
    bool gpu_required;
    /* Several cards, by their numbers for puna_gpu_get. tensor_split are the shares of the layers that each gets, in
     * any unit; all 0 (default): main_gpu alone where everything fits there, else all cards, each according to
     * its free memory. */
    puna_split_mode split_mode; /* default PUNA_SPLIT_LAYER */
    int32_t main_gpu;           /* default 0 */
    float tensor_split[PUNA_MAX_GPUS];
    puna_progress_fn upload; /* puna_engine_open: share of the weights on a card, card by card */
    void *upload_user;
} puna_engine_options;
PUNA_API void puna_engine_options_init(puna_engine_options *options);

/* What one device has of an engine, in bytes of its own memory. Never grows. */
typedef struct puna_device_plan {
    char name[64];                 /* "NVIDIA H100 80GB HBM3", "CPU" */
    int32_t gpu;                   /* its number for puna_gpu_get; -1: the CPU */
    int32_t first_layer, n_layers; /* the output is the layer behind the last */
    int32_t unused;
    uint64_t
        weights_bytes; /* a card: its copy; the CPU: in the mapped file, not counted in total_bytes */
    uint64_t kv_bytes, kv_bytes_per_position;
    uint64_t activations_bytes, logits_bytes, scratch_bytes;
    uint64_t
        total_bytes; /* a card: of all these; the CPU: what the engine takes of the machine's memory */
    uint64_t
        available_bytes;   /* a card: what is free less a margin; the CPU: as in puna_memory_plan */
    uint64_t memory_bytes; /* that a card has; the CPU: 0 */
    uint64_t reserved[4];
} puna_device_plan;

/* Every byte an engine takes, known before it is opened. */
typedef struct puna_memory_plan {
    size_t size;
    int32_t n_ctx; /* as it would be opened */
    int32_t n_ctx_train;
    int32_t n_seq;
    int32_t n_batch;
    int32_t n_threads;
    int32_t n_ctx_fits; /* the largest context that would fit max_bytes with these settings */
    bool fits;
    uint64_t available_bytes; /* max_bytes, or what the machine has */
    /* mapped or read from the file: page cache, not counted in total_bytes when mapped */
    uint64_t weights_bytes;
    uint64_t kv_bytes;
    uint64_t kv_bytes_per_position;
    uint64_t activations_bytes; /* the workspace of the plan for n_batch rows */
    uint64_t logits_bytes;
    uint64_t scratch_bytes; /* per-thread buffers */
    uint64_t other_bytes;   /* page tables, token lists, n_seq samplers with default parameters */
    uint64_t total_bytes;   /* what the engine takes with all its sequences open */
    /* With layers on cards, their copies of the weights, KV pages, workspace and scratch are there: gpu_bytes, of all
     * cards; total_bytes is what is left for the machine. */
    int32_t n_layers; /* of the model, and one for the output */
    int32_t n_gpu_layers;
    uint64_t gpu_bytes, gpu_available_bytes;
    char where[256]; /* what computes, for people: "33/33 layers on NVIDIA H100, 5.1 GiB of 79.6" */
    int32_t n_devices; /* that compute layers, in the order of the layers */
    puna_device_plan devices[PUNA_MAX_DEVICES];
} puna_memory_plan;
typedef struct puna_gpu {
    size_t size;
    char name[128];
    int32_t compute_capability; /* 90: 9.0 */
    int32_t driver_version;     /* of CUDA: 13000 is 13.0 */
    uint64_t total_bytes, free_bytes;
    bool is_used; /* by an engine that asks for layers on a card and names none: the first */
} puna_gpu;
/* The NVIDIA card with this number, of at most PUNA_MAX_GPUS; gpu->size must be set. *n_gpus (may be NULL) gets how many there are. Fails with
 * PUNA_E_UNSUPPORTED and the reason when no card can be used: this build has no kernels for them, no driver, no
 * card. CUDA_VISIBLE_DEVICES chooses and orders them. */
PUNA_API puna_status puna_gpu_get(int32_t index, puna_gpu *gpu, int32_t *n_gpus, puna_error *err);

/* plan->size must be set. Succeeds also when it does not fit (fits = false). */
PUNA_API puna_status puna_engine_plan(const puna_model *model, const puna_engine_options *options,
                                      puna_memory_plan *plan, puna_error *err);

/* Opens an engine and takes a reference to the model. options may be NULL. Fails with
 * PUNA_E_LIMIT and the numbers when the plan does not fit. */
PUNA_API puna_status puna_engine_open(puna_model *model, const puna_engine_options *options,
                                      puna_engine **engine, puna_error *err);
/* Frees the engine and every sequence still open in it. */
PUNA_API void puna_engine_free(puna_engine *engine);
/* The plan as it was opened. plan->size must be set. */
PUNA_API void puna_engine_get_plan(const puna_engine *engine, puna_memory_plan *plan);
/* Asks the step under way (or the next one) to stop between two operations: it returns
 * PUNA_E_CANCELLED and every sequence stays as it was before that step. Callable from any thread
 * and from a signal handler. */
PUNA_API void puna_engine_cancel(puna_engine *engine);

typedef enum puna_event_kind {
    PUNA_EVENT_TOKEN = 1,    /* one token was sampled */
    PUNA_EVENT_FINISHED = 2, /* the sequence has nothing more to do; feed it again to go on */
    PUNA_EVENT_FAILED = 3    /* this sequence failed, the others go on; error says why */
} puna_event_kind;

typedef enum puna_finish {
    PUNA_FINISH_NONE = 0,
    PUNA_FINISH_END = 1, /* a token that ends the generation */
    PUNA_FINISH_LENGTH =
        2, /* max_tokens reached; 0: the prompt is computed, its logits are ready */
    PUNA_FINISH_CONTEXT = 3, /* the context is full */
    PUNA_FINISH_STOP = 4     /* one of the sequence's stop texts came; it is not part of the text */
} puna_finish;

typedef struct puna_token_logprob {
    int32_t token;
    float logprob; /* natural logarithm, of the model's distribution before any sampler */
} puna_token_logprob;

typedef struct puna_event {
    puna_event_kind kind;
    puna_seq *seq;
    void *user;    /* as given to puna_seq_open */
    int32_t token; /* TOKEN */
    /* TOKEN, FINISHED: new complete UTF-8 text, may be empty; valid until the next call on the
     * engine. What may be the beginning of a stop text is held back until that is decided. */
    const char *text;
    size_t text_bytes;
    float logprob;                 /* TOKEN, when n_logprobs > 0 */
    const puna_token_logprob *top; /* the n_top most likely, descending; valid like text */
    int32_t n_top;
    puna_finish finish; /* FINISHED */
    puna_error error;   /* FAILED */
    int32_t stop;       /* FINISHED by a stop text: its index; else -1 */
} puna_event;

/* One batched step over all sequences that have something to do: prompt chunks and one new token
 * each. Writes at most max_events events (n_seq * (2 + max_draft) is always enough) and their
 * number to *n_events; 0 events with PUNA_OK and nothing runnable means all sequences are idle: see
 * puna_engine_is_idle. */
PUNA_API puna_status puna_engine_step(puna_engine *engine, puna_event *events, int32_t max_events,
                                      int32_t *n_events, puna_error *err);
/* True when no sequence has anything to do. */
PUNA_API bool puna_engine_is_idle(const puna_engine *engine);

/* ---- sequences ------------------------------------------------------------------------------- */

/* Called in position order for every position computed while set: logits [n_vocab], valid during
 * the call. */
typedef void (*puna_logits_fn)(void *user, int32_t position, const float *logits, int32_t n_vocab);

/* The same for hidden states: the output of the last norm, [n_embd]. */
typedef void (*puna_hidden_fn)(void *user, int32_t position, const float *hidden, int32_t n_embd);

/* Called before each draw with a copy of the logits [n_vocab] to change at will, and the timeline
 * tokens[0..n_tokens). Return false to fail the sequence (PUNA_EVENT_FAILED). */
typedef bool (*puna_edit_logits_fn)(void *user, const int32_t *tokens, int32_t n_tokens,
                                    float *logits, int32_t n_vocab);

/* Guesses what comes after tokens[0..n_tokens): writes at most max_draft ids and returns how many.
 * Guesses change the speed and nothing else: a wrong one is thrown away. */
typedef int32_t (*puna_draft_fn)(void *user, const int32_t *tokens, int32_t n_tokens,
                                 int32_t *draft, int32_t max_draft);

/* One vector for a whole text, from the hidden states of its positions. */
typedef enum puna_pooling {
    PUNA_POOLING_OFF = 0,
    PUNA_POOLING_MEAN = 1, /* the mean over all positions, summed in double in position order */
    PUNA_POOLING_CLS = 2,  /* the first position */
    PUNA_POOLING_LAST = 3  /* the last position */
} puna_pooling;

typedef struct puna_seq_options {
    size_t size;
    puna_sampler_params sampler; /* set by puna_seq_options_init to llama.cpp's defaults */
    /* tokens to sample after each feed; -1: until the end or the context is full */
    int32_t max_tokens;
    puna_logits_fn on_logits; /* NULL: only the last position's logits are computed */
    void *on_logits_user;
    void *user; /* handed back in events */
    /* Texts that end the generation, n_stops of them, copied; none may be empty. */
    const char *const *stops;
    int32_t n_stops;
    puna_edit_logits_fn edit_logits; /* NULL: none */
    void *edit_user;
    puna_draft_fn draft; /* NULL: none; needs puna_engine_options.max_draft */
    void *draft_user;
    /* With pooling or on_hidden a feed computes the whole text again, samples nothing (max_tokens
     * counts as 0) and computes no logits unless on_logits is set. */
    puna_pooling pooling;
    puna_hidden_fn on_hidden;
    void *on_hidden_user;
} puna_seq_options;
PUNA_API void puna_seq_options_init(puna_seq_options *options);

/* Fails with PUNA_E_LIMIT when n_seq sequences are open already. */
PUNA_API puna_status puna_seq_open(puna_engine *engine, const puna_seq_options *options,
                                   puna_seq **seq, puna_error *err);
PUNA_API void puna_seq_free(puna_seq *seq);

/* Sets the whole timeline of the sequence: tokens[0..n_tokens). What agrees with tokens already
 * computed is reused, the rest is forgotten, what is new is computed by the following steps.
 * n_tokens from 1 to n_ctx. */
PUNA_API puna_status puna_seq_feed(puna_seq *seq, const int32_t *tokens, int32_t n_tokens,
                                   puna_error *err);
/* Changes everything that puna_seq_open was given but the timeline, which stays and can be reused
 * by the next feed; the sampler starts anew. The sequence becomes idle. */
PUNA_API puna_status puna_seq_configure(puna_seq *seq, const puna_seq_options *options,
                                        puna_error *err);
/* Goes on after PUNA_FINISH_LENGTH as if max_tokens had been larger by this max_tokens (-1: no
 * limit): the sampler with its random numbers, the grammar and the text go on where they are. What
 * waited as the possible beginning of a stop text has been handed out by then.
 * PUNA_E_STATE when the last feed did not finish so, or the sequence was changed since. */
PUNA_API puna_status puna_seq_resume(puna_seq *seq, int32_t max_tokens, puna_error *err);
/* Makes the sequence idle without an event; what is computed stays and can be reused. */
PUNA_API void puna_seq_stop(puna_seq *seq);
/* Forgets the timeline from position n_tokens on; 0 forgets all. The sequence becomes idle. */
PUNA_API void puna_seq_truncate(puna_seq *seq, int32_t n_tokens);
/* Changes how many tokens the next feed samples. */
PUNA_API void puna_seq_set_max_tokens(puna_seq *seq, int32_t max_tokens);
/* Replaces the sampler; its random state starts anew from the seed. */
PUNA_API puna_status puna_seq_set_sampler(puna_seq *seq, const puna_sampler_params *params,
                                          puna_error *err);
/* A second sequence with the same timeline and options (but for user), idle; the KV pages are shared
 * until one of them writes. */
PUNA_API puna_status puna_seq_fork(puna_seq *seq, void *user, puna_seq **fork, puna_error *err);
/* The timeline: fed and sampled tokens. Valid until the next call on the engine. */
PUNA_API const int32_t *puna_seq_tokens(const puna_seq *seq, int32_t *n_tokens);
/* The logits [n_vocab] of the last computed position, or NULL before there are any. Valid until
 * the next call on the engine. */
PUNA_API const float *puna_seq_logits(const puna_seq *seq);
/* Draws a token from those logits with the sequence's sampler, without adding it to the
 * timeline. */
PUNA_API puna_status puna_seq_sample(puna_seq *seq, int32_t *token, puna_error *err);

/* The pooled vector [n_embd] of the last feed with pooling, not normalised, or NULL before it is
 * computed. Valid until the next call on the engine. */
PUNA_API const float *puna_seq_embedding(const puna_seq *seq);

/* The timeline as bytes: tokens, KV cache and logits, for the same model and KV type on any machine
 * of the same byte order. Same size protocol as puna_tokenize: *n_bytes gets what is needed. */
PUNA_API puna_status puna_seq_save(const puna_seq *seq, void *buf, size_t max_bytes,
                                   size_t *n_bytes, puna_error *err);
/* Replaces the timeline by a saved one; the next feed reuses it. Bytes that were not saved from this
 * model with this KV type, are damaged or do not fit the context are refused and change nothing. */
PUNA_API puna_status puna_seq_load(puna_seq *seq, const void *buf, size_t n_bytes, puna_error *err);

typedef struct puna_seq_stats {
    size_t size;
    int32_t n_fed;      /* tokens of the last feed */
    int32_t n_reused;   /* of those, found computed already */
    int32_t n_sampled;  /* since the last feed */
    double prefill_s;   /* wall seconds spent in steps that computed fed tokens of this sequence */
    double decode_s;    /* and in steps that computed sampled ones */
    int32_t n_drafted;  /* tokens guessed since the last feed */
    int32_t n_accepted; /* of those, right */
} puna_seq_stats;
PUNA_API void puna_seq_get_stats(const puna_seq *seq, puna_seq_stats *stats);

/* Log-probabilities (natural logarithm) of the distribution that logits [n_vocab] give before any
 * sampler: *of_token gets that of `token`, top[0..n) the most likely, descending, ties by id.
 * Returns how many were written, at most n (0..PUNA_MAX_LOGPROBS). */
PUNA_API int32_t puna_logprobs(const float *logits, int32_t n_vocab, int32_t token, float *of_token,
                               puna_token_logprob *top, int32_t n);

/* ---- scheduler: many requests at once -------------------------------------------------------- */

/* A queue in front of an engine of its own. Requests join and leave between steps; those that wait
 * for one token come first in a step, prompts are computed in chunks beside them. What was computed
 * for one request is reused for every other that begins with the same tokens. Clients take turns;
 * nothing ever runs out of memory midway: a request that does not fit now waits, and one whose pages
 * are needed by an older one gives them up and is computed again later. None of this changes a
 * result: an answer is the same as if its request were alone.
 *
 * One thread calls puna_scheduler_step in a loop; every other function may be called from any thread
 * at any time, also from within a callback. */
typedef struct puna_scheduler puna_scheduler;

typedef struct puna_scheduler_options {
    size_t size;
    /* n_seq: requests computed at once; n_ctx: positions of each; n_kv: of all. prefix_cache is on by
     * puna_scheduler_options_init; progress is not used. */
    puna_engine_options engine;
    int32_t max_waiting; /* requests beside those; more are refused. Default 64 */
    /* Aim for the duration of a step in which somebody waits for a token, in seconds: prompts are cut
     * into chunks for it. Default 0.1; 0: chunks of n_batch. */
    double step_s;
} puna_scheduler_options;
PUNA_API void puna_scheduler_options_init(puna_scheduler_options *options);

typedef enum puna_request_event_kind {
    PUNA_REQUEST_PREFILL = 1,  /* a chunk of the prompt was computed */
    PUNA_REQUEST_TOKEN = 2,    /* one token was sampled */
    PUNA_REQUEST_FINISHED = 3, /* the last event of a request that was completed */
    PUNA_REQUEST_FAILED = 4    /* the last event of one that was not: error says why */
} puna_request_event_kind;

typedef struct puna_request_event {
    puna_request_event_kind kind;
    uint64_t request;
    /* TOKEN, FINISHED: what the engine says; its seq may be asked with the puna_seq functions that take
     * a const puna_seq, during the call. NULL otherwise. */
    const puna_event *event;
    /* FAILED: PUNA_E_CANCELLED by puna_scheduler_cancel, PUNA_E_TIMEOUT at the deadline, or what went
     * wrong. NULL otherwise. */
    const puna_error *error;
    int32_t n_prompt;   /* tokens of the prompt, */
    int32_t n_reused;   /* of those found computed when it began, */
    int32_t n_computed; /* and computed by now, with the reused ones */
    int32_t n_sampled;
    double waiting_s; /* from submission to the first step */
    double prefill_s; /* from there to the first token */
    double decode_s;  /* from there to now */
} puna_request_event;

/* Called on the stepping thread, in order, while no lock is held. All that the event points to is
 * valid during the call. Exactly one FINISHED or FAILED comes for every accepted request. */
typedef void (*puna_request_fn)(void *user, const puna_request_event *event);

typedef struct puna_request_options {
    size_t size;
    const int32_t *tokens; /* the prompt [n_tokens], copied */
    int32_t n_tokens;
    /* Sampler, max_tokens, stops, pooling and callbacks of the sequence; lists are copied, callbacks run
     * on the stepping thread. user is not used. */
    puna_seq_options seq;
    int32_t priority; /* larger ones begin first; default 0 */
    uint64_t client;  /* whose it is: among waiting requests of equal priority clients take turns */
    double deadline_s; /* seconds from now after which it fails; 0 (default): none */
    puna_request_fn on_event;
    void *user;
} puna_request_options;
PUNA_API void puna_request_options_init(puna_request_options *options);

/* Opens an engine with these options and a queue before it; takes a reference to the model. Where n_kv
 * is 0, it is n_seq times n_ctx, cut to what memory allows. */
PUNA_API puna_status puna_scheduler_open(puna_model *model, const puna_scheduler_options *options,
                                         puna_scheduler **scheduler, puna_error *err);
/* Ends every request that is left with a FAILED event (PUNA_E_CANCELLED). No step may be under way. */
PUNA_API void puna_scheduler_free(puna_scheduler *scheduler);
PUNA_API void puna_scheduler_get_plan(const puna_scheduler *scheduler, puna_memory_plan *plan);

/* Checks a request and puts it into the queue; *request gets its number, never 0. PUNA_E_ARG and
 * PUNA_E_LIMIT (the prompt does not fit the context) refuse it for good; PUNA_E_STATE: max_waiting
 * requests wait already, try again later. */
PUNA_API puna_status puna_scheduler_submit(puna_scheduler *scheduler,
                                           const puna_request_options *options, uint64_t *request,
                                           puna_error *err);
/* Ends a request before the next step: its FAILED event comes then. A request that has ended already
 * is none of the scheduler's, and nothing happens. */
PUNA_API void puna_scheduler_cancel(puna_scheduler *scheduler, uint64_t request);
/* One step for all requests. When there is nothing to do it waits for a request, wait_s seconds at
 * most. *is_busy: something is left to do. */
PUNA_API puna_status puna_scheduler_step(puna_scheduler *scheduler, double wait_s, bool *is_busy,
                                         puna_error *err);
/* Ends the wait of the step under way. Callable from a signal handler. */
PUNA_API void puna_scheduler_wake(puna_scheduler *scheduler);

typedef enum puna_request_state {
    PUNA_REQUEST_WAITING = 0,
    PUNA_REQUEST_PROMPT = 1, /* its prompt is being computed */
    PUNA_REQUEST_ANSWER = 2  /* it is sampling */
} puna_request_state;

typedef struct puna_request_info {
    size_t size;
    uint64_t request;
    uint64_t client;
    puna_request_state state;
    int32_t slot; /* 0 to n_seq - 1 while it is computed, else -1 */
    int32_t priority;
    int32_t n_prompt, n_reused, n_computed, n_sampled;
    double age_s; /* since submission */
} puna_request_info;
/* Writes at most max rows, those in slots first, then in the order in which they would begin, and
 * returns how many there are. Each infos[i].size must be set. */
PUNA_API int32_t puna_scheduler_requests(puna_scheduler *scheduler, puna_request_info *infos,
                                         int32_t max);

/* Counters since opening, and what is so now. */
typedef struct puna_scheduler_stats {
    size_t size;
    int32_t n_waiting, n_running, n_slots;
    int64_t n_kv;        /* positions of the KV cache, */
    int64_t n_kv_used;   /* in pages that running requests hold, */
    int64_t n_kv_cached; /* and kept for later ones */
    uint64_t n_steps;
    uint64_t n_accepted, n_refused, n_finished, n_failed;
    uint64_t n_prompt_tokens; /* fed, */
    uint64_t n_reused_tokens; /* of those reused */
    uint64_t n_sampled_tokens;
    uint64_t n_evicted_pages; /* that made room */
    uint64_t n_preempted;     /* times that a request gave up its pages to an older one */
    double busy_s;            /* wall seconds inside steps */
} puna_scheduler_stats;
PUNA_API void puna_scheduler_get_stats(puna_scheduler *scheduler, puna_scheduler_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
