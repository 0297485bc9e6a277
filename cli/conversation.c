/* conversation.c: what was said, as the messages of OpenAI's API, in memory and in files. */
#define _POSIX_C_SOURCE 200809L /* O_NONBLOCK, fstat */
#include "conversation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "atomic_file.h"
#include "cli_print.h"
#include "command.h"
#include "json_out.h"

enum { MAX_FILE_BYTES = 64 << 20, MAX_MESSAGES = 100000 };

static const char *role_of(const json_t *message) {
    const char *role = json_string_value(json_object_get(message, "role"));
    return role ? role : "";
}

static bool is_role(const json_t *message, const char *role) {
    return strcmp(role_of(message), role) == 0;
}

/* ---- in memory ------------------------------------------------------------------------------- */

void conversation_open(conversation *c) {
    *c = (conversation){.messages = json_array()};
}

void conversation_close(conversation *c) {
    json_decref(c->messages);
    *c = (conversation){0};
}

static json_t *message_new(const char *role, const char *bytes, size_t n_bytes) {
    json_t *message = json_object();
    json_object_set_new(message, "role", json_string(role));
    json_object_set_new(message, "content", json_text(bytes, n_bytes));
    return message;
}

static bool has_system(const conversation *c) {
    const json_t *first = json_array_get(c->messages, 0);
    return is_role(first, "system") || is_role(first, "developer");
}

const char *conversation_system(const conversation *c) {
    if (!has_system(c)) return NULL;
    return json_string_value(json_object_get(json_array_get(c->messages, 0), "content"));
}

void conversation_set_system(conversation *c, const char *bytes, size_t n_bytes) {
    if (has_system(c)) json_array_remove(c->messages, 0);
    if (n_bytes > 0) json_array_insert_new(c->messages, 0, message_new("system", bytes, n_bytes));
}

void conversation_add(conversation *c, const char *role, const char *bytes, size_t n_bytes) {
    conversation_add_message(c, message_new(role, bytes, n_bytes));
}

void conversation_add_message(conversation *c, json_t *message) {
    json_array_append_new(c->messages, message);
}

void conversation_clear(conversation *c) {
    size_t keep = has_system(c) ? 1 : 0;
    while (json_array_size(c->messages) > keep)
        json_array_remove(c->messages, json_array_size(c->messages) - 1);
    c->n_unsent = 0;
}

/* Index of the first message of turn i, or the number of messages. */
static size_t find_turn(const conversation *c, size_t turn) {
    size_t i;
    json_t *message;
    json_array_foreach(c->messages, i, message) {
        if (is_role(message, "user") && turn-- == 0) break;
    }
    return i;
}

size_t conversation_n_turns(const conversation *c) {
    size_t n = 0;
    size_t i;
    json_t *message;
    json_array_foreach(c->messages, i, message) n += is_role(message, "user");
    return n;
}

static bool cut_from(conversation *c, size_t first) {
    bool any = first < json_array_size(c->messages);
    while (json_array_size(c->messages) > first)
        json_array_remove(c->messages, json_array_size(c->messages) - 1);
    size_t n_turns = conversation_n_turns(c);
    if (c->n_unsent > n_turns) c->n_unsent = n_turns;
    return any;
}

bool conversation_undo(conversation *c) {
    size_t n_turns = conversation_n_turns(c);
    return n_turns > 0 && cut_from(c, find_turn(c, n_turns - 1));
}

bool conversation_undo_answer(conversation *c) {
    size_t n_turns = conversation_n_turns(c);
    return n_turns > 0 && cut_from(c, find_turn(c, n_turns - 1) + 1);
}

const char *conversation_last(const conversation *c, const char *role) {
    for (size_t i = json_array_size(c->messages); i-- > 0;) {
        const json_t *message = json_array_get(c->messages, i);
        if (is_role(message, role)) return json_string_value(json_object_get(message, "content"));
    }
    return NULL;
}

json_t *conversation_sent(const conversation *c) {
    json_t *sent = json_array();
    size_t first = find_turn(c, c->n_unsent);
    size_t i;
    json_t *message;
    json_array_foreach(c->messages, i, message) {
        bool kept = i == 0 ? first == 0 || has_system(c) : i >= first;
        if (!kept && c->n_unsent > 0) continue;
        json_t *copy = json_copy(message);
        json_object_del(copy, "finish");
        json_array_append_new(sent, copy);
    }
    return sent;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* The whole file as a NUL-terminated text, or NULL with a fault. */
static char *read_file(const char *path, size_t *n_bytes, char fault[CONVERSATION_FAULT_BYTES]) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    char *bytes = NULL;
    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(fault, CONVERSATION_FAULT_BYTES, "%s",
                 errno == ENOENT ? "no such file" : strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        snprintf(fault, CONVERSATION_FAULT_BYTES, "it is no regular file");
    } else if (st.st_size > MAX_FILE_BYTES) {
        snprintf(fault, CONVERSATION_FAULT_BYTES, "it is larger than %d MiB", MAX_FILE_BYTES >> 20);
    } else {
        size_t room = (size_t)st.st_size;
        bytes = need_memory(NULL, room + 1, 1);
        *n_bytes = 0;
        while (*n_bytes < room) {
            ssize_t n = read(fd, bytes + *n_bytes, room - *n_bytes);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) break;
            *n_bytes += (size_t)n;
        }
        bytes[*n_bytes] = 0;
    }
    if (fd >= 0) close(fd);
    return bytes;
}

