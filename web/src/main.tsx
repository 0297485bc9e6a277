/* main.tsx: the page: a list of conversations, the one that is shown, and the keyboard. */
import { render } from "preact";
import * as actions from "./actions";
import { isAnswering, stop } from "./chat";
import { ConversationView } from "./conversation";
import { Speaker, Toasts } from "./parts";
import { Dialogs } from "./settings";
import { Sidebar } from "./sidebar";
import { get, set, useStore } from "./store";

function Page() {
    const ready = useStore((state) => state.ready);
    const sidebar = useStore((state) => state.sidebar);
    if (!ready) return null;
    return (
        <div class={`page ${sidebar ? "with-sidebar" : ""}`}>
            <Sidebar />
            <ConversationView />
            <Dialogs />
            <Toasts />
            <Speaker />
        </div>
    );
}

function openSearch(): void {
    set({ sidebar: true });
    setTimeout(() => document.querySelector<HTMLInputElement>("#search")?.select(), 0);
}

function onKey(event: KeyboardEvent): void {
    const control = event.ctrlKey || event.metaKey, key = event.key.toLowerCase();
    const typing = (event.target as HTMLElement).closest?.("input, textarea, select") !== null;
    if (get().dialog) return;
    if (event.key === "Escape" && isAnswering()) stop();
    else if (event.key === "Escape" && get().sidebar && !matchMedia("(min-width: 800px)").matches) set({ sidebar: false });
    else if (control && event.shiftKey && key === "o") actions.begin();
    else if (control && !event.shiftKey && key === "k") openSearch();
    else if (control && !event.shiftKey && key === "b") set({ sidebar: !get().sidebar });
    else if (control && key === ",") set({ dialog: "settings" });
    else if (event.key === "/" && !typing) actions.focusComposer();
    else if (event.key === "?" && !typing) set({ dialog: "keys" });
    else return;
    event.preventDefault();
}

document.addEventListener("keydown", onKey);
render(<Page />, document.getElementById("app")!);
void actions.start();
