/* icons.tsx: small line drawings, 20 by 20, in the colour of the text around them. */

const paths = {
    menu: "M3 5h14M3 10h14M3 15h14",
    sidebar: "M4 3.5h12a1.5 1.5 0 0 1 1.5 1.5v10a1.5 1.5 0 0 1-1.5 1.5H4A1.5 1.5 0 0 1 2.5 15V5A1.5 1.5 0 0 1 4 3.5zM7.5 3.5v13",
    plus: "M10 4v12M4 10h12",
    search: "M9 15a6 6 0 1 0 0-12 6 6 0 0 0 0 12zM13.5 13.5 17 17",
    more: "M4.5 10h.01M10 10h.01M15.5 10h.01",
    send: "M10 16V4M4.5 9.5 10 4l5.5 5.5",
    stop: "M6 6h8v8H6z",
    copy: "M7.5 7.5h8v9h-8zM12.5 7.5v-4h-8v9h3",
    check: "M4 10.5 8 14.5 16 5.5",
    edit: "M12.5 4.5 15.5 7.5 7 16H4v-3zM11 6l3 3",
    again: "M4 10a6 6 0 0 1 10.5-4L16 7.5M16 3.5v4h-4M16 10a6 6 0 0 1-10.5 4L4 12.5M4 16.5v-4h4",
    next: "M8 5l5 5-5 5",
    previous: "M12 5 7 10l5 5",
    forward: "M4 5l6 5-6 5zM11 5l6 5-6 5z",
    chart: "M4 16V9M8 16V4M12 16v-5M16 16V7",
    sliders: "M3 6h7M14 6h3M3 14h3M10 14h7M12 4v4M8 12v4",
    clip: "M15.5 9.5 9.8 15.2a3.6 3.6 0 0 1-5-5l6-6a2.4 2.4 0 0 1 3.4 3.4l-6 6a1.2 1.2 0 0 1-1.7-1.7l5.5-5.5",
    close: "M5 5l10 10M15 5 5 15",
    down: "M10 4v12M5 11l5 5 5-5",
    warning: "M10 3.5 17.5 16.5h-15zM10 8.5v3.5M10 14.3v.01",
    file: "M5 2.5h6l4 4v11H5zM11 2.5v4h4",
    fold: "M5 8l5 5 5-5",
    key: "M8 12a4 4 0 1 1 3.5-2L17 15.5V17h-2.5v-2h-2v-2l-1.5-1.4",
    sun: "M10 13.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM10 1.5v2M10 16.5v2M1.5 10h2M16.5 10h2M4 4l1.4 1.4M14.6 14.6 16 16M4 16l1.4-1.4M14.6 5.4 16 4",
    moon: "M16.5 12A7 7 0 0 1 8 3.5 7 7 0 1 0 16.5 12z",
    half: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM10 3v14M10 6h5.5M10 9h6.9M10 12h6.7M10 15h4.5",
};

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
    return (
        <svg class={`icon icon-${name}`} viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false">
            <path d={paths[name]} />
        </svg>
    );
}
