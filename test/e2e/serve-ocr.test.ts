// The text line recogniser as a stranger meets it: encoded pictures in, text out; several at once; the raw tensor call that
// skips the steps; and pictures that are none.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InferAnswer } from '@tidegate/shared/serving/inference-service.js';
import { decodeBytes, encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { assemble } from '../../examples/ocr-line/assemble.mjs';
import { AgentProcess, startAgent } from '../support/agent-process.js';

interface Golden {
  readonly id: string;
  readonly group?: string;
  readonly inputs: { readonly picture: { readonly file: string } };
  readonly expected: string;
}

let folder: string;
let agent: AgentProcess;
let goldens: Golden[];

beforeAll(async () => {
  folder = await assemble(await mkdtemp(join(tmpdir(), 'tidegate-ocr-')));
  goldens = JSON.parse(await readFile(join(folder, 'goldens', 'goldens.json'), 'utf8')) as Golden[];
  agent = await startAgent(['serve', folder]);
});

afterAll(async () => {
  await agent.stop();
  await rm(folder, { recursive: true });
});

const pictureOf = ({ inputs }: Golden): Promise<Uint8Array> => readFile(join(folder, inputs.picture.file));
const pictures = (...elements: Uint8Array[]): NamedTensor[] => [
  tensor('picture', 'BYTES', [elements.length], encodeBytes(elements)),
];
const textsOf = (answer: InferAnswer): string[] => {
  const text = answer.outputs.find(({ name }) => name === 'text');
  return (decodeBytes(text?.data ?? new Uint8Array()) ?? []).map((element) => Buffer.from(element).toString('utf8'));
};

describe('ocr-line', () => {
  it('reads encoded pictures, one by one and several at once alike', async () => {
    const some = goldens.slice(0, 12);
    const elements = await Promise.all(some.map(pictureOf));
    const single: string[] = [];
    for (const element of elements) {
      const answer = await agent.infer('ocr-line', pictures(element));
      expect(answer.provenance.confidence).toBeGreaterThan(0);
      single.push(...textsOf(answer));
    }
    const clean = single.filter((text, i) => text.trim() === some[i]?.expected.trim());
    expect(clean.length).toBeGreaterThan(some.length / 2);
    const together = await agent.infer('ocr-line', pictures(...elements));
    expect(textsOf(together)).toEqual(single);
    expect(together.outputs.find(({ name }) => name === 'confidence')?.shape).toEqual([12]);
  });

  it("takes the graph's own tensor, skipping the steps before it", async () => {
    const x = tensor('x', 'FP32', [1, 3, 48, 320], bytesOf(new Float32Array(3 * 48 * 320)));
    const raw = await agent.infer('ocr-line', [x]);
    expect(raw.outputs.map(({ name, shape }) => [name, shape.length])).toEqual([['probabilities', 3]]);
    const read = await agent.infer('ocr-line', [x], { outputs: ['text'] });
    expect(textsOf(read)).toHaveLength(1);
  });

  it('says what is wrong with a picture that is none, and serves on', async () => {
    const [good] = goldens as [Golden];
    const element = await pictureOf(good);
    for (const bad of [Buffer.from('no picture'), element.subarray(0, 40), Buffer.alloc(0)]) {
      const error: unknown = await agent.infer('ocr-line', pictures(bad)).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'invalid-argument', field: 'picture' });
    }
    const second: unknown = await agent.infer('ocr-line', pictures(element, Buffer.from('x'))).catch((e: unknown) => e);
    expect((second as Error).message).toContain('item 1');
    expect(textsOf(await agent.infer('ocr-line', pictures(element)))).toHaveLength(1);
  });
});
