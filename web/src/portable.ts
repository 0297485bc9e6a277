/* portable.ts: conversations as a JSON file, and back. Files of llama.cpp's chat page are read too: an object or an array
 * of {"conv": {...}, "messages": [...]}. A file may hold anything: only what has the right type is taken over, every
 * message gets a new id, and a message whose parent is missing begins a branch of its own. */
import { type Attachment, type Conversation, type Message, newId, type Settings, type TokenProbability } from "./types";

export interface Portable {
    conversation: Conversation;
    messages: Message[];
}

const FORMAT = "puna-chat";
const MAX_TEXT = 20_000_000;

export function toJson(items: Portable[]): string {
    return JSON.stringify({ format: FORMAT, version: 1, exported: new Date().toISOString(), conversations: items },
                          null, 1);
}

const text = (value: unknown, otherwise = ""): string =>
    typeof value === "string" ? value.slice(0, MAX_TEXT) : otherwise;
const finite = (value: unknown): number | undefined =>
    typeof value === "number" && Number.isFinite(value) ? value : undefined;
const list = (value: unknown): any[] => (Array.isArray(value) ? value : []);
const record = (value: unknown): any => (value && typeof value === "object" && !Array.isArray(value) ? value : {});
const defined = <T extends object>(object: T): T =>
    Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;

function attachments(message: any): Attachment[] {
    const files = list(message.attachments).map((one) => ({ name: text(one?.name, "file"), text: text(one?.text) }));
    const others = list(message.extra).filter((one) => typeof one?.content === "string")
        .map((one) => ({ name: text(one.name, "file"), text: text(one.content) }));
    return files.concat(others);
}

function probabilities(value: unknown): TokenProbability[] {
    const pair = (one: any): one is [string, number] => typeof one?.[0] === "string" && finite(one[1]) !== undefined;
    return list(value).filter(pair).map((one: any) =>
        [one[0], one[1], list(one[2]).filter(pair).map((other) => [other[0], other[1]])] as TokenProbability);
}

const NUMBERS = ["temperature", "top_p", "top_k", "min_p", "repeat_penalty", "presence_penalty", "frequency_penalty",
                 "max_tokens", "seed"] as const;

export function readSettings(value: unknown): Settings {
    const from = record(value);
    const settings: Settings = {};
    for (const name of NUMBERS) settings[name] = finite(from[name]);
    if (typeof from.system === "string") settings.system = text(from.system);
    if (typeof from.schema === "string") settings.schema = text(from.schema);
    if (typeof from.probabilities === "boolean") settings.probabilities = from.probabilities;
    if (["text", "json_object", "json_schema"].includes(from.format)) settings.format = from.format;
    if (["on", "off"].includes(from.thinking)) settings.thinking = from.thinking;
    const stop = list(from.stop).filter((one) => typeof one === "string").slice(0, 16);
    if (stop.length) settings.stop = stop;
    return defined(settings);
}

function stats(message: any): Message["stats"] {
    const own = record(message.stats), timings = record(message.timings);
    const ms = finite(timings.predicted_ms), tokens = finite(own.tokens) ?? finite(timings.predicted_n);
    const result = defined({
        firstTokenMs: finite(own.firstTokenMs), tokens,
        tokensPerSecond: finite(own.tokensPerSecond) ?? (ms && tokens ? (1000 * tokens) / ms : undefined),
        promptTokens: finite(own.promptTokens) ?? finite(timings.prompt_n),
        cachedTokens: finite(own.cachedTokens) ?? finite(timings.cache_n),
        reasoningTokens: finite(own.reasoningTokens), contextTokens: finite(own.contextTokens), totalMs: finite(own.totalMs),
    });
    return Object.keys(result).length ? result : undefined;
}

