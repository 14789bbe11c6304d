// Byte pair encoding (Sennrich et al. 2016): a word begins as its characters, and of all neighbours those are joined first
// that the list of merges names first. For byte-level tokenizers the characters stand for bytes (word-splitters.ts), so
// nothing is unknown. A word of n characters takes n log n steps, however long it is: a text without a space is one word.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import { MergeHeap } from './merge-heap.js';
import { TokenizerError } from './tokenizer-error.js';
import {
  byteTokens,
  entriesOf,
  isTurn,
  LIMIT_VOCABULARY,
  readVocabulary,
  unknownId,
  type WordModel,
} from './word-model.js';

export const bytePairsSchema = z.strictObject({
  type: z.literal('BPE'),
  /** A share of merges left out at random is for training. */
  dropout: z.literal(0).nullable().optional(),
  unk_token: z.string().nullable().default(null),
  continuing_subword_prefix: z.literal('').nullable().optional(),
  end_of_word_suffix: z.string().max(16).nullable().default(null),
  fuse_unk: z.boolean().default(false),
  byte_fallback: z.boolean().default(false),
  /** A word that is a token needs no merges. */
  ignore_merges: z.boolean().default(false),
  vocab: z.unknown(),
  merges: z.unknown(),
});
type BytePairsSettings = z.infer<typeof bytePairsSchema>;

interface Merges {
  /** Two neighbours (pairKey) -> the merge's place in the list. */
  readonly ranks: ReadonlyMap<number, number>;
  /** By rank: the token that they become. */
  readonly joined: Int32Array;
}

/** Rejects with TokenizerError. */
export async function bytePairs(settings: BytePairsSettings): Promise<WordModel> {
  const ids = await readVocabulary(settings.vocab);
  const merges = await readMerges(settings.merges, ids);
  const symbolsOf = symbolReader(settings, ids);
  const encode = (word: string): readonly number[] => {
    const whole = settings.ignore_merges ? ids.get(word) : undefined;
    return whole === undefined ? merged(symbolsOf(word), merges) : [whole];
  };
  return { encode, idOf: (token) => ids.get(token) };
}

function pairKey(left: number, right: number): number {
  return left * LIMIT_VOCABULARY + right;
}

/** Rejects with TokenizerError that names the merge. */
async function readMerges(value: unknown, ids: ReadonlyMap<string, number>): Promise<Merges> {
  const given = entriesOf('model.merges', value);
  const ranks = new Map<number, number>();
  const joined = new Int32Array(given.length);
  for (const [rank, merge] of given.entries()) {
    if (isTurn(rank)) await nextTurn();
    const pair: readonly unknown[] = typeof merge === 'string' ? merge.split(' ') : Array.isArray(merge) ? merge : [];
    const [left, right] = pair;
    if (pair.length !== 2 || typeof left !== 'string' || typeof right !== 'string') {
      throw new TokenizerError(`model.merges.${rank}`, 'must be two tokens');
    }
    const [leftId, rightId, both] = [ids.get(left), ids.get(right), ids.get(left + right)];
    if (leftId === undefined || rightId === undefined || both === undefined) {
      throw new TokenizerError(`model.merges.${rank}`, 'joins tokens that the vocabulary lacks, or makes one');
    }
    const key = pairKey(leftId, rightId);
    if (!ranks.has(key)) ranks.set(key, rank);
    joined[rank] = both;
  }
  return { ranks, joined };
}

/** A word -> the ids of its characters. */
function symbolReader(settings: BytePairsSettings, ids: ReadonlyMap<string, number>): (word: string) => number[] {
  const unknown = unknownId(settings.unk_token, ids);
  const bytes = settings.byte_fallback ? byteTokens((token) => ids.get(token)) : undefined;
  const suffix = settings.end_of_word_suffix ?? '';
  return (word) => {
    const found: number[] = [];
    let afterUnknown = false;
    let at = 0;
    for (const character of word) {
      at += character.length;
      const symbol = at === word.length ? character + suffix : character;
      const id = ids.get(symbol);
      if (id !== undefined) found.push(id);
      else if (bytes !== undefined) for (const byte of Buffer.from(symbol)) found.push(bytes[byte]!);
      else if (unknown !== undefined && !(settings.fuse_unk && afterUnknown)) found.push(unknown);
      afterUnknown = id === undefined && bytes === undefined;
    }
    return found;
  };
}

/** Joins neighbours until no merge names any. `symbols` is used up. */
function merged(symbols: number[], { ranks, joined }: Merges): readonly number[] {
  const count = symbols.length;
  if (count < 2) return symbols;
  const next = Int32Array.from({ length: count }, (_, at) => (at + 1 < count ? at + 1 : -1));
  const before = Int32Array.from({ length: count }, (_, at) => at - 1);
  const heap = new MergeHeap();
  const offer = (at: number): void => {
    if (at < 0 || next[at]! < 0) return;
    const rank = ranks.get(pairKey(symbols[at]!, symbols[next[at]!]!));
    if (rank !== undefined) heap.push(rank, at);
  };
  for (let at = 0; at + 1 < count; at += 1) offer(at);
  for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
    const { rank, at } = top;
    const right = symbols[at]! < 0 ? -1 : next[at]!;
    if (right < 0) continue; // taken by another merge
    const now = ranks.get(pairKey(symbols[at]!, symbols[right]!));
    if (now === undefined || joined[now] !== joined[rank]) continue; // its neighbours have changed
    symbols[at] = joined[rank]!;
    symbols[right] = -1;
    next[at] = next[right]!;
    if (next[at]! >= 0) before[next[at]!] = at;
    offer(before[at]!);
    offer(at);
  }
  return symbols.filter((id) => id >= 0);
}
