// Full OCR as a stranger meets it: one encoded picture in, boxes, texts and confidences of its lines out, from three graphs in
// three executors behind one name.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InferAnswer } from '@tidegate/shared/serving/inference-service.js';
import { decodeBytes, encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { assemble } from '../../examples/ocr/assemble.mjs';
import { startAgent, type AgentProcess } from '../support/agent-process.js';

let folder: string;
let agent: AgentProcess;

beforeAll(async () => {
  folder = await assemble(await mkdtemp(join(tmpdir(), 'tidegate-ocr-page-')));
  agent = await startAgent(['serve', folder]);
});

afterAll(async () => {
  await agent.stop();
  await rm(folder, { recursive: true });
});

const picture = (...elements: Uint8Array[]): NamedTensor[] => [
  tensor('picture', 'BYTES', [elements.length], encodeBytes(elements)),
];
const valueOf = (answer: InferAnswer, name: string): NamedTensor => answer.outputs.find((one) => one.name === name)!;
const textsOf = (answer: InferAnswer): string[] =>
  (decodeBytes(valueOf(answer, 'text').data) ?? []).map((element) => Buffer.from(element).toString('utf8'));

describe('ocr', () => {
  it('finds and reads the lines of a picture', async () => {
    const answer = await agent.infer('ocr', picture(await readFile(join(folder, 'goldens', 'sign-1.webp'))));
    const texts = textsOf(answer);
    const goldens = JSON.parse(await readFile(join(folder, 'goldens', 'goldens.json'), 'utf8')) as {
      readonly id: string;
      readonly expected: string;
    }[];
    const letters = (text: string): string => text.replaceAll(/\s/g, '').toLowerCase();
    const expected = goldens.find(({ id }) => id === 'sign-1')!.expected;
    expect(letters(texts.join(''))).toBe(letters(expected));
    expect(valueOf(answer, 'boxes').shape).toEqual([texts.length, 4, 2]);
    expect([...float32Of(valueOf(answer, 'confidence'))].every((one) => one >= 0.5 && one <= 1)).toBe(true);
    expect(answer.provenance.confidence).toBeGreaterThan(0.5);
  });

  it('answers no lines where there are none', async () => {
    const blank = await sharp({ create: { width: 200, height: 100, channels: 3, background: 'white' } })
      .png()
      .toBuffer();
    const answer = await agent.infer('ocr', picture(blank));
    expect(answer.outputs.map(({ name, shape }) => [name, shape])).toEqual([
      ['boxes', [0, 4, 2]],
      ['text', [0]],
      ['confidence', [0]],
    ]);
  });

  it('takes one picture at a time, and says so', async () => {
    const blank = Buffer.from('x');
    const error: unknown = await agent.infer('ocr', picture(blank, blank)).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'invalid-argument', field: 'inputs[0].shape' });
    expect((error as Error).message).toContain('picture');
  });
});
