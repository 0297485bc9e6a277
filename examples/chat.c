/* chat.c: an answer from a model that was trained to give some.
 * cc chat.c -lpuna && ./a.out MODEL.gguf '[{"role": "user", "content": "Who are you?"}]' */
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
    puna_chat *chat;
    puna_prompt *prompt;
    puna_engine *engine;
    puna_seq *seq;
    puna_event events[2];
    puna_chat_input input;
    int32_t n_tokens, n_events;
    if (argc != 3) exit((fprintf(stderr, "usage: %s MODEL.gguf MESSAGES\n", argv[0]), 2));

    need(puna_model_open(argv[1], NULL, &model, &err));
    need(puna_chat_open(model, NULL, &chat, &err));
    puna_chat_input_init(&input);
    input.messages = argv[2];
    input.messages_bytes = strlen(argv[2]);
    need(puna_chat_render(chat, &input, &prompt, &err));

    need(puna_engine_open(model, NULL, &engine, &err));
    need(puna_seq_open(engine, NULL, &seq, &err));
    const int32_t *tokens = puna_prompt_tokens(prompt, &n_tokens);
    need(puna_seq_feed(seq, tokens, n_tokens, &err));
    while (!puna_engine_is_idle(engine)) {
        need(puna_engine_step(engine, events, 2, &n_events, &err));
        for (int32_t i = 0; i < n_events; i++)
            fwrite(events[i].text, 1, events[i].text_bytes, stdout);
        fflush(stdout);
    }
    puts("");

    puna_engine_free(engine); /* and its sequences */
    puna_prompt_free(prompt);
    puna_chat_free(chat);
    puna_model_free(model);
    return 0;
}
