/* test_arch.c: the plans of all architectures, hyper-parameters from keys, and what is refused with
 * which words. */
#include "arch/arch.h"

#include "puna.h"

#include "arch_build.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

static char path[64];
static pn_gguf *gguf;
static pn_plan plan;
static pn_hparams hp;

static puna_status load(const ab_model *model, puna_error *err) {
    (void)snprintf(path, sizeof path, "/tmp/puna-test-arch-%ld.gguf", (long)getpid());
    ab_write(model, path);
    const pn_gguf_options options = {.with_data = true, .use_mmap = true};
    const puna_status opened = pn_gguf_open(path, &options, &gguf, err);
    (void)unlink(path);
    if (opened != PUNA_OK) fail_msg("%s", err->msg);
    return pn_arch_build(gguf, &plan, &hp, err);
}

static void must_load(const ab_model *model) {
    puna_error err = {0};
    if (load(model, &err) != PUNA_OK) fail_msg("%s", err.msg);
}

static void done(void) {
    pn_plan_free(&plan);
    pn_gguf_free(gguf);
}

/* The operations of a layer (-1: those outside the layers) as "NORM LINEAR ...". */
static const char *ops_of(int32_t layer) {
    static char text[1024];
    text[0] = 0;
    for (int32_t i = 0; i < plan.n_ops; i++)
        if (plan.ops[i].layer == layer) {
            if (text[0]) strcat(text, " ");
            strcat(text, pn_op_name(plan.ops[i].kind));
        }
    return text;
}

/* ---- plans ---- */

#define ATTEND "ROPE ROPE KV_STORE ATTENTION LINEAR"

static void test_llama(void **state) {
    (void)state;
    must_load(&(ab_model){.arch = "llama", .n_layer = 2});
    assert_string_equal(ops_of(-1), "EMBED NORM LOGITS");
    assert_string_equal(ops_of(0), "NORM LINEAR " ATTEND " ADD NORM LINEAR GLU LINEAR ADD");
    assert_string_equal(ops_of(1), "NORM LINEAR " ATTEND " ADD SELECT NORM LINEAR GLU LINEAR ADD");
    assert_int_equal(plan.n_attns, 2);
    assert_int_equal(plan.attns[0].n_head, 4);
    assert_int_equal(plan.attns[0].n_head_kv, 2);
    assert_int_equal(plan.attns[0].window, 0);
    assert_float_equal(plan.attns[0].scale, 1 / sqrt(8), 1e-7);
    assert_int_equal(plan.n_ropes, 1);
    assert_false(plan.ropes[0].neox);
    assert_int_equal(plan.ropes[0].n_rot, 8);
    assert_float_equal(plan.ropes[0].base, 10000, 0);
    assert_null(plan.ropes[0].divisors);
    assert_int_equal(plan.n_vocab, AB_VOCAB);
    assert_string_equal(hp.arch, "llama");
    assert_int_equal(hp.n_ctx_train, 512);
    assert_int_equal(hp.n_ff, AB_FF);
    done();
}

static void test_mixtral(void **state) {
    (void)state;
    must_load(&(ab_model){.arch = "llama", .n_layer = 1, .n_expert = 4});
    assert_string_equal(ops_of(0), "NORM LINEAR " ATTEND " ADD SELECT NORM MOE ADD");
    const pn_op *moe = &plan.ops[plan.n_ops - 4];
    assert_int_equal(moe->kind, PN_OP_MOE);
    assert_int_equal(moe->moe.n_expert, 4);
    assert_int_equal(moe->moe.n_used, 2);
    assert_int_equal(moe->moe.n_ff, AB_FF);
    assert_true(moe->moe.norm_weights);
    assert_int_equal(hp.n_expert, 4);
    assert_int_equal(hp.n_expert_used, 2);
    done();
}

