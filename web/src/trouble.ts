/* trouble.ts: what an error means to who reads it, and what can be done. */
import { ApiError, NetworkError } from "./api";
import type { Trouble } from "./types";

function ofStatus(error: ApiError): Omit<Trouble, "detail"> {
    if (error.status === 401) {
        return {
            title: "The server wants an API key", action: "key",
            hint: "It was printed when the server was started. Ask whoever runs it.",
        };
    }
    if (error.code === "context_length_exceeded") {
        return {
            title: "The conversation no longer fits into the context", action: "none",
            hint: "Begin a new conversation, edit an earlier message to branch off there, or start the server with a " +
                "larger context (puna serve -c).",
        };
    }
    if (error.status === 413) {
        return { title: "The request is too large", action: "none", hint: "Attach less, or begin a new conversation." };
    }
    if (error.status === 429 || error.status === 503) {
        return { title: "The server is busy", action: "retry", hint: "Others are being answered. Try again in a moment." };
    }
    if (error.status >= 500) {
        return {
            title: "The server failed", action: "retry",
            hint: "Try again. If it happens again, the server's log says more.",
        };
    }
    return {
        title: "The server refused the request", action: "retry",
        hint: error.param ? `It is about “${error.param}”. The settings of this conversation may hold the cause.`
                          : "The settings of this conversation may hold the cause.",
    };
}

/* begun: a part of the answer has arrived. */
export function explain(error: unknown, begun: boolean): Trouble {
    if (error instanceof ApiError) return { ...ofStatus(error), detail: error.message.slice(0, 1000) };
    if (error instanceof NetworkError) {
        return {
            title: begun ? "The connection was lost" : "The server does not answer",
            detail: error.message, action: begun ? "continue" : "retry",
            hint: begun ? "What had arrived is kept. Continue when the server is there again."
                        : "Is puna serve still running? This page looks for it again by itself.",
        };
    }
    return {
        title: "Something went wrong in this page", detail: String(error).slice(0, 1000), action: "retry",
        hint: "Try again. Reloading the page keeps your conversations.",
    };
}
