// OpenAI's SDK: chat completions and responses.

import OpenAI from "openai";

import { FUNCTION, HELLO } from "./asked.mjs";

const clientFor = (url) => new OpenAI({ baseURL: `${url}/v1`, apiKey: "k", maxRetries: 0 });

export function chat(url) {
  const client = clientFor(url);
  const asked = { model: "fast", messages: HELLO, tools: [{ type: "function", function: FUNCTION }] };
  return async ({ stream, leaves }, told) => {
    let answer;
    if (stream) {
      const events = client.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
      for await (const chunk of events) {
        const { content: piece, reasoning_content: thought } = chunk.choices[0]?.delta ?? {};
        if (thought) told.thoughts += thought; // the SDK does not put together what OpenAI does not send
        if (piece) told.pieces.push(piece);
        if (piece && leaves) return; // which leaves the loop, and with it the stream
      }
      answer = await events.finalChatCompletion();
    } else {
      answer = await client.chat.completions.create(asked);
    }
    const { message } = answer.choices[0];
    told.text = message.content ?? "";
    told.thoughts ||= message.reasoning_content ?? "";
    told.tools = (message.tool_calls ?? []).map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
    told.model = answer.model;
    told.usage = [answer.usage.prompt_tokens, answer.usage.completion_tokens];
  };
}

export function responses(url) {
  const client = clientFor(url);
  const asked = { model: "fast", input: "hello", tools: [{ type: "function", ...FUNCTION }] };
  return async ({ stream, leaves }, told) => {
    let answer;
    if (stream) {
      const events = client.responses.stream(asked);
      events.on("response.output_text.delta", (event) => {
        told.pieces.push(event.delta);
        if (leaves) events.abort();
      });
      answer = await events.finalResponse();
    } else {
      answer = await client.responses.create(asked);
    }
    told.text = answer.output_text;
    told.model = answer.model;
    told.usage = [answer.usage.input_tokens, answer.usage.output_tokens];
    for (const item of answer.output) {
      if (item.type === "reasoning") told.thoughts += item.summary.map((part) => part.text).join("");
      if (item.type === "function_call") told.tools.push([item.name, JSON.parse(item.arguments)]);
    }
  };
}
