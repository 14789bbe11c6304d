import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { LIMIT_TOKENIZER_BYTES, readTokenizer } from '@tidegate/shared/tokenizer/read-tokenizer.js';
import type { TokenizerError } from '@tidegate/shared/tokenizer/tokenizer-error.js';

const text = readFileSync(new URL('../../fixtures/tokenizers/roberta.json', import.meta.url), 'utf8');
const words = { type: 'WordPiece', unk_token: '[UNK]', vocab: { '[UNK]': 0, a: 1, '##b': 2 } };
const encode = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
/** RoBERTa's with parts replaced. */
const changed = (change: object): Uint8Array => encode({ ...(JSON.parse(text) as object), ...change });
const fieldOf = (bytes: Uint8Array): Promise<string> =>
  readTokenizer(bytes).then(
    () => 'accepted',
    (error: TokenizerError) => error.message,
  );

describe('readTokenizer', () => {
  it.each([
    // (a+)+b would keep a thread for ever.
    [
      { pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+b' }, behavior: 'Isolated' } },
      /^pre_tokenizer\.pattern\.Regex: is none of those that are known here/,
    ],
    [
      { normalizer: { type: 'Replace', pattern: { Regex: '(a|a)*$' }, content: '' } },
      /^normalizer\.pattern\.Regex: is none/,
    ],
    [
      { normalizer: { type: 'Precompiled', precompiled_charsmap: '' } },
      /^normalizer\.precompiled_charsmap: is no table of characters/,
    ],
    [{ normalizer: { type: 'Nmt' } }, /^normalizer\.type: /],
    [{ normalizer: { type: 'Sequence', normalizers: [{ type: 'Script' }] } }, /^normalizer\.normalizers\.0\.type: /],
    [{ pre_tokenizer: { type: 'ByteLevel', seed: 1 } }, /^pre_tokenizer\.seed: is not known here/],
    [
      { pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'ByteLevel' }, { type: 'ByteLevel' }] } },
      /^pre_tokenizer\.pretokenizers: may hold ByteLevel once/,
    ],
    [{ model: { type: 'WordLevel', vocab: {} } }, /^model\.type: /],
    [{ model: { ...words, unk_token: '<unk>' } }, /^model\.unk_token: '<unk>' is not in the vocabulary/],
    [{ model: { ...words, vocab: { '[UNK]': 0, a: 1.5 } } }, /^model\.vocab: the id of "a" must be an integer/],
    [{ model: { ...words, vocab: {} } }, /^model\.vocab: is empty/],
    [{ model: { ...words, max_input_chars_per_word: 100_000 } }, /^model\.max_input_chars_per_word: /],
    [
      { model: { type: 'BPE', vocab: { a: 0, b: 1 }, merges: ['a b'] } },
      /^model\.merges\.0: joins tokens that the vocabulary lacks/,
    ],
    [{ model: { type: 'BPE', vocab: { a: 0 }, merges: [['a']] } }, /^model\.merges\.0: must be two tokens/],
    [{ model: { type: 'BPE', vocab: { a: 0 }, merges: 'a b' } }, /^model\.merges: must be a list/],
    [{ model: { type: 'BPE', dropout: 0.1, vocab: { a: 0 }, merges: [] } }, /^model\.dropout: /],
    [{ model: { type: 'Unigram', unk_id: 3, vocab: [['a', -1]] } }, /^model\.unk_id: is beyond the 1 tokens/],
    [
      { model: { type: 'Unigram', unk_id: 0, vocab: [['a', null]] } },
      /^model\.vocab\.0: must be a token and its score/,
    ],
    [{ added_tokens: [{ id: 1, content: 'x', single_word: true }] }, /^added_tokens\.0\.single_word: /],
    [{ padding: { direction: 'Left', pad_id: 0 } }, /^padding\.direction: must be Right/],
    [
      {
        post_processor: {
          type: 'TemplateProcessing',
          single: [{ SpecialToken: { id: 'toString', type_id: 0 } }],
          pair: [],
          special_tokens: {},
        },
      },
      /^post_processor\.single\.0: 'toString' is not among special_tokens/,
    ],
  ])('refuses what it does not know or can not bound, by its field: %j', async (change, message) => {
    expect(await fieldOf(changed(change))).toMatch(message);
  });

  it('refuses what is no JSON, and what is too large, before it is parsed', async () => {
    expect(await fieldOf(Buffer.from('{"model":'))).toMatch(/^is not JSON/);
    const large = { byteLength: LIMIT_TOKENIZER_BYTES + 1 } as Uint8Array;
    expect(await fieldOf(large)).toMatch(/at most 67108864 are allowed/);
  });

  it('reads merges as pairs and as words, and models that older files do not name', async () => {
    const file = JSON.parse(text) as { model: { merges: string[][]; type?: string } };
    const { type: _, ...model } = file.model;
    const older = encode({ ...file, model: { ...model, merges: model.merges.map((pair) => pair.join(' ')) } });
    const options = { maxLength: 100, addSpecialTokens: true };
    const read = async (bytes: Uint8Array): Promise<readonly number[]> =>
      (await readTokenizer(bytes)).encode('the tide turns', undefined, options).ids;
    expect(await read(older)).toEqual(await read(Buffer.from(text)));
  });

  it('reads how older files say that a space goes before each word', async () => {
    const splitter = { type: 'Metaspace', replacement: '_', str_rep: '_' };
    const model = { type: 'WordPiece', unk_token: '?', vocab: { '?': 0, _a: 1, a: 2 } };
    const ids = async (more: object): Promise<readonly number[]> =>
      (await readTokenizer(encode({ model, pre_tokenizer: { ...splitter, ...more } }))).encode('a a', undefined, {
        maxLength: 9,
        addSpecialTokens: true,
      }).ids;
    expect(await ids({ add_prefix_space: true })).toEqual([1, 1]);
    expect(await ids({ add_prefix_space: false })).toEqual([2, 1]);
    expect(await ids({ prepend_scheme: 'never' })).toEqual([2, 1]);
  });

  it('lets no file make a text grow without end', async () => {
    const grows = { type: 'Replace', pattern: { String: 'a' }, content: 'a'.repeat(64) };
    const tokenizer = await readTokenizer(
      changed({
        added_tokens: [],
        normalizer: { type: 'Sequence', normalizers: Array.from({ length: 16 }, () => grows) },
      }),
    );
    const options = { maxLength: 8, addSpecialTokens: true };
    expect(() => tokenizer.encode('a', undefined, options)).toThrow(/normalizer: makes more than 4194304 characters/);
  });
});
