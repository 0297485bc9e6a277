/* store.ts: the state of the page: one object, replaced by every change, and a hook that shows parts of it. */
import { useLayoutEffect, useReducer, useRef } from "preact/hooks";
import type { Found } from "./db";
import type { Condition, Facts } from "./server";
import type { Messages } from "./tree";
import type { Conversation, Settings, Theme } from "./types";

/* An answer under way. */
export interface Run {
    message: string;
    phase: "waiting" | "writing" | "busy"; /* busy: the server is, and is asked again at retryAt */
    retryAt?: number;
}

export interface Toast {
    id: number;
    text: string;
    action?: { label: string; run: () => void };
    bad?: boolean;
}

export interface State {
    ready: boolean;
    conversations: Conversation[]; /* newest first */
    current: Conversation | null; /* null: a new one that has no message yet */
    draftSettings: Settings; /* of that new one */
    messages: Messages; /* of the current conversation */
    runs: ReadonlyMap<string, Run>; /* by conversation */
    defaults: Settings; /* of all conversations */
    theme: Theme;
    sidebar: boolean;
    search: string;
    found: Found[] | null; /* in the texts; null while nothing is searched */
    facts: Facts | null;
    condition: Condition;
    dialog: "" | "settings" | "facts" | "key" | "keys" | "licenses";
    toasts: Toast[];
    spoken: string; /* for screen readers */
}

let state: State = {
    ready: false, conversations: [], current: null, draftSettings: {}, messages: new Map(), runs: new Map(),
    defaults: {}, theme: "auto", sidebar: matchMedia("(min-width: 800px)").matches, search: "", found: null, facts: null,
    condition: "ready", dialog: "", toasts: [], spoken: "",
};

const listeners = new Set<() => void>();

export const get = (): State => state;

export function set(change: Partial<State>): void {
    state = { ...state, ...change };
    for (const listener of [...listeners]) listener();
}

/* What select gives of the state; the component is shown again when that is another value. */
export function useStore<T>(select: (state: State) => T): T {
    const [, again] = useReducer((n: number) => n + 1, 0);
    const value = select(state);
    const shown = useRef({ select, value });
    shown.current = { select, value };
    useLayoutEffect(() => {
        const check = () => {
            if (!Object.is(shown.current.select(state), shown.current.value)) again(0);
        };
        listeners.add(check);
        check();
        return () => void listeners.delete(check);
    }, []);
    return value;
}

let toastNumber = 0;

export function toast(text: string, options: Omit<Toast, "id" | "text"> & { ms?: number } = {}): void {
    const { ms = options.action ? 10_000 : 5_000, ...rest } = options;
    const id = ++toastNumber;
    set({ toasts: [...state.toasts.slice(-2), { id, text, ...rest }] });
    setTimeout(() => dismiss(id), ms);
}

export const dismiss = (id: number): void => set({ toasts: state.toasts.filter((one) => one.id !== id) });

/* Reads it to who cannot see it, after what is being read. */
export const speak = (text: string): void => set({ spoken: text });
