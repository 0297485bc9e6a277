/* message_input.c: lines become messages. */
#include "message_input.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli_print.h"

static const char quotes[] = "\"\"\"";
enum { N_QUOTES = 3 };

static void append(message_input *m, const char *bytes, size_t n_bytes) {
    if (m->message.n_bytes + n_bytes + 1 > m->room) {
        m->room = (m->message.n_bytes + n_bytes + 1) * 2;
        m->message.bytes = need_memory(m->message.bytes, m->room, 1);
    }
    memcpy(m->message.bytes + m->message.n_bytes, bytes, n_bytes);
    m->message.n_bytes += n_bytes;
    m->message.bytes[m->message.n_bytes] = 0;
}

/* Bytes before the quotes at the end of a line (blanks may follow them), or n_bytes: none. */
static size_t find_closing(const char *line, size_t n_bytes) {
    size_t end = n_bytes;
    while (end > 0 && (line[end - 1] == ' ' || line[end - 1] == '\t')) end--;
    bool closes = end >= N_QUOTES && memcmp(line + end - N_QUOTES, quotes, N_QUOTES) == 0;
    return closes ? end - N_QUOTES : n_bytes;
}

/* The line goes on between quotes. True when it closes them. */
static bool add_quoted(message_input *m, const char *line, size_t n_bytes) {
    size_t n_inside = find_closing(line, n_bytes);
    append(m, line, n_inside);
    if (n_inside == n_bytes) {
        append(m, "\n", 1);
        m->state = MESSAGE_QUOTED;
        return false;
    }
    /* quotes on a line of their own end the line before */
    if (n_inside == 0 && m->message.n_bytes > 0 && m->message.bytes[m->message.n_bytes - 1] == '\n')
        m->message.bytes[--m->message.n_bytes] = 0;
    return true;
}

/* Length of the "/word" that makes a line a command, or 0. A path ("/usr/bin") is none. */
static size_t command_word(const char *line, size_t n_bytes) {
    size_t n = 1;
    if (n_bytes < 2 || line[0] != '/') return 0;
    while (n < n_bytes && (isalpha((unsigned char)line[n]) || line[n] == '?')) n++;
    return n > 1 && (n == n_bytes || isspace((unsigned char)line[n])) ? n : 0;
}

/* Where the quotes open, behind the command's word or at the beginning. n_bytes: nowhere. */
static size_t find_opening(const char *line, size_t n_bytes, size_t at) {
    while (at < n_bytes && isspace((unsigned char)line[at])) at++;
    return n_bytes - at >= N_QUOTES && memcmp(line + at, quotes, N_QUOTES) == 0 ? at : n_bytes;
}

/* An odd number of backslashes at the end: the line goes on. */
static bool goes_on(const char *line, size_t n_bytes) {
    size_t n = 0;
    while (n < n_bytes && line[n_bytes - 1 - n] == '\\') n++;
    return n % 2 == 1;
}

bool message_input_add(message_input *m, const char *line, size_t n_bytes) {
    if (m->state == MESSAGE_QUOTED) return add_quoted(m, line, n_bytes);
    size_t n_word = m->state == MESSAGE_EMPTY ? command_word(line, n_bytes) : 0;
    size_t opening = m->state == MESSAGE_EMPTY ? find_opening(line, n_bytes, n_word) : n_bytes;
    bool pasted = memchr(line, '\n', n_bytes) != NULL;
    if (pasted && find_closing(line, n_bytes) == n_bytes) opening = n_bytes; /* its own quotes */
    if (pasted && opening == n_bytes) n_word = 0;
    m->is_command = n_word > 0;
    if (opening < n_bytes) {
        append(m, line, n_word > 0 ? opening : 0);
        size_t inside = opening + N_QUOTES;
        if (inside < n_bytes) return add_quoted(m, line + inside, n_bytes - inside);
        m->state = MESSAGE_QUOTED; /* the message begins in the next line */
        return false;
    }
    if (!pasted && n_word == 0 && goes_on(line, n_bytes)) {
        append(m, line, n_bytes - 1);
        append(m, "\n", 1);
        m->state = MESSAGE_CONTINUED;
        return false;
    }
    append(m, line, n_bytes);
    return true;
}

void message_input_clear(message_input *m) {
    m->message.n_bytes = 0;
    m->is_command = false;
    m->state = MESSAGE_EMPTY;
}

void message_input_free(message_input *m) {
    free(m->message.bytes);
    *m = (message_input){0};
}
