/* cli_options.h: the options of all commands, parsed from the environment and the command line.
 *
 * One table in cli_options.c drives getopt_long, the help text, the range checks and the
 * environment: every long option --some-name can also be set as PUNA_SOME_NAME; the command line
 * wins. */
#ifndef PUNA_CLI_OPTIONS_H
#define PUNA_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "command.h"
#include "puna.h"

typedef enum chat_overflow {
    OVERFLOW_ASK = 0, /* without a terminal: stop */
    OVERFLOW_STOP = 1,
    OVERFLOW_DROP = 2
} chat_overflow;

typedef struct option_list {
    const char **items;
    int32_t n;
} option_list;

struct options {
    const command *command;
    /* input */
    const char *model; /* NULL: the default model */
    bool offline;
    const char *glob; /* pull: of a file */
    const char *revision;
    const char *local_dir;
    bool yes;
    const char *prompt;
    const char *file; /* "-" is stdin */
    const char *ids;  /* logits: token ids in place of a prompt */
    bool special;
    bool exact;
    bool no_bos;
    bool escape;
    /* chat */
    const char *messages; /* NULL or "-": stdin */
    const char *tools;
    const char *vars;
    const char *template_path;
    const char *chat_template; /* a format's name */
    const char *bos;
    const char *eos;
    const char *now;
    bool no_generation_prompt;
    bool repair;
    bool explain;
    const char *system_prompt;
    const char *system_file;
    const char *load_path;
    const char *template_vars; /* JSON */
    chat_overflow overflow;
    /* engine */
    int32_t n_ctx;
    int32_t n_batch;
    int32_t n_threads;
    int32_t n_gpu_layers; /* or PUNA_GPU_LAYERS_ALL, _AUTO */
    bool gpu_required;
    int32_t main_gpu;
    float tensor_split[PUNA_MAX_GPUS];
    int32_t n_seq;
    int32_t kv_type_k; /* a puna_kv_type, or -1 when not given */
    int32_t kv_type_v;
    bool no_mmap;
    bool mlock;
    /* grammar */
    const char *grammar;
    const char *grammar_path;
    const char *schema;
    const char *schema_path;
    bool print_gbnf;
    bool report;
    /* sampling */
    int32_t n_predict;
    puna_sampler_params sampler;
    const char **breakers;
    char **stops;
    int32_t n_stops;
    int32_t max_draft;
    puna_logit_bias *biases;
    /* embeddings */
    puna_pooling pooling; /* OFF: what the model was made for */
    bool normalize;
    /* serving */
    const char *host;
    int32_t port;
    const char *port_file;
    const char *alias;
    option_list api_keys;
    const char *api_key_path;
    option_list cors;
    option_list allowed_hosts;
    bool no_webui;
    bool no_slots;
    bool no_metrics;
    bool log_prompts;
    int32_t n_kv;
    int32_t max_waiting;
    int32_t max_connections;
    int32_t max_body_mb;
    float header_s;
    float body_s;
    float write_s;
    float ping_s;
    float grace_s;
    /* batches */
    const char *batch_in;
    const char *batch_out;
    bool resume;
    /* what to print */
    const char *all_path;
    int32_t top;
    bool ids_only;
    bool jsonl;
    bool json;
    bool echo;
    bool quiet;
    bool verbose;
    bool help;
    bool vocab;
    bool list_tensors;
    bool list_meta;
    /* measuring */
    int32_t bench_prompt;
    int32_t bench_gen;
    int32_t repetitions;
    int32_t n_chunks;
    /* arguments that are no options */
    char **words;
    int n_words;
};

/* Parses argv[1..] (argv[0] is the command's name) into *o. Returns STATUS_DONE or STATUS_USAGE,
 * after a message on stderr. *o stays valid for the life of argv; options_free releases what it
 * holds. */
int options_parse(options *o, const command *cmd, int argc, char **argv);
void options_free(options *o);

enum { SETTING_CHARS = 40 };

/* A row that can be changed while the program runs: the numbers of sampling. */
typedef struct option_setting {
    char name[SETTING_CHARS];
    char value[SETTING_CHARS];
    const char *help;
} option_setting;

/* The index-th setting with its value in *o. False from the end on. */
bool options_setting(const options *o, int index, option_setting *setting);
/* Sets one by any of its names ("top_p", "top-p"), with the checks of the command line. Returns
 * STATUS_DONE or STATUS_USAGE, after a message. */
int options_set(options *o, const char *name, const char *value);

/* Prints usage, details and options of a command. */
void options_print_help(FILE *out, const command *cmd);

/* The entry of names[0..n) nearest to word, or NULL when none is near. */
const char *options_nearest(const char *word, const char *const *names, int n);

#endif
