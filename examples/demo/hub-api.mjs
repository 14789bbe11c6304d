// The admin API over fetch: what the demo looks at where the command line has no verb that waits for it.

export class HubApi {
  #base;
  #token;

  constructor(base, token) {
    this.#base = base;
    this.#token = token;
  }

  async get(path) {
    return this.#call('GET', path);
  }

  async put(path, body) {
    return this.#call('PUT', path, body);
  }

  async #call(method, path, body) {
    const response = await fetch(`http://${this.#base}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    });
    if (response.ok) return response.json();
    const { detail = '' } = await response.json().catch(() => ({}));
    throw new Error(`${method} ${path}: ${response.status} ${detail}`);
  }
}

/** Asks until `enough` says so; the reason of a time-out holds what was last seen. */
export async function until(what, ask, enough, { withinMs, everyMs = 250 }) {
  const deadline = performance.now() + withinMs;
  let seen;
  for (;;) {
    try {
      seen = await ask();
      if (enough(seen)) return seen;
    } catch (error) {
      seen = error.message;
    }
    if (performance.now() > deadline) {
      throw new Error(
        `${what} did not happen in ${withinMs / 1000} s; last seen: ${JSON.stringify(seen)?.slice(0, 600)}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
