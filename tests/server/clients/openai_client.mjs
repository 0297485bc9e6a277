// The openai package of npm against a server: prints one JSON object of what it saw. node openai_client.mjs BASE_URL
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const ask = { model: "any", temperature: 0, max_tokens: 12, messages: [{ role: "user", content: "the end" }] };
const found = {};

found.models = (await client.models.list()).data.length;
found.said = (await client.chat.completions.create(ask)).choices[0].message.content;

found.streamed = "";
for await (const chunk of await client.chat.completions.create({ ...ask, stream: true }))
    found.streamed += chunk.choices[0]?.delta?.content ?? "";

const parameters = {
    type: "object",
    properties: { days: { enum: [1, 2, 3] } },
    required: ["days"],
    additionalProperties: false,
};
const tools = [{ type: "function", function: { name: "weather", parameters } }];
const called = client.chat.completions.stream({ ...ask, max_tokens: 200, tools, tool_choice: "required" });
found.arguments = JSON.parse((await called.finalChatCompletion()).choices[0].message.tool_calls[0].function.arguments);

const how = { model: "any", input: "the end", temperature: 0, max_output_tokens: 12 };
found.response = (await client.responses.create(how)).output_text;
found.responseStreamed = (await client.responses.stream(how).finalResponse()).output[0].content[0].text;

found.embedding = (await client.embeddings.create({ model: "any", input: "the end" })).data[0].embedding.length;

try {
    await client.chat.completions.create({ ...ask, temperature: "hot" });
} catch (error) {
    found.error = { status: error.status, param: error.param, type: error.type };
}

const controller = new AbortController();
const long = { ...ask, max_tokens: 400, ignore_eos: true, stream: true };
const stream = await client.chat.completions.create(long, { signal: controller.signal });
for await (const chunk of stream) {
    if (chunk) controller.abort();
}
found.aborted = controller.signal.aborted;

console.log(JSON.stringify(found));
