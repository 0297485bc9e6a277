/* sse.ts: reads a text/event-stream, cut into pieces at any place (HTML standard, section 9.2.6).
 *
 * Lines end with LF, CR or CRLF; an empty line sends the event off; lines that begin with a colon are comments. An
 * event that the stream breaks off is dropped. A line of more than 32 MB is refused. */

export interface ServerEvent {
    event: string;
    data: string;
}

const MAX_LINE = 32 << 20;

export class EventReader {
    private line = "";
    private data: string[] = [];
    private event = "";
    private afterCr = false;
    private decoder = new TextDecoder();

    constructor(private emit: (event: ServerEvent) => void) {}

    pushBytes(bytes: Uint8Array): void {
        this.push(this.decoder.decode(bytes, { stream: true }));
    }

    push(text: string): void {
        if (text === "") return;
        let start = this.afterCr && text[0] === "\n" ? 1 : 0;
        this.afterCr = text.endsWith("\r");
        const ends = /\r\n|\r|\n/g;
        ends.lastIndex = start;
        for (let end = ends.exec(text); end; end = ends.exec(text)) {
            this.finishLine(this.line + text.slice(start, end.index));
            this.line = "";
            start = ends.lastIndex;
        }
        this.line += text.slice(start);
        if (this.line.length > MAX_LINE) throw new Error("the answer has a line that is too long");
    }

    private finishLine(line: string): void {
        if (line === "") {
            if (this.data.length) this.emit({ event: this.event || "message", data: this.data.join("\n") });
            this.data = [];
            this.event = "";
            return;
        }
        const colon = line.indexOf(":");
        if (colon === 0) return;
        const field = colon < 0 ? line : line.slice(0, colon);
        let value = colon < 0 ? "" : line.slice(colon + 1);
        if (value[0] === " ") value = value.slice(1);
        if (field === "data") this.data.push(value);
        else if (field === "event") this.event = value;
    }
}
