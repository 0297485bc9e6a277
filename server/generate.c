/* generate.c: requests go to the scheduler, its events come back through a mailbox, and a worker empties it.
 *
 * One job empties the mailbox: it is posted when a note comes and the job is neither posted nor running, so all
 * of a generation's work is done by one worker at a time, in the order of the events. The job that reads the
 * last ending frees everything. The lock guards the mailbox and the numbers of requests; nothing of the scheduler
 * is waited for while it is held, for callbacks come without the scheduler's own locks. */
#define _POSIX_C_SOURCE 200809L
#include "generate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "choice.h"

typedef struct prompt_row {
    int32_t *tokens;
    int32_t n_tokens;
} prompt_row;

struct pn_generation {
    pn_job job; /* first */
    pn_service *service;
    const pn_writer *writer;
    void *user;
    pn_params params;
    pn_chat_turn *turn;
    puna_pooling pooling;
    prompt_row *prompts;
    int32_t n_prompts;
    const char **stops; /* the request's and the format's */
    int32_t n_stops;
    pn_choice_state *choices;
    int32_t n_choices;
    uint64_t client;
    int64_t created;
    char id[25];
    /* of the job and of pn_generation_start before it is posted */
    int32_t n_begun; /* choices that were submitted */
    int32_t n_over;
    bool failed;
    pn_api_error error;
    pthread_mutex_t lock;
    pn_note *notes, **end; /* the mailbox */
    bool is_posted;        /* the job is, or runs */
    bool cancelled;
};

/* ---- making one ---------------------------------------------------------------------------------- */

static bool no_memory(pn_api_error *e) {
    return pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory");
}

void pn_random_id(char id[25]) {
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static atomic_uint_fast64_t counter;
    unsigned char bytes[24];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) { /* unique all the same */
        uint64_t x = atomic_fetch_add(&counter, 1) + (uint64_t)time(NULL) * 1000003;
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (unsigned char)(x >> 33);
            x = x * 6364136223846793005u + 1442695040888963407u;
        }
    }
    for (size_t i = 0; i < sizeof bytes; i++) id[i] = letters[bytes[i] % (sizeof letters - 1)];
    id[24] = '\0';
}

static void drain(pn_job *job);

pn_generation *pn_generation_new(pn_service *service, pn_params *params, const pn_writer *writer,
                                 void *user) {
    pn_generation *g = calloc(1, sizeof *g);
    if (!g) {
        pn_params_free(params);
        return NULL;
    }
    g->params = *params;
    *params = (pn_params){0};
    g->job.run = drain;
    g->service = service;
    g->writer = writer;
    g->user = user;
    g->created = (int64_t)time(NULL);
    g->end = &g->notes;
    pn_random_id(g->id);
    (void)pthread_mutex_init(&g->lock, NULL);
    return g;
}

static void free_notes(pn_note *note) {
    while (note) {
        pn_note *next = note->next;
        if (!note->is_last) free(note);
        note = next;
    }
}

void pn_generation_free(pn_generation *g) {
    if (!g) return;
    free_notes(g->notes);
    for (int32_t i = 0; i < g->n_choices; i++) pn_choice_free(&g->choices[i]);
    for (int32_t i = 0; i < g->n_prompts; i++) free(g->prompts[i].tokens);
    free(g->choices);
    free(g->prompts);
    free(g->stops);
    pn_chat_turn_free(g->turn);
    pn_params_free(&g->params);
    (void)pthread_mutex_destroy(&g->lock);
    free(g);
}

bool pn_generation_add(pn_generation *g, int32_t *tokens, int32_t n_tokens, pn_api_error *e) {
    const int32_t n_ctx = g->service->plan.n_ctx;
    const bool samples = g->pooling == PUNA_POOLING_OFF && g->params.max_tokens != 0;
    if (!tokens) return no_memory(e);
    if (n_tokens > n_ctx - samples) {
        free(tokens);
        return pn_api_refuse(
            e, 400, PN_INVALID_REQUEST, "context_length_exceeded", NULL,
            "the prompt has %d tokens, and the context of the model has room for %d", n_tokens,
            n_ctx - samples);
    }
    prompt_row *prompts = realloc(g->prompts, (size_t)(g->n_prompts + 1) * sizeof *prompts);
    if (!prompts || n_tokens == 0) {
        free(tokens);
        if (prompts) g->prompts = prompts;
        return prompts ? pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "prompt",
                                       "the prompt is empty, and the vocabulary has no token to "
                                       "begin with")
                       : no_memory(e);
    }
    g->prompts = prompts;
    g->prompts[g->n_prompts++] = (prompt_row){tokens, n_tokens};
    return true;
}

