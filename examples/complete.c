/* complete.c: a text continued by 32 tokens, the likeliest each time.
 * cc complete.c -lpuna && ./a.out MODEL.gguf "The capital of France is" */
#include <puna.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static puna_error err;

static void need(puna_status status) {
    if (status != PUNA_OK) exit((fprintf(stderr, "%s\n", err.msg), 1));
}

int main(int argc, char **argv) {
    puna_model *model;
    puna_engine *engine;
    puna_seq *seq;
    puna_event events[2];
    puna_seq_options options;
    int32_t tokens[512], n_tokens, n_events;
    if (argc != 3) exit((fprintf(stderr, "usage: %s MODEL.gguf TEXT\n", argv[0]), 2));

    need(puna_model_open(argv[1], NULL, &model, &err));
    need(puna_tokenize(model, argv[2], strlen(argv[2]), PUNA_TOKENIZE_ADD_SPECIAL, tokens, 512,
                       &n_tokens, &err));

    puna_seq_options_init(&options);
    options.sampler.temperature = 0;
    options.max_tokens = 32;
    need(puna_engine_open(model, NULL, &engine, &err));
    need(puna_seq_open(engine, &options, &seq, &err));
    need(puna_seq_feed(seq, tokens, n_tokens, &err));
    while (!puna_engine_is_idle(engine)) {
        need(puna_engine_step(engine, events, 2, &n_events, &err));
        for (int32_t i = 0; i < n_events; i++)
            fwrite(events[i].text, 1, events[i].text_bytes, stdout);
    }
    puts("");

    puna_engine_free(engine); /* and its sequences */
    puna_model_free(model);
    return 0;
}