static void test_qwen(void **state) {
    (void)state;
    must_load(&(ab_model){.arch = "qwen2", .n_layer = 2});
    assert_string_equal(ops_of(0), "NORM LINEAR " ATTEND " ADD NORM LINEAR GLU LINEAR ADD");
    assert_true(plan.ropes[0].neox);
    for (int i = 0; i < 3; i++) assert_non_null(plan.ops[2].bias[i]);
    done();
    must_load(&(ab_model){.arch = "qwen3", .n_layer = 2});
    assert_string_equal(ops_of(0),
                        "NORM LINEAR NORM NORM " ATTEND " ADD NORM LINEAR GLU LINEAR ADD");
    assert_int_equal(plan.ops[3].head_dim, AB_HEAD);
    done();
}

static void gemma_keys(gguf_build *b) {
    build_key_u32(b, "gemma3.attention.sliding_window", 16);
    build_key_f32(b, "gemma3.rope.freq_base", 1e6f);
    build_string(b, "gemma3.rope.scaling.type", "linear");
    build_key_f32(b, "gemma3.rope.scaling.factor", 8);
    build_key_f32(b, "gemma3.final_logit_softcapping", 30);
}

static void test_gemma3(void **state) {
    (void)state;
    must_load(
        &(ab_model){.arch = "gemma3", .n_layer = 7, .drop = "output.weight", .keys = gemma_keys});
    assert_string_equal(ops_of(0), "NORM LINEAR NORM NORM " ATTEND
                                   " NORM ADD NORM LINEAR GLU LINEAR NORM ADD");
    for (int i = 0; i < 7; i++) {
        const pn_rope *rope = &hp.layers[i].rope;
        const bool global = i == 5;
        assert_int_equal(plan.attns[i].window, global ? 0 : 16);
        assert_float_equal(rope->base, global ? 1e6 : 1e4, 0);
        assert_float_equal(rope->scale, global ? 0.125 : 1, 0);
        assert_true(rope->neox);
    }
    assert_int_equal(plan.n_ropes, 2);
    assert_float_equal(plan.ops[0].scale, sqrt(AB_EMBD), 1e-6);
    const pn_op *logits = &plan.ops[plan.n_ops - 1];
    assert_float_equal(logits->softcap, 30, 0);
    assert_ptr_equal(logits->w[0], plan.ops[0].w[0]);
    done();
}

static void gemma_pattern_keys(gguf_build *b) {
    build_key_u32(b, "gemma3.attention.sliding_window", 16);
    build_array(b, "gemma3.attention.sliding_window_pattern", 7, 3);
    build_raw(b, "\1\0\1", 3);
}

static void test_gemma3_pattern(void **state) {
    (void)state;
    must_load(&(ab_model){.arch = "gemma3", .n_layer = 3, .keys = gemma_pattern_keys});
    const int32_t windows[3] = {16, 0, 16};
    for (int i = 0; i < 3; i++) assert_int_equal(hp.layers[i].window, windows[i]);
    done();
}

static void keys_of_61_layers(gguf_build *b) {
    build_key_u32(b, "gemma3.block_count", 61);
    build_key_u32(b, "gemma3.attention.key_length", 16);
    build_key_u32(b, "gemma3.attention.value_length", 16);
}
static void keys_of_62_layers(gguf_build *b) {
    build_key_u32(b, "gemma3.block_count", 62);
    build_key_u32(b, "gemma3.attention.key_length", 16);
    build_key_u32(b, "gemma3.attention.value_length", 16);
}

/* Heads of 16 by key, of 8 by width: the largest Gemma 3, known by its 62 layers alone, scales by
 * the latter. The tensors fit neither, so this looks at what the keys became. */
