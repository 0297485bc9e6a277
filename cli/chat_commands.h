/* chat_commands.h: what a person can ask of a chat beside talking: /help, /set, /save, ... */
#ifndef PUNA_CLI_CHAT_COMMANDS_H
#define PUNA_CLI_CHAT_COMMANDS_H

#include "chat_session.h"

typedef enum command_result {
    COMMAND_DONE = 0,  /* it was done, or there is a message why not */
    COMMAND_AGAIN = 1, /* the last message is to be answered again */
    COMMAND_LEAVE = 2
} command_result;

/* line: "/name argument". */
command_result chat_command_run(chat *c, const char *line);
/* Goes on with a saved conversation and its settings. False, after a message: nothing changed. */
bool chat_load(chat *c, const char *path);
/* A line_complete_fn: names of commands, and of settings after /set. */
const char *chat_command_complete(const char *before_cursor);

#endif
