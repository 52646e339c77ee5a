// How many event streams there may be at once, so that a browser always has a connection for more:
// it opens six to a host, for all its tabs together. Knows nothing of what they are for.

const SHARED = ["imagen-events-1", "imagen-events-2", "imagen-events-3"];

let hasOwn = false;

/** Takes one of those that all tabs share: what gives it back, or null where none is free. */
export async function slot() {
  // Without TLS, or where a page may keep nothing, tabs cannot know of each other.
  if (!navigator.locks) return own();
  try {
    for (const name of SHARED) {
      const release = await lock(name);
      if (release) return release;
    }
    return null;
  } catch {
    return own();
  }
}

/** The only one that a tab has where it knows of no other. */
function own() {
  if (hasOwn) return null;
  hasOwn = true;
  return () => (hasOwn = false);
}

function lock(name) {
  return new Promise((resolve, reject) => {
    const hold = (held) => held ? new Promise((release) => resolve(release)) : resolve(null);
    navigator.locks.request(name, { ifAvailable: true }, hold).catch(reject);
  });
}
