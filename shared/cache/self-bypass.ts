// Does the cache pay for a model? Pure: it is told what looking up took and what computing took, and says when to step aside.
// Where requests never repeat, hashing a large input and looking it up is lost time. A window of lookups is judged at its
// end; a cache that cost more than it saved, and enough to be felt, stands aside for a number of requests, then tries
// another window. Each try that fails doubles the pause, so that trying costs little.

const WINDOW_LOOKUPS = 512;
/** What costs less than this share of the computing is not worth the hits that might still come. */
const FELT_SHARE = 0.01;
const PAUSE_REQUESTS = 8192;
const LIMIT_PAUSE_REQUESTS = 16 * PAUSE_REQUESTS;
const LIMIT_MODELS = 256;

interface Window {
  lookups: number;
  lookupMs: number;
  /** Requests that did not compute: hits, and those that joined an equal one's run. */
  spared: number;
  runs: number;
  runMs: number;
  /** Requests that still go past the cache. */
  pauseLeft: number;
  nextPause: number;
}

export class SelfBypass {
  readonly #windows = new Map<string, Window>();

  /** True: this request goes past the cache. Counts it. */
  stepsAside(model: string): boolean {
    const window = this.#windows.get(model);
    if (window === undefined || window.pauseLeft === 0) return false;
    window.pauseLeft -= 1;
    return true;
  }

  /** Without counting: for status and metrics. */
  isAside(model: string): boolean {
    return (this.#windows.get(model)?.pauseLeft ?? 0) > 0;
  }

  /** A lookup took `lookupMs`, the key's hash included. */
  looked(model: string, lookupMs: number, hit: boolean): void {
    const window = this.#window(model);
    if (window === undefined) return;
    window.lookups += 1;
    window.lookupMs += lookupMs;
    if (hit) window.spared += 1;
    if (window.lookups >= WINDOW_LOOKUPS) judge(window);
  }

  /** A request that was looked up in vain took `runMs` to compute, or joined a run that did. */
  computed(model: string, runMs: number, joined: boolean): void {
    const window = this.#window(model);
    if (window === undefined) return;
    if (joined) window.spared += 1;
    else {
      window.runs += 1;
      window.runMs += runMs;
    }
  }

  #window(model: string): Window | undefined {
    let window = this.#windows.get(model);
    if (window === undefined && this.#windows.size < LIMIT_MODELS) {
      window = { lookups: 0, lookupMs: 0, spared: 0, runs: 0, runMs: 0, pauseLeft: 0, nextPause: PAUSE_REQUESTS };
      this.#windows.set(model, window);
    }
    return window;
  }
}

function judge(window: Window): void {
  const { lookupMs, spared, runs, runMs, nextPause } = window;
  const savedMs = runs === 0 ? Infinity : (spared * runMs) / runs;
  if (lookupMs > savedMs && lookupMs >= FELT_SHARE * runMs) {
    window.pauseLeft = nextPause;
    window.nextPause = Math.min(2 * nextPause, LIMIT_PAUSE_REQUESTS);
  } else window.nextPause = PAUSE_REQUESTS;
  Object.assign(window, { lookups: 0, lookupMs: 0, spared: 0, runs: 0, runMs: 0 });
}
