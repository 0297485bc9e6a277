/* browser.mjs: one Chromium for all page tests, and a page that reports what it should not do. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
               "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--mute-audio"];

export async function startBrowser() {
    const home = mkdtempSync(join(tmpdir(), "puna-chromium-"));
    const browser = await chromium.launch({
        executablePath: process.env.PUNA_CHROMIUM ?? "/usr/bin/chromium", headless: true, args: FLAGS,
        env: { ...process.env, HOME: home },
    });
    return {
        browser,
        async stop() {
            await browser.close();
            rmSync(home, { recursive: true, force: true });
        },
    };
}

/* A fresh profile with the page open. page.bad collects breaches of the Content-Security-Policy, script errors and
 * requests to anywhere but the server. */
export async function openPage(browser, url, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1100, height: 800 }, acceptDownloads: true,
                                               permissions: ["clipboard-read", "clipboard-write"], ...options });
    context.setDefaultTimeout(8000);
    const page = await context.newPage();
    page.bad = [];
    page.on("pageerror", (error) => page.bad.push(`error: ${error.message}`));
    page.on("console", (message) => {
        if (/Content Security Policy|TrustedHTML|Refused to/.test(message.text())) page.bad.push(message.text());
    });
    page.on("request", (request) => {
        const ours = [url, "data:", "blob:"].some((start) => request.url().startsWith(start));
        if (!ours) page.bad.push(`request: ${request.url()}`);
    });
    page.on("dialog", (dialog) => {
        page.bad.push(`dialog: ${dialog.message()}`);
        void dialog.dismiss();
    });
    await page.goto(url);
    await page.waitForSelector("#composer");
    return page;
}

export async function say(page, text) {
    await page.fill("#composer", text);
    await page.press("#composer", "Enter");
}

/* Until the answer under way is complete. */
export const answered = (page) => page.waitForSelector("button[aria-label='Send']");

export const lastAnswer = (page) => page.locator("article.assistant").last();
