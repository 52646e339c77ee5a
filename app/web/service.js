// Speaks to the service: requests with the API key, problems as errors. Knows nothing of the page.
// Every URL is relative to the page's own, so that it holds behind any proxy and prefix.

const KEY = "imagen-api-key";
const WORTH_WAITING_S = 2;

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
  constructor() {
    super("The service cannot be reached");
    this.remedy = "check your network, and that the service runs";
  }
}

export const key = {
  get: () => localStorage.getItem(KEY),
  set: (value) => localStorage.setItem(KEY, value),
  forget: () => localStorage.removeItem(KEY),
};

let askForKey = () => Promise.resolve(false);

/** `ask(why)` shall resolve to whether there is another key now. */
export function whenKeyIsNeeded(ask) {
  askForKey = ask;
}

/** The answer, of any status below 400. Throws Problem, Unreachable, or the signal's AbortError. */
export async function request(path, { method = "GET", body, headers = {}, signal } = {}) {
  for (;;) {
    const answer = await send(path, method, body, headers, signal);
    if (answer.ok) return answer;
    const problem = await read(answer);
    if (problem.status !== 401 || !(await askForKey(problem))) throw problem;
  }
}

/** The same, as JSON. */
export async function ask(path, options) {
  const answer = await request(path, options);
  try {
    return await answer.json();
  } catch (error) {
    throw isAbort(error) ? error : new Unreachable();
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

async function send(path, method, body, headers, signal) {
  const sent = new Headers(headers);
  if (key.get()) sent.set("Authorization", `Bearer ${key.get()}`);
  if (body !== undefined) sent.set("Content-Type", "application/json");
  try {
    return await fetch(path, { method, body, headers: sent, signal, cache: "no-store" });
  } catch (error) {
    throw isAbort(error) ? error : new Unreachable();
  }
}

async function read(answer) {
  const told = await answer.json().catch(() => ({})); // a proxy's word has another form
  return new Problem(answer.status, told, Number(answer.headers.get("Retry-After")) || undefined);
}
