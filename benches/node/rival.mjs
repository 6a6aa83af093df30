// The task in JavaScript: eventsource-parser and JSON, by calls and as a pipeline of web streams.
//
// Takes commands as lines of JSON and answers each with one line:
//   {"load": key, "file": path, "sizes": [...], "task": name}   the chunks of a workload
//   {"time": key, "how": "calls" | "pipeline", "passes": n}     nanoseconds of each pass, after one that warms up
//   {"output": key, "how": ...}                                 what comes out, for the check

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createParser } from "eventsource-parser";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { TASKS } from "./tasks.mjs";

const workloads = new Map();

function emit(edit, { event, data }) {
  if (data !== "[DONE]") {
    const value = JSON.parse(data);
    edit(value);
    data = JSON.stringify(value);
  }
  return event === undefined ? `data: ${data}\n\n` : `event: ${event}\ndata: ${data}\n\n`;
}

const HOW = {
  async calls({ chunks, edit }, keep) {
    const decoder = new TextDecoder();
    const encoder = new TextEncoder();
    let out = "";
    const parser = createParser({ onEvent: (event) => (out += emit(edit, event)) });
    for (const chunk of chunks) {
      out = "";
      parser.feed(decoder.decode(chunk, { stream: true }));
      const bytes = encoder.encode(out);
      keep?.push(bytes);
    }
  },
  async pipeline({ chunks, edit }, keep) {
    let next = 0;
    const source = new ReadableStream({
      pull(controller) {
        if (next < chunks.length) controller.enqueue(chunks[next++]);
        else controller.close();
      },
    });
    const edited = new TransformStream({ transform: (event, controller) => controller.enqueue(emit(edit, event)) });
    const out = source
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream())
      .pipeThrough(edited)
      .pipeThrough(new TextEncoderStream());
    for await (const chunk of out) keep?.push(chunk);
  },
};

const COMMANDS = {
  load({ load, file, sizes, task }) {
    const body = readFileSync(file);
    let at = 0;
    const chunks = sizes.map((size) => Uint8Array.from(body.subarray(at, (at += size))));
    workloads.set(load, { chunks, edit: TASKS[task] });
    return chunks.length;
  },
  async time({ time, how, passes }) {
    const workload = workloads.get(time);
    const times = [];
    for (let pass = 0; pass <= passes; pass++) {
      const wall = process.hrtime.bigint();
      const cpu = process.cpuUsage();
      await HOW[how](workload);
      const spent = process.cpuUsage(cpu);
      // The process's CPU time counts helper threads, the wall clock other processes: the kinder one.
      times.push(Math.min(Number(process.hrtime.bigint() - wall), (spent.user + spent.system) * 1000));
    }
    return times.slice(1);
  },
  async output({ output, how }) {
    const keep = [];
    await HOW[how](workloads.get(output), keep);
    return Buffer.concat(keep).toString("base64");
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  const name = Object.keys(COMMANDS).find((key) => key in command);
  console.log(JSON.stringify(await COMMANDS[name](command)));
}
