/* cli_options.c: one table for all options.
 *
 * A row says how an option is spelled, what it takes, where its value goes, which commands have
 * it and what help prints. A name may occur twice for different commands (--ids). Order of
 * precedence: command line, then the environment (PUNA_<LONG_NAME>), then the default. */
#define _GNU_SOURCE /* getopt_long_only; the POSIX names stay visible beside it */
#include "cli_options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cli_print.h"
#include "text_input.h"

typedef enum value_kind {
    FLAG,
    UNFLAG, /* an accepted flag that turns another one off */
    TEXT,
    TEXTS, /* may be repeated, commas between */
    WHOLE,
    REAL,
    SEED,
    CACHE_TYPE,
    GPU_LAYERS,
    SHARES,
    CHAIN,
    WHEN_FULL,
    POOLING,
    BREAKER,
    STOP_TEXT,
    BIAS
} value_kind;

typedef struct row {
    const char *group; /* heading in the help; NULL: as the row before */
    const char *name;
    const char *alias; /* another spelling people know, or NULL */
    const char *brief; /* "c", or "ctk" (also with one dash), or NULL */
    value_kind kind;
    unsigned commands;
    size_t at; /* offset in options */
    double least;
    double most;
    const char *argument; /* NULL for flags */
    const char *help;
} row;

#define OPTION(member) offsetof(options, member)
#define SETTING        (1u << 31) /* no command: the row can be changed in a chat */
#define ALL_COMMANDS   (~SETTING)
#define GENERATING     (CMD_RUN | CMD_CHAT)
#define SCHEDULED      (CMD_SERVE | CMD_BATCH)
#define SAMPLING       (CMD_RUN | CMD_CHAT | SCHEDULED | SETTING)
#define WITH_MODEL                                                                                 \
    (ALL_COMMANDS & ~(unsigned)(CMD_PULL | CMD_LS | CMD_RM | CMD_GRAMMAR | CMD_DEVICES))
#define WITH_ENGINE (CMD_RUN | CMD_CHAT | CMD_BENCH | CMD_EVAL | CMD_LOGITS | CMD_EMBED | SCHEDULED)
#define WITH_PROMPT (CMD_RUN | CMD_LOGITS | CMD_TOKENIZE | CMD_EMBED)
#define WITH_JSON                                                                                  \
    (CMD_RUN | CMD_CHAT | CMD_SHOW | CMD_PLAN | CMD_BENCH | CMD_EVAL | CMD_LOGITS | CMD_TOKENIZE | \
     CMD_RENDER | CMD_PULL | CMD_LS | CMD_RM | CMD_DEVICES)
#define BIG 2147483647.0

