/* actions.ts: what can be done with conversations, settings and the page. Each changes the state at once and IndexedDB
 * after it. */
import * as db from "./db";
import { fromJson, type Portable, readSettings, toJson } from "./portable";
import { checkHealth, type Condition, readFacts } from "./server";
import { ApiError } from "./api";
import { get, set, speak, toast } from "./store";
import { newestLeaf } from "./tree";
import { type Conversation, type Message, newId, type Settings, type Theme } from "./types";

const newestFirst = (a: Conversation, b: Conversation) => b.updated - a.updated;

/* ---- other tabs of the same page -------------------------------------------------------------------- */

const channel = "BroadcastChannel" in window ? new BroadcastChannel("puna") : null;

export function watchOtherTabs(): void {
    if (!channel) return;
    channel.onmessage = async () => {
        const { current, runs } = get();
        const conversations = (await db.allConversations()).sort(newestFirst);
        set({ conversations });
        if (!current || runs.has(current.id)) return;
        const same = conversations.find((one) => one.id === current.id);
        if (!same) set({ current: null, messages: new Map() });
        else if (same.updated !== current.updated || same.leaf !== current.leaf) await open(same.id);
    };
}

export async function store(conversations: Conversation[], messages: Message[] = []): Promise<void> {
    try {
        await db.save(conversations, messages);
        channel?.postMessage("changed");
    } catch (error) {
        toast(`Not saved: ${error instanceof Error ? error.message : error}`, { bad: true });
    }
}

/* ---- conversations ---------------------------------------------------------------------------------- */

/* Replaces a conversation in the state and in the database. */
export function change(conversation: Conversation, messages: Message[] = []): void {
    const state = get();
    set({
        conversations: [conversation, ...state.conversations.filter((one) => one.id !== conversation.id)]
            .sort(newestFirst),
        current: state.current?.id === conversation.id ? conversation : state.current,
    });
    void store([conversation], messages);
}

/* Answers under way that IndexedDB does not have in full; chat.ts fills it. */
export const underWay = new Map<string, Message>();

let opens = 0; /* of several that are asked for at once the last is shown */

export async function open(id: string): Promise<void> {
    const mine = ++opens;
    const conversation = get().conversations.find((one) => one.id === id);
    if (!conversation) return begin();
    const messages = new Map((await db.messagesOf(id)).map((message) => [message.id, message]));
    if (mine !== opens) return;
    for (const message of underWay.values()) if (message.conversation === id) messages.set(message.id, message);
    set({ current: get().conversations.find((one) => one.id === id) ?? null, messages });
    if (location.hash !== `#${id}`) history.pushState(null, "", `#${id}`);
}

export function begin(): void {
    opens++;
    set({ current: null, messages: new Map(), draftSettings: {} });
    if (location.hash) history.pushState(null, "", location.pathname + location.search);
    focusComposer();
}

export const focusComposer = (): void =>
    void setTimeout(() => document.querySelector<HTMLTextAreaElement>("#composer")?.focus(), 0);

export function create(title: string): Conversation {
    opens++;
    const now = Date.now();
    const conversation: Conversation = {
        id: newId(), title, created: now, updated: now, leaf: null, settings: get().draftSettings,
    };
    set({ conversations: [conversation, ...get().conversations], current: conversation, messages: new Map(),
          draftSettings: {} });
    history.pushState(null, "", `#${conversation.id}`);
    return conversation;
}

export function titleFrom(text: string): string {
    const line = text.trim().split("\n")[0]!.replace(/\s+/g, " ");
    if (line.length <= 60) return line || "Conversation";
    const cut = line.slice(0, 60);
    return `${cut.slice(0, cut.lastIndexOf(" ") > 30 ? cut.lastIndexOf(" ") : 60)}…`;
}

export function rename(id: string, title: string): void {
    const conversation = get().conversations.find((one) => one.id === id);
    const name = title.trim().slice(0, 200);
    if (conversation && name && name !== conversation.title) change({ ...conversation, title: name, titled: true });
}

export async function remove(id: string): Promise<void> {
    const conversation = get().conversations.find((one) => one.id === id);
    if (!conversation) return;
    const messages = await db.messagesOf(id);
    set({ conversations: get().conversations.filter((one) => one.id !== id) });
    if (get().current?.id === id) begin();
    await db.removeConversation(id);
    channel?.postMessage("changed");
    const undo = () => {
        change(conversation, messages);
        toast("Brought back");
    };
    toast(`Deleted “${conversation.title}”`, { action: { label: "Undo", run: undo } });
}

export function showBranch(message: Message): void {
    const { current, messages } = get();
    if (current) change({ ...current, leaf: newestLeaf(messages, message.id) });
}

/* ---- search ----------------------------------------------------------------------------------------- */

let searches = 0;

export function search(text: string): void {
    const mine = ++searches;
    set({ search: text, found: text.trim().length < 2 ? null : get().found });
    if (text.trim().length < 2) return;
    setTimeout(async () => {
        if (mine !== searches) return;
        const found = await db.findText(text.trim(), () => mine !== searches);
        if (mine === searches) set({ found });
    }, 150);
}

