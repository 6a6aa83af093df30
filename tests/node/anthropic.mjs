// Anthropic's SDK.

import Anthropic from "@anthropic-ai/sdk";

import { HELLO, NAMED, PARAMETERS } from "./asked.mjs";

export function messages(url) {
  const client = new Anthropic({ baseURL: url, apiKey: "k", maxRetries: 0 });
  const asked = { model: "fast", max_tokens: 100, messages: HELLO, tools: [{ ...NAMED, input_schema: PARAMETERS }] };
  return async ({ stream, leaves }, told) => {
    let answer;
    if (stream) {
      const leaving = new AbortController();
      const events = client.messages.stream(asked, { signal: leaving.signal });
      events.on("text", (piece) => {
        told.pieces.push(piece);
        if (leaves) leaving.abort();
      });
      answer = await events.finalMessage();
    } else {
      answer = await client.messages.create(asked);
    }
    told.model = answer.model;
    told.usage = [answer.usage.input_tokens, answer.usage.output_tokens];
    for (const part of answer.content) {
      if (part.type === "thinking") told.thoughts += part.thinking;
      if (part.type === "text") told.text += part.text;
      if (part.type === "tool_use") told.tools.push([part.name, part.input]);
    }
  };
}
