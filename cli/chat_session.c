/* chat_session.c: a conversation with a model. */
#include "chat_session.h"

#include <stdlib.h>
#include <string.h>

#include "cli_print.h"
#include "grammar_option.h"
#include "token_reuse.h"

/* ---- opening --------------------------------------------------------------------------------- */

static int check_options(const options *o) {
    json_error_t error;
    if (o->system_prompt && o->system_file)
        return print_usage_error("use -sys or -sysf for the system message, not both");
    if (o->chat_template && o->template_path)
        return print_usage_error("use --chat-template or --template, not both");
    if (o->n_predict == 0) {
        return print_usage_error(
            "-n 0 would generate nothing: use -n 1 or more, or -n -1 for no limit");
    }
    if (!o->template_vars) return STATUS_DONE;
    json_t *vars = json_loads(o->template_vars, JSON_REJECT_DUPLICATES, &error);
    bool right = json_is_object(vars);
    json_decref(vars);
    if (right) return STATUS_DONE;
    return print_usage_error("--chat-template-kwargs needs a JSON object, not '%s'",
                             o->template_vars);
}

static int open_format(chat *c) {
    puna_chat_options format;
    puna_error err = {0};
    puna_chat_options_init(&format);
    format.format = c->o.chat_template;
    format.template_text = c->template_text.bytes;
    format.template_bytes = c->template_text.n_bytes;
    if (puna_chat_open(c->s.model, &format, &c->format, &err) == PUNA_OK) return STATUS_DONE;
    int status = print_failure(&err);
    if (err.code == PUNA_E_UNSUPPORTED) print_note("--chat-template NAME says how");
    return status;
}

static int open_conversation(chat *c) {
    text from_file = {0};
    const char *system = c->o.system_prompt;
    conversation_open(&c->talk);
    if (c->o.system_file) {
        int status = text_read_file(c->o.system_file, &from_file);
        if (status != STATUS_DONE) return status;
        if (from_file.n_bytes && from_file.bytes[from_file.n_bytes - 1] == '\n')
            from_file.bytes[--from_file.n_bytes] = 0;
        conversation_set_system(&c->talk, from_file.bytes, from_file.n_bytes);
        free(from_file.bytes);
    }
    if (system) conversation_set_system(&c->talk, system, strlen(system));
    return STATUS_DONE;
}

static int open_sequence(chat *c) {
    puna_memory_plan plan = {.size = sizeof plan};
    puna_seq_options seq_options;
    puna_error err = {0};
    puna_engine_get_plan(c->s.engine, &plan);
    c->n_ctx = plan.n_ctx;
    puna_seq_options_init(&seq_options);
    if (puna_seq_open(c->s.engine, &seq_options, &c->answer.seq, &err) != PUNA_OK)
        return print_failure(&err);
    return STATUS_DONE;
}

int chat_open(chat *c, const options *o, generation_text_fn *give) {
    c->o = *o;
    c->answer = (generation){.s = &c->s, .o = &c->o, .give = give, .user = c};
    int status = check_options(o);
    if (status == STATUS_DONE) status = grammar_from_options(o, &c->grammar);
    if (status == STATUS_DONE && o->template_path)
        status = text_read_file(o->template_path, &c->template_text);
    if (status == STATUS_DONE) status = open_conversation(c);
    if (status == STATUS_DONE) status = session_open_model(&c->s, o, PUNA_OPEN_FULL);
    if (status == STATUS_DONE) status = open_format(c);
    if (status == STATUS_DONE) status = session_open_engine(&c->s, o, 0);
    if (status == STATUS_DONE) status = open_sequence(c);
    return status;
}

void chat_close(chat *c) {
    puna_seq_free(c->answer.seq);
    generation_free(&c->answer);
    puna_grammar_free(c->grammar);
    puna_chat_free(c->format);
    session_close(&c->s);
    conversation_close(&c->talk);
    free(c->template_text.bytes);
    *c = (chat){0};
}

/* ---- the prompt ------------------------------------------------------------------------------ */