static void test_gemma3_27b(void **state) {
    (void)state;
    puna_error err = {0};
    ab_model model = {
        .arch = "gemma3", .n_layer = 1, .drop = "block_count", .keys = keys_of_61_layers};
    assert_int_equal(load(&model, &err), PUNA_E_FORMAT);
    assert_float_equal(hp.attention_scale, 1 / sqrt(16), 1e-7);
    pn_gguf_free(gguf);
    model.keys = keys_of_62_layers;
    assert_int_equal(load(&model, &err), PUNA_E_FORMAT);
    assert_float_equal(hp.attention_scale, 1 / sqrt(8), 1e-7);
    pn_gguf_free(gguf);
}

/* ---- keys ---- */

static void yarn_keys(gguf_build *b) {
    build_string(b, "llama.rope.scaling.type", "yarn");
    build_key_f32(b, "llama.rope.scaling.factor", 4);
    build_key_u32(b, "llama.rope.scaling.original_context_length", 128);
    build_key_f32(b, "llama.rope.scaling.yarn_beta_fast", 16);
    build_key_u32(b, "llama.rope.dimension_count", 4);
}

static void scale_linear_keys(gguf_build *b) {
    build_key_f32(b, "llama.rope.scale_linear", 2);
}

static void divisors(gguf_build *b) {
    ab_bytes = (ab_bytes + 255) / 256 *
               256; /* where the data, bytes 0 to 255 again and again, is positive */
    ab_tensor(b, "rope_freqs.weight", 4, 0, 0);
}

static void test_rope(void **state) {
    (void)state;
    must_load(&(ab_model){.arch = "llama", .n_layer = 1, .keys = yarn_keys});
    const pn_rope *r = &plan.ropes[0];
    assert_int_equal(r->n_rot, 4);
    assert_float_equal(r->scale, 0.25, 0);
    assert_float_equal(r->ext_factor, 1, 0);
    assert_float_equal(r->beta_fast, 16, 0);
    assert_float_equal(r->beta_slow, 1, 0);
    assert_int_equal(r->n_ctx_orig, 128);
    done();
    must_load(&(ab_model){.arch = "llama", .n_layer = 1, .keys = scale_linear_keys});
    assert_float_equal(plan.ropes[0].scale, 0.5, 0);
    assert_float_equal(plan.ropes[0].ext_factor, 0, 0);
    done();
    must_load(&(ab_model){.arch = "llama", .n_layer = 2, .tensors = divisors});
    assert_non_null(plan.ropes[0].divisors);
    assert_int_equal(plan.n_ropes, 1);
    done();
}

static void head_array(gguf_build *b) {
    build_array(b, "llama.attention.head_count", 5, 2);
    build_u32(b, 4);
    build_u32(b, 4);
}

static void kv_array(gguf_build *b) {
    build_array(b, "llama.attention.head_count_kv", 4, 2);
    build_u32(b, 2);
    build_u32(b, 2);
}

static void test_per_layer(void **state) {
    (void)state;
    must_load(&(ab_model){
        .arch = "llama", .n_layer = 2, .drop = "attention.head_count", .keys = head_array});
    assert_int_equal(hp.layers[1].n_head, 4);
    done();
    must_load(&(ab_model){
        .arch = "llama", .n_layer = 2, .drop = "attention.head_count_kv", .keys = kv_array});
    assert_int_equal(hp.layers[1].n_head_kv, 2);
    done();
}

static void huge_context(gguf_build *b) {
    build_key_u32(b, "llama.context_length", UINT32_MAX);
}

static void test_huge_context_is_cut(void **state) {
    (void)state;
    must_load(
        &(ab_model){.arch = "llama", .n_layer = 1, .drop = "context_length", .keys = huge_context});
    assert_int_equal(hp.n_ctx_train, 1 << 24);
    done();
}

static void spare_tensor(gguf_build *b) {
    ab_tensor(b, "extra.weight", 8, 0, 0);
    ab_tensor(b, "blk.0.attn_rot_embd", 8, 0, 0);
}

static void test_spare_tensors_are_ignored(void **state) {
    (void)state;
    must_load(&(ab_model){.arch = "llama", .n_layer = 1, .tensors = spare_tensor});
    done();
}

