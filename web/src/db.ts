/* db.ts: conversations, messages and values in IndexedDB. Where the browser has none (some private windows) all is kept
 * in memory, and kept() says so. Every function resolves when its change is durable. */
import type { Conversation, Message } from "./types";

const NAME = "puna";
const STORES = ["conversations", "messages", "values"] as const;
type Store = (typeof STORES)[number];

let database: IDBDatabase | null = null;
const memory: Record<Store, Map<string, any>> = { conversations: new Map(), messages: new Map(), values: new Map() };

export const kept = (): boolean => database !== null;

function upgrade(db: IDBDatabase): void {
    db.createObjectStore("conversations", { keyPath: "id" });
    db.createObjectStore("messages", { keyPath: "id" }).createIndex("conversation", "conversation");
    db.createObjectStore("values");
}

export function openDatabase(): Promise<void> {
    return new Promise((resolve) => {
        try {
            const request = indexedDB.open(NAME, 1);
            request.onupgradeneeded = () => upgrade(request.result);
            request.onerror = () => resolve();
            request.onsuccess = () => {
                database = request.result;
                database.onversionchange = () => database?.close();
                resolve();
            };
        } catch {
            resolve();
        }
    });
}

/* Runs work in one transaction; the result of the request that work returns, or undefined. */
function transact<T>(stores: Store[], mode: IDBTransactionMode,
                     work: (tx: IDBTransaction) => IDBRequest<T> | void): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
        const tx = database!.transaction(stores, mode);
        const request = work(tx);
        tx.oncomplete = () => resolve(request ? request.result : undefined);
        tx.onerror = tx.onabort = () => reject(tx.error ?? new Error("the browser's storage failed"));
    });
}

export async function allConversations(): Promise<Conversation[]> {
    if (!database) return [...memory.conversations.values()];
    return (await transact(["conversations"], "readonly", (tx) => tx.objectStore("conversations").getAll())) ?? [];
}

export async function messagesOf(conversation: string): Promise<Message[]> {
    if (!database) return [...memory.messages.values()].filter((message) => message.conversation === conversation);
    return (await transact(["messages"], "readonly",
                           (tx) => tx.objectStore("messages").index("conversation").getAll(conversation))) ?? [];
}

export async function save(conversations: Conversation[], messages: Message[] = []): Promise<void> {
    if (!database) {
        for (const one of conversations) memory.conversations.set(one.id, structuredClone(one));
        for (const one of messages) memory.messages.set(one.id, structuredClone(one));
        return;
    }
    await transact(["conversations", "messages"], "readwrite", (tx) => {
        for (const one of conversations) tx.objectStore("conversations").put(one);
        for (const one of messages) tx.objectStore("messages").put(one);
    });
}

export async function removeConversation(id: string): Promise<void> {
    if (!database) {
        memory.conversations.delete(id);
        for (const message of await messagesOf(id)) memory.messages.delete(message.id);
        return;
    }
    await transact(["conversations", "messages"], "readwrite", (tx) => {
        tx.objectStore("conversations").delete(id);
        const request = tx.objectStore("messages").index("conversation").openKeyCursor(id);
        request.onsuccess = () => {
            const cursor = request.result;
            if (!cursor) return;
            tx.objectStore("messages").delete(cursor.primaryKey);
            cursor.continue();
        };
    });
}

export async function getValue<T>(key: string): Promise<T | undefined> {
    if (!database) return memory.values.get(key);
    return transact<T>(["values"], "readonly", (tx) => tx.objectStore("values").get(key));
}

export async function setValue(key: string, value: unknown): Promise<void> {
    if (!database) {
        memory.values.set(key, value);
        return;
    }
    await transact(["values"], "readwrite", (tx) => tx.objectStore("values").put(value, key));
}

export interface Found {
    conversation: string;
    snippet: string;
}

/* The first place of each conversation where a message has the text, without regard to case. */
export async function findText(text: string, stopped: () => boolean): Promise<Found[]> {
    const wanted = text.toLowerCase();
    const found = new Map<string, string>();
    const look = (message: Message) => {
        if (found.has(message.conversation)) return;
        const at = message.content.toLowerCase().indexOf(wanted);
        if (at < 0) return;
        const from = Math.max(0, at - 24);
        const piece = message.content.slice(from, at + wanted.length + 60).replace(/\s+/g, " ");
        found.set(message.conversation, (from > 0 ? "…" : "") + piece);
    };
    if (!database) {
        memory.messages.forEach(look);
    } else {
        await transact(["messages"], "readonly", (tx) => {
            const request = tx.objectStore("messages").openCursor();
            request.onsuccess = () => {
                const cursor = request.result;
                if (!cursor || stopped()) return;
                look(cursor.value);
                cursor.continue();
            };
        });
    }
    return [...found].map(([conversation, snippet]) => ({ conversation, snippet }));
}
