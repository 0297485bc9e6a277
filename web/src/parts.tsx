/* parts.tsx: what several views are made of: icon buttons, menus, dialogs, toasts. */
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "./icons";
import { dismiss, useStore } from "./store";

interface IconButtonProps {
    icon: IconName;
    label: string;
    onClick?: (event: MouseEvent) => void;
    pressed?: boolean;
    disabled?: boolean;
    class?: string;
}

/* The label is its name for screen readers and what is shown on hover. */
export function IconButton({ icon, label, onClick, pressed, disabled, class: more }: IconButtonProps) {
    return (
        <button type="button" class={`icon-button ${more ?? ""}`} aria-label={label} title={label} onClick={onClick}
                aria-pressed={pressed} disabled={disabled}>
            <Icon name={icon} />
        </button>
    );
}

export interface MenuItem {
    label: string;
    icon: IconName;
    run: () => void;
    bad?: boolean;
}

/* A button with a menu: arrow keys, Home, End and Escape work, and focus comes back to the button. */
export function Menu({ label, icon, items }: { label: string; icon: IconName; items: MenuItem[] }) {
    const [place, setPlace] = useState<{ top: number; left: number } | null>(null);
    const button = useRef<HTMLButtonElement>(null), list = useRef<HTMLDivElement>(null);
    const options = () => [...(list.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
    const close = (focus: boolean) => {
        setPlace(null);
        if (focus) button.current?.focus();
    };
    const show = () => {
        const { bottom, top, right } = button.current!.getBoundingClientRect();
        const height = 44 * items.length + 12;
        setPlace({ left: Math.max(8, Math.min(right - 190, innerWidth - 198)),
                   top: bottom + height > innerHeight ? Math.max(8, top - height) : bottom + 4 });
    };
    useLayoutEffect(() => {
        if (!place) return;
        options()[0]?.focus();
        const outside = (event: Event) => {
            if (!list.current?.contains(event.target as Node) && !button.current?.contains(event.target as Node)) {
                close(false);
            }
        };
        document.addEventListener("pointerdown", outside);
        window.addEventListener("resize", outside);
        return () => {
            document.removeEventListener("pointerdown", outside);
            window.removeEventListener("resize", outside);
        };
    }, [place]);
    const onKey = (event: KeyboardEvent) => {
        const all = options(), at = all.indexOf(document.activeElement as HTMLElement);
        const to: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 };
        if (event.key === "Escape") close(true);
        else if (event.key === "Tab") close(false);
        else if (event.key in to) all[(to[event.key]! + all.length) % all.length]?.focus();
        else return;
        if (event.key !== "Tab") {
            event.preventDefault();
            event.stopPropagation();
        }
    };
    return (
        <>
            <button ref={button} type="button" class="icon-button menu-button" aria-label={label} title={label}
                    aria-haspopup="menu" aria-expanded={place !== null} onClick={() => (place ? close(true) : show())}>
                <Icon name={icon} />
            </button>
            {place && (
                <div ref={list} class="menu" role="menu" aria-label={label} onKeyDown={onKey}
                     style={{ top: `${place.top}px`, left: `${place.left}px` }}>
                    {items.map((item) => (
                        <button type="button" role="menuitem" tabIndex={-1} class={item.bad ? "bad" : ""}
                                onClick={() => (close(true), item.run())}>
                            <Icon name={item.icon} /> {item.label}
                        </button>
                    ))}
                </div>
            )}
        </>
    );
}

/* A modal dialog: the browser keeps the focus inside and gives it back. */
export function Dialog({ title, onClose, children, class: more }: {
    title: string; onClose: () => void; children: ComponentChildren; class?: string;
}) {
    const dialog = useRef<HTMLDialogElement>(null), pressedOutside = useRef(false);
    useLayoutEffect(() => {
        const element = dialog.current!, before = document.activeElement as HTMLElement | null;
        element.showModal();
        return () => {
            if (element.open) element.close();
            before?.focus?.();
        };
    }, []);
    return (
        <dialog ref={dialog} class={more} aria-labelledby="dialog-title" onCancel={(event) => {
                    event.preventDefault();
                    onClose();
                }} onPointerDown={(event) => (pressedOutside.current = event.target === dialog.current)}
                onClick={(event) => event.target === dialog.current && pressedOutside.current && onClose()}>
            <div class="dialog-head">
                <h2 id="dialog-title">{title}</h2>
                <IconButton icon="close" label="Close" onClick={onClose} />
            </div>
            <div class="dialog-body">{children}</div>
        </dialog>
    );
}

export function Toasts() {
    const toasts = useStore((state) => state.toasts);
    return (
        <div class="toasts" role="status">
            {toasts.map((one) => (
                <div key={one.id} class={`toast ${one.bad ? "bad" : ""}`}>
                    <span>{one.text}</span>
                    {one.action && (
                        <button type="button" onClick={() => (dismiss(one.id), one.action!.run())}>
                            {one.action.label}
                        </button>
                    )}
                    <IconButton icon="close" label="Dismiss" onClick={() => dismiss(one.id)} />
                </div>
            ))}
        </div>
    );
}

/* Sentences for screen readers, one after the other; an unchanged one is not read twice. */
export function Speaker() {
    const spoken = useStore((state) => state.spoken);
    return <div class="unseen" aria-live="polite" aria-atomic="true" id="speaker">{spoken}</div>;
}

/* Also where the clipboard is not to be had, as on http:// from another machine. */
export async function copyText(text: string): Promise<boolean> {
    try {
        await navigator.clipboard.writeText(text);
        return true;
    } catch {
        const area = Object.assign(document.createElement("textarea"), { value: text, readOnly: true });
        area.className = "unseen";
        const before = document.activeElement as HTMLElement | null;
        document.body.append(area);
        area.select();
        const done = document.execCommand("copy");
        area.remove();
        before?.focus();
        return done;
    }
}
