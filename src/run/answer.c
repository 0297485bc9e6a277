#include "run/prompt.h"
#include "base/error.h"
puna_status puna_chat_parse(const puna_chat *chat, const puna_prompt *prompt, const char *answer,
                            size_t answer_bytes, bool is_partial, char **json, puna_error *err) {
    (void)chat; (void)prompt; (void)is_partial;
    pn_buf out = {0};
    if (!pn_buf_put(&out, "{\"role\": \"assistant\", \"content\": ") || !pn_json_put(&out, answer, answer_bytes) || !pn_buf_put(&out, "}")) { pn_buf_free(&out); return pn_fail_nomem(err, answer_bytes, "an answer"); }
    *json = out.data;
    return PUNA_OK;
}
