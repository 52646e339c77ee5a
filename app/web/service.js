// Speaks to the service: requests with the API key, problems as errors. Knows nothing of the page.
// Every URL is relative to the page's own, so that it holds behind any proxy and prefix.

const KEY = "imagen-api-key";
const KEY_FORM = /^[!-~]+$/;
const WORTH_WAITING_S = 2;
const LONGEST_ANSWER_S = 20;

/** The service has refused, as RFC 9457 has it. */
export class Problem extends Error {
  constructor(status, told, retryAfterS) {
    super(told.detail ?? `The service answered with status ${status}`);
    this.status = status;
    this.remedy = told.remedy;
    this.errors = told.errors ?? [];
    this.retryAfterS = retryAfterS;
  }
}

/** No answer came. */
export class Unreachable extends Error {
  constructor(message = "The service cannot be reached") {
    super(message);
    this.remedy = "check your network, and that the service runs";
  }
}

/** Whether a header can carry it. */
export const isKey = (text) => KEY_FORM.test(text);

let keyNow = inStorage((storage) => storage.getItem(KEY));
if (!isKey(keyNow ?? "")) keyNow = null;

/** What this tab sends, whatever key another tab has; the next visit begins with it. */
export const key = {
  get: () => keyNow,
  set(value) {
    keyNow = value;
    inStorage((storage) => storage.setItem(KEY, value));
  },
  forget() {
    keyNow = null;
    inStorage((storage) => storage.removeItem(KEY));
  },
};

/** Undefined where the browser lets a page keep nothing. */
function inStorage(act) {
  try {
    return act(localStorage);
  } catch {
    return undefined;
  }
}

let askForKey = () => Promise.resolve(false);

/** `ask(why)` shall resolve to whether there is another key now. */
export function whenKeyIsNeeded(ask) {
  askForKey = ask;
}

/**
 * The answer, of any status below 400; it has come as a whole within `longestS`, if that is given.
 * Throws Problem, Unreachable, or the signal's AbortError.
 */
export async function request(path, { longestS, ...options } = {}) {
  for (;;) {
    const sentKey = key.get();
    const answer = await send(path, { ...options, signal: limited(options.signal, longestS) });
    if (answer.ok) return answer;
    const problem = await read(answer);
    if (problem.status !== 401) throw problem;
    if (key.get() === sentKey && !(await askForKey(problem))) throw problem;
  }
}

/** The same, as JSON. */
export async function ask(path, options) {
  const answer = await request(path, { longestS: LONGEST_ANSWER_S, ...options });
  try {
    return await answer.json();
  } catch (error) {
    throw lost(error);
  }
}

/** Asks until there is an answer that can be worked with; `tell` is told of the failures. */
export async function askUntilThere(path, tell, signal) {
  for (;;) {
    try {
      return await ask(path, { signal });
    } catch (error) {
      if (!isPassing(error)) throw error;
      tell(error);
      await pause((error.retryAfterS ?? WORTH_WAITING_S) * 1000, signal);
    }
  }
}

/** Whether it is worth trying again. */
export function isPassing(error) {
  return error instanceof Unreachable || error.status >= 500 || error.status === 429;
}

export function isAbort(error) {
  return error.name === "AbortError";
}

/** Resolves after a while, or at once when the signal is given. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

/** Where a picture is, for this page: what the answer says may be another name of the service. */
export const pictureUrl = (jobId, index) => `images/${jobId}/${index}.png`;

async function send(path, { headers, ...options }) {
  const sent = new Headers(headers);
  if (key.get()) sent.set("Authorization", `Bearer ${key.get()}`);
  if (options.body !== undefined) sent.set("Content-Type", "application/json");
  try {
    return await fetch(path, { ...options, headers: sent, cache: "no-store" });
  } catch (error) {
    throw lost(error);
  }
}

function limited(signal, longestS) {
  if (!longestS) return signal;
  const limit = AbortSignal.timeout(1000 * longestS);
  return signal ? AbortSignal.any([signal, limit]) : limit;
}

/** What it means that there is no answer. */
function lost(error) {
  if (isAbort(error)) return error;
  const isLate = error.name === "TimeoutError";
  return new Unreachable(isLate ? "The service has not answered for too long" : undefined);
}

async function read(answer) {
  const told = await answer.json().catch(() => ({})); // a proxy's word has another form
  return new Problem(answer.status, told, Number(answer.headers.get("Retry-After")) || undefined);
}