bool pn_generation_add_turn(pn_generation *g, pn_chat_turn *turn, pn_api_error *e) {
    int32_t n_tokens = 0;
    int32_t *tokens = pn_chat_turn_tokens(turn, &n_tokens);
    pn_chat_turn_free(g->turn);
    g->turn = turn;
    return pn_generation_add(g, tokens, n_tokens, e);
}

void pn_generation_embed(pn_generation *g, puna_pooling pooling) {
    g->pooling = pooling;
}

/* ---- the engine's thread --------------------------------------------------------------------------- */

/* Puts a note into the mailbox. Nothing of g is touched after the lock is given back, unless this posts the job: then
 * nobody else can have ended g. */
static void deliver(pn_generation *g, pn_note *note) {
    pn_workers *workers = g->service->workers;
    (void)pthread_mutex_lock(&g->lock);
    note->next = NULL;
    *g->end = note;
    g->end = &note->next;
    const bool posts = !g->is_posted;
    g->is_posted = true;
    (void)pthread_mutex_unlock(&g->lock);
    if (posts) pn_workers_post(workers, &g->job);
}

/* What every event says. */
static void note_progress(pn_note *note, const puna_request_event *event) {
    note->n_reused = event->n_reused;
    note->waiting_s = event->waiting_s;
    note->prefill_s = event->prefill_s;
    note->decode_s = event->decode_s;
}

static void note_token(pn_choice_state *c, const puna_request_event *of_request) {
    const puna_event *event = of_request->event;
    const size_t n_top = (size_t)event->n_top * sizeof *event->top;
    pn_note *note = c->lost ? NULL : malloc(sizeof *note + n_top + event->text_bytes + 1);
    if (!note) {
        if (!c->lost) puna_scheduler_cancel(c->generation->service->scheduler, of_request->request);
        c->lost = true;
        return;
    }
    *note = (pn_note){.choice = c,
                      .token = event->token,
                      .logprob = event->logprob,
                      .n_top = event->n_top,
                      .n_text = (int32_t)event->text_bytes};
    note_progress(note, of_request);
    if (n_top > 0) memcpy(note->top, event->top, n_top);
    if (event->text_bytes > 0)
        memcpy((char *)(note->top + note->n_top), event->text, event->text_bytes);
    deliver(c->generation, note);
}

/* What only the engine's thread can see of the end. */
static void note_finish(pn_choice_state *c, const puna_event *event) {
    const int32_t n_embd = c->generation->service->info.n_embd;
    const float *embedding = puna_seq_embedding(event->seq);
    c->ending.finish = event->finish;
    c->ending.stop = event->stop;
    if (event->text_bytes > 0) {
        c->ending.text = malloc(event->text_bytes);
        if (c->ending.text) {
            memcpy(c->ending.text, event->text, event->text_bytes);
            c->ending.n_text = event->text_bytes;
        } else {
            c->lost = true;
        }
    }
    if (c->generation->pooling == PUNA_POOLING_OFF) return;
    if (embedding && c->out.embedding)
        memcpy(c->out.embedding, embedding, (size_t)n_embd * sizeof *embedding);
    else
        c->lost = true;
}

static void on_event(void *user, const puna_request_event *event) {
    pn_choice_state *c = user;
    pn_metrics_request(c->generation->service->metrics, event);
    switch (event->kind) {
    case PUNA_REQUEST_PREFILL: return;
    case PUNA_REQUEST_TOKEN: note_token(c, event); return;
    case PUNA_REQUEST_FINISHED: note_finish(c, event->event); break;
    case PUNA_REQUEST_FAILED: c->ending.error = *event->error; break;
    }
    note_progress(&c->last, event);
    deliver(c->generation, &c->last);
}