function readMessage(from: any, conversation: string, at: number): Message {
    const role = from.role === "assistant" ? "assistant" : "user";
    const files = attachments(from), tokens = probabilities(from.probabilities);
    const endings = ["stop", "length", "stopped", "error"];
    return defined<Message>({
        id: newId(), conversation, parent: null, role, content: text(from.content),
        created: finite(from.created) ?? finite(from.timestamp) ?? at,
        reasoning: text(from.reasoning ?? from.reasoningContent ?? from.thinking) || undefined,
        attachments: files.length ? files : undefined,
        ending: role === "assistant" ? (endings.includes(from.ending) ? from.ending : "stop") : undefined,
        stats: role === "assistant" ? stats(from) : undefined,
        probabilities: tokens.length ? tokens : undefined,
        format: from.format === "json" ? "json" : undefined,
        model: typeof from.model === "string" ? text(from.model) : undefined,
    });
}

/* Removes parents that lead in a circle. */
function breakCircles(messages: Map<string, Message>): void {
    const good = new Set<string>();
    for (const message of messages.values()) {
        const seen = new Set<string>();
        let at: Message | undefined = message;
        while (at && !good.has(at.id)) {
            seen.add(at.id);
            const parent: Message | undefined = at.parent ? messages.get(at.parent) : undefined;
            if (!parent || seen.has(parent.id)) at.parent = null;
            at = at.parent ? parent : undefined;
        }
        for (const id of seen) good.add(id);
    }
}

function readItem(item: any): Portable | null {
    const conv = record(item.conversation ?? item.conv);
    if (!Array.isArray(item.messages)) return null;
    const now = Date.now();
    const conversation: Conversation = {
        id: text(conv.id).slice(0, 100) || newId(),
        title: text(conv.title ?? conv.name, "Imported conversation").slice(0, 200) || "Imported conversation",
        titled: true,
        created: finite(conv.created) ?? finite(conv.lastModified) ?? now,
        updated: finite(conv.updated) ?? finite(conv.lastModified) ?? now,
        leaf: null,
        settings: readSettings(conv.settings),
    };
    /* a root without text and system prompts are messages in llama.cpp's files: children pass over them */
    const kept = new Map<string, Message>(), passed = new Map<string, any>();
    list(item.messages).forEach((from: any, i: number) => {
        const id = text(String(from?.id ?? i));
        if (from?.role === "user" || from?.role === "assistant") {
            kept.set(id, readMessage(from, conversation.id, conversation.created + i));
        } else {
            passed.set(id, from);
            if (from?.role === "system" && from.type !== "root" && text(from.content) && !conversation.settings.system) {
                conversation.settings.system = text(from.content);
            }
        }
    });
    list(item.messages).forEach((from: any, i: number) => {
        const message = kept.get(text(String(from?.id ?? i)));
        if (!message) return;
        let parent = from.parent === null || from.parent === undefined ? "" : String(from.parent);
        for (let steps = 0; passed.has(parent) && steps < 100; steps++) parent = String(passed.get(parent)?.parent ?? "");
        message.parent = kept.get(parent)?.id ?? null;
    });
    const messages = new Map([...kept.values()].map((message) => [message.id, message]));
    breakCircles(messages);
    const leaf = kept.get(String(conv.leaf ?? conv.currNode ?? ""));
    const last = [...kept.values()].sort((a, b) => a.created - b.created).pop();
    conversation.leaf = (leaf ?? last)?.id ?? null;
    return { conversation, messages: [...kept.values()] };
}

/* Throws an Error that says why when the file is not one of the known kinds. */
export function fromJson(json: string): Portable[] {
    let data: any;
    try {
        data = JSON.parse(json);
    } catch {
        throw new Error("the file is not JSON");
    }
    const items = Array.isArray(data) ? data : Array.isArray(data?.conversations) ? data.conversations : [data];
    const read = items.slice(0, 100_000).map((item: unknown) => readItem(record(item)));
    const good = read.filter((item: Portable | null): item is Portable => item !== null);
    if (!good.length) throw new Error("the file holds no conversations");
    return good;
}
