// Follows a job by its server-sent events, over lost connections, until its end.
// Not by EventSource, which cannot send a key.

import { ask, isPassing, pause, request, Unreachable } from "./service.js";
import { slot } from "./slots.js";

const LOOK_MS = 2000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
// The service says something every 15 s; where it does not, the connection is dead.
const SILENCE_MS = 40_000;

const ENDED = ["succeeded", "failed", "canceled", "expired"];

/** Whether nothing will happen to the job any more. */
export const hasEnded = (job) => ENDED.includes(job.status);

/**
 * Tells `on(name, data)` of every event, the last of which is "end". `onLost(error)` is told when
 * the connection is lost, and `onLost(null)` when there is one again.
 * Throws the Problem where the job cannot be followed any more.
 */
export async function follow(jobId, on, onLost, signal) {
  let lastId = null;
  let losses = 0;
  const told = ({ id, name, data }) => {
    on(name, data);
    lastId = id ?? lastId;
    return name === "end";
  };
  const found = () => {
    if (losses) onLost(null);
    losses = 0;
  };
  while (!signal.aborted) {
    await seen();
    try {
      for await (const event of news(jobId, lastId, found, signal)) if (told(event)) return;
      throw new Unreachable();
    } catch (error) {
      if (signal.aborted) return;
      if (!isPassing(error)) throw error;
      if (document.hidden) continue;
      onLost(error);
    }
    await pause(Math.min(FIRST_PAUSE_MS * 2 ** losses++, LONGEST_PAUSE_MS), signal);
  }
}

/** How the job stands, again and again, until there is a connection for its events. */
async function* news(jobId, lastId, onFound, signal) {
  let release = await slot();
  while (!release) {
    yield await look(jobId, signal);
    onFound();
    await pause(LOOK_MS, signal);
    await seen();
    release = await slot();
  }
  try {
    yield* events(jobId, lastId, onFound, signal);
  } finally {
    release();
  }
}

async function look(jobId, signal) {
  const job = await ask(`jobs/${jobId}`, { signal });
  return { name: hasEnded(job) ? "end" : "state", data: job };
}

/** The events of one connection, those after `lastId`. A page that no one sees has none. */
async function* events(jobId, lastId, onFound, signal) {
  const connection = new AbortController();
  const end = () => connection.abort(new Unreachable());
  const endUnseen = () => document.hidden && end();
  signal.addEventListener("abort", end);
  document.addEventListener("visibilitychange", endUnseen);
  endUnseen();
  try {
    signal.throwIfAborted();
    const headers = lastId === null ? {} : { "Last-Event-ID": lastId };
    const options = { headers, signal: connection.signal };
    const answer = await request(`jobs/${jobId}/events`, options);
    onFound();
    if (answer.status === 204) yield await look(jobId, connection.signal);
    else yield* parsed(answer.body, end);
  } finally {
    end();
    signal.removeEventListener("abort", end);
    document.removeEventListener("visibilitychange", endUnseen);
  }
}

/** The events of a stream, whose lines end with a line feed, as ours do. */
async function* parsed(stream, onSilence) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const silence = setTimeout(onSilence, SILENCE_MS);
    const { value, done } = await reader
      .read()
      .catch(() => Promise.reject(new Unreachable()))
      .finally(() => clearTimeout(silence));
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    yield* blocks.map(event).filter(({ data }) => data !== undefined);
  }
}

function event(block) {
  const fields = { event: "message" };
  for (const line of block.split("\n")) {
    const [, name, value] = /^(\w*): ?(.*)$/.exec(line) ?? [];
    if (name === "data" && fields.data !== undefined) fields.data += `\n${value}`;
    else if (name) fields[name] = value;
  }
  const data = fields.data === undefined ? undefined : JSON.parse(fields.data);
  return { id: fields.id, name: fields.event, data };
}

/** Resolves when someone can see the page. */
async function seen() {
  while (document.hidden) {
    await new Promise((resolve) =>
      document.addEventListener("visibilitychange", resolve, { once: true }),
    );
  }
}