/* ---- files ------------------------------------------------------------------------------------------ */

function download(name: string, json: string): void {
    const url = URL.createObjectURL(new Blob([json], { type: "application/json" }));
    const link = Object.assign(document.createElement("a"), { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/* One conversation, or all of them. */
export async function exportConversations(id?: string): Promise<void> {
    const chosen = get().conversations.filter((one) => !id || one.id === id);
    const items: Portable[] = [];
    for (const conversation of chosen) items.push({ conversation, messages: await db.messagesOf(conversation.id) });
    const name = id ? chosen[0]!.title.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 50).replace(/^-|-$/g, "") : "";
    download(`puna-${name || "conversations"}-${new Date().toISOString().slice(0, 10)}.json`, toJson(items));
}

export async function importFile(file: File): Promise<void> {
    try {
        const items = fromJson(await file.text());
        const known = new Map(get().conversations.map((one) => [one.id, one]));
        const fresh = items.filter(({ conversation }) => known.get(conversation.id)?.updated !== conversation.updated);
        for (const { conversation, messages } of fresh) {
            if (known.has(conversation.id)) conversation.id = newId();
            for (const message of messages) message.conversation = conversation.id;
            known.set(conversation.id, conversation);
        }
        await store(fresh.map((item) => item.conversation), fresh.flatMap((item) => item.messages));
        set({ conversations: (await db.allConversations()).sort(newestFirst) });
        const already = items.length - fresh.length;
        const count = `${fresh.length} conversation${fresh.length === 1 ? "" : "s"}`;
        toast(`Imported ${count}${already ? `; ${already} here already` : ""}`);
    } catch (error) {
        toast(`${file.name}: ${error instanceof Error ? error.message : error}`, { bad: true, ms: 10_000 });
    }
}

/* ---- settings --------------------------------------------------------------------------------------- */

export function settingsOf(): Settings {
    const { current, draftSettings } = get();
    return current ? current.settings : draftSettings;
}

/* What a message of the current conversation is sent with. */
export const effectiveSettings = (own: Settings): Settings => ({ ...get().defaults, ...own });

/* A value of undefined goes back to the default. */
export function changeSettings(patch: Settings, everywhere: boolean): void {
    const merge = (settings: Settings): Settings =>
        Object.fromEntries(Object.entries({ ...settings, ...patch }).filter(([, value]) => value !== undefined));
    if (everywhere) {
        const defaults = merge(get().defaults);
        set({ defaults });
        void db.setValue("defaults", defaults);
    } else if (get().current) {
        change({ ...get().current!, settings: merge(get().current!.settings) });
    } else {
        set({ draftSettings: merge(get().draftSettings) });
    }
}

export function applyTheme(theme: Theme): void {
    const dark = theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
}

export function setTheme(theme: Theme): void {
    set({ theme });
    applyTheme(theme);
    try {
        localStorage.setItem("puna-theme", theme);
    } catch {
        /* then it is forgotten with the page */
    }
}

/* ---- the server ------------------------------------------------------------------------------------- */

let watching = false;

/* Called when the server did not answer: asks again and again until it does. */
export async function watchServer(condition: Condition): Promise<void> {
    if (get().condition !== condition) set({ condition });
    if (watching || condition === "ready") return;
    watching = true;
    for (let wait = 1000; get().condition !== "ready"; wait = Math.min(wait * 1.5, 8000)) {
        await new Promise((resolve) => setTimeout(resolve, wait));
        const now = await checkHealth();
        if (now !== get().condition) set({ condition: now });
    }
    watching = false;
    speak("The server is there again");
    await loadFacts();
}

export async function loadFacts(): Promise<void> {
    try {
        set({ facts: await readFacts() });
    } catch (error) {
        if (error instanceof ApiError && error.status === 401) set({ dialog: "key" });
        else if (error instanceof ApiError && error.status !== 503) return;
        else void watchServer(error instanceof ApiError ? "loading" : "gone");
    }
}

/* ---- the beginning ---------------------------------------------------------------------------------- */

export async function start(): Promise<void> {
    let theme: Theme = "auto";
    try {
        const stored = localStorage.getItem("puna-theme");
        if (stored === "light" || stored === "dark") theme = stored;
    } catch {
        /* auto */
    }
    set({ theme });
    applyTheme(theme);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => applyTheme(get().theme));

    await db.openDatabase();
    const conversations = (await db.allConversations()).sort(newestFirst);
    set({ conversations, defaults: readSettings(await db.getValue("defaults")), ready: true });
    if (!db.kept()) toast("This browser window keeps no history: conversations are lost when the page is closed.",
                          { ms: 15_000 });
    const show = () => (location.hash.length > 1 ? open(location.hash.slice(1)) : Promise.resolve(begin()));
    window.addEventListener("popstate", () => void show());
    await show();
    watchOtherTabs();
    await loadFacts();
}
