/* count.mjs: a reporter for node --test that says in one line how many tests passed, failed and were left out. */
export default async function* count(events) {
    const n = { passed: 0, failed: 0, skipped: 0 };
    for await (const { type, data } of events) {
        if (data?.details?.type === "suite" || data?.nesting) continue;
        if (type === "test:pass") n[data.skip !== undefined ? "skipped" : "passed"]++;
        if (type === "test:fail") n.failed++;
    }
    yield `${n.passed} passed, ${n.failed} failed, ${n.skipped} skipped`;
}
