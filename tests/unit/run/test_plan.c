/* test_plan.c: the workspace of a compute plan: values that may be alive at the same time, on any thread, never share
 * memory. */
#include "run/model.h"

#include "tiny_llama.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

/* Marks the values that an operation reads or writes. */
static void mark_values(const pn_op *op, bool *touched) {
    for (int k = 0; k < 2; k++)
        if (op->in[k] >= 0) touched[op->in[k]] = true;
    for (int k = 0; k < 3; k++)
        if (op->out[k] >= 0) touched[op->out[k]] = true;
}

static bool share_memory(const pn_value_info *a, const pn_value_info *b) {
    return a->offset < b->offset + b->width && b->offset < a->offset + a->width;
}

static void assert_disjoint(const pn_plan *plan, const bool *touched, int32_t op) {
    for (int32_t a = 0; a < plan->n_values; a++)
        for (int32_t b = 0; b < a; b++)
            if (touched[a] && touched[b] && share_memory(&plan->values[a], &plan->values[b]))
                fail_msg("values %s and %s share memory in the group of op %d",
                         plan->values[a].name, plan->values[b].name, op);
}

static void test_groups_of_row_operations_share_no_memory(void **state) {
    const pn_plan *plan = &((const puna_model *)*state)->plan;
    int32_t n_groups = 0;
    for (int32_t i = 0; i < plan->n_ops;) {
        bool touched[4096] = {false};
        int32_t end = i;
        assert_true(plan->n_values <= 4096);
        do mark_values(&plan->ops[end++], touched);
        while (end < plan->n_ops && pn_op_is_by_row(plan->ops[end - 1].kind) &&
               pn_op_is_by_row(plan->ops[end].kind));
        assert_disjoint(plan, touched, i);
        n_groups += end - i > 1;
        i = end;
    }
    assert_true(n_groups >= 2 * TINY_LAYERS);
}

/* A value read later must not be overwritten in between. */
static void test_values_last_until_their_last_reader(void **state) {
    const pn_plan *plan = &((const puna_model *)*state)->plan;
    for (int32_t v = 0; v < plan->n_values; v++) {
        const pn_value_info *value = &plan->values[v];
        for (int32_t i = value->first + 1; i <= value->last; i++)
            for (int k = 0; k < 3; k++) {
                const pn_value out = plan->ops[i].out[k];
                if (out >= 0 && out != v) assert_false(share_memory(value, &plan->values[out]));
            }
        assert_true(value->offset + value->width <= plan->floats_per_row);
    }
}

static int setup(void **state) {
    char path[64];
    (void)snprintf(path, sizeof path, "/tmp/puna-test-plan-%ld.gguf", (long)getpid());
    tiny_llama_write(path, PN_FMT_Q8_0);
    puna_error err;
    puna_model *model = NULL;
    if (puna_model_open(path, NULL, &model, &err) != PUNA_OK) fail_msg("%s", err.msg);
    *state = model;
    return unlink(path);
}

static int teardown(void **state) {
    puna_model_free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_of_row_operations_share_no_memory),
        cmocka_unit_test(test_values_last_until_their_last_reader),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