static const row rows[] = {
    {"input", "model", NULL, "m", TEXT, WITH_MODEL, OPTION(model), 0, 0, "FILE",
     "a GGUF file, or a model's name: 'puna help pull' (smollm2)"},
    {NULL, "offline", NULL, NULL, FLAG, WITH_MODEL | CMD_PULL, OPTION(offline), 0, 0, NULL,
     "never use the network; HF_HUB_OFFLINE=1 says the same"},
    {NULL, "file", NULL, NULL, TEXT, CMD_PULL, OPTION(glob), 0, 0, "GLOB",
     "the file of the repository that matches, such as '*q4_k_m.gguf', in place of QUANT"},
    {NULL, "rev", "revision", NULL, TEXT, CMD_PULL, OPTION(revision), 0, 0, "REVISION",
     "a branch, a tag or a commit (main)"},
    {NULL, "local-dir", NULL, NULL, TEXT, CMD_PULL, OPTION(local_dir), 0, 0, "DIR",
     "put plain files into DIR in place of the hub's cache"},
    {NULL, "yes", NULL, "y", FLAG, CMD_RM, OPTION(yes), 0, 0, NULL, "remove without asking"},
    {NULL, "prompt", NULL, "p", TEXT, WITH_PROMPT | CMD_CHAT, OPTION(prompt), 0, 0, "TEXT",
     "the prompt"},
    {NULL, "file", NULL, "f", TEXT, WITH_PROMPT | CMD_CHAT | CMD_EVAL, OPTION(file), 0, 0, "FILE",
     "read the text from FILE; - is standard input"},
    {NULL, "ids", NULL, NULL, TEXT, CMD_LOGITS | CMD_EMBED, OPTION(ids), 0, 0, "1,2,3",
     "token ids in place of a prompt, used as they are"},
    {NULL, "escape", NULL, "e", FLAG, WITH_PROMPT | CMD_CHAT, OPTION(escape), 0, 0, NULL,
     "\\n, \\t, \\\\ and \\xHH in the prompt stand for those characters"},
    {NULL, "no-bos", NULL, NULL, FLAG, WITH_PROMPT | CMD_EVAL, OPTION(no_bos), 0, 0, NULL,
     "add no special tokens (BOS, EOS, CLS, SEP) around the text"},
    {NULL, "special", NULL, NULL, FLAG, WITH_PROMPT | CMD_EVAL, OPTION(special), 0, 0, NULL,
     "the text of special tokens, such as <|im_start|>, becomes those tokens"},
    {NULL, "special", NULL, NULL, FLAG, CMD_DETOKENIZE, OPTION(special), 0, 0, NULL,
     "print the text of special tokens too"},
    {NULL, "exact", NULL, NULL, FLAG, CMD_DETOKENIZE, OPTION(exact), 0, 0, NULL,
     "the tokens' texts as they are, no spaces tidied before punctuation where the vocabulary asks "
     "for it"},
    {NULL, "jsonl", NULL, NULL, FLAG, CMD_TOKENIZE, OPTION(jsonl), 0, 0, NULL,
     "each line of standard input is a JSON string; print one JSON array of ids for each"},
    {NULL, "jsonl", NULL, NULL, FLAG, CMD_DETOKENIZE, OPTION(jsonl), 0, 0, NULL,
     "each line of standard input is a JSON array of ids; print one JSON string for each"},
    {NULL, "jsonl", NULL, NULL, FLAG, CMD_EMBED, OPTION(jsonl), 0, 0, NULL,
     "each line of standard input is a JSON string; print one vector for each"},

    {"conversation", "system-prompt", NULL, "sys", TEXT, CMD_CHAT, OPTION(system_prompt), 0, 0,
     "TEXT", "what the model is told before the conversation"},
    {NULL, "system-prompt-file", NULL, "sysf", TEXT, CMD_CHAT, OPTION(system_file), 0, 0, "FILE",
     "the same, read from FILE"},
    {NULL, "load", NULL, NULL, TEXT, CMD_CHAT, OPTION(load_path), 0, 0, "FILE",
     "go on with a conversation that /save wrote"},
    {NULL, "context-overflow", NULL, NULL, WHEN_FULL, CMD_CHAT, OPTION(overflow), 0, 0, "WHAT",
     "when the context is full: stop, drop the oldest turns, or ask (ask)"},
    {NULL, "template", "chat-template-file", NULL, TEXT, CMD_CHAT | SCHEDULED,
     OPTION(template_path), 0, 0, "FILE", "a Jinja template in place of the model's"},
    {NULL, "chat-template-kwargs", NULL, NULL, TEXT, CMD_CHAT, OPTION(template_vars), 0, 0, "JSON",
     "further variables of the template, such as '{\"enable_thinking\": false}'"},
    {NULL, "messages", NULL, NULL, TEXT, CMD_RENDER, OPTION(messages), 0, 0, "FILE",
     "read the messages from FILE, JSON; - is standard input (-)"},
    {NULL, "tools", NULL, NULL, TEXT, CMD_RENDER, OPTION(tools), 0, 0, "FILE",
     "read the tools that may be called from FILE, a JSON list"},
    {NULL, "vars", NULL, NULL, TEXT, CMD_RENDER, OPTION(vars), 0, 0, "FILE",
     "read further variables of the template from FILE, a JSON object"},
    {NULL, "template", "chat-template-file", NULL, TEXT, CMD_RENDER, OPTION(template_path), 0, 0,
     "FILE", "a Jinja template in place of the model's; messages reach it as they are"},
    {NULL, "chat-template", NULL, NULL, TEXT, CMD_RENDER | CMD_CHAT | SCHEDULED,
     OPTION(chat_template), 0, 0, "NAME",
     "a known format in place of the model's template; an unknown NAME lists them"},
    {NULL, "bos", NULL, NULL, TEXT, CMD_RENDER, OPTION(bos), 0, 0, "TEXT",
     "what the template's bos_token is (the model's)"},
    {NULL, "eos", NULL, NULL, TEXT, CMD_RENDER, OPTION(eos), 0, 0, "TEXT",
     "what the template's eos_token is (the model's)"},
    {NULL, "now", NULL, NULL, TEXT, CMD_RENDER, OPTION(now), 0, 0, "'Y-M-D H:M:S'",
     "the local time that templates show (the clock's)"},
    {NULL, "no-generation-prompt", NULL, NULL, FLAG, CMD_RENDER, OPTION(no_generation_prompt), 0, 0,
     NULL, "end after the last message, not where the answer begins"},
    {NULL, "exact", NULL, NULL, FLAG, CMD_RENDER, OPTION(exact), 0, 0, NULL,
     "messages reach the template as they are: what it does not take is an error"},
    {NULL, "repair", NULL, NULL, FLAG, CMD_RENDER, OPTION(repair), 0, 0, NULL,
     "with --template: rewrite messages that it does not take, as chats do"},
    {NULL, "gbnf", NULL, NULL, TEXT, CMD_GRAMMAR, OPTION(grammar_path), 0, 0, "FILE",
     "the grammar in GBNF, as llama.cpp reads it; - is standard input"},
    {NULL, "schema", NULL, NULL, TEXT, CMD_GRAMMAR, OPTION(schema_path), 0, 0, "FILE",
     "the grammar of the JSON texts that this JSON schema allows"},
    {NULL, "jsonl", NULL, NULL, FLAG, CMD_GRAMMAR, OPTION(jsonl), 0, 0, NULL,
     "each line of standard input is a JSON string, or a list of strings and token ids"},

    {"generation", "predict", "n-predict", "n", WHOLE, GENERATING | SETTING, OPTION(n_predict), -1,
     BIG, "N",
     "tokens to generate at most; -1 goes on until the model ends or the context is full (-1)"},
    {NULL, "reverse-prompt", NULL, "r", STOP_TEXT, CMD_RUN, 0, 0, 0, "TEXT",
     "end before TEXT, in which \\n is a newline; may be repeated"},
    {NULL, "ignore-eos", NULL, NULL, FLAG, GENERATING, OPTION(sampler.ignore_end), 0, 0, NULL,
     "never sample a token that ends the text"},
    {NULL, "echo", "display-prompt", NULL, FLAG, CMD_RUN, OPTION(echo), 0, 0, NULL,
     "print the prompt before the generated text"},
    {NULL, "no-display-prompt", NULL, NULL, UNFLAG, CMD_RUN, OPTION(echo), 0, 0, NULL,
     "do not print the prompt (the default)"},

    {NULL, "grammar", NULL, NULL, TEXT, GENERATING, OPTION(grammar), 0, 0, "GBNF",
     "generate only texts of this grammar, in GBNF as llama.cpp reads it"},
    {NULL, "grammar-file", NULL, NULL, TEXT, GENERATING, OPTION(grammar_path), 0, 0, "FILE",
     "read the grammar from FILE"},
    {NULL, "json-schema", NULL, "j", TEXT, GENERATING, OPTION(schema), 0, 0, "SCHEMA",
     "generate only JSON that this JSON schema allows; {} for any JSON"},
    {NULL, "json-schema-file", NULL, "jf", TEXT, GENERATING, OPTION(schema_path), 0, 0, "FILE",
     "read the JSON schema from FILE"},

    {"sampling", "seed", NULL, "s", SEED, SAMPLING, OPTION(sampler.seed), 0, 0, "N",
     "seed of the random numbers; -1 draws one and prints it (-1)"},
    {NULL, "temp", "temperature", NULL, REAL, SAMPLING, OPTION(sampler.temperature), 0, 1e6, "T",
     "temperature; 0 always takes the most likely token (0.8)"},
    {NULL, "top-k", NULL, NULL, WHOLE, SAMPLING, OPTION(sampler.top_k), -BIG, BIG, "K",
     "only the K most likely tokens; 0 is off (40)"},
    {NULL, "top-p", NULL, NULL, REAL, SAMPLING, OPTION(sampler.top_p), 0, 1, "P",
     "only the likeliest tokens that make up P together; 1 is off (0.95)"},
    {NULL, "min-p", NULL, NULL, REAL, SAMPLING, OPTION(sampler.min_p), 0, 1, "P",
     "only tokens at least P times as likely as the likeliest; 0 is off (0.05)"},
    {NULL, "typical", "typical-p", NULL, REAL, SAMPLING, OPTION(sampler.typical_p), 0, 1, "P",
     "locally typical sampling; 1 is off (1)"},
    {NULL, "top-nsigma", "top-n-sigma", NULL, REAL, SAMPLING, OPTION(sampler.top_n_sigma), -1e6,
     1e6, "N", "only logits within N standard deviations of the highest; -1 is off (-1)"},
    {NULL, "xtc-probability", NULL, NULL, REAL, SAMPLING, OPTION(sampler.xtc_probability), 0, 1,
     "P", "how often XTC removes the top choices; 0 is off (0)"},
    {NULL, "xtc-threshold", NULL, NULL, REAL, SAMPLING, OPTION(sampler.xtc_threshold), 0, 1, "P",
     "XTC: how likely a top choice is; above 0.5 is off (0.1)"},
    {NULL, "mirostat", NULL, NULL, WHOLE, SAMPLING, OPTION(sampler.mirostat), 0, 2, "V",
     "Mirostat version 1 or 2 in place of the other samplers; 0 is off (0)"},
    {NULL, "mirostat-lr", NULL, NULL, REAL, SAMPLING, OPTION(sampler.mirostat_eta), 0, 1e6, "ETA",
     "Mirostat learning rate (0.1)"},
    {NULL, "mirostat-ent", NULL, NULL, REAL, SAMPLING, OPTION(sampler.mirostat_tau), 0, 1e6, "TAU",
     "Mirostat target surprise in bits (5)"},
    {NULL, "repeat-last-n", NULL, NULL, WHOLE, SAMPLING, OPTION(sampler.penalty_last_n), -1, BIG,
     "N", "how many last tokens the penalties look at; -1 all of them (64)"},
    {NULL, "repeat-penalty", NULL, NULL, REAL, SAMPLING, OPTION(sampler.repeat_penalty), 1e-6, 1e6,
     "X", "divides the logits of repeated tokens; 1 is off (1)"},
    {NULL, "frequency-penalty", NULL, NULL, REAL, SAMPLING, OPTION(sampler.frequency_penalty), -1e6,
     1e6, "X", "subtracted for each earlier occurrence; 0 is off (0)"},
    {NULL, "presence-penalty", NULL, NULL, REAL, SAMPLING, OPTION(sampler.presence_penalty), -1e6,
     1e6, "X", "subtracted once for a token that occurred; 0 is off (0)"},
    {NULL, "dry-multiplier", NULL, NULL, REAL, SAMPLING, OPTION(sampler.dry_multiplier), 0, 1e6,
     "X", "strength of the DRY penalty on repeated sequences; 0 is off (0)"},
    {NULL, "dry-base", NULL, NULL, REAL, SAMPLING, OPTION(sampler.dry_base), 1, 1e6, "X",
     "DRY: growth per token beyond the allowed length (1.75)"},
    {NULL, "dry-allowed-length", NULL, NULL, WHOLE, SAMPLING, OPTION(sampler.dry_allowed_length), 0,
     BIG, "N", "DRY: repeated tokens that cost nothing (2)"},
    {NULL, "dry-penalty-last-n", NULL, NULL, WHOLE, SAMPLING, OPTION(sampler.dry_penalty_last_n),
     -1, BIG, "N", "DRY: how many last tokens it looks at; -1 all of them (64)"},
    {NULL, "dry-sequence-breaker", NULL, NULL, BREAKER, GENERATING | SCHEDULED, 0, 0, 0, "TEXT",
     "DRY: text that ends a sequence, in place of \\n : \" *; may be repeated; \"none\" for no "
     "breaker"},
    {NULL, "logit-bias", NULL, NULL, BIAS, GENERATING, 0, 0, 0, "ID+X",
     "add X to the logit of token ID: 15043+1, 15043-1.5, 15043-inf; may be repeated"},
    {NULL, "chain", NULL, NULL, CHAIN, GENERATING | SCHEDULED, OPTION(sampler.chain), 0, 0, "NAME",
     "order of the samplers: llama.cpp or llama-cpp-python (llama.cpp)"},

    {"files", "input", NULL, "i", TEXT, CMD_BATCH, OPTION(batch_in), 0, 0, "FILE",
     "read the requests from FILE, one a line; - is standard input (-)"},
    {NULL, "output", NULL, "o", TEXT, CMD_BATCH, OPTION(batch_out), 0, 0, "FILE",
     "write the answers to FILE, one a line; - is standard output (-)"},
    {NULL, "resume", NULL, NULL, FLAG, CMD_BATCH, OPTION(resume), 0, 0, NULL,
     "leave out what the output has already, and add to it"},

    {"server", "host", NULL, NULL, TEXT, CMD_SERVE, OPTION(host), 0, 0, "ADDRESS",
     "where to listen; 0.0.0.0 is reached from other machines, and an API key is made (127.0.0.1)"},
    {NULL, "port", NULL, NULL, WHOLE, CMD_SERVE, OPTION(port), 0, 65535, "N",
     "port to listen at; 0 takes one that is free (8080)"},
    {NULL, "port-file", NULL, NULL, TEXT, CMD_SERVE, OPTION(port_file), 0, 0, "FILE",
     "write the port into FILE as soon as it is open; removed at the end"},
    {NULL, "alias", NULL, "a", TEXT, SCHEDULED, OPTION(alias), 0, 0, "NAME",
     "the model's name in the API (the file's name)"},
    {NULL, "api-key", NULL, NULL, TEXTS, CMD_SERVE, OPTION(api_keys), 0, 0, "KEY",
     "answer only requests with this key; several with commas between; better PUNA_API_KEY or:"},
    {NULL, "api-key-file", NULL, NULL, TEXT, CMD_SERVE, OPTION(api_key_path), 0, 0, "FILE",
     "read the keys from FILE, one a line"},
    {NULL, "cors", NULL, NULL, TEXTS, CMD_SERVE, OPTION(cors), 0, 0, "ORIGIN",
     "pages of this origin, such as https://chat.example.org, may use the API; * for all"},
    {NULL, "allowed-host", NULL, NULL, TEXTS, CMD_SERVE, OPTION(allowed_hosts), 0, 0, "NAME",
     "a name that the server is reached by, beside localhost; .example.org for all below it"},
    {NULL, "no-webui", NULL, NULL, FLAG, CMD_SERVE, OPTION(no_webui), 0, 0, NULL,
     "do not serve the chat page"},
    {NULL, "slots", NULL, NULL, UNFLAG, CMD_SERVE, OPTION(no_slots), 0, 0, NULL,
     "answer /slots: what is being computed, no texts (the default)"},
    {NULL, "no-slots", NULL, NULL, FLAG, CMD_SERVE, OPTION(no_slots), 0, 0, NULL,
     "do not answer /slots"},
    {NULL, "metrics", NULL, NULL, UNFLAG, CMD_SERVE, OPTION(no_metrics), 0, 0, NULL,
     "answer /metrics, for Prometheus (the default)"},
    {NULL, "no-metrics", NULL, NULL, FLAG, CMD_SERVE, OPTION(no_metrics), 0, 0, NULL,
     "do not answer /metrics"},
    {NULL, "max-waiting", NULL, NULL, WHOLE, CMD_SERVE, OPTION(max_waiting), 0, 100000, "N",
     "requests that may wait for their turn; more are refused with status 429 (64)"},
    {NULL, "max-connections", NULL, NULL, WHOLE, CMD_SERVE, OPTION(max_connections), 1, 100000, "N",
     "connections at once (512)"},
    {NULL, "max-body", NULL, NULL, WHOLE, CMD_SERVE, OPTION(max_body_mb), 1, 1024, "MIB",
     "size of a request at most (16)"},
    {NULL, "timeout-header", NULL, NULL, REAL, CMD_SERVE, OPTION(header_s), 0.1, 86400, "S",
     "seconds for the header of a request (10)"},
    {NULL, "timeout-body", NULL, NULL, REAL, CMD_SERVE, OPTION(body_s), 0.1, 86400, "S",
     "seconds for its body, and one more for every 64 KiB (30)"},
    {NULL, "timeout-write", NULL, NULL, REAL, CMD_SERVE, OPTION(write_s), 1, 86400, "S",
     "seconds that a client may go without reading, or without a next request (30)"},
    {NULL, "sse-ping-interval", "ping", NULL, REAL, CMD_SERVE, OPTION(ping_s), 0, 86400, "S",
     "seconds of silence before a comment keeps a stream open; 0 is off (5)"},
    {NULL, "grace", NULL, NULL, REAL, CMD_SERVE, OPTION(grace_s), 0, 86400, "S",
     "seconds that requests get to end after SIGTERM or Ctrl-C; a second one ends at once (10)"},
    {NULL, "log-prompts", NULL, NULL, FLAG, CMD_SERVE, OPTION(log_prompts), 0, 0, NULL,
     "write the texts of requests to standard error"},

    {"engine", "ctx-size", NULL, "c", WHOLE, SCHEDULED, OPTION(n_ctx), 0, BIG, "N",
     "context length of each request in tokens; 0 is what the model was trained for, cut to what "
     "fits into half of the free memory (0)"},
    {NULL, "parallel", NULL, "np", WHOLE, SCHEDULED, OPTION(n_seq), 1, 1024, "N",
     "requests computed at once; others wait (16)"},
    {NULL, "kv-size", NULL, NULL, WHOLE, SCHEDULED, OPTION(n_kv), 0, BIG, "N",
     "tokens that the KV cache holds for all requests together; 0 is a full context for each, cut "
     "to "
     "what fits into half of the free memory (0)"},
    {NULL, "ctx-size", NULL, "c", WHOLE, (WITH_ENGINE & ~(unsigned)SCHEDULED) | CMD_PLAN,
     OPTION(n_ctx), 0, BIG, "N",
     "context length in tokens; 0 is what the model was trained for, cut to what fits (0)"},
    {NULL, "batch-size", NULL, "b", WHOLE, WITH_ENGINE | CMD_PLAN, OPTION(n_batch), 1, 65536, "N",
     "tokens computed together at most (512)"},
    {NULL, "threads", NULL, "t", WHOLE, WITH_ENGINE | CMD_PLAN, OPTION(n_threads), -1, 4096, "N",
     "threads; 0 takes the cores this process may use (0)"},
    {NULL, "n-gpu-layers", "gpu-layers", "ngl", GPU_LAYERS, WITH_ENGINE | CMD_PLAN,
     OPTION(n_gpu_layers), -1, BIG, "N",
     "the last N layers are computed by NVIDIA cards, the output counts as one; -1 or all: all; "
     "auto: as many as fit; the CPU computes the others (0)"},
    {NULL, "tensor-split", NULL, "ts", SHARES, WITH_ENGINE | CMD_PLAN, OPTION(tensor_split), 0, 0,
     "A,B,...",
     "shares of the layers that each card gets (the main card, or all by their free memory)"},
    {NULL, "main-gpu", NULL, "mg", WHOLE, WITH_ENGINE | CMD_PLAN, OPTION(main_gpu), 0,
     PUNA_MAX_GPUS - 1, "N", "the card that computes alone where the layers fit there (0)"},
    {NULL, "gpu-required", NULL, NULL, FLAG, WITH_ENGINE | CMD_PLAN, OPTION(gpu_required), 0, 0,
     NULL, "layers that cannot be on a card are an error"},
    {NULL, "parallel", NULL, "np", WHOLE, CMD_PLAN | CMD_BENCH, OPTION(n_seq), 1, 1024, "N",
     "sequences at once; bench measures one alone, too (1)"},
    {NULL, "kv-size", NULL, NULL, WHOLE, CMD_PLAN, OPTION(n_kv), 0, BIG, "N",
     "tokens that the KV cache holds for all sequences together; 0 is a full context for each (0)"},
    {NULL, "cache-type-k", NULL, "ctk", CACHE_TYPE, WITH_ENGINE | CMD_PLAN, OPTION(kv_type_k), 0, 0,
     "TYPE", "type of the KV cache: f16, f32 or q8_0; keys and values have the same (f16)"},
    {NULL, "cache-type-v", NULL, "ctv", CACHE_TYPE, WITH_ENGINE | CMD_PLAN, OPTION(kv_type_v), 0, 0,
     "TYPE", "the same option under its other name"},
    {NULL, "draft", "draft-max", NULL, WHOLE, CMD_RUN | CMD_PLAN, OPTION(max_draft), 0, 64, "N",
     "compute up to N guessed tokens in one step, where the text has been before; the result is "
     "the same, often sooner (0)"},
    {NULL, "no-mmap", NULL, NULL, FLAG, WITH_MODEL, OPTION(no_mmap), 0, 0, NULL,
     "read the weights into memory in place of mapping the file"},
    {NULL, "mlock", NULL, NULL, FLAG, WITH_ENGINE, OPTION(mlock), 0, 0, NULL,
     "keep the weights in RAM"},

    {"measuring", "n-prompt", NULL, "p", WHOLE, CMD_BENCH, OPTION(bench_prompt), 0, BIG, "N",
     "tokens of the prefill test; 0 leaves it out (512)"},
    {NULL, "n-gen", NULL, "n", WHOLE, CMD_BENCH, OPTION(bench_gen), 0, BIG, "N",
     "tokens of the decode test; 0 leaves it out (128)"},
    {NULL, "repetitions", NULL, "r", WHOLE, CMD_BENCH, OPTION(repetitions), 1, 10000, "N",
     "runs of each test, after one that is not counted (5)"},
    {NULL, "chunks", NULL, NULL, WHOLE, CMD_EVAL, OPTION(n_chunks), -1, BIG, "N",
     "score only the first N chunks; -1 all (-1)"},

    {"vectors", "pooling", NULL, NULL, POOLING, CMD_EMBED, OPTION(pooling), 0, 0, "HOW",
     "mean of all positions, cls (the first) or last (what the model says, or mean)"},
    {NULL, "normalize", "embd-normalize", NULL, FLAG, CMD_EMBED, OPTION(normalize), 0, 0, NULL,
     "scale each vector to length 1"},

    {"output", "ids", NULL, NULL, FLAG, CMD_TOKENIZE, OPTION(ids_only), 0, 0, NULL,
     "print the ids alone, as [1, 2, 3]"},
    {NULL, "explain", NULL, NULL, FLAG, CMD_RENDER, OPTION(explain), 0, 0, NULL,
     "print the prompt token by token, and where each comes from"},
    {NULL, "top", NULL, NULL, WHOLE, CMD_LOGITS, OPTION(top), 1, BIG, "K",
     "print the K highest logits of the last position (10)"},
    {NULL, "all", NULL, NULL, TEXT, CMD_LOGITS, OPTION(all_path), 0, 0, "FILE",
     "write the logits of every position to FILE: raw float32 [n_tokens][n_vocab]"},
    {NULL, "logprobs", "n-probs", NULL, WHOLE, CMD_RUN, OPTION(sampler.n_logprobs), 0,
     PUNA_MAX_LOGPROBS, "N", "with --json: the N most likely tokens at each step (0)"},
    {NULL, "vocab", NULL, NULL, FLAG, CMD_SHOW, OPTION(vocab), 0, 0, NULL,
     "succeed when the tokenizer is usable, weights or not"},
    {NULL, "tensors", NULL, NULL, FLAG, CMD_SHOW, OPTION(list_tensors), 0, 0, NULL,
     "list every tensor"},
    {NULL, "meta", NULL, NULL, FLAG, CMD_SHOW, OPTION(list_meta), 0, 0, NULL,
     "list every metadata key"},
    {NULL, "json", NULL, NULL, FLAG, WITH_JSON, OPTION(json), 0, 0, NULL, "print one JSON value"},
    {NULL, "print", NULL, NULL, FLAG, CMD_GRAMMAR, OPTION(print_gbnf), 0, 0, NULL,
     "print the grammar in GBNF and read no text"},
    {NULL, "report", NULL, NULL, FLAG, CMD_GRAMMAR, OPTION(report), 0, 0, NULL,
     "print what of the schema is enforced and read no text"},
    {NULL, "quiet", NULL, "q", FLAG, ALL_COMMANDS, OPTION(quiet), 0, 0, NULL,
     "nothing on stderr but errors"},
    {NULL, "verbose", NULL, "v", FLAG, ALL_COMMANDS, OPTION(verbose), 0, 0, NULL,
     "say on stderr what the library is doing"},
    {NULL, "help", NULL, "h", FLAG, ALL_COMMANDS, OPTION(help), 0, 0, NULL, "print this"},
};