/* The prompt's own log-probabilities. */
static void on_logits(void *user, int32_t position, const float *logits, int32_t n_vocab) {
    pn_choice_state *c = user;
    const prompt_row *prompt = &c->generation->prompts[c->out.prompt];
    const int32_t next = position + 1, stride = c->out.top_stride;
    if (next >= prompt->n_tokens) return;
    puna_token_logprob none,
        *top = c->out.prompt_top ? c->out.prompt_top + (size_t)next * (size_t)stride : &none;
    const int32_t n = puna_logprobs(logits, n_vocab, prompt->tokens[next],
                                    &c->out.prompt_logprobs[next], top, stride);
    if (c->out.n_prompt_top) c->out.n_prompt_top[next] = n;
}

/* ---- submitting ------------------------------------------------------------------------------------ */

/* The memory that a choice needs before it begins. */
static bool prepare_choice(pn_generation *g, pn_choice_state *c, int32_t index) {
    const size_t n_prompt = (size_t)g->prompts[index / g->params.best_of].n_tokens;
    c->generation = g;
    c->last = (pn_note){.choice = c, .is_last = true};
    c->ending.stop = -1;
    c->out.index = index;
    c->out.prompt = index / g->params.best_of;
    c->out.n_prompt = (int32_t)n_prompt;
    c->out.top_stride = g->params.n_logprobs > 0 ? g->params.n_logprobs : 0;
    if (g->pooling != PUNA_POOLING_OFF) {
        c->out.embedding = calloc((size_t)g->service->info.n_embd, sizeof *c->out.embedding);
        return c->out.embedding != NULL;
    }
    if (!g->params.echo || g->params.n_logprobs < 0) return true;
    const size_t stride = (size_t)c->out.top_stride;
    c->out.prompt_logprobs = calloc(n_prompt, sizeof *c->out.prompt_logprobs);
    c->out.prompt_top = stride ? calloc(n_prompt * stride, sizeof *c->out.prompt_top) : NULL;
    c->out.n_prompt_top = calloc(n_prompt, sizeof *c->out.n_prompt_top);
    return c->out.prompt_logprobs && c->out.n_prompt_top && (!stride || c->out.prompt_top);
}

static uint64_t seed_of(const pn_generation *g, int32_t index) {
    const uint64_t seed = g->params.sampler.seed;
    if (seed == PUNA_SEED_RANDOM) return seed;
    const uint64_t own = seed + (uint64_t)(index % g->params.best_of);
    return own == PUNA_SEED_RANDOM ? 0 : own;
}

static void fill_options(pn_generation *g, pn_choice_state *c, puna_request_options *o) {
    const prompt_row *prompt = &g->prompts[c->out.prompt];
    const int32_t room = g->service->plan.n_ctx - prompt->n_tokens;
    const int32_t asked = g->params.max_tokens;
    puna_request_options_init(o);
    o->tokens = prompt->tokens;
    o->n_tokens = prompt->n_tokens;
    o->client = g->client;
    o->on_event = on_event;
    o->user = c;
    o->seq.sampler = g->params.sampler;
    o->seq.sampler.seed = seed_of(g, c->out.index);
    /* one at least: the token's own log-probability comes with them, and best_of compares these */
    if (g->params.n_logprobs >= 0 || g->params.best_of > g->params.n)
        o->seq.sampler.n_logprobs = g->params.n_logprobs > 0 ? g->params.n_logprobs : 1;
    o->seq.max_tokens = asked >= 0 && asked < room ? asked : room;
    o->seq.stops = g->stops;
    o->seq.n_stops = g->n_stops;
    o->seq.pooling = g->pooling;
    if (c->out.prompt_logprobs) {
        o->seq.on_logits = on_logits;
        o->seq.on_logits_user = c;
    }
}