/* ---- what is refused ---- */

static void key_bogus_scaling(gguf_build *b) {
    build_string(b, "llama.rope.scaling.type", "longrope");
}
static void key_rotation_odd(gguf_build *b) {
    build_key_u32(b, "llama.rope.dimension_count", 7);
}
static void key_rotation_wide(gguf_build *b) {
    build_key_u32(b, "llama.rope.dimension_count", 16);
}
static void key_rotation_base(gguf_build *b) {
    build_key_f32(b, "llama.rope.freq_base", NAN);
}
static void key_yarn_origin(gguf_build *b) {
    build_string(b, "llama.rope.scaling.type", "yarn");
    build_key_u32(b, "llama.rope.scaling.original_context_length", 0);
}
static void key_kv_3(gguf_build *b) {
    build_key_u32(b, "llama.attention.head_count_kv", 3);
}
static void key_heads_short(gguf_build *b) {
    build_array(b, "llama.attention.head_count", 4, 1);
    build_u32(b, 4);
}
static void key_heads_text(gguf_build *b) {
    build_array(b, "llama.attention.head_count", 8, 0);
}
static void key_ff_zero(gguf_build *b) {
    build_array(b, "llama.feed_forward_length", 4, 2);
    build_u32(b, AB_FF);
    build_u32(b, 0);
}
static void key_embd_33(gguf_build *b) {
    build_key_u32(b, "llama.embedding_length", 33);
}
static void key_value_length(gguf_build *b) {
    build_key_u32(b, "llama.attention.value_length", 16);
}
static void key_experts(gguf_build *b) {
    build_key_u32(b, "qwen2.expert_count", 8);
    build_key_u32(b, "qwen2.expert_used_count", 2);
}
static void key_experts_used(gguf_build *b) {
    build_key_u32(b, "llama.expert_count", 8);
    build_key_u32(b, "llama.expert_used_count", 9);
}
static void key_not_causal(gguf_build *b) {
    build_key(b, "llama.attention.causal", 7);
    build_raw(b, "\0", 1);
}
static void key_tokens(gguf_build *b) {
    build_array(b, "tokenizer.ggml.tokens", 8, AB_VOCAB - 1);
    for (int i = 0; i < AB_VOCAB - 1; i++) build_text(b, "x", 1);
}
static void key_eps(gguf_build *b) {
    build_key_f32(b, "llama.attention.layer_norm_rms_epsilon", -1);
}
static void tensor_of_layer_2(gguf_build *b) {
    ab_tensor(b, "blk.2.attn_norm.weight", AB_EMBD, 0, 0);
}
static void tensor_sinks(gguf_build *b) {
    ab_tensor(b, "blk.0.attn_sinks.weight", AB_HEADS, 0, 0);
}
static void tensor_long_factors(gguf_build *b) {
    ab_tensor(b, "rope_factors_long.weight", 4, 0, 0);
}
static void tensor_divisors_short(gguf_build *b) {
    ab_tensor(b, "rope_freqs.weight", 3, 0, 0);
}
static void tensor_bias_short(gguf_build *b) {
    ab_tensor(b, "blk.0.attn_q.bias", 10, 0, 0);
}
static void tensor_old_expert(gguf_build *b) {
    ab_tensor(b, "blk.0.ffn_gate.0.weight", AB_EMBD, AB_FF, 0);
}
static void tensor_q_wide(gguf_build *b) {
    ab_tensor(b, "blk.0.attn_q.weight", AB_EMBD, AB_EMBD, 2);
}

typedef struct refusal {
    ab_model model;
    puna_status status;
    const char *word; /* in the message */
} refusal;