enum { N_ROWS = sizeof rows / sizeof *rows };

/* ---- values ---------------------------------------------------------------------------------- */

/* "where" is how the user wrote it: "--temp", "-c" or "PUNA_CTX_SIZE". All return STATUS_DONE or
 * STATUS_USAGE. */

static int set_whole(const row *r, int32_t *to, const char *value, const char *where) {
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (end == value || *end || errno || (double)number < r->least || (double)number > r->most) {
        return print_usage_error("%s needs a whole number from %.0f to %.0f, not '%s'", where,
                                 r->least, r->most, value);
    }
    *to = (int32_t)number;
    return STATUS_DONE;
}

static int set_real(const row *r, float *to, const char *value, const char *where) {
    char *end;
    double number = strtod(value, &end);
    if (end == value || *end || !(number >= r->least && number <= r->most)) {
        return print_usage_error("%s needs a number from %g to %g, not '%s'", where, r->least,
                                 r->most, value);
    }
    *to = (float)number;
    return STATUS_DONE;
}

static int set_seed(uint64_t *to, const char *value, const char *where) {
    char *end;
    errno = 0;
    *to = PUNA_SEED_RANDOM;
    if (strcmp(value, "-1") == 0) return STATUS_DONE;
    unsigned long long number = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)*value) || *end || errno || number > INT64_MAX) {
        return print_usage_error("%s needs a whole number from 0 to %llu, or -1, not '%s'", where,
                                 (unsigned long long)INT64_MAX, value);
    }
    *to = number;
    return STATUS_DONE;
}

