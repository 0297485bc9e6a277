/* cmd_chat.c: puna chat: a conversation at the terminal, or one answer where there is none.
 *
 * Answers go to stdout; the prompt, notes and commands to the terminal. With a message on the
 * command line, in a file or in a pipe there is one answer and no questions.
 *
 * Ctrl-C stops an answer or gives up a line; twice in a row it leaves with 130. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer_stream.h"
#include "chat_session.h"
#include "chat_commands.h"
#include "cli_print.h"
#include "line_editor.h"
#include "message_input.h"
#include "quiet_terminal.h"

typedef struct terminal {
    chat c;
    answer_stream out;
    input_history history;
    line_editor editor;
    message_input input;
    bool interrupted; /* by the last thing that was done: another Ctrl-C leaves */
    bool leaving;
    int status;
} terminal;

/* ---- answers --------------------------------------------------------------------------------- */

static bool stream(void *user, const char *bytes, size_t n_bytes) {
    terminal *t = user; /* its first member is the chat */
    if (t->c.answer.out.n_bytes == n_bytes) answer_stream_begin(&t->out, t->c.thinking);
    return answer_stream_write(&t->out, bytes, n_bytes);
}

static int print_object(chat *c) {
    json_t *object = json_object();
    size_t last = json_array_size(c->talk.messages);
    json_object_set_new(object, "model", json_text(c->s.path, strlen(c->s.path)));
    json_object_set_new(object, "format", json_string(puna_chat_source(c->format)));
    json_object_set(object, "message", json_array_get(c->talk.messages, last - 1));
    generation_add_json(&c->answer, object);
    return json_print(object, false);
}

static int answer_once(terminal *t, const text *message) {
    chat *c = &t->c;
    size_t n_before = json_array_size(c->talk.messages);
    int status = chat_send(c, message->bytes, message->n_bytes);
    answer_stream_end(&t->out);
    if (json_array_size(c->talk.messages) == n_before) return status;
    if (c->o.json) return print_object(c) == STATUS_DONE ? status : STATUS_FAILED;
    generation_end_line(&c->answer);
    generation_print_stats(&c->answer);
    return status;
}

/* ---- at the terminal ------------------------------------------------------------------------- */

static void leave(terminal *t, int status) {
    t->leaving = true;
    t->status = status;
}

static void take_interrupt(terminal *t) {
    session_forget_interrupt();
    if (t->interrupted) leave(t, STATUS_INTERRUPTED);
    t->interrupted = true;
}

static void print_banner(const chat *c) {
    puna_model_info info = {.size = sizeof info};
    char name[80];
    char parameters[NUMBER_CHARS];
    const char *slash = strrchr(c->s.path, '/');
    puna_model_get_info(c->s.model, &info);
    format_clean(name, sizeof name, *info.name ? info.name : slash ? slash + 1 : c->s.path);
    print_note("%s, %s parameters, %s", name, format_count(parameters, info.n_params),
               info.quantization);
    print_note("context %d, %s; /help lists the commands, Ctrl-D leaves", c->n_ctx,
               puna_chat_source(c->format));
}

/* "[42 tokens, 31.2 tokens/s, context 123 of 8192]" */
static void print_line(const chat *c) {
    puna_seq_stats s = {.size = sizeof s};
    const char *finish = c->answer.finish ? c->answer.finish : "";
    puna_seq_get_stats(c->answer.seq, &s);
    const char *why = strcmp(finish, "interrupted") == 0 ? "stopped; "
                      : strcmp(finish, "length") == 0    ? "cut at the token limit; "
                      : strcmp(finish, "context") == 0   ? "cut: the context is full; "
                                                         : "";
    print_note("[%s%d tokens, %.1f tokens/s, context %d of %d]", why, s.n_sampled,
               generation_decode_rate(&s), chat_context_used(c), c->n_ctx);
}

/* After an answer, or the attempt at one. */
static void take_answer(terminal *t, int status, bool any) {
    if (any) {
        generation_end_line(&t->c.answer);
        print_line(&t->c);
    }
    if (status == STATUS_INTERRUPTED) {
        take_interrupt(t);
        if (!any)
            print_note("stopped before there was an answer: not sent (arrow up brings it back)");
    }
    if (!out_flush()) leave(t, STATUS_DONE); /* nobody reads the answers any more */
}

