/* chat_commands.c: what a person can ask of a chat beside talking. One table has them all; help,
 * completion and "did you mean" come from it. */
#include "chat_commands.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_print.h"

/* argument: what follows the name, without blanks around; "" for none. */
typedef command_result command_fn(chat *c, const char *argument);

typedef struct chat_command {
    const char *name;
    const char *also; /* another name, or NULL */
    const char *argument;
    const char *help;
    command_fn *run;
} chat_command;

/* ---- the commands ---------------------------------------------------------------------------- */

static command_fn help, set, system_message, clear, again, undo, save, load, stats, leave;

static const chat_command commands[] = {
    {"help", "?", "", "this list", help},
    {"set", NULL, "[NAME VALUE]", "change a setting of the answers; alone: all settings", set},
    {"system", NULL, "[TEXT]", "say who the model is to be; alone: what was said", system_message},
    {"regen", NULL, "", "answer the last message again", again},
    {"undo", NULL, "", "forget the last message and its answer", undo},
    {"clear", NULL, "", "forget the conversation, not the system message", clear},
    {"save", NULL, "FILE", "write the conversation and the settings to a file", save},
    {"load", NULL, "FILE", "go on with a conversation from a file", load},
    {"stats", NULL, "", "speed and memory of the last answer", stats},
    {"bye", "quit", "", "leave; so does Ctrl-D", leave},
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

static command_result help(chat *c, const char *argument) {
    (void)c;
    (void)argument;
    for (int i = 0; i < N_COMMANDS; i++) {
        char left[32];
        snprintf(left, sizeof left, "/%s %s", commands[i].name, commands[i].argument);
        print_plain("  %-20s%s", left, commands[i].help);
    }
    print_plain(
        "\n  \"\"\" begins and ends a message of several lines; a line ending in \\ goes on\n"
        "  in the next; pasted lines stay one message. Ctrl-C stops an answer, or empties\n"
        "  the line; twice in a row it leaves.");
    return COMMAND_DONE;
}

static command_result set(chat *c, const char *argument) {
    option_setting setting;
    char name[SETTING_CHARS];
    int n = (int)strcspn(argument, " \t=");
    const char *value = argument + n + strspn(argument + n, " \t=");
    if (!*argument) {
        for (int i = 0; options_setting(&c->o, i, &setting); i++)
            print_plain("  %-19s%10s  %.*s", setting.name, setting.value,
                        (int)strcspn(setting.help, ";("), setting.help);
        return COMMAND_DONE;
    }
    if (!*value || n >= SETTING_CHARS) {
        print_error("/set needs a name and a value, such as /set temperature 0.2");
        return COMMAND_DONE;
    }
    snprintf(name, sizeof name, "%.*s", n, argument);
    options before = c->o;
    if (options_set(&c->o, name, value) != STATUS_DONE) return COMMAND_DONE;
    if (c->o.n_predict == 0) {
        c->o = before;
        print_error("%s 0 would generate nothing: use 1 or more, or -1 for no limit", name);
    } else {
        print_note("%s is %s", name, value);
    }
    return COMMAND_DONE;
}

static command_result system_message(chat *c, const char *argument) {
    const char *now = conversation_system(&c->talk);
    if (!*argument) {
        if (now) {
            print_shown(now);
        } else {
            print_note("no system message; the model's template may have its own");
        }
        return COMMAND_DONE;
    }
    if (strcmp(argument, "\"\"") == 0) argument = "";
    conversation_set_system(&c->talk, argument, strlen(argument));
    if (conversation_n_turns(&c->talk) > 0)
        print_note("the conversation goes on under it; /clear begins a new one");
    return COMMAND_DONE;
}

static command_result clear(chat *c, const char *argument) {
    (void)argument;
    conversation_clear(&c->talk);
    print_note("a new conversation%s",
               conversation_system(&c->talk) ? ", under the same system message" : "");
    return COMMAND_DONE;
}

static command_result again(chat *c, const char *argument) {
    (void)argument;
    if (conversation_n_turns(&c->talk) > 0) return COMMAND_AGAIN;
    print_error("there is no message yet to answer again");
    return COMMAND_DONE;
}

static command_result undo(chat *c, const char *argument) {
    (void)argument;
    if (!conversation_undo(&c->talk)) {
        print_error("there is no message yet to forget");
        return COMMAND_DONE;
    }
    const char *last = conversation_last(&c->talk, "user");
    char line[64];
    if (last) {
        print_note("back to \"%s\"", format_clean(line, sizeof line, last));
    } else {
        print_note("back to the beginning");
    }
    return COMMAND_DONE;
}

static command_result leave(chat *c, const char *argument) {
    (void)c;
    (void)argument;
    return COMMAND_LEAVE;
}

/* ---- statistics ------------------------------------------------------------------------------ */

static command_result stats(chat *c, const char *argument) {
    puna_seq_stats s = {.size = sizeof s};
    puna_memory_plan plan = {.size = sizeof plan};
    char kv[NUMBER_CHARS];
    int32_t used = chat_context_used(c);
    (void)argument;
    puna_seq_get_stats(c->answer.seq, &s);
    puna_engine_get_plan(c->s.engine, &plan);
    if (s.n_fed > 0) {
        print_plain("  prompt   %6d tokens: %d reused, %d computed in %.2f s, %.1f tokens/s",
                    s.n_fed, s.n_reused, s.n_fed - s.n_reused, s.prefill_s,
                    generation_prefill_rate(&s));
        print_plain("  answer   %6d tokens in %.2f s, %.1f tokens/s; seed %llu", s.n_sampled,
                    s.decode_s, generation_decode_rate(&s), (unsigned long long)c->answer.seed);
    }
    print_plain("  context  %6d tokens of %d (%.0f %%), KV cache %s", used, c->n_ctx,
                100.0 * used / c->n_ctx, format_bytes(kv, plan.kv_bytes));
    print_plain("  turns    %6zu%s", conversation_n_turns(&c->talk),
                c->talk.n_unsent ? ", the oldest left out" : "");
    return COMMAND_DONE;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* {"temperature": 0.8, ...}: numbers as /set shows them. */
static json_t *settings_of(const options *o) {
    json_t *settings = json_object();
    option_setting setting;
    for (int i = 0; options_setting(o, i, &setting); i++) {
        bool whole = !setting.value[strspn(setting.value, "-0123456789")];
        json_object_set_new(settings, setting.name,
                            whole ? json_integer(strtoll(setting.value, NULL, 10))
                                  : json_real(strtod(setting.value, NULL)));
    }
    return settings;
}

/* Sets what a file says, with the checks of the command line. False after a message: *o may have
 * changed. */
static bool take_settings(options *o, json_t *settings) {
    const char *name;
    json_t *value;
    json_object_foreach(settings, name, value) {
        char known[SETTING_CHARS];
        char number[SETTING_CHARS] = "?";
        if (json_is_integer(value)) {
            snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        } else if (json_is_real(value)) {
            snprintf(number, sizeof number, "%.9g", json_real_value(value));
        }
        if (options_set(o, format_clean(known, sizeof known, name), number) != STATUS_DONE)
            return false;
    }
    return true;
}

static command_result save(chat *c, const char *argument) {
    if (!*argument) {
        print_error("/save needs the name of a file");
        return COMMAND_DONE;
    }
    json_t *settings = settings_of(&c->o);
    if (conversation_save(&c->talk, argument, c->s.path, settings) == STATUS_DONE)
        print_note("saved %zu messages to %s", json_array_size(c->talk.messages), argument);
    json_decref(settings);
    return COMMAND_DONE;
}

bool chat_load(chat *c, const char *path) {
    conversation talk;
    json_t *model = NULL;
    json_t *settings = NULL;
    options o = c->o;
    if (conversation_load(&talk, path, &model, &settings) != STATUS_DONE) return false;
    bool taken = take_settings(&o, settings) &&
                 (json_array_size(talk.messages) == 0 || chat_accepts(c, &talk));
    if (taken) {
        conversation_close(&c->talk);
        c->talk = talk;
        c->o = o;
        print_note("loaded %zu messages from %s", json_array_size(talk.messages), path);
        const char *name = json_string_value(model);
        char line[128];
        if (name && strcmp(name, c->s.path) != 0)
            print_note("they were saved with %s", format_clean(line, sizeof line, name));
    } else {
        conversation_close(&talk);
    }
    json_decref(model);
    json_decref(settings);
    return taken;
}

static command_result load(chat *c, const char *argument) {
    if (*argument) {
        chat_load(c, argument);
    } else {
        print_error("/load needs the name of a file");
    }
    return COMMAND_DONE;
}

/* ---- finding them ---------------------------------------------------------------------------- */

static const chat_command *find_command(const char *name) {
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
        if (commands[i].also && strcmp(commands[i].also, name) == 0) return &commands[i];
    }
    return NULL;
}

static void refuse(const char *name) {
    const char *names[N_COMMANDS];
    for (int i = 0; i < N_COMMANDS; i++) names[i] = commands[i].name;
    const char *near = options_nearest(name, names, N_COMMANDS);
    if (near) {
        print_error("unknown command /%s; did you mean /%s?", name, near);
    } else {
        print_error("unknown command /%s; /help lists them, a space before the slash sends it as a "
                    "message",
                    name);
    }
}

command_result chat_command_run(chat *c, const char *line) {
    size_t n = strcspn(line + 1, " \t\n");
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), line + 1);
    const chat_command *known = find_command(name);
    if (!known) {
        refuse(name);
        return COMMAND_DONE;
    }
    const char *begin = line + 1 + n;
    while (isspace((unsigned char)*begin)) begin++;
    size_t length = strlen(begin);
    while (length > 0 && isspace((unsigned char)begin[length - 1])) length--;
    char *argument = need_memory(NULL, length + 1, 1);
    memcpy(argument, begin, length);
    argument[length] = 0;
    command_result result = COMMAND_DONE;
    if (*argument && !*known->argument) {
        print_error("/%s takes nothing behind it", known->name);
    } else {
        result = known->run(c, argument);
    }
    free(argument);
    return result;
}

