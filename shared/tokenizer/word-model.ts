// What the models of a tokenizer have in common, and how their vocabularies are read: in slices, since a large one takes most of
// a second and the process has other models to answer for.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { TokenizerError } from './tokenizer-error.js';

/** Words and ids of a vocabulary; one more than the largest in use. */
export const LIMIT_VOCABULARY = 1 << 20;

/** Cuts one word into tokens. */
export interface WordModel {
  /** The tokens' ids, in order. */
  encode(word: string): readonly number[];
  /** Undefined where the vocabulary lacks it. */
  idOf(token: string): number | undefined;
}

/** Entries read at a stretch, some 10 ms. */
const ENTRIES_A_TURN = 8192;

/** Should other work have its turn before entry `at`? */
export function isTurn(at: number): boolean {
  return at % ENTRIES_A_TURN === 0;
}

/** Rejects with TokenizerError `model.vocab` for what is no map of tokens to ids below LIMIT_VOCABULARY. */
export async function readVocabulary(given: unknown): Promise<Map<string, number>> {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new TokenizerError('model.vocab', 'must map tokens to their ids');
  }
  const ids = new Map<string, number>();
  for (const [token, id] of Object.entries(given)) {
    if (!isId(id)) {
      const name = JSON.stringify(token.slice(0, 64));
      throw new TokenizerError('model.vocab', `the id of ${name} must be an integer from 0 to ${LIMIT_VOCABULARY - 1}`);
    }
    ids.set(token, id);
    if (isTurn(ids.size)) await nextTurn();
  }
  if (ids.size === 0) throw new TokenizerError('model.vocab', 'is empty');
  return ids;
}

/** A list too long for a schema to walk: its entries are read one by one. Throws TokenizerError. */
export function entriesOf(field: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value) && value.length <= LIMIT_VOCABULARY) return value;
  throw new TokenizerError(field, `must be a list of at most ${LIMIT_VOCABULARY} entries`);
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) < LIMIT_VOCABULARY;
}

/** The id of each byte's own token, `<0x41>`; undefined unless all are there. */
export function byteTokens(idOf: (token: string) => number | undefined): readonly number[] | undefined {
  const ids = Array.from({ length: 256 }, (_, byte) => idOf(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`));
  return ids.every((id) => id !== undefined) ? ids : undefined;
}

/** Throws TokenizerError `model.unk_token` where it is named and the vocabulary lacks it. */
export function unknownId(token: string | null, ids: ReadonlyMap<string, number>): number | undefined {
  if (token === null) return undefined;
  const id = ids.get(token);
  if (id === undefined) throw new TokenizerError('model.unk_token', `'${token}' is not in the vocabulary`);
  return id;
}
