/* fake_server.mjs: stands in for puna serve: serves the built page as it is served, and answers as a test says.
 *
 * A test puts a function into server.answer(body, request) that returns a reply:
 *   {text, reasoning, probabilities, finish, delay, pieces, usage, timings}   a stream of chunks, delay ms between them
 *   {status, error, headers}                                          an error in the API's form
 *   {cut: n}          with text: the connection breaks after n pieces
 *   {hang: true}      nothing comes until the client goes; onGone is called then
 * Without one it answers with server.demo. By itself, for looking at the page: node fake_server.mjs FOLDER [PORT]. */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const MODEL = "tiny-model-Q4";

const props = {
    default_generation_settings: {
        n_ctx: 2048,
        params: { temperature: 0.8, top_p: 0.95, top_k: 40, min_p: 0.05, repeat_penalty: 1, presence_penalty: 0,
                  frequency_penalty: 0 },
    },
    total_slots: 4, model_path: "/models/tiny-model-Q4.gguf", model_alias: MODEL, build_info: "puna fake",
};

const models = {
    object: "list",
    data: [{ id: MODEL, object: "model", created: 1, owned_by: "puna",
             meta: { n_ctx_train: 8192, n_params: 135000000, n_vocab: 49152, n_embd: 576, size: 98000000 } }],
};

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/* Words with the space before them, as a model's tokens. */
export const wordsOf = (text) => text.match(/\s*\S+|\s+$/g) ?? [];

function readBody(request) {
    return new Promise((resolve) => {
        let text = "";
        request.setEncoding("utf8").on("data", (piece) => (text += piece)).on("end", () => resolve(text));
    });
}

function refuse(response, { status, error = {}, headers = {} }) {
    response.writeHead(status, { "Content-Type": "application/json", ...headers });
    response.end(JSON.stringify({ error: { message: "refused", type: "invalid_request_error", param: null, code: null,
                                           ...error } }));
}

const probabilityOf = (token, i) => ({
    token, logprob: -0.1 * (i % 30), bytes: [...Buffer.from(token)],
    top_logprobs: [{ token, logprob: -0.1 * (i % 30), bytes: null }, { token: " other", logprob: -2.5, bytes: null }],
});

async function stream(response, reply, body) {
    const chunk = (delta, finish = null, more = {}) => ({
        id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: MODEL,
        choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }], usage: null, ...more,
    });
    response.on("close", () => reply.onGone?.());
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const send = (value) => response.write(`data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`);
    if (reply.hang) return response.write(": ping\n\n");
    send(chunk({ role: "assistant", content: "" }));
    for (const piece of wordsOf(reply.reasoning ?? "")) {
        send(chunk({ reasoning_content: piece }));
        await pause(reply.delay ?? 0);
    }
    const pieces = reply.pieces ?? wordsOf(reply.text ?? "");
    for (const [i, piece] of pieces.entries()) {
        if (response.destroyed) return;
        if (reply.cut === i) return response.destroy();
        const one = chunk({ content: piece });
        if (body.logprobs) one.choices[0].logprobs = { content: [probabilityOf(piece, i)] };
        send(one);
        await pause(reply.delay ?? 0);
    }
    if (reply.failure) {
        send({ error: { message: reply.failure, type: "server_error", param: null, code: null } });
        return response.end();
    }
    send(chunk({}, reply.finish ?? "stop"));
    if (body.stream_options?.include_usage) {
        send(chunk({}, null, { choices: [],
            usage: { prompt_tokens: 120, completion_tokens: pieces.length, total_tokens: 120 + pieces.length,
                     prompt_tokens_details: { cached_tokens: 100 } },
            timings: { prompt_n: 20, cache_n: 100, predicted_n: pieces.length, predicted_ms: 500,
                       predicted_per_second: 42.5 } }));
    }
    send("[DONE]");
    response.end();
}

function servePage(server, response) {
    const { csp, etag } = JSON.parse(readFileSync(join(server.folder, "page.json")));
    response.writeHead(200, { "Content-Type": "text/html; charset=utf-8", "Content-Encoding": "gzip", ETag: etag,
                              "Content-Security-Policy": csp, "X-Content-Type-Options": "nosniff" });
    response.end(readFileSync(join(server.folder, "page.html.gz")));
}

async function handle(server, request, response) {
    const path = new URL(request.url, "http://localhost").pathname;
    if (path === "/") return servePage(server, response);
    if (server.key && path !== "/health" && request.headers.authorization !== `Bearer ${server.key}`) {
        return refuse(response, { status: 401, error: { message: "wrong key", code: "invalid_api_key" } });
    }
    const json = { "/health": { status: "ok" }, "/props": props, "/v1/models": models }[path];
    if (json) {
        if (server.loading) return refuse(response, { status: 503, error: { message: "loading" } });
        response.writeHead(200, { "Content-Type": "application/json" });
        return response.end(JSON.stringify(json));
    }
    if (path !== "/v1/chat/completions") return refuse(response, { status: 404, error: { message: `no ${path}` } });
    const body = JSON.parse(await readBody(request));
    server.requests.push(body);
    const reply = (await server.answer?.(body, request)) ?? { text: server.demo, delay: 25 };
    return reply.status ? refuse(response, reply) : stream(response, reply, body);
}

/* folder: where page.html.gz and page.json are. Resolves to {url, requests, answer, key, loading, stop, again}. */
export async function startServer(folder, port = 0) {
    const server = { folder, requests: [], answer: null, key: "", loading: false, demo: "A demonstration." };
    const listen = (wanted) => new Promise((resolve) => {
        server.http = createServer((request, response) => {
            handle(server, request, response).catch((error) => response.destroy(error));
        });
        server.http.listen(wanted, "127.0.0.1", () => resolve(server.http.address().port));
    });
    server.port = await listen(port);
    server.url = `http://127.0.0.1:${server.port}/`;
    server.stop = () => new Promise((resolve) => {
        server.http.close(resolve);
        server.http.closeAllConnections();
    });
    server.again = () => listen(server.port);
    return server;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    const server = await startServer(process.argv[2], Number(process.argv[3] ?? 8080));
    console.log(server.url);
}