static int set_gpu_layers(const row *r, int32_t *to, const char *value, const char *where) {
    if (strcmp(value, "auto") == 0)
        *to = PUNA_GPU_LAYERS_AUTO;
    else if (strcmp(value, "all") == 0)
        *to = PUNA_GPU_LAYERS_ALL;
    else if (*value == '-' || (*value >= '0' && *value <= '9'))
        return set_whole(r, to, value, where);
    else
        return print_usage_error("%s needs a number of layers, all or auto, not '%s'", where,
                                 value);
    return STATUS_DONE;
}

static int set_shares(float to[PUNA_MAX_GPUS], const char *value, const char *where) {
    for (int i = 0; i < PUNA_MAX_GPUS; i++) {
        char *end;
        const double share = strtod(value, &end);
        if (end == value || !(share >= 0 && share <= 1e30) || (*end && *end != ',')) break;
        to[i] = (float)share;
        if (!*end) return STATUS_DONE;
        value = end + 1;
    }
    return print_usage_error(
        "%s needs at most %d numbers from 0 on with commas between, such as 3,1", where,
        PUNA_MAX_GPUS);
}

static int set_cache_type(int32_t *to, const char *value, const char *where) {
    static const struct {
        const char *name;
        puna_kv_type type;
    } types[] = {{"f16", PUNA_KV_F16}, {"f32", PUNA_KV_F32}, {"q8_0", PUNA_KV_Q8_0}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(value, types[i].name) == 0) {
            *to = (int32_t)types[i].type;
            return STATUS_DONE;
        }
    }
    return print_usage_error("%s needs f16, f32 or q8_0, not '%s'", where, value);
}

