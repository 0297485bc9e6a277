/* http_none.c: a program that was built without libmicrohttpd. */
#include <unistd.h>

#include "http_server.h"
#include "server_fail.h"

bool pn_http_make_room(int32_t *n) {
    (void)n;
    return true;
}

puna_status pn_http_open(const pn_http_options *options, pn_http **http, puna_error *err) {
    (void)http;
    close(options->listen_fd);
    return pn_server_fail(err, PUNA_E_UNSUPPORTED,
                          "this puna was built without libmicrohttpd, which serving needs: install "
                          "libmicrohttpd-dev and build again");
}

puna_status pn_http_run(pn_http *http, puna_error *err) {
    (void)http, (void)err;
    return PUNA_OK;
}

void pn_http_drain(pn_http *http) {
    (void)http;
}

void pn_http_cut(pn_http *http) {
    (void)http;
}

void pn_http_free(pn_http *http) {
    (void)http;
}