typedef struct prompt {
    puna_prompt *written;
    tokens fed; /* what the sequence is to hold */
} prompt;

static void free_prompt(prompt *p) {
    puna_prompt_free(p->written);
    free(p->fed.ids);
    *p = (prompt){0};
}

/* Two buffers for token_reuse, one a side. */
typedef struct spelling {
    const puna_model *model;
    char *bytes[2];
    size_t room[2];
} spelling;

static size_t spell(void *user, int side, int32_t token, const char **bytes) {
    spelling *s = user;
    size_t n = 0;
    for (;;) {
        puna_status status = puna_detokenize(s->model, &token, 1,
                                             PUNA_DETOKENIZE_SPECIAL | PUNA_DETOKENIZE_KEEP_SPACE,
                                             s->bytes[side], s->room[side], &n, NULL);
        if (status != PUNA_E_LIMIT || n <= s->room[side]) break;
        s->room[side] = n + 64;
        s->bytes[side] = need_memory(s->bytes[side], s->room[side], 1);
    }
    *bytes = s->bytes[side];
    return n;
}

static bool is_control(void *user, int32_t token) {
    const spelling *s = user;
    return puna_token_is_control(s->model, token) || puna_token_is_end(s->model, token);
}

static void reuse_tokens(const chat *c, prompt *p) {
    spelling s = {.model = c->s.model};
    token_lookup lookup = {spell, is_control, &s};
    int32_t n_timeline = 0;
    int32_t n_prompt = 0;
    const int32_t *timeline = puna_seq_tokens(c->answer.seq, &n_timeline);
    const int32_t *ids = puna_prompt_tokens(p->written, &n_prompt);
    p->fed.ids = need_memory(NULL, (size_t)n_timeline + (size_t)n_prompt, sizeof *p->fed.ids);
    p->fed.n = token_reuse_join(&lookup, timeline, n_timeline, ids, n_prompt, p->fed.ids);
    free(s.bytes[0]);
    free(s.bytes[1]);
}

/* Writes a conversation as the model wants it. */
static int write_prompt(const chat *c, const conversation *talk, prompt *p) {
    puna_chat_input input;
    puna_error err = {0};
    json_t *sent = conversation_sent(talk);
    char *messages = json_dumps(sent, JSON_COMPACT);
    json_decref(sent);
    if (!messages) {
        print_error("out of memory while writing JSON");
        return STATUS_FAILED;
    }
    puna_chat_input_init(&input);
    input.messages = messages;
    input.messages_bytes = strlen(messages);
    input.vars = c->o.template_vars;
    input.vars_bytes = input.vars ? strlen(input.vars) : 0;
    puna_status written = puna_chat_render(c->format, &input, &p->written, &err);
    free(messages);
    if (written != PUNA_OK) return print_failure(&err);
    reuse_tokens(c, p);
    if (p->fed.n > 0) return STATUS_DONE;
    print_error("the template makes an empty prompt of this conversation");
    free_prompt(p);
    return STATUS_FAILED;
}

bool chat_accepts(chat *c, const conversation *talk) {
    prompt p = {0};
    int status = write_prompt(c, talk, &p);
    free_prompt(&p);
    return status == STATUS_DONE;
}

/* ---- room in the context --------------------------------------------------------------------- */

/* A short answer, and never more than a quarter of the context. */
static int32_t wanted_room(const chat *c) {
    int32_t wanted = c->n_ctx / 4 < 256 ? c->n_ctx / 4 : 256;
    if (c->o.n_predict > 0 && c->o.n_predict < wanted) wanted = c->o.n_predict;
    return wanted > 0 ? wanted : 1;
}

/* How many of the oldest turns that are sent have to go so that half of the context is free: one at
 * least, all but the last at most. 0: there is only one. */