static int set_chain(puna_chain *to, const char *value, const char *where) {
    bool python = strcmp(value, "llama-cpp-python") == 0;
    if (!python && strcmp(value, "llama.cpp") != 0) {
        return print_usage_error("%s needs llama.cpp or llama-cpp-python, not '%s'", where, value);
    }
    *to = python ? PUNA_CHAIN_LLAMA_CPP_PYTHON : PUNA_CHAIN_LLAMA_CPP;
    return STATUS_DONE;
}

static int set_overflow(chat_overflow *to, const char *value, const char *where) {
    static const char *const names[] = {"ask", "stop", "drop"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(value, names[i]) != 0) continue;
        *to = (chat_overflow)i;
        return STATUS_DONE;
    }
    return print_usage_error("%s needs ask, stop or drop, not '%s'", where, value);
}

static int set_pooling(puna_pooling *to, const char *value, const char *where) {
    static const char *const names[] = {"mean", "cls", "last"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(value, names[i]) != 0) continue;
        *to = (puna_pooling)(PUNA_POOLING_MEAN + i);
        return STATUS_DONE;
    }
    return print_usage_error("%s needs mean, cls or last, not '%s'", where, value);
}

/* A copy in which \\n is a newline. */
static char *unescaped(const char *value) {
    size_t n_bytes = strlen(value);
    char *copy = need_memory(NULL, n_bytes + 1, 1);
    memcpy(copy, value, n_bytes + 1);
    text_unescape(copy, n_bytes);
    return copy;
}

