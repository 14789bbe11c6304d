// May requests of a graph share a run? A dynamic first dimension alone doesn't say that rows are independent (a graph may normalise
// over them), nor a package that padding changes nothing: the first batch of each kind is a trial, whose members run alone as
// well and get those answers. What was shown to be wrong once is never tried again.
import type { NamedTensor } from '../tensor/tensor.js';
import { cutOutputs, differenceBetween, type PaddingRule } from './padding-rule.js';
import { longerOf } from './pick-batch.js';
import { concatRagged, concatRows, sameOutputs, splitRows } from './rows.js';
import type { RunShape } from './run-times.js';
import type { ScheduledRequest } from './scheduled-request.js';

/** The trial's members run twice, so they are few. */
const TRIAL_MEMBERS = 2;

/** Of a graph whose requests may be padded: has a trial shown that it changes no answer? */
export interface PaddingState {
  readonly state: 'untried' | 'proven' | 'off';
  /** Why it is off. */
  readonly reason?: string;
}

interface SharingOptions {
  /** Can requests share runs at all? */
  readonly batches: boolean;
  /** How those that differ in a length may; absent = they don't. */
  readonly ragged?: PaddingRule | undefined;
  /** Hears that requests are no longer padded, and why. */
  readonly onPaddingOff?: ((reason: string) => void) | undefined;
}

export class SharingProof {
  readonly #rule: PaddingRule | undefined;
  readonly #onPaddingOff: ((reason: string) => void) | undefined;
  #batches: boolean;
  #rowsProven = false;
  /** Undefined where the package doesn't ask for it. */
  #padding: PaddingState | undefined;
  #trial: readonly ScheduledRequest[] = [];

  constructor({ batches, ragged, onPaddingOff }: SharingOptions) {
    this.#batches = batches;
    this.#rule = batches ? ragged : undefined;
    this.#padding = this.#rule === undefined ? undefined : { state: 'untried' };
    this.#onPaddingOff = onPaddingOff;
  }

  get batches(): boolean {
    return this.#batches;
  }

  /** By which shapes are told apart. */
  get rule(): PaddingRule | undefined {
    return this.#rule;
  }

  get padding(): PaddingState | undefined {
    return this.#padding;
  }

  /** Share of a run that may be padding; undefined where nothing is padded. */
  get maxWaste(): number | undefined {
    return this.#padding?.state === 'off' ? undefined : this.#rule?.maxWaste;
  }

  /** Do members of a trial still wait for their answers? */
  get inTrial(): boolean {
    return this.#trial.some((member) => !member.settled);
  }

  isOnTrial(member: ScheduledRequest): boolean {
    return this.#trial.includes(member);
  }

  /** Which of a batch run together: all, or a trial's two, one of them padded if any of the batch was. */
  choose(picked: readonly ScheduledRequest[]): readonly ScheduledRequest[] {
    if (picked.length === 1 || this.#isProven(picked)) return picked;
    const [first] = picked;
    const other = picked.find((member) => first !== undefined && lengthOf(member) !== lengthOf(first));
    const members = first === undefined || other === undefined ? picked.slice(0, TRIAL_MEMBERS) : [first, other];
    if (!this.#isProven(members)) this.#trial = members;
    return members;
  }

  /** What their run is fed, and its shape: the longest one's. */
  joined(members: readonly ScheduledRequest[]): { feeds: readonly NamedTensor[]; shape: RunShape | undefined } {
    const [first] = members;
    if (first === undefined || members.length === 1) return { feeds: first?.work.feeds ?? [], shape: first?.shape };
    const shape = members.reduce((longest, member) => longerOf(longest, member.shape), first.shape);
    const feeds = members.map((member) => member.work.feeds);
    if (this.#rule === undefined || shape.ragged === undefined) return { feeds: concatRows(feeds), shape };
    return { feeds: concatRagged(feeds, this.#rule, shape.ragged.length), shape };
  }

  /**
   * Each member's own outputs of their run. Undefined where they have to run again, each alone: the run was a trial, or the
   * graph's outputs follow neither its rows nor its length.
   */
  parted(members: readonly ScheduledRequest[], outputs: NamedTensor[]): NamedTensor[][] | undefined {
    if (members.length === 1) {
      const [only] = members;
      if (only?.trial !== undefined) this.#judge(only.trial, outputs);
      return [outputs];
    }
    const split = this.#split(members, outputs);
    if (split === undefined || this.#isProven(members)) return split;
    const longest = longestOf(members);
    members.forEach((member, i) => {
      const paddedFrom = lengthOf(member) < longest ? lengthOf(member) : undefined;
      member.trial = { outputs: split[i] ?? [], paddedFrom };
    });
    return undefined;
  }

  #split(members: readonly ScheduledRequest[], outputs: NamedTensor[]): NamedTensor[][] | undefined {
    const rows = members.map((member) => member.rows);
    const split = splitRows(outputs, rows);
    if (split === undefined) this.#batches = false;
    const rule = this.#rule;
    if (split === undefined || rule === undefined || !isPadded(members)) return split;
    const longest = longestOf(members);
    const cut = members.map((member, i) => cutOutputs(split[i] ?? [], rule, longest, lengthOf(member)));
    if (cut.every((one) => one !== undefined)) return cut;
    this.#endPadding(`of requests padded to ${longest}, an output that is to be cut back has another length`);
    return undefined;
  }

  /** The trial's answer against what its member got alone. */
  #judge({ outputs, paddedFrom }: NonNullable<ScheduledRequest['trial']>, alone: readonly NamedTensor[]): void {
    if (paddedFrom === undefined) {
      if (sameOutputs(outputs, alone)) this.#rowsProven = true;
      else this.#batches = false;
      return;
    }
    const difference = differenceBetween(alone, outputs, this.#rule?.tolerance ?? 0);
    if (difference !== undefined)
      this.#endPadding(`of a request of length ${paddedFrom} that was padded, ${difference}`);
    else if (this.#padding?.state === 'untried') {
      this.#padding = { state: 'proven' };
      this.#rowsProven = true;
    }
  }

  #endPadding(reason: string): void {
    if (this.#padding?.state === 'off') return;
    this.#padding = { state: 'off', reason };
    this.#onPaddingOff?.(reason);
  }

  #isProven(members: readonly ScheduledRequest[]): boolean {
    return this.#rowsProven && (this.#padding?.state === 'proven' || !isPadded(members));
  }
}

/** Of a request that may be padded; 1 of any other. */
function lengthOf({ shape }: ScheduledRequest): number {
  return shape.ragged?.length ?? 1;
}

function longestOf(members: readonly ScheduledRequest[]): number {
  return Math.max(...members.map(lengthOf));
}

/** Do they differ in their length? */
export function isPadded(members: readonly ScheduledRequest[]): boolean {
  return members.some((member) => lengthOf(member) !== lengthOf(members[0] ?? member));
}
