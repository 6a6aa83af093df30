// Vercel's SDK, for a server that is compatible with OpenAI's.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, streamText, tool } from "ai";

import { NAMED, PARAMETERS } from "./asked.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

export function ai(url) {
  const provider = createOpenAICompatible({ name: "gateway", baseURL: `${url}/v1`, apiKey: "k", includeUsage: true });
  const get_weather = tool({ description: NAMED.description, inputSchema: jsonSchema(PARAMETERS) });
  const asked = { model: provider("fast"), prompt: "hello", tools: { get_weather }, maxRetries: 0 };
  return async ({ stream, leaves }, told) => {
    let answer;
    if (stream) {
      const leaving = new AbortController();
      answer = streamText({ ...asked, abortSignal: leaving.signal, onError: () => {} });
      for await (const part of answer.fullStream) {
        if (part.type === "error") throw part.error;
        if (part.type !== "text-delta") continue;
        told.pieces.push(part.text);
        if (leaves) leaving.abort();
      }
    } else {
      answer = await generateText(asked);
    }
    told.text = await answer.text;
    told.thoughts = (await answer.reasoningText) ?? "";
    told.tools = (await answer.toolCalls).map((call) => [call.toolName, call.input]);
    told.model = (await answer.response).modelId;
    const usage = await answer.usage;
    told.usage = [usage.inputTokens, usage.outputTokens];
  };
}