static int add_stop(options *o, const char *value, const char *where) {
    if (!*value) return print_usage_error("%s needs a text that is not empty", where);
    o->stops = need_memory(o->stops, (size_t)o->n_stops + 1, sizeof *o->stops);
    o->stops[o->n_stops++] = unescaped(value);
    return STATUS_DONE;
}

/* A list with commas between; the parts are copies. */
static int add_texts(option_list *to, const char *value, const char *where) {
    for (const char *at = value; *at;) {
        size_t n = strcspn(at, ",");
        if (n) {
            char *copy = need_memory(NULL, n + 1, 1);
            memcpy(copy, at, n);
            copy[n] = 0;
            to->items = need_memory(to->items, (size_t)to->n + 1, sizeof *to->items);
            to->items[to->n++] = copy;
        }
        at += n + (at[n] == ',');
    }
    return to->n ? STATUS_DONE : print_usage_error("%s needs a value", where);
}

static void free_texts(option_list *list) {
    for (int32_t i = 0; i < list->n; i++) free((void *)(uintptr_t)list->items[i]);
    free(list->items);
    *list = (option_list){0};
}

static int add_breaker(options *o, const char *value) {
    puna_sampler_params *sampler = &o->sampler;
    if (!o->breakers)
        sampler->n_dry_sequence_breakers = 0; /* the first one replaces the defaults */
    size_t n = (size_t)sampler->n_dry_sequence_breakers;
    o->breakers = need_memory(o->breakers, n + 1, sizeof *o->breakers);
    sampler->dry_sequence_breakers = o->breakers;
    if (strcmp(value, "none") == 0) return STATUS_DONE;
    o->breakers[n] = unescaped(value);
    sampler->n_dry_sequence_breakers++;
    return STATUS_DONE;
}

static int add_bias(options *o, const char *value, const char *where) {
    puna_sampler_params *sampler = &o->sampler;
    char *sign;
    char *end = NULL;
    errno = 0;
    long long id = strtoll(value, &sign, 10);
    double bias = *sign == '+' || *sign == '-' ? strtod(sign, &end) : 0;
    if (sign == value || id < 0 || id > INT32_MAX || errno == ERANGE || !end || end == sign ||
        *end || isnan(bias) || bias == INFINITY) {
        return print_usage_error(
            "%s needs a token id and what to add, such as 15043+1 or 15043-inf, not '%s'", where,
            value);
    }
    size_t n = (size_t)sampler->n_logit_bias;
    o->biases = need_memory(o->biases, n + 1, sizeof *o->biases);
    o->biases[n] = (puna_logit_bias){(int32_t)id, (float)bias};
    sampler->logit_bias = o->biases;
    sampler->n_logit_bias++;
    return STATUS_DONE;
}

static int set_value(options *o, const row *r, const char *value, const char *where) {
    void *to = (char *)o + r->at;
    switch (r->kind) {
    case FLAG: *(bool *)to = true; return STATUS_DONE;
    case UNFLAG: *(bool *)to = false; return STATUS_DONE;
    case TEXT: *(const char **)to = value; return STATUS_DONE;
    case TEXTS: return add_texts(to, value, where);
    case WHOLE: return set_whole(r, to, value, where);
    case REAL: return set_real(r, to, value, where);
    case SEED: return set_seed(to, value, where);
    case CACHE_TYPE: return set_cache_type(to, value, where);
    case GPU_LAYERS: return set_gpu_layers(r, to, value, where);
    case SHARES: return set_shares(to, value, where);
    case CHAIN: return set_chain(to, value, where);
    case WHEN_FULL: return set_overflow(to, value, where);
    case POOLING: return set_pooling(to, value, where);
    case BREAKER: return add_breaker(o, value);
    case STOP_TEXT: return add_stop(o, value, where);
    case BIAS: return add_bias(o, value, where);
    }
    return STATUS_USAGE;
}

/* ---- environment ----------------------------------------------------------------------------- */

