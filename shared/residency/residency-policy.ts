// Who is in memory: pure. Room for a model is made by those that are worth least: time of loading again x likelihood of use,
// per byte. So that more models than memory never thrash (field lesson B22), nobody leaves before its minimum residency: ten
// times the loading, so that loading never takes more than a tenth of the time; and in proportion longer for a model that is
// worth more than the one that wants its place, up to a bound, so that a rare model gets its turn beside a busy one, but seldom.
// Until then who wants in waits or is refused, with the time from which it can come. What is pinned never leaves.

/** Somebody in memory, or coming. */
export interface Occupant {
  readonly name: string;
  /** Measured, or expected while it comes. */
  readonly bytes: number;
  /** What loading it again takes. */
  readonly loadMs: number;
  readonly usesPerS: number;
  /** Since when it is there. */
  readonly sinceMs: number;
  readonly pinned: boolean;
  /** It can't leave at this moment: it comes now, or holds what sequences carry. */
  readonly stays: boolean;
  /** When sequences that it holds have ended, if nothing more is asked of them; they may end sooner. Absent = it holds none. */
  readonly stateEndsMs?: number | undefined;
  /** No request is under way in it. */
  readonly idle: boolean;
}

export interface Wanted {
  readonly name: string;
  readonly bytes: number;
  readonly loadMs: number;
  readonly usesPerS: number;
  /** A version that is being activated, or an operator's wish: nobody's minimum residency counts. */
  readonly urgent: boolean;
}

export interface Memory {
  readonly limitBytes: number;
  /** What is used beside the models. */
  readonly ownBytes: number;
  /** Models in memory at once; Infinity = any number. */
  readonly modelsMax: number;
}

/** What must become free; nothing where neither is above 0. */
interface Missing {
  readonly bytes: number;
  readonly models: number;
}

type RoomDecision<T extends Occupant> =
  | { readonly kind: 'load'; readonly leave: readonly T[] }
  /** `untilMs`: when it can come in as far as is known; it may be sooner, so ask again at `againMs`. */
  | { readonly kind: 'wait'; readonly untilMs: number; readonly againMs: number; readonly reason: string }
  | { readonly kind: 'never'; readonly reason: string };

const RESIDENCY_FLOOR_MS = 10_000;
const RESIDENCY_PER_LOAD = 10;
const WORTH_RATIO_MAX = 30;
/** Who can't leave at this moment is asked again so much later. */
const ASK_AGAIN_MS = 250;

/** How long `occupant` stays at least while `wanted` wants its place; what was never asked for may go at once. */
export function minimumResidencyMs(occupant: Occupant, wanted: Wanted): number {
  if (occupant.usesPerS === 0) return 0;
  const ratio = worth(occupant) / worth(wanted);
  const share = Number.isNaN(ratio) ? 1 : Math.min(WORTH_RATIO_MAX, Math.max(1, ratio));
  return Math.max(RESIDENCY_FLOOR_MS, RESIDENCY_PER_LOAD * Math.max(occupant.loadMs, wanted.loadMs)) * share;
}

/** May `wanted` come in, and who leaves for it? */
export function decideRoom<T extends Occupant>(
  wanted: Wanted,
  occupants: readonly T[],
  memory: Memory,
  nowMs: number,
): RoomDecision<T> {
  const usedBytes = occupants.reduce((sum, { bytes }) => sum + bytes, memory.ownBytes);
  const missing = {
    bytes: usedBytes + wanted.bytes - memory.limitBytes,
    models: occupants.length + 1 - memory.modelsMax,
  };
  if (isNothing(missing)) return { kind: 'load', leave: [] };
  const movable = occupants.filter(({ pinned }) => !pinned);
  const least = movable.reduce(without, missing);
  if (!isNothing(least)) {
    const pinnedBytes = occupants.reduce((sum, { pinned, bytes }) => sum + (pinned ? bytes : 0), 0);
    const many = `all ${memory.modelsMax} models that may be in memory are pinned`;
    return { kind: 'never', reason: least.bytes > 0 ? tooLarge(wanted, least.bytes, memory, pinnedBytes) : many };
  }
  const leaving = movable.map((occupant) => ({ occupant, atMs: mayLeaveAtMs(occupant, wanted, nowMs) }));
  const now = leaving.filter(({ atMs }) => atMs <= nowMs).map(({ occupant }) => occupant);
  const leave = leastWorth(now, missing);
  if (leave !== undefined) return { kind: 'load', leave };
  let rest: Missing = missing;
  for (const { occupant, atMs } of leaving.sort((a, b) => a.atMs - b.atMs)) {
    rest = without(rest, occupant);
    if (!isNothing(rest)) continue;
    const held = leaving.filter((other) => other.atMs > nowMs).map((other) => other.occupant);
    const names = held.map(({ name, stateEndsMs }) => (stateEndsMs === undefined ? name : `${name} (in a sequence)`));
    const seconds = Math.ceil((atMs - nowMs) / 1000);
    const what =
      missing.bytes > 0
        ? `the memory budget (${mebibytes(memory.limitBytes)}) is`
        : `the places of the ${memory.modelsMax} models that may be in memory are`;
    const againMs = held.some(({ stays }) => stays) ? Math.min(atMs, nowMs + ASK_AGAIN_MS) : atMs;
    return {
      kind: 'wait',
      untilMs: atMs,
      againMs,
      reason: `${what} taken by ${names.join(', ')} for another ${seconds} s`,
    };
  }
  throw new Error('the bytes of those that may leave suffice');
}

