// The unigram language model (Kudo 2018; SentencePiece): of all ways to cut a word into tokens the one whose scores have the
// largest sum (Viterbi). A character that no token covers is unknown, at a penalty; neighbours that are unknown are one.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import { TokenizerError } from './tokenizer-error.js';
import { byteTokens, entriesOf, isTurn, type WordModel } from './word-model.js';

/** SentencePiece's penalty of an unknown character below the worst token. */
const UNKNOWN_PENALTY = 10;
/** In UTF-16 units; SentencePiece's default is 16 characters. A word takes lookups in proportion to it. */
const LIMIT_TOKEN_LENGTH = 64;

export const unigramSchema = z.strictObject({
  type: z.literal('Unigram'),
  unk_id: z.int().min(0),
  vocab: z.unknown(),
  byte_fallback: z.boolean().default(false),
});

/** Rejects with TokenizerError. */
export async function unigram(settings: z.infer<typeof unigramSchema>): Promise<WordModel> {
  const { ids, scores } = await readScores(settings.vocab);
  const unknown = settings.unk_id;
  if (unknown >= scores.length) throw new TokenizerError('model.unk_id', `is beyond the ${scores.length} tokens`);
  const bytes = settings.byte_fallback ? byteTokens((token) => ids.get(token)) : undefined;
  const unknownScore = scores.reduce((least, score) => Math.min(least, score), Infinity) - UNKNOWN_PENALTY;
  let longest = 1;
  for (const token of ids.keys()) longest = Math.max(longest, token.length);

  const encode = (word: string): readonly number[] => {
    const { from, tokens } = bestCuts(word, { ids, scores, longest, unknown, unknownScore });
    const found: number[] = [];
    for (let end = word.length; end > 0; end = from[end]!) {
      const id = tokens[end]!;
      if (id !== unknown) {
        found.push(id);
        continue;
      }
      let start = from[end]!;
      while (start > 0 && tokens[start] === unknown) start = from[start]!;
      const text = word.slice(start, end);
      if (bytes === undefined) found.push(ids.get(text) ?? unknown);
      else for (const byte of Buffer.from(text).reverse()) found.push(bytes[byte]!);
      from[end] = start;
    }
    return found.reverse();
  };
  return { encode, idOf: (token) => ids.get(token) };
}

interface Scores {
  readonly ids: ReadonlyMap<string, number>;
  readonly scores: Float64Array;
  /** Of a token, in UTF-16 units. */
  readonly longest: number;
  readonly unknown: number;
  readonly unknownScore: number;
}

/** For each place in the word where a token of the best cut may end: where that token begins, and its id. */
function bestCuts(
  word: string,
  { ids, scores, longest, unknown, unknownScore }: Scores,
): { from: Int32Array; tokens: Int32Array } {
  const best = new Float64Array(word.length + 1).fill(-Infinity);
  const from = new Int32Array(word.length + 1).fill(-1);
  const tokens = new Int32Array(word.length + 1);
  const offer = (start: number, end: number, id: number, score: number): void => {
    if (from[end]! >= 0 && best[start]! + score <= best[end]!) return;
    best[end] = best[start]! + score;
    from[end] = start;
    tokens[end] = id;
  };
  best[0] = 0;
  for (let start = 0; start < word.length;) {
    const single = (word.codePointAt(start) ?? 0) > 0xffff ? 2 : 1;
    let singleKnown = false;
    for (let end = start + 1; end <= Math.min(word.length, start + longest); end += 1) {
      const id = ids.get(word.slice(start, end));
      if (id === undefined) continue;
      offer(start, end, id, scores[id]!);
      singleKnown ||= end - start === single;
    }
    if (!singleKnown) offer(start, start + single, unknown, unknownScore);
    start += single;
  }
  return { from, tokens };
}

/** Rejects with TokenizerError that names the entry. */
async function readScores(value: unknown): Promise<{ ids: Map<string, number>; scores: Float64Array }> {
  const given = entriesOf('model.vocab', value);
  const ids = new Map<string, number>();
  const scores = new Float64Array(given.length);
  for (const [id, entry] of given.entries()) {
    if (isTurn(id)) await nextTurn();
    const [token, score, ...more]: readonly unknown[] = Array.isArray(entry) ? entry : [];
    if (typeof token !== 'string' || typeof score !== 'number' || !Number.isFinite(score) || more.length > 0) {
      throw new TokenizerError(`model.vocab.${id}`, 'must be a token and its score');
    }
    if (token.length > LIMIT_TOKEN_LENGTH) {
      throw new TokenizerError(`model.vocab.${id}`, `is longer than ${LIMIT_TOKEN_LENGTH}`);
    }
    ids.set(token, id);
    scores[id] = score;
  }
  return { ids, scores };
}
