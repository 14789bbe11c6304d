// A `tokenizer.json` as Hugging Face's tokenizers write it -> a Tokenizer. The file is a package's and untrusted: it is data
// for what is built in here, and what isn't is refused by the name of its field. No expression of the file is ever run.
import { z } from 'zod';
import { AddedTokens, addedTokensSchema } from './added-tokens.js';
import { bytePairs, bytePairsSchema } from './byte-pairs.js';
import { makeNormaliser, normaliserSchema } from './normalisers.js';
import { makeTemplate, templateSchema } from './template.js';
import { TokenizerError } from './tokenizer-error.js';
import { Tokenizer } from './tokenizer.js';
import { unigram, unigramSchema } from './unigram.js';
import type { WordModel } from './word-model.js';
import { wordPiece, wordPieceSchema } from './word-piece.js';
import { makeSplitter, splitterSchema } from './word-splitters.js';

/** The largest in the field (256,000 words with their merges) has 33 MB. */
export const LIMIT_TOKENIZER_BYTES = 64 * 1024 * 1024;

const modelSchema = z.discriminatedUnion('type', [wordPieceSchema, bytePairsSchema, unigramSchema]);
const RIGHT_ONLY = 'must be Right: tokens are added and cut off at the end';

const fileSchema = z.object({
  added_tokens: addedTokensSchema.default([]),
  normalizer: normaliserSchema.default(null),
  pre_tokenizer: splitterSchema.default(null),
  model: z.preprocess(withType, modelSchema),
  post_processor: templateSchema.default(null),
  truncation: z
    .object({ direction: z.literal('Right', { error: RIGHT_ONLY }).optional() })
    .nullable()
    .default(null),
  padding: z
    .object({ direction: z.literal('Right', { error: RIGHT_ONLY }), pad_id: z.int().min(0) })
    .nullable()
    .default(null),
});

/** Older files don't name their model. */
function withType(model: unknown): unknown {
  if (typeof model !== 'object' || model === null || 'type' in model) return model;
  return { type: 'merges' in model ? 'BPE' : 'WordPiece', ...model };
}

/** Rejects with TokenizerError that names the field. */
export async function readTokenizer(bytes: Uint8Array): Promise<Tokenizer> {
  if (bytes.byteLength > LIMIT_TOKENIZER_BYTES) {
    throw new TokenizerError('', `has ${bytes.byteLength} bytes; at most ${LIMIT_TOKENIZER_BYTES} are allowed`);
  }
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new TokenizerError('', `is not JSON (${cause instanceof Error ? cause.message : String(cause)})`, { cause });
  }
  const parsed = fileSchema.safeParse(json);
  if (!parsed.success) throw faultOf(parsed.error);
  const file = parsed.data;
  const model = await makeModel(file.model);
  const addedIds = new Map(file.added_tokens.map(({ content, id }) => [content, id]));
  return new Tokenizer({
    added: new AddedTokens(file.added_tokens, makeNormaliser(file.normalizer)),
    split: makeSplitter(file.pre_tokenizer),
    model,
    template: makeTemplate(file.post_processor),
    padId: file.padding?.pad_id,
    idOf: (token) => addedIds.get(token) ?? model.idOf(token),
  });
}

function makeModel(settings: z.infer<typeof modelSchema>): Promise<WordModel> {
  switch (settings.type) {
    case 'WordPiece':
      return wordPiece(settings);
    case 'BPE':
      return bytePairs(settings);
    case 'Unigram':
      return unigram(settings);
  }
}

function faultOf(error: z.ZodError): TokenizerError {
  const issue = error.issues[0];
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  const field = [...(issue?.path ?? []), ...(unknown === undefined ? [] : [unknown])].map(String).join('.');
  const message = unknown === undefined ? (issue?.message ?? 'is not valid') : 'is not known here';
  return new TokenizerError(field, message, { cause: error });
}