/** What must leave since more is used than the budget allows; `overBytes` of it nobody can give up now. */
export function decideShrink<T extends Occupant>(
  occupants: readonly T[],
  memory: Memory,
  nowMs: number,
): { readonly leave: readonly T[]; readonly overBytes: number } {
  const usedBytes = occupants.reduce((sum, { bytes }) => sum + bytes, memory.ownBytes);
  const overBytes = usedBytes - memory.limitBytes;
  if (overBytes <= 0) return { leave: [], overBytes: 0 };
  const movable = occupants.filter(({ pinned, stays }) => !pinned && !stays);
  const enough = leastWorth(movable, { bytes: overBytes, models: -Infinity });
  if (enough !== undefined && enough.length < occupants.length) return { leave: enough, overBytes: 0 };
  // Not even without all others: the one that is worth most only begins anew, when it has nothing to do and not all the time.
  const [most, ...others] = [...movable].sort((a, b) => worth(b) - worth(a));
  const anew = most?.idle === true && nowMs - most.sinceMs >= RESIDENCY_FLOOR_MS;
  const leave = anew || most === undefined ? movable : others;
  return { leave, overBytes: Math.max(0, overBytes - leave.reduce((sum, { bytes }) => sum + bytes, 0)) };
}

/** The least worth first until nothing is missing, then without those that were not needed; undefined where all don't suffice. */
function leastWorth<T extends Occupant>(candidates: readonly T[], missing: Missing): T[] | undefined {
  const chosen: T[] = [];
  let rest = missing;
  for (const candidate of [...candidates].sort((a, b) => worth(a) - worth(b))) {
    if (isNothing(rest)) break;
    chosen.push(candidate);
    rest = without(rest, candidate);
  }
  if (!isNothing(rest)) return undefined;
  for (const candidate of [...chosen].reverse()) {
    const kept = { bytes: rest.bytes + candidate.bytes, models: rest.models + 1 };
    if (!isNothing(kept)) continue;
    chosen.splice(chosen.indexOf(candidate), 1);
    rest = kept;
  }
  return chosen;
}

function isNothing({ bytes, models }: Missing): boolean {
  return bytes <= 0 && models <= 0;
}

/** What is missing still when `occupant` has left. */
function without({ bytes, models }: Missing, occupant: Occupant): Missing {
  return { bytes: bytes - occupant.bytes, models: models - 1 };
}

function mayLeaveAtMs(occupant: Occupant, wanted: Wanted, nowMs: number): number {
  const atMs = wanted.urgent ? nowMs : occupant.sinceMs + minimumResidencyMs(occupant, wanted);
  return occupant.stays ? Math.max(atMs, nowMs + ASK_AGAIN_MS, occupant.stateEndsMs ?? 0) : atMs;
}

function worth({ loadMs, usesPerS, bytes }: Pick<Occupant, 'loadMs' | 'usesPerS' | 'bytes'>): number {
  return (loadMs * usesPerS) / Math.max(1, bytes);
}

function tooLarge(wanted: Wanted, shortBytes: number, { limitBytes, ownBytes }: Memory, pinnedBytes: number): string {
  const pinned = pinnedBytes > 0 ? `, models that stay ${mebibytes(pinnedBytes)}` : '';
  return (
    `it needs ${mebibytes(wanted.bytes)}, and the memory budget of ${mebibytes(limitBytes)} leaves ` +
    `${mebibytes(Math.max(0, wanted.bytes - shortBytes))} (beside the models ${mebibytes(ownBytes)} are used${pinned})`
  );
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}
