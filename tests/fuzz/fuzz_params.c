/* fuzz_params.c: bodies of requests: JSON, the fields of params.def, and conversations with their tools. */
#define _POSIX_C_SOURCE 200809L /* mkstemp */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/gguf/gguf_build.h"
#include "api.h"
#include "params.h"
#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Most mutations shall hit a text, not the JSON around it. */
#define TEXT                                                                                       \
    "Most of what clients send is text, which may have any character in it, and what is done to "  \
    "one of them shall leave the rest as it is; so here are many, and then some more of them, "    \
    "and a few to spare. "

static const char *const seeds[] = {
    "{\"messages\":[{\"role\":\"user\",\"content\":\"" TEXT TEXT
    "\"}],\"temperature\":0.5,\"top_k\":3,"
    "\"seed\":-7,"
    "\"stop\":[\"a\",\"b\"],\"logprobs\":true,\"top_logprobs\":2,\"n\":2,\"stream\":true,"
    "\"stream_options\":{\"include_usage\":true}}",
    "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"" TEXT TEXT
    "\"}]},{\"role\":"
    "\"assistant\","
    "\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\","
    "\"arguments\":\"{}\"}}]}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":"
    "\"object\"}}}],"
    "\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"required\","
    "\"tools\":"
    "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]}}}",
    "{\"messages\":[{\"role\":\"user\",\"content\":\"" TEXT TEXT
    "\"},{\"role\":\"assistant\",\"content\":"
    "\"y\"}],"
    "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"schema\":"
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}}},\"tools\":[{\"type\":"
    "\"function\","
    "\"function\":{\"name\":\"f\"}}]}",
    "{\"messages\":[{\"role\":\"user\",\"content\":\"" TEXT TEXT
    "\"}],\"logit_bias\":[[1,false],[\"ab\",2]],"
    "\"grammar\":\"root ::= "
    "[a-z]+\",\"max_tokens\":9223372036854775807,\"dry_sequence_breakers\":[\"x\"],"
    "\"chat_template_kwargs\":{\"a\":1},\"reasoning_effort\":\"none\"}",
};

int64_t fuzz_n_accepted;

size_t fuzz_seed(int32_t index, uint8_t *data, size_t cap) {
    if (index >= (int32_t)(sizeof seeds / sizeof *seeds)) return 0;
    size_t n = strlen(seeds[index]);
    if (n > cap) n = cap;
    memcpy(data, seeds[index], n);
    return n;
}

static pn_service service;

/* A vocabulary of bytes. */
static void open_service(void) {
    static const char *const common[] = {"<unk>", "<s>", "</s>"};
    char path[] = "/tmp/fuzz_params_XXXXXX", byte[8];
    gguf_build b = {0};
    puna_model_options options;
    puna_chat_options chat;
    const int file = mkstemp(path);
    if (file < 0) abort();
    (void)close(file);
    build_begin(&b, 3);
    build_string(&b, "general.architecture", "llama");
    build_string(&b, "tokenizer.ggml.model", "llama");
    build_array(&b, "tokenizer.ggml.tokens", 8, 259);
    for (int i = 0; i < 3; i++) build_text(&b, common[i], strlen(common[i]));
    for (unsigned i = 0; i < 256; i++) {
        (void)snprintf(byte, sizeof byte, "<0x%02X>", i);
        build_text(&b, byte, 6);
    }
    build_array(&b, "tokenizer.ggml.token_type", 5, 259);
    for (uint64_t i = 0; i < 259; i++) build_u32(&b, i == 0 ? 2 : i < 3 ? 3 : 6);
    build_write(&b, path);
    free(b.data);
    puna_model_options_init(&options);
    options.level = PUNA_OPEN_VOCAB;
    if (puna_model_open(path, &options, &service.model, NULL)) abort();
    (void)unlink(path);
    puna_chat_options_init(&chat);
    chat.format = "chatml";
    if (puna_chat_open(service.model, &chat, &service.chat, NULL)) abort();
    service.info.size = sizeof service.info;
    puna_model_get_info(service.model, &service.info);
    service.plan.n_seq = 4;
    service.plan.n_ctx = 512;
    puna_sampler_params_init(&service.defaults, PUNA_CHAIN_LLAMA_CPP);
}

static void read_chat(json_t *body) {
    pn_params params;
    pn_conversation conversation;
    pn_chat_turn *turn = NULL;
    pn_api_error e = {0};
    if (!pn_params_read(&params, &service, PN_API_CHAT, body, &e)) return;
    if (pn_chat_conversation(body, &conversation, &e) &&
        pn_chat_turn_open(&service, &conversation, &params, &turn, &e)) {
        pn_message m = {0};
        static const char answer[] = "{\"name\": \"f\", \"arguments\": {\"a\": [1, \"x";
        if (!pn_chat_turn_read(turn, answer, sizeof answer - 1, true, &m)) abort();
        pn_message_free(&m);
    }
    pn_chat_turn_free(turn);
    pn_chat_conversation_free(&conversation);
    pn_params_free(&params);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const pn_api others[] = {PN_API_COMPLETIONS, PN_API_RESPONSES, PN_API_MESSAGES};
    pn_api_error e = {0};
    if (!service.model) open_service();
    json_t *body = pn_body_parse((const char *)data, size, &e);
    if (!body) return e.status == 400 ? 0 : (abort(), 0);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        pn_params params;
        if (!pn_params_read(&params, &service, others[i], body, &e)) continue;
        fuzz_n_accepted++;
        pn_params_free(&params);
    }
    read_chat(body);
    json_decref(body);
    return 0;
}
