/* chat.ts: sends messages and receives answers. One answer at a time in a conversation; several conversations may be
 * answered at once, and go on while another one is shown. What arrives is shown at most 20 times a second and saved
 * every second, so that a closed page loses little. */
import { ApiError, NetworkError, streamChat } from "./api";
import * as actions from "./actions";
import { plainText } from "./markdown";
import { get, type Run, set, speak } from "./store";
import { pathTo } from "./tree";
import { explain } from "./trouble";
import { type Attachment, type Conversation, type Message, newId, type Settings, type TokenProbability } from "./types";

const SHOW_MS = 50;
const SAVE_MS = 1000;
const SPEAK_MS = 800;
const MAX_TRIES = 20; /* of a busy server */

const stops = new Map<string, AbortController>(); /* by conversation */

/* ---- the request ------------------------------------------------------------------------------------ */

/* A fence that no line of the text can close. */
function fenced(file: Attachment): string {
    const longest = Math.max(2, ...[...file.text.matchAll(/`{3,}/g)].map((match) => match[0].length));
    const fence = "`".repeat(longest + 1);
    return `${file.name}:\n${fence}\n${file.text.replace(/\n$/, "")}\n${fence}`;
}

const fullText = (message: Message): string =>
    [...(message.attachments ?? []).map(fenced), message.content].filter((part) => part !== "").join("\n\n");

function responseFormat(settings: Settings): unknown {
    if (settings.format === "json_object") return { type: "json_object" };
    if (settings.format !== "json_schema" || !settings.schema?.trim()) return undefined;
    return { type: "json_schema", json_schema: { name: "answer", strict: true, schema: JSON.parse(settings.schema) } };
}

/* continuing: the last message is the beginning of the answer, and the model writes on. */
export function requestBody(path: Message[], settings: Settings, continuing: boolean, model?: string): any {
    const messages: any[] = [];
    for (const message of path) {
        const last = messages[messages.length - 1], content = fullText(message);
        if (content === "") continue; /* an answer that failed or was stopped before it began */
        if (last?.role === message.role) last.content += `\n\n${content}`;
        else messages.push({ role: message.role, content });
    }
    const end = path[path.length - 1];
    if (continuing && end?.reasoning) messages[messages.length - 1].reasoning_content = end.reasoning;
    if (settings.system?.trim()) messages.unshift({ role: "system", content: settings.system });
    const body: any = { model, messages, stream: true, stream_options: { include_usage: true } };
    for (const name of ["temperature", "top_p", "top_k", "min_p", "repeat_penalty", "presence_penalty",
                        "frequency_penalty", "max_tokens", "seed", "stop"] as const) {
        if (settings[name] !== undefined) body[name] = settings[name];
    }
    if (settings.probabilities) Object.assign(body, { logprobs: true, top_logprobs: 5 });
    const format = responseFormat(settings);
    if (format) body.response_format = format;
    if (settings.thinking) body.chat_template_kwargs = { enable_thinking: settings.thinking === "on" };
    if (continuing) Object.assign(body, { add_generation_prompt: false, continue_final_message: true });
    return body;
}

/* ---- receiving -------------------------------------------------------------------------------------- */

class Answer {
    message: Message;
    private shownAt = 0;
    private savedAt = 0;
    private spokenAt = 0;
    private timer = 0;
    private spoken: number; /* characters of the content that were read out */
    private readonly startedAt = performance.now();
    private firstAt = 0;
    private lastAt = 0;
    private pieces = 0;
    private readonly before: number; /* tokens that the message had when it was continued */

    constructor(message: Message) {
        this.message = { ...message, ending: "", trouble: undefined };
        this.before = message.stats?.tokens ?? 0;
        this.spoken = message.content.length;
        actions.underWay.set(message.id, this.message);
        this.show();
    }

    get begun(): boolean {
        return this.message.content !== "" || !!this.message.reasoning;
    }

    take(chunk: any): void {
        const choice = chunk?.choices?.[0];
        const delta = choice?.delta ?? {};
        const content = typeof delta.content === "string" ? delta.content : "";
        const reasoning = typeof delta.reasoning_content === "string" ? delta.reasoning_content : "";
        if (content || reasoning) {
            this.pieces++;
            this.lastAt = performance.now();
            if (!this.firstAt) this.begin();
            const { message } = this;
            this.message = { ...message, content: message.content + content,
                             reasoning: reasoning ? (message.reasoning ?? "") + reasoning : message.reasoning };
        }
        const tokens = choice?.logprobs?.content;
        if (Array.isArray(tokens)) this.addProbabilities(tokens);
        if (typeof choice?.finish_reason === "string") {
            this.message = { ...this.message, ending: choice.finish_reason === "length" ? "length" : "stop" };
        }
        if (typeof chunk?.model === "string") this.message = { ...this.message, model: chunk.model };
        this.count(chunk?.usage, chunk?.timings);
        this.showSoon();
    }

    private begin(): void {
        this.firstAt = this.lastAt;
        setRun(this.message.conversation, { message: this.message.id, phase: "writing" });
    }

    private addProbabilities(tokens: any[]): void {
        const read = (one: any): [string, number] => [String(one?.token ?? ""), Number(one?.logprob ?? -100)];
        const more = tokens.map((one): TokenProbability =>
            [...read(one), (Array.isArray(one?.top_logprobs) ? one.top_logprobs : []).slice(0, 10).map(read)]);
        this.message = { ...this.message, probabilities: [...(this.message.probabilities ?? []), ...more] };
    }

    /* What the server counted where it says so, what was seen here where it does not. */
    private count(usage: any, timings: any): void {
        const number = (value: unknown) => (typeof value === "number" && Number.isFinite(value) ? value : undefined);
        const stats = { ...this.message.stats };
        if (this.firstAt) stats.firstTokenMs = this.firstAt - this.startedAt;
        stats.totalMs = performance.now() - this.startedAt;
        const counted = number(usage?.completion_tokens) ?? number(timings?.predicted_n);
        if (number(usage?.prompt_tokens) !== undefined) stats.contextTokens = usage.prompt_tokens + (counted ?? this.pieces);
        stats.tokens = this.before + (counted ?? this.pieces);
        stats.promptTokens = number(usage?.prompt_tokens) ?? stats.promptTokens;
        stats.cachedTokens = number(usage?.prompt_tokens_details?.cached_tokens) ?? number(timings?.cache_n) ??
            stats.cachedTokens;
        stats.reasoningTokens = number(usage?.completion_tokens_details?.reasoning_tokens) ?? stats.reasoningTokens;
        const seconds = (this.lastAt - this.firstAt) / 1000;
        const seen = this.pieces > 1 && seconds > 0 ? (this.pieces - 1) / seconds : undefined;
        stats.tokensPerSecond = number(timings?.predicted_per_second) ?? (usage ? stats.tokensPerSecond ?? seen : seen);
        this.message = { ...this.message, stats };
    }

    private showSoon(): void {
        actions.underWay.set(this.message.id, this.message);
        if (this.timer) return;
        const wait = Math.max(0, this.shownAt + SHOW_MS - performance.now());
        this.timer = window.setTimeout(() => this.show(), wait);
    }

    private show(): void {
        clearTimeout(this.timer);
        this.timer = 0;
        this.shownAt = performance.now();
        const { message } = this;
        const state = get();
        if (state.current?.id === message.conversation) {
            set({ messages: new Map(state.messages).set(message.id, message) });
            this.speakSentences(false);
        }
        if (this.shownAt - this.savedAt > SAVE_MS) {
            this.savedAt = this.shownAt;
            void actions.store([], [message]);
        }
    }

    /* Reads out what is complete: sentences and lines, not tokens. */
    private speakSentences(all: boolean): void {
        if (!all && performance.now() - this.spokenAt < SPEAK_MS) return;
        const rest = this.message.content.slice(this.spoken);
        const ends = [...rest.matchAll(/[.!?…:](?=\s)|\n/g)];
        const end = all ? rest.length : ends.length ? ends[ends.length - 1]!.index + 1 : 0;
        const text = plainText(rest.slice(0, end));
        this.spoken += end;
        if (!text) return;
        this.spokenAt = performance.now();
        speak(text);
    }

    finish(change: Partial<Message>): void {
        this.message = { ...this.message, ...change };
        actions.underWay.delete(this.message.id);
        this.show();
        this.speakSentences(true);
        const conversation = get().conversations.find((one) => one.id === this.message.conversation);
        if (conversation) actions.change({ ...conversation, updated: Date.now() }, [this.message]);
    }
}

function setRun(conversation: string, run: Run | null): void {
    const runs = new Map(get().runs);
    if (run) runs.set(conversation, run);
    else runs.delete(conversation);
    set({ runs });
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
        const timer = setTimeout(resolve, ms);
        signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
    });

const isBusy = (error: unknown): error is ApiError =>
    error instanceof ApiError && (error.status === 429 || error.status === 503);

/* Asks until the server is no longer busy. */
async function ask(body: unknown, answer: Answer, signal: AbortSignal): Promise<void> {
    const { conversation, id } = answer.message;
    for (let tries = 1; ; tries++) {
        try {
            return await streamChat(body, signal, (chunk) => answer.take(chunk));
        } catch (error) {
            if (!isBusy(error) || tries === MAX_TRIES) throw error;
            const seconds = Math.min(error.retryAfter || tries, 30);
            setRun(conversation, { message: id, phase: "busy", retryAt: Date.now() + 1000 * seconds });
            await pause(1000 * seconds, signal);
            setRun(conversation, { message: id, phase: "waiting" });
        }
    }
}

async function receive(conversation: Conversation, message: Message, path: Message[], continuing: boolean) {
    const stop = new AbortController();
    stops.set(conversation.id, stop);
    setRun(conversation.id, { message: message.id, phase: "waiting" });
    const settings = actions.effectiveSettings(conversation.settings);
    const answer = new Answer(message);
    try {
        await ask(requestBody(path, settings, continuing, get().facts?.model), answer, stop.signal);
        answer.finish({ ending: answer.message.ending || "stop" });
    } catch (error) {
        if (stop.signal.aborted) answer.finish({ ending: "stopped" });
        else fail(answer, error);
    } finally {
        stops.delete(conversation.id);
        setRun(conversation.id, null);
    }
}

function fail(answer: Answer, error: unknown): void {
    const trouble = explain(error, answer.begun);
    answer.finish({ ending: "error", trouble });
    speak(`${trouble.title}. ${trouble.detail}`);
    if (error instanceof NetworkError) void actions.watchServer("gone");
    if (trouble.action === "key") set({ dialog: "key" });
}

/* ---- what the page calls ---------------------------------------------------------------------------- */

function addMessage(conversation: Conversation, message: Message): Conversation {
    set({ messages: new Map(get().messages).set(message.id, message) });
    const changed = { ...conversation, leaf: message.id, updated: Date.now() };
    actions.change(changed, [message]);
    return changed;
}

function beginAnswer(conversation: Conversation, parent: Message): void {
    const settings = actions.effectiveSettings(conversation.settings);
    const json = settings.format === "json_object" || settings.format === "json_schema";
    const message: Message = {
        id: newId(), conversation: conversation.id, parent: parent.id, role: "assistant", content: "",
        created: Date.now(), ending: "", ...(json ? { format: "json" as const } : {}),
    };
    const changed = addMessage(conversation, message);
    void receive(changed, message, pathTo(get().messages, parent.id), false);
}

export const isAnswering = (): boolean => get().runs.has(get().current?.id ?? "");

export function send(content: string, attachments: Attachment[]): void {
    if (isAnswering()) return;
    const name = actions.titleFrom(content || attachments[0]?.name || "");
    const conversation = get().current ?? actions.create(name);
    const message: Message = {
        id: newId(), conversation: conversation.id, parent: conversation.leaf, role: "user", content,
        created: Date.now(), ...(attachments.length ? { attachments } : {}),
    };
    beginAnswer(addMessage(conversation, message), message);
}

export function stop(conversation = get().current?.id ?? ""): void {
    stops.get(conversation)?.abort(new DOMException("stopped", "AbortError"));
}

/* Another answer beside this one. */
export function regenerate(message: Message): void {
    const { current, messages } = get();
    const parent = messages.get(message.parent ?? "");
    if (current && parent && !isAnswering()) beginAnswer(current, parent);
}

/* The same answer again, in its place: for one that failed before it began. */
export function retry(message: Message): void {
    const { current, messages } = get();
    if (!current || isAnswering() || message.parent === null) return;
    const empty: Message = { ...message, content: "", reasoning: undefined, probabilities: undefined, stats: undefined };
    void receive(current, empty, pathTo(messages, message.parent), false);
}

/* Writes on where the answer ended. */
export function continueAnswer(message: Message): void {
    const { current, messages } = get();
    if (!current || isAnswering()) return;
    if (message.content === "") return retry(message); /* thoughts alone are no beginning of an answer */
    void receive(current, message, pathTo(messages, message.id), true);
}

/* A changed question is a branch with an answer of its own; a changed answer is a branch that the model did not write. */
export function edit(message: Message, content: string): void {
    const { current } = get();
    if (!current || isAnswering() || content === message.content) return;
    const branch: Message = {
        id: newId(), conversation: current.id, parent: message.parent, role: message.role, content, created: Date.now(),
        ...(message.attachments ? { attachments: message.attachments } : {}),
        ...(message.role === "assistant" ? { ending: "stop" as const, format: message.format } : {}),
    };
    const changed = addMessage(current, branch);
    if (message.role === "user") beginAnswer(changed, branch);
}

/* All answers end before the page does: what has arrived is saved. */
window.addEventListener("pagehide", () => {
    for (const message of actions.underWay.values()) void actions.store([], [message]);
});
