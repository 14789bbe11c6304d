// What the way to the hub costs: round trip and time per byte, from the hub client's own calls. Pure. A least-squares line of time over bytes
// whose older points weigh exponentially less, so that a link that changed is known after a few calls. Calls of one size can't tell the two apart:
// then what other sizes cost is a guess, on the hopeful side, and said to be one. Who acts on a guess is proven right or learns.

export interface LinkEstimate {
  /** Weighted means over the calls; undefined before the first. */
  readonly mean: Moments | undefined;
  /** Monotonic time of the last call. */
  readonly atMs: number;
}

interface Moments {
  readonly bytes: number;
  readonly ms: number;
  readonly bytesSquared: number;
  readonly bytesMs: number;
}

export const UNMEASURED_LINK: LinkEstimate = { mean: undefined, atMs: -Infinity };

/** Weight of the newest call, at least; after a pause it is more. */
const GAIN = 1 / 4;
/** After so long a pause what was known before weighs a third of what it did. */
const FADES_MS = 10_000;
/** Relative spread of sizes from which on a line can be drawn. */
const SPREAD_MIN = 0.1;
/** Of calls of one size: up from here their time is taken to be that of the bytes, below to be the round trip's. */
const LARGE_BYTES = 64 * 1024;
/** Of calls of one size: so many times larger or smaller is another size. */
const OTHER_SIZE = 2;

/** A call that took `ms` on the way, beside what the hub says that it waited and computed, for `bytes` there and back. */
export function observeLink({ mean, atMs }: LinkEstimate, bytes: number, ms: number, nowMs: number): LinkEstimate {
  const call: Moments = { bytes, ms, bytesSquared: bytes * bytes, bytesMs: bytes * ms };
  if (mean === undefined) return { mean: call, atMs: nowMs };
  const gain = 1 - (1 - GAIN) * Math.exp(-(nowMs - atMs) / FADES_MS);
  const towards = (old: number, now: number): number => old + gain * (now - old);
  return {
    mean: {
      bytes: towards(mean.bytes, call.bytes),
      ms: towards(mean.ms, call.ms),
      bytesSquared: towards(mean.bytesSquared, call.bytesSquared),
      bytesMs: towards(mean.bytesMs, call.bytesMs),
    },
    atMs: nowMs,
  };
}

/** Undefined before the first call. */
export function linkOf({
  mean,
}: LinkEstimate): { readonly roundTripMs: number; readonly msPerByte: number } | undefined {
  if (mean === undefined) return undefined;
  if (!hasSpread(mean)) {
    return mean.bytes >= LARGE_BYTES
      ? { roundTripMs: 0, msPerByte: mean.ms / mean.bytes }
      : { roundTripMs: mean.ms, msPerByte: 0 };
  }
  const slope = (mean.bytesMs - mean.bytes * mean.ms) / (mean.bytesSquared - mean.bytes * mean.bytes);
  const msPerByte = Math.min(Math.max(slope, 0), mean.ms / mean.bytes);
  return { roundTripMs: mean.ms - msPerByte * mean.bytes, msPerByte };
}

/** What so many bytes would take on the way. */
export function wayMs(link: LinkEstimate, bytes: number): { readonly ms: number; readonly guess: boolean } {
  const line = linkOf(link);
  if (link.mean === undefined || line === undefined) return { ms: 0, guess: true };
  const ratio = bytes / Math.max(link.mean.bytes, 1);
  const guess = !hasSpread(link.mean) && (ratio > OTHER_SIZE || ratio < 1 / OTHER_SIZE);
  return { ms: line.roundTripMs + line.msPerByte * bytes, guess };
}

function hasSpread({ bytes, bytesSquared }: Moments): boolean {
  return Math.sqrt(Math.max(bytesSquared - bytes * bytes, 0)) > SPREAD_MIN * bytes;
}
