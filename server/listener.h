/* listener.h: the socket that the server listens at. */
#ifndef PUNA_SERVER_LISTENER_H
#define PUNA_SERVER_LISTENER_H

#include "puna.h"

/* Binds host (a name or an address) and port (0: any) and listens. *loopback: no other machine can reach
 * it. */
puna_status pn_listener_open(const char *host, int32_t port, int *fd, int32_t *bound_port,
                             bool *loopback, puna_error *err);

#endif
