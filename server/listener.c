/* listener.c: the socket that the server listens at. */
#define _GNU_SOURCE /* SOCK_CLOEXEC */
#include "listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server_fail.h"

static bool is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(a);
    }
    const struct sockaddr_in *v4 = (const void *)address;
    return address->sa_family == AF_INET && ntohl(v4->sin_addr.s_addr) >> 24 == 127;
}

/* A listening socket, or -1 with errno. */
static int listen_at(const struct addrinfo *a) {
    const int on = 1;
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) return fd;
    int failure = errno;
    close(fd);
    errno = failure;
    return -1;
}

static int32_t port_of(int fd) {
    struct sockaddr_storage address;
    socklen_t n = sizeof address;
    memset(&address, 0, sizeof address);
    if (getsockname(fd, (struct sockaddr *)&address, &n) != 0) return 0;
    return address.ss_family == AF_INET6
               ? ntohs(((const struct sockaddr_in6 *)(const void *)&address)->sin6_port)
               : ntohs(((const struct sockaddr_in *)(const void *)&address)->sin_port);
}

puna_status pn_listener_open(const char *host, int32_t port, int *fd, int32_t *bound_port,
                             bool *loopback, puna_error *err) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    int failure = getaddrinfo(host, service, &hints, &found);
    if (failure)
        return pn_server_fail(err, PUNA_E_ARG, "--host %s: %s", host, gai_strerror(failure));
    *fd = -1;
    for (const struct addrinfo *a = found; a && *fd < 0; a = a->ai_next) {
        *fd = listen_at(a);
        if (*fd >= 0) *loopback = is_loopback(a->ai_addr);
    }
    failure = errno;
    freeaddrinfo(found);
    if (*fd < 0) {
        return pn_server_fail(err, PUNA_E_IO, "cannot listen at %s, port %d: %s%s", host, port,
                              strerror(failure),
                              failure == EADDRINUSE ? "; choose another --port, 0 for any" : "");
    }
    *bound_port = port_of(*fd);
    return PUNA_OK;
}
