// WordPiece (Schuster and Nakajima 2012; BERT): of each word the longest token that it begins with, then of the rest, which
// is looked up with a prefix. A word that can't be cut so is unknown as a whole.
import { z } from 'zod';
import { TokenizerError } from './tokenizer-error.js';
import { readVocabulary, unknownId, type WordModel } from './word-model.js';

/** A word takes lookups in proportion to its square. */
const LIMIT_WORD_CHARACTERS = 256;

export const wordPieceSchema = z.strictObject({
  type: z.literal('WordPiece'),
  unk_token: z.string(),
  continuing_subword_prefix: z.string().max(16).default('##'),
  max_input_chars_per_word: z.int().min(1).max(LIMIT_WORD_CHARACTERS).default(100),
  vocab: z.unknown(),
});

/** Rejects with TokenizerError. */
export async function wordPiece(settings: z.infer<typeof wordPieceSchema>): Promise<WordModel> {
  const ids = await readVocabulary(settings.vocab);
  const unknown = unknownId(settings.unk_token, ids);
  if (unknown === undefined) throw new TokenizerError('model.unk_token', 'must be named');
  const prefix = settings.continuing_subword_prefix;
  let longest = 0;
  for (const token of ids.keys()) longest = Math.max(longest, token.length);
  const encode = (word: string): readonly number[] => {
    const whole = ids.get(word);
    const characters = Array.from(word);
    if (characters.length > settings.max_input_chars_per_word) return [unknown];
    if (whole !== undefined) return [whole];
    const found: number[] = [];
    for (let start = 0; start < characters.length;) {
      let end = Math.min(characters.length, start + longest);
      let id: number | undefined;
      let piece = (start === 0 ? '' : prefix) + characters.slice(start, end).join('');
      while (end > start && (id = ids.get(piece)) === undefined) {
        end -= 1;
        piece = piece.slice(0, -characters[end]!.length);
      }
      if (id === undefined) return [unknown];
      found.push(id);
      start = end;
    }
    return found;
  };
  return { encode, idOf: (token) => ids.get(token) };
}
