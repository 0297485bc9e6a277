/* quiet_terminal.c: keys that are typed while an answer comes do not appear in it. */
#define _POSIX_C_SOURCE 200809L /* sigaction, tcgetpgrp */
#include "quiet_terminal.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli_print.h"

static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
enum { N_CAUGHT = sizeof caught / sizeof *caught };
static struct sigaction actions[N_CAUGHT]; /* as they were */
static struct termios before;
static struct termios quiet;
static bool is_quiet;
static volatile bool colours; /* an answer may be dim when the program ends */
static volatile sig_atomic_t n_interrupts;

/* Setting a terminal that another program has in the foreground would stop us. */
static void set(const struct termios *how) {
    if (tcgetpgrp(STDIN_FILENO) == getpgrp()) tcsetattr(STDIN_FILENO, TCSANOW, how);
}

static void on_signal(int number);

static void catch_signal(int number, struct sigaction *old) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, old);
}

/* Lets a signal do what it does by default. Comes back from a stop only. */
static void obey(int number) {
    struct sigaction action;
    sigset_t only;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
    sigemptyset(&only);
    sigaddset(&only, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    sigprocmask(SIG_BLOCK, &only, NULL);
    catch_signal(number, NULL);
}

/* The first Ctrl-C is for those who asked for it before. */
static void on_signal(int number) {
    if (number == SIGINT && n_interrupts++ == 0) {
        actions[0].sa_handler(number);
        return;
    }
    static const char plain[] = "\033[0m";
    set(&before);
    if (colours && write(STDOUT_FILENO, plain, sizeof plain - 1) < 0) colours = false;
    obey(number);
    set(&quiet);
}

void quiet_terminal_begin(void) {
    if (is_quiet || tcgetattr(STDIN_FILENO, &before) != 0) return;
    is_quiet = true;
    colours = print_in_colour() && isatty(STDOUT_FILENO);
    n_interrupts = 0;
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    for (int i = 0; i < N_CAUGHT; i++) {
        catch_signal(caught[i], &actions[i]);
        if (actions[i].sa_handler == SIG_IGN) sigaction(caught[i], &actions[i], NULL);
    }
    set(&quiet);
}

void quiet_terminal_end(void) {
    if (!is_quiet) return;
    set(&before);
    for (int i = 0; i < N_CAUGHT; i++) sigaction(caught[i], &actions[i], NULL);
    is_quiet = false;
}