static const refusal refusals[] = {
    {{"llama", 2, .drop = "general.architecture"}, PUNA_E_FORMAT, "general.architecture"},
    {{"mamba", 2, .drop = NULL},
     PUNA_E_UNSUPPORTED,
     "\"mamba\" is not supported; supported are llama"},
    {{"llama", 2, .drop = "context_length"}, PUNA_E_FORMAT, "llama.context_length is missing"},
    {{"llama", 2, .drop = "embedding_length"}, PUNA_E_FORMAT, "llama.embedding_length is missing"},
    {{"llama", 2, .drop = "block_count"}, PUNA_E_FORMAT, "llama.block_count is missing"},
    {{"llama", 2, .drop = "feed_forward_length"},
     PUNA_E_FORMAT,
     "llama.feed_forward_length is missing"},
    {{"llama", 2, .drop = "attention.head_count"},
     PUNA_E_FORMAT,
     "attention.head_count is missing"},
    {{"llama", 2, .drop = "attention.layer_norm_rms_epsilon"},
     PUNA_E_FORMAT,
     "rms_epsilon is missing"},
    {{"llama", 0, .drop = NULL}, PUNA_E_FORMAT, "llama.block_count"},
    {{"llama", 2, .drop = "embedding_length", .keys = key_embd_33},
     PUNA_E_FORMAT,
     "embedding_length 33"},
    {{"llama", 2, .drop = "attention.head_count_kv", .keys = key_kv_3},
     PUNA_E_FORMAT,
     "head_count_kv 3"},
    {{"llama", 2, .drop = "attention.head_count_kv"}, PUNA_E_FORMAT, "blk.0.attn_k.weight"},
    {{"llama", 2, .drop = "attention.head_count", .keys = key_heads_short},
     PUNA_E_FORMAT,
     "length 1"},
    {{"llama", 2, .drop = "attention.head_count", .keys = key_heads_text},
     PUNA_E_FORMAT,
     "type string"},
    {{"llama", 2, .drop = "feed_forward_length", .keys = key_ff_zero}, PUNA_E_FORMAT, "layer 1"},
    {{"llama", 2, .drop = "attention.layer_norm_rms_epsilon", .keys = key_eps},
     PUNA_E_FORMAT,
     "epsilon is -1"},
    {{"llama", 2, .keys = key_value_length}, PUNA_E_UNSUPPORTED, "value_length 16"},
    {{"llama", 2, .keys = key_rotation_odd}, PUNA_E_FORMAT, "rope.dimension_count"},
    {{"llama", 2, .keys = key_rotation_wide}, PUNA_E_FORMAT, "rope.dimension_count"},
    {{"llama", 2, .keys = key_rotation_base}, PUNA_E_FORMAT, "rope.freq_base"},
    {{"llama", 2, .keys = key_bogus_scaling}, PUNA_E_UNSUPPORTED, "\"longrope\""},
    {{"llama", 2, .keys = key_yarn_origin}, PUNA_E_FORMAT, "original_context_length"},
    {{"llama", 2, .keys = key_experts_used}, PUNA_E_FORMAT, "expert_used_count is 9"},
    {{"llama", 2, .keys = key_not_causal}, PUNA_E_UNSUPPORTED, "attention.causal"},
    {{"llama", 2, .keys = key_tokens}, PUNA_E_FORMAT, "token_embd.weight"},
    {{"qwen2", 2, .keys = key_experts}, PUNA_E_UNSUPPORTED, "qwen2 has no experts"},
    {{"llama", 2, .drop = "token_embd.weight"}, PUNA_E_FORMAT, "token_embd.weight is missing"},
    {{"llama", 2, .drop = "output_norm.weight"}, PUNA_E_FORMAT, "output_norm.weight is missing"},
    {{"llama", 2, .drop = "blk.1.ffn_down.weight"},
     PUNA_E_FORMAT,
     "blk.1.ffn_down.weight is missing"},
    {{"qwen2", 2, .drop = "blk.1.attn_k.bias"}, PUNA_E_FORMAT, "blk.1.attn_k.bias is missing"},
    {{"qwen3", 2, .drop = "blk.0.attn_q_norm.weight"},
     PUNA_E_FORMAT,
     "attn_q_norm.weight is missing"},
    {{"gemma3", 2, .drop = "blk.0.post_ffw_norm.weight"},
     PUNA_E_FORMAT,
     "post_ffw_norm.weight is missing"},
    {{"llama", 2, .n_expert = 4, .drop = "blk.1.ffn_up_exps.weight"},
     PUNA_E_FORMAT,
     "blk.1.ffn_up_exps"},
    {{"llama", 2, .n_expert = 4, .tensors = tensor_old_expert},
     PUNA_E_UNSUPPORTED,
     "convert the model"},
    {{"llama", 2, .tensors = tensor_of_layer_2}, PUNA_E_UNSUPPORTED, "blk.2.attn_norm.weight"},
    {{"llama", 2, .tensors = tensor_sinks}, PUNA_E_UNSUPPORTED, "blk.0.attn_sinks.weight"},
    {{"llama", 2, .tensors = tensor_long_factors}, PUNA_E_UNSUPPORTED, "rope_factors_long.weight"},
    {{"llama", 2, .tensors = tensor_divisors_short}, PUNA_E_FORMAT, "rope_freqs.weight"},
    {{"llama", 2, .tensors = tensor_bias_short}, PUNA_E_FORMAT, "attn_q.bias"},
    {{"llama", 2, .drop = "blk.0.attn_q.weight", .tensors = tensor_q_wide},
     PUNA_E_FORMAT,
     "attn_q.weight"},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const refusal *r = &refusals[i];
        puna_error err = {0};
        const puna_status status = load(&r->model, &err);
        if (status != r->status || !strstr(err.msg, r->word) || !strstr(err.msg, path))
            fail_msg("case %zu: status %d, \"%s\": expected %d, \"%s\"", i, (int)status, err.msg,
                     (int)r->status, r->word);
        pn_gguf_free(gguf);
    }
}

