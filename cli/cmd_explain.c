/* cmd_explain.c: puna explain: the compute plan of a model, as text. */
#include <stdlib.h>

#include "cli_print.h"
#include "session.h"

int cmd_explain(const options *o) {
    session s = {0};
    puna_error err = {0};
    char *plan = NULL;
    size_t n_bytes = 0;
    int status = session_open_model(&s, o, PUNA_OPEN_FULL);
    if (status == STATUS_DONE && puna_model_explain(s.model, NULL, 0, &n_bytes, &err) != PUNA_OK) {
        status = print_failure(&err);
    }
    if (status == STATUS_DONE) {
        plan = need_memory(NULL, n_bytes + 1, 1);
        if (puna_model_explain(s.model, plan, n_bytes + 1, &n_bytes, &err) != PUNA_OK)
            status = print_failure(&err);
    }
    if (status == STATUS_DONE) {
        out_write(plan, n_bytes);
        if (n_bytes && plan[n_bytes - 1] != '\n') out_write("\n", 1);
    }
    free(plan);
    session_close(&s);
    return status;
}