static size_t turns_to_drop(const chat *c, const prompt *p) {
    json_t *sent = conversation_sent(&c->talk);
    int32_t n_spans = 0;
    int32_t n_tokens = 0;
    const puna_prompt_span *spans = puna_prompt_spans(p->written, &n_spans);
    const int32_t *span_of = puna_prompt_token_spans(p->written);
    puna_prompt_tokens(p->written, &n_tokens);
    size_t n_turns = conversation_n_turns(&c->talk) - c->talk.n_unsent;
    size_t turn = 0;   /* turns whose first token was passed */
    int32_t begin = 0; /* that of the first */
    int32_t last_message = -1;
    size_t n_drop = n_turns > 1 ? n_turns - 1 : 0;
    for (int32_t i = 0; i < n_tokens && turn < n_turns; i++) {
        int32_t message = span_of[i] < 0 ? -1 : spans[span_of[i]].message;
        if (message <= last_message) continue;
        last_message = message;
        const char *role =
            json_string_value(json_object_get(json_array_get(sent, (size_t)message), "role"));
        if (!role || strcmp(role, "user") != 0) continue;
        if (turn == 0) begin = i;
        if (turn > 0 && p->fed.n - (i - begin) <= c->n_ctx / 2) {
            n_drop = turn < n_drop ? turn : n_drop;
            break;
        }
        turn++;
    }
    json_decref(sent);
    return n_drop;
}

static bool refuse_length(const chat_room *room) {
    if (room->n_prompt < room->n_ctx) return false;
    print_error("the message is too long: the prompt has %d tokens but the context holds %d; use a "
                "shorter message, or -c %d or more",
                room->n_prompt, room->n_ctx, room->n_prompt + room->n_wanted);
    return true;
}

static chat_choice choose(chat *c, const chat_room *room) {
    if (c->o.overflow == OVERFLOW_DROP) return CHAT_DROP;
    if (c->o.overflow == OVERFLOW_ASK && c->ask) return c->ask(c, room);
    print_error("the context is full: the prompt has %d tokens of %d, and an answer needs %d; use "
                "-c %d or more, or --context-overflow drop",
                room->n_prompt, room->n_ctx, room->n_wanted, room->n_prompt + room->n_wanted);
    return CHAT_STOP;
}

/* Looks at the room in the context, and leaves turns out where that is what is wanted. *again: the
 * prompt is to be written again. */
static int make_room(chat *c, const prompt *p, chat_choice *choice, bool *again) {
    chat_room room = {.n_prompt = p->fed.n, .n_ctx = c->n_ctx, .n_wanted = wanted_room(c)};
    *again = false;
    if (room.n_ctx - room.n_prompt >= room.n_wanted || *choice == CHAT_SEND) return STATUS_DONE;
    size_t n_drop = turns_to_drop(c, p);
    if (n_drop == 0 && refuse_length(&room)) return STATUS_FAILED;
    if (*choice == CHAT_STOP) *choice = choose(c, &room);
    if (*choice == CHAT_STOP) return STATUS_FAILED;
    if (*choice == CHAT_CLEAR && n_drop > 0)
        n_drop = conversation_n_turns(&c->talk) - c->talk.n_unsent - 1;
    *again = *choice != CHAT_SEND && n_drop > 0;
    if (*again) c->talk.n_unsent += n_drop;
    return STATUS_DONE;
}

/* Writes the prompt of the conversation, with fewer turns where there is no room for an answer. */
static int prepare_prompt(chat *c, prompt *p) {
    size_t n_before = c->talk.n_unsent;
    chat_choice choice = CHAT_STOP; /* nothing was chosen yet */
    bool again = true;
    int status = STATUS_DONE;
    while (status == STATUS_DONE && again) {
        free_prompt(p);
        status = write_prompt(c, &c->talk, p);
        if (status == STATUS_DONE) status = make_room(c, p, &choice, &again);
    }
    size_t n_left_out = c->talk.n_unsent - n_before;
    if (status != STATUS_DONE) {
        c->talk.n_unsent = n_before;
    } else if (n_left_out > 0) {
        print_note("%zu of the oldest turns %s left out from here on: %d of %d tokens are free",
                   n_left_out, n_left_out == 1 ? "is" : "are", c->n_ctx - p->fed.n, c->n_ctx);
    }
    return status;
}