/* {"role": one of these, "content": text}; an assistant may say nothing and call tools, a user's
 * content may be parts. What templates make of the rest is theirs to refuse. */
static bool check_message(const json_t *message, size_t i, char *fault) {
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool"};
    const json_t *content = json_object_get(message, "content");
    const char *wrong = NULL;
    bool known = false;
    for (int k = 0; k < 5; k++) known = known || is_role(message, roles[k]);
    if (!json_is_object(message)) {
        wrong = "it is no object";
    } else if (!known) {
        wrong = "\"role\" is none of system, developer, user, assistant, tool";
    } else if (is_role(message, "assistant") && (!content || json_is_null(content))) {
        return true;
    } else if (!json_is_string(content) && !(is_role(message, "user") && json_is_array(content))) {
        wrong = "\"content\" is no text";
    }
    if (wrong) snprintf(fault, CONVERSATION_FAULT_BYTES, "message %zu: %s", i + 1, wrong);
    return !wrong;
}

static bool check_messages(const json_t *messages, char *fault) {
    size_t i;
    json_t *message;
    if (!json_is_array(messages)) {
        snprintf(fault, CONVERSATION_FAULT_BYTES, "it has no list \"messages\"");
        return false;
    }
    if (json_array_size(messages) > MAX_MESSAGES) {
        snprintf(fault, CONVERSATION_FAULT_BYTES, "it has more than %d messages", MAX_MESSAGES);
        return false;
    }
    json_array_foreach(messages, i, message) {
        if (!check_message(message, i, fault)) return false;
    }
    return true;
}

/* The object of a file, checked, or NULL with a fault. */
static json_t *parse_file(const char *path, char fault[CONVERSATION_FAULT_BYTES]) {
    size_t n_bytes = 0;
    json_error_t error;
    char *bytes = read_file(path, &n_bytes, fault);
    if (!bytes) return NULL;
    json_t *file = json_loadb(bytes, n_bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    free(bytes);
    if (!file) {
        char what[160];
        snprintf(fault, CONVERSATION_FAULT_BYTES, "line %d: %s", error.line,
                 format_clean(what, sizeof what, error.text));
        return NULL;
    }
    if (json_is_array(file)) file = json_pack("{s:o}", "messages", file);
    const json_t *model = json_object_get(file, "model");
    const json_t *settings = json_object_get(file, "settings");
    bool right = check_messages(json_object_get(file, "messages"), fault);
    if (right && ((model && !json_is_string(model)) || (settings && !json_is_object(settings)))) {
        snprintf(fault, CONVERSATION_FAULT_BYTES,
                 "\"model\" is no text, or \"settings\" no object");
        right = false;
    }
    if (right) return file;
    json_decref(file);
    return NULL;
}

/* False, after a message, when path is something that a conversation must not replace. */
static bool may_replace(const char *path) {
    char fault[CONVERSATION_FAULT_BYTES];
    struct stat st;
    if (stat(path, &st) != 0 || (S_ISREG(st.st_mode) && st.st_size == 0)) return true;
    json_t *file = parse_file(path, fault);
    json_decref(file);
    if (!file)
        print_error("%s is there already and is no saved conversation: give another name", path);
    return file != NULL;
}

int conversation_save(const conversation *c, const char *path, const char *model,
                      const json_t *settings) {
    if (!may_replace(path)) return STATUS_FAILED;
    json_t *file = json_object();
    json_object_set_new(file, "model", json_text(model, strlen(model)));
    json_object_set(file, "messages", c->messages);
    json_object_set_new(file, "settings", json_deep_copy(settings));
    char *bytes = json_dumps(file, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(file);
    if (!bytes) {
        print_error("out of memory while writing JSON");
        return STATUS_FAILED;
    }
    size_t n_bytes = strlen(bytes);
    bytes[n_bytes] = '\n'; /* in place of the NUL */
    bool saved = atomic_file_write(path, bytes, n_bytes + 1);
    if (!saved) print_error("cannot save %s: %s", path, strerror(errno));
    free(bytes);
    return saved ? STATUS_DONE : STATUS_FAILED;
}

int conversation_load(conversation *c, const char *path, json_t **model, json_t **settings) {
    char fault[CONVERSATION_FAULT_BYTES];
    json_t *file = parse_file(path, fault);
    if (!file) {
        print_error("cannot load %s: %s", path, fault);
        return STATUS_FAILED;
    }
    *c = (conversation){.messages = json_incref(json_object_get(file, "messages"))};
    *model = json_incref(json_object_get(file, "model"));
    *settings = json_incref(json_object_get(file, "settings"));
    json_decref(file);
    return STATUS_DONE;
}