/* Submits choices while there are slots for them. False: it failed, with *e. */
static bool submit_more(pn_generation *g, pn_api_error *e) {
    while (g->n_begun < g->n_choices && g->n_begun - g->n_over < g->service->plan.n_seq) {
        pn_choice_state *c = &g->choices[g->n_begun];
        puna_request_options options;
        puna_error err;
        fill_options(g, c, &options);
        (void)pthread_mutex_lock(&g->lock);
        const bool cancelled = g->cancelled;
        const puna_status status =
            cancelled ? PUNA_OK
                      : puna_scheduler_submit(g->service->scheduler, &options, &c->request, &err);
        (void)pthread_mutex_unlock(&g->lock);
        if (cancelled) return true;
        if (status == PUNA_E_STATE && g->n_begun > g->n_over) return true; /* when one has ended */
        if (status) return pn_api_refuse_status(e, &err, NULL);
        g->n_begun++;
    }
    return true;
}

/* The request's stop texts and those of the conversation's format. */
static bool join_stops(pn_generation *g) {
    int32_t n = 0;
    while (g->turn && pn_chat_turn_stop(g->turn, n)) n++;
    g->stops = calloc((size_t)(g->params.n_stops + n) + 1, sizeof *g->stops);
    if (!g->stops) return false;
    for (int32_t i = 0; i < g->params.n_stops; i++) g->stops[g->n_stops++] = g->params.stops[i];
    for (int32_t i = 0; i < n; i++) g->stops[g->n_stops++] = pn_chat_turn_stop(g->turn, i);
    return true;
}

/* What an answer could need at most is bounded before it begins. */
static bool check_size(const pn_generation *g, pn_api_error *e) {
    const int64_t n_choices = (int64_t)g->n_prompts * g->params.best_of;
    const int64_t room = g->service->plan.n_ctx, asked = g->params.max_tokens;
    const int64_t stride = g->params.n_logprobs + 1;
    int64_t n = n_choices * (asked >= 0 && asked < room ? asked : room);
    if (n_choices > PN_MAX_CHOICES)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "n",
                             "n: %d prompts with %d answers each, at most %d answers are possible",
                             g->n_prompts, g->params.best_of, PN_MAX_CHOICES);
    for (int32_t i = 0; i < g->n_prompts && g->params.echo; i++)
        n += (int64_t)g->prompts[i].n_tokens * g->params.best_of;
    if (stride == 0 || n * stride <= PN_MAX_LOGPROBS) return true;
    return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "logprobs",
                         "logprobs: more than %d could be needed; set a smaller max_tokens",
                         PN_MAX_LOGPROBS);
}

bool pn_generation_start(pn_generation *g, uint64_t client, pn_api_error *e) {
    pn_workers *workers = g->service->workers;
    g->client = client;
    if (!check_size(g, e)) return false;
    g->choices = calloc((size_t)g->n_prompts * (size_t)g->params.best_of, sizeof *g->choices);
    bool ok = g->choices && join_stops(g);
    g->n_choices = g->choices ? g->n_prompts * g->params.best_of : 0;
    for (int32_t i = 0; i < g->n_choices && ok; i++) ok = prepare_choice(g, &g->choices[i], i);
    if (!ok) return no_memory(e);
    g->is_posted = true; /* events wait in the mailbox until the response has begun */
    if (!submit_more(g, &g->error)) {
        if (g->n_begun == 0) {
            *e = g->error;
            return false;
        }
        g->failed = true;
        pn_generation_cancel(g);
    }
    if (g->writer->begin) g->writer->begin(g->user, g);
    pn_workers_post(workers, &g->job);
    return true;
}

void pn_generation_cancel(pn_generation *g) {
    (void)pthread_mutex_lock(&g->lock);
    g->cancelled = true;
    for (int32_t i = 0; i < g->n_choices; i++)
        if (g->choices[i].request)
            puna_scheduler_cancel(g->service->scheduler, g->choices[i].request);
    (void)pthread_mutex_unlock(&g->lock);
}

/* ---- emptying the mailbox --------------------------------------------------------------------------- */

static void fail(pn_generation *g, const pn_api_error *e) {
    if (g->failed) return;
    g->failed = true;
    g->error = *e;
    pn_generation_cancel(g);
}

static void fail_of_memory(pn_generation *g) {
    pn_api_error e;
    (void)no_memory(&e);
    fail(g, &e);
}

static void write_delta(void *user, const pn_delta *delta) {
    pn_generation *g = user;
    g->writer->delta(g->user, g, delta);
}

