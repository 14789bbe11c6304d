// Answers to similar inputs on simulated time: what they belong to, how they are audited, how they end and go.
import { describe, expect, it } from 'vitest';
import type { CachedAnswer } from '@tidegate/shared/cache/cache-layer.js';
import { SemanticLayer, type SemanticQuestion } from '@tidegate/edge-agent/cache/semantic-layer.js';
import { modelYamlSchema } from '@tidegate/shared/wire/model-yaml.js';
import { parse } from 'yaml';
import { bareYaml } from '../../support/bare-package.js';
import { cachedAnswer } from '../../support/cache-entries.js';
import { ManualClock } from '../../support/manual-clock.js';
import { recordedLog } from '../../support/recorded-log.js';
import { fp32, words } from '../../support/word-pipeline.js';

const yaml = parse(bareYaml('m', { cache: '{ semantic: { embedding: x, threshold: 0.01, audit: 1 } }' })) as object;
const { semantic } = modelYamlSchema.parse(yaml).cache;

function setUp(limitBytes = 1e6) {
  const clock = new ManualClock();
  const log = recordedLog();
  const layer = new SemanticLayer({ limitBytes }, { clock, log });
  const question = (part: Partial<SemanticQuestion> = {}): SemanticQuestion => ({
    labels: { model: 'm', tags: [] },
    variantDigest: 'd',
    outputs: [],
    parameters: {},
    options: semantic!,
    compare: 'label',
    maxAgeMs: 100,
    ...part,
  });
  return { clock, log, layer, question };
}
const at = (angle: number) => fp32('e', [1, 2], [Math.cos(angle), Math.sin(angle)]);
const says = (word: string): CachedAnswer => ({ ...cachedAnswer(Uint8Array.of(1)), outputs: [words('label', word)] });

describe('SemanticLayer', () => {
  it('gives the answer to a near input, with distance and age, and none to a far one', () => {
    const { clock, layer, question } = setUp();
    layer.put(question(), at(0), says('cat'));
    clock.advance(40);
    const hit = layer.get(question(), at(0.1));
    expect(hit).toMatchObject({ answer: { outputs: [{ name: 'label' }] }, ageMs: 40, audit: true });
    expect(hit?.distance).toBeCloseTo(1 - Math.cos(0.1), 5);
    expect(layer.get(question(), at(0.2))).toBeUndefined();
    clock.advance(61);
    expect(layer.get(question(), at(0))).toBeUndefined();
    expect(layer.counts).toMatchObject({ hits: 1, misses: 2, entries: 1 });
  });

  it('keeps apart what was asked otherwise', () => {
    const { layer, question } = setUp();
    layer.put(question(), at(0), says('cat'));
    for (const part of [
      { outputs: ['label'] },
      { parameters: { language: 'de' } },
      { labels: { model: 'm', tags: ['t'] } },
      { labels: { model: 'n', tags: [] } },
    ])
      expect(layer.get(question(part), at(0))).toBeUndefined();
    expect(layer.get(question(), at(0))).toBeDefined();
    expect(layer.get(question({ variantDigest: 'new' }), at(0))).toBeUndefined(); // another version begins anew
    expect(layer.counts.entries).toBe(0);
  });

  it('measures how often it is wrong, and ends by itself', () => {
    const { log, layer, question } = setUp();
    for (let i = 0; i < 20; i += 1) layer.audited(question(), says('cat'), says(i % 10 === 0 ? 'dog' : 'cat'));
    expect(layer.report()).toMatchObject([
      { model: 'm', audits: 20, disagreements: 2, disagreementRate: 0.1, off: true },
    ]);
    expect(layer.isOn(question())).toBe(false);
    expect(JSON.stringify(log.lines)).toContain('disagree too often');
    layer.drop({ model: 'm' });
    expect(layer.isOn(question())).toBe(true);
  });

  it('agrees by the largest element, by a tolerance where one is stated, and not at all on what was not asked for', () => {
    const { layer, question } = setUp();
    const scores = (...values: number[]): CachedAnswer => ({
      ...says(''),
      outputs: [fp32('label', [1, values.length], values)],
    });
    layer.audited(question(), scores(1, 9), scores(4, 5));
    expect(layer.counts).toMatchObject({ audits: 1, disagreements: 0 });
    layer.audited(question({ options: { ...semantic!, tolerance: 1 } }), scores(1, 9), scores(4, 5));
    layer.audited(question(), scores(9, 1), scores(4, 5));
    layer.audited(question({ compare: 'other' }), scores(9, 1), scores(4, 5));
    expect(layer.counts).toMatchObject({ audits: 3, disagreements: 2 });
  });

  it('keeps within its bytes and entries: the oldest makes room', () => {
    const { layer, question } = setUp(5000);
    for (let i = 0; i < 50; i += 1) {
      layer.put(question(), at(0.12 * i), says(`${i}`));
      expect(layer.counts.sizeBytes).toBeLessThanOrEqual(5000);
    }
    expect(layer.get(question(), at(0.12 * 49))).toBeDefined();
    expect(layer.get(question(), at(0))).toBeUndefined();
    const few = question({ labels: { model: 'few', tags: [] }, options: { ...semantic!, entries: 2 } });
    layer.drop({});
    for (let i = 0; i < 3; i += 1) layer.put(few, at(i), says(`${i}`));
    expect(layer.counts.entries).toBe(2);
  });

  it('drops by tag, and gives the room back', () => {
    const { layer, question } = setUp();
    layer.put(question({ labels: { model: 'm', tags: ['t'] } }), at(0), says('cat'));
    layer.put(question(), at(0), says('cat'));
    layer.drop({ tag: 't' });
    expect(layer.counts.entries).toBe(1);
    layer.drop({});
    expect(layer.counts.sizeBytes).toBe(0);
  });
});