static bool is_false(const char *value) {
    return !*value || !strcmp(value, "0") || !strcmp(value, "false") || !strcmp(value, "no") ||
           !strcmp(value, "off");
}

static int read_environment(options *o) {
    for (int i = 0; i < N_ROWS; i++) {
        char name[64];
        int n = snprintf(name, sizeof name, "PUNA_%s", rows[i].name);
        /* which file to fetch, and yes to a question, is said anew each time */
        if (rows[i].at == OPTION(glob) || rows[i].at == OPTION(yes)) continue;
        if (!(rows[i].commands & o->command->bit) || rows[i].at == OPTION(help) ||
            n >= (int)sizeof name)
            continue;
        for (char *c = name; *c; c++) *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        const char *value = getenv(name);
        if (!value || (rows[i].argument ? !*value : is_false(value))) continue;
        int status = set_value(o, &rows[i], value, name);
        if (status != STATUS_DONE) return status;
    }
    return STATUS_DONE;
}

/* ---- command line ---------------------------------------------------------------------------- */

enum { FIRST_LONG = 1000 }; /* getopt's val of row i is FIRST_LONG + i; below are letters */

typedef struct spelling {
    char letters[2 * 64 + 2];
    struct option longs[3 * N_ROWS + 1];
} spelling;

static void add_long(spelling *s, int *n, const char *name, int index) {
    s->longs[(*n)++] = (struct option){name, rows[index].argument ? required_argument : no_argument,
                                       NULL, FIRST_LONG + index};
}

/* The rows of one command in getopt's terms. */
static void spell(spelling *s, unsigned bit) {
    int n = 0;
    char *letter = s->letters;
    memset(s, 0, sizeof *s);
    *letter++ = ':'; /* a missing argument is told apart from an unknown option */
    for (int i = 0; i < N_ROWS; i++) {
        if (!(rows[i].commands & bit)) continue;
        add_long(s, &n, rows[i].name, i);
        if (rows[i].alias) add_long(s, &n, rows[i].alias, i);
        if (!rows[i].brief) continue;
        if (rows[i].brief[1]) {
            add_long(s, &n, rows[i].brief, i);
        } else {
            *letter++ = rows[i].brief[0];
            if (rows[i].argument) *letter++ = ':';
        }
    }
}

static const row *find_row(int value, unsigned bit) {
    if (value >= FIRST_LONG) return &rows[value - FIRST_LONG];
    for (int i = 0; i < N_ROWS; i++) {
        const char *brief = rows[i].brief;
        if ((rows[i].commands & bit) && brief && brief[0] == value && !brief[1]) return &rows[i];
    }
    return NULL;
}

/* After getopt's '?': an unknown word, an unknown letter in a cluster (optopt), or --flag=value
 * (optopt too). */
static int refuse(const options *o, const spelling *s, const char *word) {
    const char *names[3 * N_ROWS];
    char letter[3] = {'-', (char)optopt, 0};
    int n = 0;
    if (optopt >= FIRST_LONG)
        return print_usage_error("--%s takes no value", rows[optopt - FIRST_LONG].name);
    if (optopt > ' ' && optopt < 127) word = letter;
    while (s->longs[n].name) {
        names[n] = s->longs[n].name;
        n++;
    }
    const char *bare = word + strspn(word, "-");
    int length = (int)strcspn(bare, "=");
    char name[64];
    snprintf(name, sizeof name, "%.*s", length, bare);
    const char *near = word[0] == '-' && word[1] == '-' ? options_nearest(name, names, n) : NULL;
    if (near) return print_usage_error("unknown option %s; did you mean --%s?", word, near);
    return print_usage_error("unknown option %s; 'puna help %s' lists the options", word,
                             o->command->name);
}

static int read_command_line(options *o, int argc, char **argv) {
    spelling s;
    spell(&s, o->command->bit);
    opterr = 0;
    optind = 1;
    for (;;) {
        int value = getopt_long_only(argc, argv, s.letters, s.longs, NULL);
        if (value == -1) break;
        if (value == ':') {
            return print_usage_error("%s needs a value; 'puna help %s' explains it",
                                     argv[optind - 1], o->command->name);
        }
        if (value == '?') return refuse(o, &s, argv[optind - 1]);
        const row *r = find_row(value, o->command->bit);
        char where[64];
        if (value < FIRST_LONG) {
            snprintf(where, sizeof where, "-%c", value);
        } else {
            snprintf(where, sizeof where, "--%s", r->name);
        }
        int status = set_value(o, r, optarg, where);
        if (status != STATUS_DONE) return status;
    }
    o->words = argv + optind;
    o->n_words = argc - optind;
    return STATUS_DONE;
}

static void set_serving_defaults(options *o) {
    o->n_seq = 16;
    o->host = "127.0.0.1";
    o->port = 8080;
    o->max_waiting = 64;
    o->max_connections = 512;
    o->max_body_mb = 16;
    o->header_s = 10;
    o->body_s = o->write_s = 30;
    o->ping_s = 5;
    o->grace_s = 10;
}

int options_parse(options *o, const command *cmd, int argc, char **argv) {
    memset(o, 0, sizeof *o);
    o->command = cmd;
    o->n_predict = -1;
    o->n_batch = 512;
    o->n_seq = 1;
    o->kv_type_k = o->kv_type_v = -1;
    o->bench_prompt = 512;
    o->bench_gen = 128;
    o->repetitions = 5;
    o->n_chunks = -1;
    if (cmd->bit == CMD_SERVE) set_serving_defaults(o);
    if (cmd->bit == CMD_BATCH) o->n_seq = 16;
    puna_sampler_params_init(&o->sampler, PUNA_CHAIN_LLAMA_CPP);
    int status = read_environment(o);
    const char *from_environment = o->model;
    o->model = NULL;
    if (status == STATUS_DONE) status = read_command_line(o, argc, argv);
    if (status != STATUS_DONE || o->help) return status;
    if (o->kv_type_k >= 0 && o->kv_type_v >= 0 && o->kv_type_k != o->kv_type_v) {
        return print_usage_error(
            "-ctk and -ctv differ: keys and values have one type here, give one of the two");
    }
    /* puna show FILE, puna run FILE PROMPT: a model word counts like -m */
    bool takes_text = cmd->bit & (CMD_TOKENIZE | CMD_DETOKENIZE);
    if (!takes_text && cmd->bit != CMD_GRAMMAR && !o->model && o->n_words > 0) {
        o->model = *o->words++;
        o->n_words--;
    }
    if ((cmd->bit & GENERATING) && !o->prompt && !o->file && o->n_words > 0) {
        o->prompt = *o->words++;
        o->n_words--;
    }
    if (!takes_text && o->n_words > 0) {
        return print_usage_error("'%s' is one argument too many; quote text that has spaces",
                                 *o->words);
    }
    if (!o->model) o->model = from_environment;
    return STATUS_DONE;
}