/* ---- answering ------------------------------------------------------------------------------- */

static int feed(chat *c, const prompt *p) {
    const char *stops[64];
    puna_seq_options seq_options;
    puna_error err = {0};
    puna_seq_options_init(&seq_options);
    seq_options.sampler = c->o.sampler;
    seq_options.sampler.grammar = c->grammar;
    seq_options.sampler.seed = c->answer.seed = generation_seed(&c->o);
    seq_options.max_tokens = c->o.n_predict;
    seq_options.stops = stops;
    for (const char *stop;
         seq_options.n_stops < 64 && (stop = puna_prompt_stop(p->written, seq_options.n_stops));)
        stops[seq_options.n_stops++] = stop;
    if (puna_seq_configure(c->answer.seq, &seq_options, &err) != PUNA_OK ||
        puna_seq_feed(c->answer.seq, p->fed.ids, p->fed.n, &err) != PUNA_OK)
        return print_failure(&err);
    return STATUS_DONE;
}

/* The answer as a message: what the model thought and the calls it made are parts of their own. */
static int keep_answer(chat *c, const prompt *p) {
    const generation *g = &c->answer;
    const char *why = g->finish ? g->finish : "interrupted";
    bool whole = strcmp(why, "end") == 0 || strcmp(why, "stop") == 0;
    char *json = NULL;
    puna_error err = {0};
    if (puna_chat_parse(c->format, p->written, g->out.bytes ? g->out.bytes : "", g->out.n_bytes,
                        false, &json, &err) != PUNA_OK)
        return print_failure(&err);
    json_t *message = json_loads(json, JSON_ALLOW_NUL, NULL);
    puna_free(json);
    if (!whole) json_object_set_new(message, "finish", json_string(why));
    conversation_add_message(&c->talk, message);
    return STATUS_DONE;
}

static bool opens_thoughts(const prompt *p) {
    static const char mark[] = "<think>";
    size_t n = 0;
    const char *bytes = puna_prompt_text(p->written, &n);
    while (n > 0 && (bytes[n - 1] == '\n' || bytes[n - 1] == ' ')) n--;
    return n >= sizeof mark - 1 &&
           memcmp(bytes + n - (sizeof mark - 1), mark, sizeof mark - 1) == 0;
}

static int answer(chat *c) {
    prompt p = {0};
    c->answer.n_ids = 0;
    int status = prepare_prompt(c, &p);
    if (status == STATUS_DONE) c->thinking = opens_thoughts(&p);
    if (status == STATUS_DONE) status = feed(c, &p);
    if (status == STATUS_DONE) status = generation_run(&c->answer);
    bool any = c->answer.n_ids > 0 || status == STATUS_DONE;
    if (status != STATUS_FAILED && any && keep_answer(c, &p) != STATUS_DONE) status = STATUS_FAILED;
    free_prompt(&p);
    return status;
}

int chat_send(chat *c, const char *message, size_t n_bytes) {
    size_t n_unsent = c->talk.n_unsent;
    conversation_add(&c->talk, "user", message, n_bytes);
    size_t n_messages = json_array_size(c->talk.messages);
    int status = answer(c);
    if (json_array_size(c->talk.messages) == n_messages) { /* no answer, not even a part */
        conversation_undo(&c->talk);
        c->talk.n_unsent = n_unsent;
    }
    return status;
}

int chat_answer_again(chat *c) {
    json_t *before = json_copy(c->talk.messages);
    conversation_undo_answer(&c->talk);
    size_t n_messages = json_array_size(c->talk.messages);
    int status = answer(c);
    if (json_array_size(c->talk.messages) == n_messages) { /* nothing came: the old one stays */
        json_decref(c->talk.messages);
        c->talk.messages = before;
    } else {
        json_decref(before);
    }
    return status;
}

int32_t chat_context_used(const chat *c) {
    int32_t n = 0;
    puna_seq_tokens(c->answer.seq, &n);
    return n;
}