static chat_choice ask(chat *c, const chat_room *room) {
    terminal *t = (terminal *)c; /* its first member */
    text line = {0};
    bool fits = room->n_prompt < room->n_ctx;
    size_t n_turns = conversation_n_turns(&c->talk) - c->talk.n_unsent;
    print_plain(
        "The context is nearly full: with this message the conversation has %d tokens of %d,",
        room->n_prompt, room->n_ctx);
    print_plain("and an answer should have %d. What now?", room->n_wanted);
    if (n_turns > 1) {
        print_plain("  d  drop the oldest turns until half of the context is free");
        print_plain("  c  clear: keep only this message");
    }
    if (fits)
        print_plain("  a  answer in the %d tokens that are left", room->n_ctx - room->n_prompt);
    print_plain("  s  stop: do not send the message");
    chat_choice choice = CHAT_STOP;
    quiet_terminal_end(); /* no answer comes meanwhile */
    if (line_editor_read(&t->editor, "[s] ", &line) == LINE_READ) {
        const char *word = line.bytes + strspn(line.bytes, " \t");
        choice = *word == 'd' && n_turns > 1   ? CHAT_DROP
                 : *word == 'c' && n_turns > 1 ? CHAT_CLEAR
                 : *word == 'a' && fits        ? CHAT_SEND
                                               : CHAT_STOP;
    }
    session_forget_interrupt();
    quiet_terminal_begin();
    free(line.bytes);
    if (choice == CHAT_STOP) print_note("not sent (arrow up brings it back)");
    return choice;
}

/* A command of several lines is remembered with quotes: so it is one again when it comes back. */
static void remember(terminal *t) {
    const text *message = &t->input.message;
    if (!t->input.is_command || !memchr(message->bytes, '\n', message->n_bytes)) {
        line_editor_remember(&t->editor, message->bytes, message->n_bytes);
        return;
    }
    size_t n_word = strcspn(message->bytes, " \t\n");
    size_t n_blank = strspn(message->bytes + n_word, " \t\n");
    size_t room = message->n_bytes + 16;
    char *entry = need_memory(NULL, room, 1);
    int n = snprintf(entry, room, "%.*s \"\"\"%s\"\"\"", (int)n_word, message->bytes,
                     message->bytes + n_word + n_blank);
    line_editor_remember(&t->editor, entry, (size_t)n);
    free(entry);
}

static void take_message(terminal *t) {
    chat *c = &t->c;
    const text *message = &t->input.message;
    size_t n_before = json_array_size(c->talk.messages);
    int status;
    if (strspn(message->bytes, " \t\n") == message->n_bytes) return;
    remember(t);
    if (t->input.is_command) {
        command_result result = chat_command_run(c, message->bytes);
        if (result == COMMAND_LEAVE) leave(t, STATUS_DONE);
        if (result != COMMAND_AGAIN) return;
        quiet_terminal_begin();
        status = chat_answer_again(c);
        answer_stream_end(&t->out);
        quiet_terminal_end();
        take_answer(t, status, c->answer.n_ids > 0);
        return;
    }
    quiet_terminal_begin();
    status = chat_send(c, message->bytes, message->n_bytes);
    answer_stream_end(&t->out);
    quiet_terminal_end();
    take_answer(t, status, json_array_size(c->talk.messages) > n_before);
}

static void take_line(terminal *t) {
    text line = {0};
    bool begun = t->input.state != MESSAGE_EMPTY;
    line_result result = line_editor_read(&t->editor, begun ? "... " : ">>> ", &line);
    if (result == LINE_END) {
        leave(t, STATUS_DONE);
    } else if (result == LINE_INTERRUPTED) {
        /* one that throws words away is no wish to leave yet */
        bool words = line.n_bytes > 0 || begun;
        if (words) t->interrupted = false;
        message_input_clear(&t->input);
        take_interrupt(t);
        if (!t->leaving && !words) print_note("Ctrl-C again, or Ctrl-D, leaves");
    } else {
        t->interrupted = false;
        if (message_input_add(&t->input, line.bytes, line.n_bytes)) {
            take_message(t);
            message_input_clear(&t->input);
        }
    }
    free(line.bytes);
}

static int talk(terminal *t) {
    t->c.ask = ask;
    print_banner(&t->c);
    input_history_open(&t->history, NULL);
    line_editor_open(&t->editor, &t->history, chat_command_complete);
    while (!t->leaving) take_line(t);
    line_editor_close(&t->editor);
    input_history_close(&t->history);
    message_input_free(&t->input);
    return t->status;
}

/* ---- the command ----------------------------------------------------------------------------- */

int cmd_chat(const options *o) {
    terminal t = {0};
    text message = {0};
    bool at_terminal = !o->prompt && !o->file && line_editor_possible();
    int status = STATUS_DONE;
    answer_stream_open(&t.out);
    if (at_terminal && o->json)
        return print_usage_error("--json needs a message: use -p, -f or a pipe");
    if (!at_terminal) status = text_read_prompt(o, &message);
    if (status == STATUS_DONE) status = chat_open(&t.c, o, o->json ? NULL : stream);
    if (status == STATUS_DONE && o->load_path && !chat_load(&t.c, o->load_path))
        status = STATUS_FAILED;
    if (status == STATUS_DONE) status = at_terminal ? talk(&t) : answer_once(&t, &message);
    chat_close(&t.c);
    free(message.bytes);
    return status;
}
