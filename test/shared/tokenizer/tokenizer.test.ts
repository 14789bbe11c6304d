// Equal to Hugging Face's tokenizers (fixtures/tokenizers, made by the Python package), and done in time whatever the text.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { AddedTokens } from '@tidegate/shared/tokenizer/added-tokens.js';
import { readTokenizer } from '@tidegate/shared/tokenizer/read-tokenizer.js';
import { Tokenizer } from '@tidegate/shared/tokenizer/tokenizer.js';

const fixture = (name: string): Uint8Array =>
  readFileSync(new URL(`../../fixtures/tokenizers/${name}.json`, import.meta.url));
const open = (name: string): Promise<Tokenizer> => readTokenizer(fixture(name));

interface Expected {
  readonly texts: readonly string[];
  readonly results: Readonly<Record<string, Readonly<Record<'alone' | 'pairs' | 'types', readonly number[][]>>>>;
}
const expected = JSON.parse(Buffer.from(fixture('expected')).toString()) as Expected;
const whole = { maxLength: 1_000_000, addSpecialTokens: true };

describe('a tokenizer', () => {
  it.each(Object.keys(expected.results))(
    'cuts texts, pairs and pairs that are too long as Python does: %s',
    async (name) => {
      const tokenizer = await open(name);
      const { texts, results } = expected;
      const short = { maxLength: 24, addSpecialTokens: true };
      const pairs = texts.map((text, at) => tokenizer.encode(text, texts.at(at - 1), short));
      expect(texts.map((text) => tokenizer.encode(text, undefined, whole).ids)).toEqual(results[name]?.alone);
      expect(pairs.map(({ ids }) => ids)).toEqual(results[name]?.pairs);
      expect(pairs.map(({ typeIds }) => typeIds)).toEqual(results[name]?.types);
      expect(texts.length).toBeGreaterThan(20);
    },
  );

  it('cuts a text that is too long at its end, and says so', async () => {
    const tokenizer = await open('bert');
    const all = tokenizer.encode('tide gate lets water through', undefined, whole);
    const cut = tokenizer.encode('tide gate lets water through', undefined, { maxLength: 5, addSpecialTokens: true });
    expect(all.cut).toBe(false);
    expect(cut).toEqual({ ids: [...all.ids.slice(0, 4), all.ids.at(-1)], typeIds: [0, 0, 0, 0, 0], cut: true });
    const exact = { maxLength: all.ids.length, addSpecialTokens: true };
    expect(tokenizer.encode('tide gate lets water through', undefined, exact).cut).toBe(false);
  });

  it('leaves the special tokens out where it is told to', async () => {
    const tokenizer = await open('bert');
    const bare = tokenizer.encode('tide', undefined, { maxLength: 512, addSpecialTokens: false });
    expect(tokenizer.encode('tide', undefined, whole).ids).toEqual([2, ...bare.ids, 3]);
    expect([tokenizer.specials(false), tokenizer.specials(true), tokenizer.idOf('[SEP]')]).toEqual([2, 3, 3]);
  });

  it('takes time in proportion to the text, also for 20 KB that are one word', async () => {
    const size = 20_000;
    const texts = [
      'a'.repeat(size),
      Array.from({ length: size }, (_, at) => String.fromCharCode(97 + ((at * at * 7) % 26))).join(''),
      Array.from({ length: size / 100 }, (_, at) => String.fromCharCode(97 + (at % 26)).repeat(99)).join(' '),
      ' '.repeat(size) + 'x',
      '<mask'.repeat(size / 5),
      `a${'\u0301\u0327'.repeat(size / 4)}`, // ICU alone takes a second for every hundred thousand
      '\n '.repeat(size / 2),
    ];
    const before = process.cpuUsage();
    for (const name of Object.keys(expected.results)) {
      const tokenizer = await open(name);
      for (const text of texts) expect(tokenizer.encode(text, undefined, whole).ids.length).toBeGreaterThan(0);
    }
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(4000); // 4 x 7 texts, some 10 ms each
  });

  it('looks at no more words than the wanted tokens need', () => {
    let words = 0;
    const tokenizer = new Tokenizer({
      added: new AddedTokens([], (text) => text),
      split: (piece) => piece.split(' '),
      model: { encode: () => [(words += 1)], idOf: () => undefined },
      template: { single: [{ text: 0, type: 0 }], pair: [] },
      padId: undefined,
      idOf: () => undefined,
    });
    const text = Array.from({ length: 1000 }, (_, at) => `word${at}`).join(' ');
    expect(tokenizer.encode(text, undefined, { maxLength: 16, addSpecialTokens: true }).ids).toHaveLength(16);
    expect(words).toBe(17);
  });
});
