/* tree.ts: the messages of a conversation as a tree. Every message knows the one before it; messages with the same one
 * before are branches. What is shown is the path from the first message to the conversation's leaf. */
import type { Message } from "./types";

export type Messages = ReadonlyMap<string, Message>;

const byAge = (a: Message, b: Message) => a.created - b.created || (a.id < b.id ? -1 : 1);

export function branches(messages: Messages, parent: string | null): Message[] {
    return [...messages.values()].filter((message) => message.parent === parent).sort(byAge);
}

/* From the first message to leaf; the empty path when leaf is not there. */
export function pathTo(messages: Messages, leaf: string | null): Message[] {
    const path: Message[] = [];
    const seen = new Set<string>();
    for (let at = leaf ? messages.get(leaf) : undefined; at && !seen.has(at.id);
         at = at.parent ? messages.get(at.parent) : undefined) {
        seen.add(at.id);
        path.push(at);
    }
    return path.reverse();
}

/* The end of the newest branch below a message. */
export function newestLeaf(messages: Messages, id: string): string {
    for (let below = branches(messages, id); below.length; below = branches(messages, id)) {
        id = below[below.length - 1]!.id;
    }
    return id;
}

/* The branches at each place of a path, found in one pass. */
export function branchesAlong(messages: Messages, path: Message[]): Message[][] {
    const wanted = new Map<string | null, Message[]>(path.map((message) => [message.parent, []]));
    for (const message of messages.values()) wanted.get(message.parent)?.push(message);
    return path.map((message) => wanted.get(message.parent)!.sort(byAge));
}