/* One more is over: why, if it was not completed. */
static void end_choice(pn_generation *g, pn_choice_state *c) {
    pn_api_error e;
    g->n_over++;
    if (c->ending.error.code == PUNA_OK || g->failed) return;
    if (c->lost)
        (void)no_memory(&e);
    else if (c->ending.error.code == PUNA_E_CANCELLED)
        (void)pn_api_refuse(&e, 503, "unavailable_error", NULL, NULL, "the request was cancelled");
    else
        (void)pn_api_refuse_status(&e, &c->ending.error, NULL);
    fail(g, &e);
}

/* Reads notes and frees them, then brings the choices they were for up to date. */
static void read_notes(pn_generation *g, pn_note *notes) {
    for (pn_note *note = notes; note; note = note->next) {
        if (!g->failed && !pn_choice_take(note->choice, note)) fail_of_memory(g);
        if (note->is_last) end_choice(g, note->choice);
    }
    for (pn_note *note = notes; note && !g->failed; note = note->next) {
        const bool newest = !note->next || note->next->choice != note->choice;
        if (newest &&
            !pn_choice_flush(note->choice, g->turn,
                             g->params.stream && g->writer->delta ? write_delta : NULL, g))
            fail_of_memory(g);
    }
    free_notes(notes);
}

static void end_generation(pn_generation *g) {
    const pn_writer *writer = g->writer;
    void *user = g->user;
    if (g->failed && writer->failed) writer->failed(user, g, &g->error);
    if (!g->failed && writer->done) writer->done(user, g);
    if (writer->free) writer->free(user);
    pn_generation_free(g);
}

static void drain(pn_job *job) {
    pn_generation *g = (pn_generation *)job;
    for (;;) {
        (void)pthread_mutex_lock(&g->lock);
        pn_note *notes = g->notes;
        g->notes = NULL;
        g->end = &g->notes;
        const bool is_over = !notes && g->n_over == g->n_begun;
        if (!notes && !is_over) g->is_posted = false;
        (void)pthread_mutex_unlock(&g->lock);
        if (is_over) break;
        if (!notes) return;
        read_notes(g, notes);
        pn_api_error e;
        if (!g->failed && !submit_more(g, &e)) fail(g, &e);
    }
    if (!g->failed && g->n_over < g->n_choices) { /* cancelled between two */
        pn_api_error e;
        (void)pn_api_refuse(&e, 503, "unavailable_error", NULL, NULL, "the request was cancelled");
        fail(g, &e);
    }
    end_generation(g);
}

/* ---- asking it ------------------------------------------------------------------------------------- */

int32_t pn_generation_n_choices(const pn_generation *g) {
    return g->n_choices;
}

const pn_choice *pn_generation_choice(const pn_generation *g, int32_t index) {
    return &g->choices[index].out;
}

const pn_params *pn_generation_params(const pn_generation *g) {
    return &g->params;
}

const pn_service *pn_generation_service(const pn_generation *g) {
    return g->service;
}

const int32_t *pn_generation_prompt(const pn_generation *g, int32_t prompt, int32_t *n_tokens) {
    *n_tokens = g->prompts[prompt].n_tokens;
    return g->prompts[prompt].tokens;
}

const char *pn_generation_stop(const pn_generation *g, int32_t index) {
    return index >= 0 && index < g->n_stops ? g->stops[index] : NULL;
}

pn_usage pn_generation_usage(const pn_generation *g) {
    pn_usage usage = {0};
    for (int32_t i = 0; i < g->n_choices; i++) {
        const pn_choice *c = &g->choices[i].out;
        if (i % g->params.best_of == 0) {
            usage.n_prompt += c->n_prompt;
            usage.n_cached += c->n_reused;
        }
        usage.n_completion += c->n_sampled;
        usage.n_reasoning += c->n_reasoning;
    }
    return usage;
}

int64_t pn_generation_created(const pn_generation *g) {
    return g->created;
}

const char *pn_generation_id(const pn_generation *g) {
    return g->id;
}

const char *pn_finish_name(const pn_choice *choice) {
    if (choice->finish == PUNA_FINISH_LENGTH || choice->finish == PUNA_FINISH_CONTEXT)
        return "length";
    return choice->n_calls > 0 ? "tool_calls" : "stop";
}
