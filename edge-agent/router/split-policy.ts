// Where a pipeline is answered when its package lets it be split: here, at the hub, or cut in two. Pure. The fastest place by what was measured, within
// the deadline. What answers now stays until another is clearly faster, so that noise doesn't move it back and forth. A place whose time
// is partly a guess, or was measured long ago, is tried, and the device goes on by itself meanwhile: the measurement costs nobody time.

export interface SplitOption {
  /** Of the cut. */
  readonly name: string;
  /** Before everything: the whole at the hub. */
  readonly whole: boolean;
  /** The part before the cut, here. */
  readonly hereMs: number;
  /** The way there and back. */
  readonly wayMs: number;
  /** The part behind the cut, at the hub. */
  readonly thereMs: number;
  /** Not all of these were measured. */
  readonly guess: boolean;
  /** They were, and long ago. */
  readonly old: boolean;
}

export interface SplitView {
  /** All of it here; undefined = not measured yet. */
  readonly hereMs: number | undefined;
  /** That was long ago. */
  readonly hereOld: boolean;
  readonly options: readonly SplitOption[];
  /** What answered the last request like this one: an option's name, or `here`. */
  readonly current: string;
  readonly remainingMs: number;
  /** May one be tried now whose time is a guess? */
  readonly mayTry: boolean;
  /** The caller asked for a split. */
  readonly forced: boolean;
}

export type SplitDecision =
  | { readonly place: 'here'; readonly reason: string }
  | {
      readonly place: 'cut';
      readonly option: SplitOption;
      readonly reason: string;
      /** How long the device waits for the hub before it goes on by itself; 0 = it does so at once. */
      readonly patienceMs: number;
      /** Only to measure it: the device does all of it anyway. */
      readonly tried: boolean;
    };

/** By so much another place must be faster before it takes over. */
const CLEARLY = 0.15;
const CLEARLY_MS = 2;
/** Left of the deadline for handing the answer out. */
const RESERVE_MS = 20;
/** The hub may take so many times what is expected of it. */
const PATIENCE = 2;
const PATIENCE_LEAST_MS = 20;
/** Where nothing is known of the hub's part. */
const PATIENCE_UNMEASURED_MS = 2000;

export function decideSplit(view: SplitView): SplitDecision {
  const { hereMs, forced } = view;
  const options = forced ? view.options.filter(({ whole }) => !whole) : view.options;
  const best = fastest(options);
  if (best === undefined) return { place: 'here', reason: 'nothing of it can be asked of the hub' };
  if (forced) return cut(view, best, 'the caller asked for a split');
  if (hereMs === undefined) return { place: 'here', reason: 'not yet measured here' };
  const sure = fastest(options.filter(({ guess }) => !guess));
  const inTimeMs = view.remainingMs - RESERVE_MS;
  if (best.guess && view.mayTry && (best.old || totalMs(best) < hereMs)) {
    const reason = `trying ${nameOf(best)}, while the device, which takes ${text(hereMs)}, goes on`;
    return { place: 'cut', option: best, reason, patienceMs: 0, tried: true };
  }
  if (view.hereOld && hereMs < inTimeMs) return { place: 'here', reason: 'measured here long ago' };
  const now = sure && options.find(({ name, guess }) => name === view.current && !guess);
  const nowMs = now === undefined ? hereMs : totalMs(now);
  const found: Candidate[] = [{ ms: hereMs, option: undefined }];
  if (sure !== undefined) found.push({ ms: totalMs(sure), option: sure });
  const first = found.reduce((a, b) => (b.ms < a.ms ? b : a));
  const movesFor = nowMs > inTimeMs ? 0 : Math.max(CLEARLY * nowMs, CLEARLY_MS);
  const chosen = first.ms < nowMs - movesFor ? first : { ms: nowMs, option: now };
  if (chosen.option === undefined) {
    const other = sure === undefined ? '' : `, ${nameOf(sure)} ${text(totalMs(sure))}`;
    return { place: 'here', reason: `here takes ${text(hereMs)}${other}` };
  }
  return cut(view, chosen.option, `${nameOf(chosen.option)} takes ${text(chosen.ms)}, here ${text(hereMs)}`);
}

export function totalMs({ hereMs, wayMs, thereMs }: SplitOption): number {
  return hereMs + wayMs + thereMs;
}

interface Candidate {
  readonly ms: number;
  readonly option: SplitOption | undefined;
}

function fastest(options: readonly SplitOption[]): SplitOption | undefined {
  return options.reduce<SplitOption | undefined>(
    (best, option) => (best === undefined || totalMs(option) < totalMs(best) ? option : best),
    undefined,
  );
}

/** Patience ends where the device could just still finish in time. */
function cut(view: SplitView, option: SplitOption, reason: string): SplitDecision {
  const expectedMs = option.guess ? PATIENCE_UNMEASURED_MS : option.wayMs + option.thereMs;
  const restHereMs = view.hereMs === undefined ? 0 : Math.max(0, view.hereMs - option.hereMs);
  const latestMs = view.remainingMs - RESERVE_MS - option.hereMs - 2 * restHereMs;
  const usualMs = Math.max(PATIENCE * expectedMs, PATIENCE_LEAST_MS);
  return { place: 'cut', option, reason, patienceMs: Math.max(0, Math.min(usualMs, latestMs)), tried: false };
}

function nameOf({ whole, name }: SplitOption): string {
  return whole ? 'the hub' : `a cut at ${name}`;
}

function text(ms: number): string {
  return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}
