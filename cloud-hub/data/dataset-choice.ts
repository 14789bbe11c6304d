// Which samples a dataset takes, and on which side each stands. Pure: rows in, items out.
//
// - Equal inputs under different labels would teach nothing but doubt: the label of the sample that came last holds, and those that
//   contradict it are left out. Equal inputs under the same label all stay: how often a thing is seen is part of the data.
// - The side follows from the inputs alone (splitOf), so equal inputs never stand on both.
import { splitOf, type Split } from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';

/** A labelled sample. */
export interface Candidate {
  readonly id: Digest;
  readonly inputsDigest: Digest;
  readonly label: string;
  readonly sizeBytes: number;
  readonly receivedAtMs: number;
}

export interface ChosenItem {
  readonly id: Digest;
  readonly inputsDigest: Digest;
  readonly label: string;
  readonly split: Split;
  readonly sizeBytes: number;
}

export interface Choice {
  /** Sorted by id. */
  readonly items: readonly ChosenItem[];
  /** Left out, since a sample of the same inputs that came later has another label. */
  readonly contradicted: number;
}

export function chooseItems(candidates: readonly Candidate[], heldOut: number): Choice {
  const latest = new Map<Digest, Candidate>();
  for (const one of candidates) {
    const known = latest.get(one.inputsDigest);
    if (known === undefined || cameLater(one, known)) latest.set(one.inputsDigest, one);
  }
  const kept = candidates.filter(({ inputsDigest, label }) => latest.get(inputsDigest)?.label === label);
  return {
    items: kept
      .map(({ id, inputsDigest, label, sizeBytes }) => {
        return { id, inputsDigest, label, split: splitOf(inputsDigest, heldOut), sizeBytes };
      })
      .sort(byId),
    contradicted: candidates.length - kept.length,
  };
}

/** By code units, as the manifest sorts. */
export function byId(a: { readonly id: Digest }, b: { readonly id: Digest }): number {
  return a.id < b.id ? -1 : Number(a.id > b.id);
}

/** Of two at the same millisecond the id decides, so that the choice never hangs on the rows' order. */
function cameLater(a: Candidate, b: Candidate): boolean {
  return a.receivedAtMs > b.receivedAtMs || (a.receivedAtMs === b.receivedAtMs && a.id > b.id);
}
