/* types.ts: what a conversation is, in the page, in IndexedDB and in an exported file. */

export type Role = "user" | "assistant";

export interface Attachment {
    name: string;
    text: string;
}

/* One token of an answer: its text, natural logarithm of its probability, and the likeliest others. */
export type TokenProbability = [text: string, logprob: number, others: [string, number][]];

export interface Stats {
    firstTokenMs?: number; /* from sending to the first token, measured here */
    tokens?: number; /* of the answer, reasoning included */
    tokensPerSecond?: number;
    promptTokens?: number;
    cachedTokens?: number; /* of the prompt, not computed again */
    reasoningTokens?: number;
    contextTokens?: number; /* of the context, up to the end of the answer */
    totalMs?: number;
}

/* What went wrong, and what to do about it. */
export interface Trouble {
    title: string;
    detail: string;
    hint: string;
    action: "retry" | "key" | "continue" | "none";
}

/* How an answer ended; "" while it has not, or when the page was closed before it did. */
export type Ending = "" | "stop" | "length" | "stopped" | "error";

export interface Message {
    id: string;
    conversation: string;
    parent: string | null; /* the message before; several with the same parent are branches */
    role: Role;
    content: string;
    created: number; /* ms since 1970 */
    reasoning?: string;
    attachments?: Attachment[];
    ending?: Ending;
    stats?: Stats;
    probabilities?: TokenProbability[];
    trouble?: Trouble;
    format?: "json";
    model?: string;
}

export interface Settings {
    system?: string;
    temperature?: number;
    top_p?: number;
    top_k?: number;
    min_p?: number;
    repeat_penalty?: number;
    presence_penalty?: number;
    frequency_penalty?: number;
    max_tokens?: number;
    seed?: number;
    stop?: string[];
    probabilities?: boolean;
    format?: "text" | "json_object" | "json_schema";
    schema?: string;
    thinking?: "on" | "off";
}

export interface Conversation {
    id: string;
    title: string;
    titled?: boolean; /* named by hand */
    created: number;
    updated: number;
    leaf: string | null; /* the last message of the branch that is shown */
    settings: Settings;
}

export type Theme = "auto" | "light" | "dark";

export const newId = (): string =>
    Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