void options_free(options *o) {
    for (int32_t i = 0; o->breakers && i < o->sampler.n_dry_sequence_breakers; i++) {
        free((void *)(uintptr_t)o->breakers[i]);
    }
    for (int32_t i = 0; i < o->n_stops; i++) free(o->stops[i]);
    free_texts(&o->api_keys);
    free_texts(&o->cors);
    free_texts(&o->allowed_hosts);
    free(o->stops);
    free(o->breakers);
    free(o->biases);
}

/* ---- settings that a chat can change --------------------------------------------------------- */

/* The i-th row that is a setting, or NULL. */
static const row *find_setting(int index) {
    for (int i = 0; i < N_ROWS; i++) {
        if ((rows[i].commands & SETTING) && index-- == 0) return &rows[i];
    }
    return NULL;
}

/* "temperature" rather than "temp", words joined by _ as in JSON. */
static void name_setting(const row *r, char name[SETTING_CHARS]) {
    snprintf(name, SETTING_CHARS, "%s", r->alias ? r->alias : r->name);
    for (char *c = name; *c; c++)
        if (*c == '-') *c = '_';
}

static void show_setting(const options *o, const row *r, char value[SETTING_CHARS]) {
    const void *from = (const char *)o + r->at;
    if (r->kind == REAL) {
        float number = *(const float *)from;
        for (int digits = 6; digits <= 9; digits++) { /* the shortest that reads back the same */
            snprintf(value, SETTING_CHARS, "%.*g", digits, (double)number);
            if (strtof(value, NULL) == number) break;
        }
    } else if (r->kind == SEED) {
        uint64_t seed = *(const uint64_t *)from;
        if (seed == PUNA_SEED_RANDOM) {
            snprintf(value, SETTING_CHARS, "-1");
        } else {
            snprintf(value, SETTING_CHARS, "%llu", (unsigned long long)seed);
        }
    } else {
        snprintf(value, SETTING_CHARS, "%d", *(const int32_t *)from);
    }
}

bool options_setting(const options *o, int index, option_setting *setting) {
    const row *r = find_setting(index);
    if (!r) return false;
    name_setting(r, setting->name);
    show_setting(o, r, setting->value);
    setting->help = r->help;
    return true;
}

/* Whether a person means this row: "top-p" is "top_p", and every spelling of the option counts. */
static bool means_setting(const row *r, const char *word) {
    char wanted[SETTING_CHARS];
    snprintf(wanted, sizeof wanted, "%s", word);
    for (char *c = wanted; *c; c++)
        if (*c == '_') *c = '-';
    return strcmp(wanted, r->name) == 0 || (r->alias && strcmp(wanted, r->alias) == 0) ||
           (r->brief && strcmp(wanted, r->brief) == 0) ||
           (r->at == OPTION(n_predict) && strcmp(wanted, "max-tokens") == 0);
}

int options_set(options *o, const char *name, const char *value) {
    char known[64][SETTING_CHARS];
    const char *names[64];
    int n = 0;
    for (const row *r; n < 64 && (r = find_setting(n)); n++) {
        if (means_setting(r, name)) return set_value(o, r, value, name);
        name_setting(r, known[n]);
        names[n] = known[n];
    }
    const char *near = options_nearest(name, names, n);
    if (near) return print_usage_error("unknown setting '%s'; did you mean %s?", name, near);
    return print_usage_error("unknown setting '%s'; /set lists the settings", name);
}

/* ---- help ------------------------------------------------------------------------------------ */

static void print_row(FILE *out, const row *r) {
    char left[64];
    char brief[16] = "    ";
    if (r->brief) snprintf(brief, sizeof brief, "-%s,%s", r->brief, r->brief[1] ? " " : " ");
    snprintf(left, sizeof left, "  %s--%s%s%s", brief, r->name, r->argument ? " " : "",
             r->argument ? r->argument : "");
    fprintf(out, "%-33s%s%s\n", left, strlen(left) > 32 ? "  " : "", r->help);
}

void options_print_help(FILE *out, const command *cmd) {
    const char *group = NULL;
    fprintf(out, "puna %s: %s\n\nusage: puna %s %s\n", cmd->name, cmd->summary, cmd->name,
            cmd->synopsis);
    if (*cmd->details) fprintf(out, "\n%s", cmd->details);
    for (int i = 0; i < N_ROWS; i++) {
        if (rows[i].group) group = rows[i].group;
        if (!(rows[i].commands & cmd->bit)) continue;
        if (group) fprintf(out, "\n%s\n", group);
        group = NULL;
        print_row(out, &rows[i]);
    }
    fprintf(
        out,
        "\nEvery long option can also be set in the environment: --ctx-size is PUNA_CTX_SIZE.\n");
}

/* Levenshtein distance, for words of up to 63 bytes; longer ones count as far. */
static int edit_distance(const char *a, const char *b) {
    int line[64];
    size_t n_b = strlen(b);
    if (strlen(a) > 63 || n_b > 63) return 64;
    for (size_t j = 0; j <= n_b; j++) line[j] = (int)j;
    for (size_t i = 0; a[i]; i++) {
        int diagonal = line[0];
        line[0] = (int)i + 1;
        for (size_t j = 0; j < n_b; j++) {
            int replace = diagonal + (a[i] != b[j]);
            int shorter = line[j] < line[j + 1] ? line[j] : line[j + 1];
            diagonal = line[j + 1];
            line[j + 1] = replace < shorter + 1 ? replace : shorter + 1;
        }
    }
    return line[n_b];
}

const char *options_nearest(const char *word, const char *const *names, int n) {
    const char *best = NULL;
    int best_distance =
        (int)strlen(word) / 3 + 2; /* exclusive: one or two slips, more in long words */
    for (int i = 0; i < n; i++) {
        int distance = edit_distance(word, names[i]);
        if (distance < best_distance) {
            best = names[i];
            best_distance = distance;
        }
    }
    return best;
}