/* ---- memory ---- */

static int n_left; /* allocations that succeed before one fails */
static int n_live;

static void *failing_alloc(void *user, size_t bytes) {
    (void)user;
    if (n_left-- <= 0) return NULL;
    n_live++;
    return malloc(bytes);
}

static void *failing_realloc(void *user, void *ptr, size_t bytes) {
    (void)user;
    if (n_left-- <= 0) return NULL;
    n_live += ptr == NULL;
    return realloc(ptr, bytes);
}

static void counted_free(void *user, void *ptr) {
    (void)user;
    n_live -= ptr != NULL;
    free(ptr);
}

static void test_every_allocation_failing(void **state) {
    (void)state;
    const puna_allocator allocator = {failing_alloc, failing_realloc, counted_free, NULL};
    puna_status status = PUNA_E_NOMEM;
    puna_error err = {0};
    n_left = 1 << 20;
    puna_set_allocator(&allocator);
    must_load(&(ab_model){.arch = "gemma3", .n_layer = 7});
    pn_plan_free(&plan);
    const int n_opened = n_live;
    int n = 0;
    for (; n < 1000 && status == PUNA_E_NOMEM; n++) {
        n_left = n;
        status = pn_arch_build(gguf, &plan, &hp, &err);
        if (status != PUNA_OK) assert_int_equal(n_live, n_opened);
    }
    assert_int_equal(status, PUNA_OK);
    assert_true(n > 5);
    done();
    assert_int_equal(n_live, 0);
    puna_set_allocator(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_mixtral),
        cmocka_unit_test(test_qwen),
        cmocka_unit_test(test_gemma3),
        cmocka_unit_test(test_gemma3_pattern),
        cmocka_unit_test(test_gemma3_27b),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_per_layer),
        cmocka_unit_test(test_huge_context_is_cut),
        cmocka_unit_test(test_spare_tensors_are_ignored),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_every_allocation_failing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
