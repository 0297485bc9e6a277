/* command.h: what a subcommand of puna is: one row of the table in main.c, one function in
 * cmd_<name>.c.
 *
 * A command gets its parsed options and returns the exit status of the program. It prints what
 * was asked for on stdout and everything else on stderr. */
#ifndef PUNA_CLI_COMMAND_H
#define PUNA_CLI_COMMAND_H

typedef struct options options;

enum exit_status {
    STATUS_DONE = 0,
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
    STATUS_INTERRUPTED = 130 /* 128 + SIGINT, as shells report it */
};

/* Which options a command takes: cli_options.c marks each row with these. */
enum command_bit {
    CMD_RUN = 1u << 0,
    CMD_TOKENIZE = 1u << 1,
    CMD_DETOKENIZE = 1u << 2,
    CMD_SHOW = 1u << 3,
    CMD_PLAN = 1u << 4,
    CMD_EXPLAIN = 1u << 5,
    CMD_BENCH = 1u << 6,
    CMD_EVAL = 1u << 7,
    CMD_LOGITS = 1u << 8,
    CMD_RENDER = 1u << 9,
    CMD_GRAMMAR = 1u << 10,
    CMD_CHAT = 1u << 11,
    CMD_EMBED = 1u << 12,
    CMD_SERVE = 1u << 13,
    CMD_BATCH = 1u << 14,
    CMD_DEVICES = 1u << 19,
    CMD_PULL = 1u << 20,
    CMD_LS = 1u << 21,
    CMD_RM = 1u << 22
};

typedef struct command {
    const char *name;
    unsigned bit;
    const char *synopsis; /* what follows the name on a usage line */
    const char *summary;  /* one line */
    const char *details;  /* paragraphs printed by help, or "" */
    int (*run)(const options *o);
} command;

int cmd_run(const options *o);
int cmd_tokenize(const options *o);
int cmd_detokenize(const options *o);
int cmd_show(const options *o);
int cmd_plan(const options *o);
int cmd_explain(const options *o);
int cmd_bench(const options *o);
int cmd_eval(const options *o);
int cmd_logits(const options *o);
int cmd_embed(const options *o);
int cmd_render(const options *o);
int cmd_pull(const options *o);
int cmd_ls(const options *o);
int cmd_rm(const options *o);
int cmd_grammar(const options *o);
int cmd_chat(const options *o);
int cmd_serve(const options *o);
int cmd_batch(const options *o);
int cmd_devices(const options *o);

#endif
