/* os_lock.c: mutexes and bells over POSIX. A bell is a pipe, because writing to one is among the few
 * things that a signal handler may do; both ends never block. */
#define _POSIX_C_SOURCE 200809L
#include "base/lock.h"

#include "base/error.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

struct pn_mutex {
    pthread_mutex_t mutex;
};

puna_status pn_mutex_open(pn_mutex **mutex, puna_error *err) {
    pn_mutex *m = pn_alloc(sizeof *m);
    if (!m) return pn_fail_nomem(err, sizeof *m, "a mutex");
    pthread_mutex_init(&m->mutex, NULL); /* cannot fail with default attributes */
    *mutex = m;
    return PUNA_OK;
}

void pn_mutex_close(pn_mutex *mutex) {
    if (!mutex) return;
    pthread_mutex_destroy(&mutex->mutex);
    pn_free(mutex);
}

void pn_mutex_lock(pn_mutex *mutex) {
    pthread_mutex_lock(&mutex->mutex);
}

void pn_mutex_unlock(pn_mutex *mutex) {
    pthread_mutex_unlock(&mutex->mutex);
}

static void set_up(int fd) {
    fcntl(fd, F_SETFL, O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

puna_status pn_bell_open(pn_bell *bell, puna_error *err) {
    int fds[2];
    *bell = (pn_bell){0};
    if (pipe(fds) != 0)
        return pn_fail(err, PUNA_E_IO, "a pipe between threads: %s", strerror(errno));
    set_up(fds[0]);
    set_up(fds[1]);
    *bell = (pn_bell){.out = fds[0] + 1, .in = fds[1] + 1};
    return PUNA_OK;
}

void pn_bell_close(pn_bell *bell) {
    if (bell->in) close(bell->in - 1);
    if (bell->out) close(bell->out - 1);
    *bell = (pn_bell){0};
}

void pn_bell_ring(const pn_bell *bell) {
    const int before = errno;
    ssize_t n;
    do n = write(bell->in - 1, "", 1); /* a full pipe rings already */
    while (n < 0 && errno == EINTR);
    errno = before;
}

void pn_bell_wait(pn_bell *bell, double seconds) {
    struct pollfd look = {.fd = bell->out - 1, .events = POLLIN};
    char rung[64];
    if (!(seconds > 0)) seconds = 0;
    const double ms = seconds * 1e3 + 0.999; /* rounded up, so that a short wait is one */
    if (poll(&look, 1, ms < 1e9 ? (int)ms : (int)1e9) <= 0) return;
    while (read(look.fd, rung, sizeof rung) > 0) continue;
}