/* ---- completion ------------------------------------------------------------------------------ */

/* Narrows what can follow `typed` by one more name: *more [SETTING_CHARS + 2] is what all the names
 * so far have in common behind it, with a space where there is one name alone. */
static void narrow(char *more, int *n_names, const char *typed, const char *name) {
    size_t n = strlen(typed);
    if (strncmp(name, typed, n) != 0) return;
    if ((*n_names)++ == 0) {
        snprintf(more, SETTING_CHARS + 2, "%s ", name + n);
        return;
    }
    size_t same = 0;
    while (more[same] && more[same] == name[n + same]) same++;
    more[same] = 0;
}

const char *chat_command_complete(const char *before_cursor) {
    static const options defaults;
    static char more[SETTING_CHARS + 2];
    option_setting setting;
    int n_names = 0;
    if (before_cursor[0] != '/') return NULL;
    if (strncmp(before_cursor, "/set ", 5) == 0) {
        const char *typed = before_cursor + 5 + strspn(before_cursor + 5, " ");
        for (int i = 0; options_setting(&defaults, i, &setting); i++)
            narrow(more, &n_names, typed, setting.name);
    } else {
        for (int i = 0; i < N_COMMANDS; i++)
            narrow(more, &n_names, before_cursor + 1, commands[i].name);
    }
    return n_names > 0 && *more ? more : NULL;
}
