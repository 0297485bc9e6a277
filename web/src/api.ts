/* api.ts: talks to the server this page came from: the OpenAI-compatible API, /health and /props. Addresses are relative
 * to the page's own, so that it works behind a proxy under any path. */
import { EventReader } from "./sse";

/* The server answered, with an error. */
export class ApiError extends Error {
    constructor(readonly status: number, message: string, readonly code: string, readonly param: string,
                readonly retryAfter: number) {
        super(message);
    }
}

/* No answer, or one that broke off. */
export class NetworkError extends Error {}

const KEY = "puna-api-key";

function storedKey(): string {
    try {
        return sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? "";
    } catch {
        return "";
    }
}

let key = storedKey();

/* remember: also when the browser is started again; otherwise until this tab is closed. */
export function setApiKey(value: string, remember: boolean): void {
    key = value;
    try {
        localStorage.removeItem(KEY);
        sessionStorage.removeItem(KEY);
        if (value) (remember ? localStorage : sessionStorage).setItem(KEY, value);
    } catch {
        /* then it is known as long as the page is open */
    }
}

async function failure(response: Response): Promise<ApiError> {
    let message = `${response.status} ${response.statusText}`.trim();
    let code = "", param = "";
    try {
        const error = JSON.parse((await response.text()).slice(0, 100_000))?.error;
        if (typeof error === "string") message = error;
        if (typeof error?.message === "string") message = error.message;
        if (typeof error?.code === "string") code = error.code;
        if (typeof error?.param === "string") param = error.param;
    } catch {
        /* not one of ours: a proxy's page, say */
    }
    const wait = Number(response.headers.get("Retry-After"));
    return new ApiError(response.status, message, code, param, Number.isFinite(wait) && wait > 0 ? wait : 0);
}

async function send(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (key) headers.set("Authorization", `Bearer ${key}`);
    let response: Response;
    try {
        response = await fetch(new URL(path, document.baseURI), { ...init, headers, cache: "no-store" });
    } catch (error) {
        if (init.signal?.aborted) throw error;
        throw new NetworkError("no answer from the server");
    }
    if (!response.ok) throw await failure(response);
    return response;
}

export async function getJson(path: string): Promise<any> {
    const response = await send(path, { signal: AbortSignal.timeout(15_000) });
    return response.json();
}

/* Posts a chat request and calls onChunk with each chunk of the answer. Resolves when the server says that it is
 * complete; a stream that ends without saying so is a NetworkError. */
export async function streamChat(body: unknown, signal: AbortSignal, onChunk: (chunk: any) => void): Promise<void> {
    const response = await send("v1/chat/completions", {
        method: "POST",
        headers: { "Content-Type": "application/json", "Accept": "text/event-stream" },
        body: JSON.stringify(body),
        signal,
    });
    let done = false;
    const reader = new EventReader(({ data }) => {
        if (done) return;
        if (data === "[DONE]") {
            done = true;
            return;
        }
        const chunk = JSON.parse(data);
        if (chunk?.error) {
            const { message, code, param } = chunk.error;
            throw new ApiError(500, String(message ?? "error"), typeof code === "string" ? code : "",
                               typeof param === "string" ? param : "", 0);
        }
        onChunk(chunk);
    });
    const stream = response.body!.getReader();
    try {
        while (!done) {
            const { done: ended, value } = await stream.read();
            if (ended) break;
            reader.pushBytes(value);
        }
    } catch (error) {
        if (signal.aborted || error instanceof ApiError) throw error;
        throw new NetworkError("the connection was lost in the middle of the answer");
    } finally {
        stream.cancel().catch(() => {});
    }
    if (!done) throw new NetworkError("the connection was lost in the middle of the answer");
}
