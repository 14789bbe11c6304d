// A table that SentencePiece compiled, and what the Python package's `Precompiled` makes of texts with it (fixtures/tokenizers).
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { characterMap } from '@tidegate/shared/tokenizer/character-map.js';

const { table, cases } = JSON.parse(
  readFileSync(new URL('../../fixtures/tokenizers/characters.json', import.meta.url), 'utf8'),
) as { table: string; cases: [string, string][] };

describe('characterMap', () => {
  it('replaces characters and clusters as Python does', () => {
    const normalise = characterMap(table, 'normalizer', 1000);
    expect(cases.map(([text]) => normalise(text))).toEqual(cases.map(([, wanted]) => wanted));
    expect(cases.length).toBeGreaterThan(50);
    expect(cases.filter(([text, wanted]) => text !== wanted).length).toBeGreaterThan(50);
  });

  it('gives the same whatever stands around a text', () => {
    const normalise = characterMap(table, 'normalizer', 1000);
    for (const [text, wanted] of cases) expect(normalise(`plain ${text} 東京`)).toBe(`plain ${wanted} 東京`);
  });

  it('stops where a text would grow beyond the limit', () => {
    const normalise = characterMap(table, 'normalizer', 10);
    expect(normalise('\ufdfa\ufdfa')).toBe('a b ca b c');
    expect(() => normalise('\ufdfa\ufdfa\ufdfa')).toThrow('normalizer: makes more than 10 characters');
  });

  it('refuses what is no table, and takes what points outside of one for no match', () => {
    for (const wrong of ['', 'AAAA', Buffer.from([255, 0, 0, 0, 1, 2, 3, 4]).toString('base64')]) {
      expect(() => characterMap(wrong, 'normalizer', 10)).toThrow('normalizer: is no table of characters');
    }
    const bytes = Buffer.from(table, 'base64');
    for (let seed = 1; seed < 60; seed += 1) {
      const torn = Buffer.from(bytes);
      for (let at = 0; at < 40; at += 1)
        torn[4 + ((seed * 7919 + at * 104_729) % (torn.length - 4))] = (seed * 31 + at) & 255;
      const normalise = characterMap(torn.toString('base64'), 'normalizer', 100_000);
      for (const [text] of cases.slice(0, 10)) expect(typeof normalise(text)).toBe('string');
    }
  });
});
