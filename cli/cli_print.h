/* cli_print.h: the two streams of the program, and numbers as people read them.
 *
 * Data goes to stdout through out_*, which notices a reader that went away or a full disk;
 * messages go to stderr through print_*. Colours appear only on a terminal (NO_COLOR, TERM=dumb
 * and CLICOLOR_FORCE are obeyed). */
#ifndef PUNA_CLI_PRINT_H
#define PUNA_CLI_PRINT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "puna.h"

/* quiet: errors only. verbose: what the library logs, too. */
void print_setup(bool quiet, bool verbose);
bool print_is_quiet(void);
/* True when stderr is a terminal that can redraw a line. */
bool print_on_terminal(void);
/* True when messages are coloured. */
bool print_in_colour(void);

/* One line "puna: ..." on stderr. */
__attribute__((format(printf, 1, 2))) void print_error(const char *format, ...);
/* The same, for a mistake in the command line. Returns STATUS_USAGE. */
__attribute__((format(printf, 1, 2))) int print_usage_error(const char *format, ...);
/* Prints the library's error. Returns STATUS_FAILED, or STATUS_INTERRUPTED after Ctrl-C. */
int print_failure(const puna_error *err);
/* A line on stderr for people, dimmed on a terminal; silent with -q. */
__attribute__((format(printf, 1, 2))) void print_note(const char *format, ...);

/* A line on stderr that somebody asked for: as it is, also with -q. */
__attribute__((format(printf, 1, 2))) void print_plain(const char *format, ...);

/* The same for a text of several lines that came from elsewhere, made safe as out_shown does. */
void print_shown(const char *lines);

/* Writes to stdout. False when stdout cannot take more: stop, and let out_finish say why. */
bool out_write(const char *bytes, size_t n_bytes);
__attribute__((format(printf, 1, 2))) bool out_printf(const char *format, ...);
/* Writes text that came out of a file, spaces up to width columns behind it: control characters,
 * which could command a terminal, and what is no UTF-8 become "?". */
bool out_clean(const char *line, int width);
/* Writes the bytes in quotes on one line: \n, \t, \\, \' and, for other control characters and
 * bytes that are no UTF-8, \xHH. */
bool out_quoted(const char *bytes, size_t n_bytes);
/* Writes a text of several lines for a terminal: as it is, but what could command the terminal
 * (control characters other than newline and tab, marks that reverse what follows) and what is no
 * UTF-8 appear as \xHH. */
bool out_shown(const char *bytes, size_t n_bytes);
bool out_flush(void);
/* Flushes stdout; returns status, or STATUS_FAILED with a message when output was lost. A reader
 * that closed the pipe has what it wanted: that is no error. */
int out_finish(int status);

/* "93.8 MiB", "134.5 M", "98,362,432" into buf, which is returned. */
#define NUMBER_CHARS 32
char *format_bytes(char buf[NUMBER_CHARS], uint64_t bytes);
char *format_count(char buf[NUMBER_CHARS], uint64_t count);
char *format_digits(char buf[NUMBER_CHARS], uint64_t number);

/* Bytes of the UTF-8 character at s[0..n), or 0 when it is not one (Unicode 15, table 3-7). */
size_t utf8_bytes(const unsigned char *s, size_t n);
/* The code point of a character of `length` bytes, which utf8_bytes has measured. */
uint32_t utf8_code_point(const unsigned char *s, size_t length);
/* Writes a code point up to U+10FFFF, 1 to 4 bytes; returns how many. */
size_t utf8_write(char *to, uint32_t code_point);
/* Bytes of the character at s[0..n) when a terminal merely shows it, or 0: no UTF-8, a control
 * character, or a mark that reverses the direction of what follows. */
size_t utf8_shown_bytes(const unsigned char *s, size_t n);
/* Copies a text from elsewhere into buf, cut to fit at a character; what a terminal could act on
 * becomes "?". Returns buf. */
char *format_clean(char *buf, size_t buf_bytes, const char *from);

/* Monotonic seconds. */
double seconds_now(void);

/* malloc and realloc that end the program with a message when memory is out. */
void *need_memory(void *old, size_t count, size_t each);

#endif
