// A pipeline with a branch through a real agent: what is answered, what `explain` and the metrics say of it, and the stages that were kept.
import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, float32Of, tensor, type NamedTensor, type Tensor } from '@tidegate/shared/tensor/tensor.js';
import { goldensFileSchema } from '@tidegate/shared/wire/model-yaml.js';
import { assemble } from '../../examples/cascade/assemble.mjs';
import { startAgent, type AgentProcess } from '../support/agent-process.js';

const BRANCH = 'step branch (unsure)';
let folder: string;
let agent: AgentProcess;
let images: Map<string, Float32Array>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-branch-'));
  const model = await assemble(join(folder, 'cascade'));
  await appendFile(join(model, 'model.yaml'), 'cache: { stages: [small.onnx, digits.onnx] }\n');
  const goldens = goldensFileSchema.parse(JSON.parse(await readFile(join(model, 'goldens.json'), 'utf8')));
  images = new Map(
    goldens.map(({ id, inputs: { image } }) => [
      id,
      Float32Array.from(image !== undefined && 'data' in image ? image.data : [], Number),
    ]),
  );
  agent = await startAgent(['serve', model]);
});
afterAll(async () => {
  await agent?.stop();
  await rm(folder, { recursive: true });
});

/** Goldens by name: of `2-0` the small model is sure, of `3-2` it isn't. */
const digits = (...ids: string[]): NamedTensor[] => {
  const pixels = Float32Array.from(ids.flatMap((id) => [...(images.get(id) ?? [])]));
  return [tensor('image', 'FP32', [ids.length, 1, 28, 28], bytesOf(pixels))];
};
const textsOf = (value: Tensor | undefined): string[] =>
  (decodeBytes(value?.data ?? new Uint8Array()) ?? []).map((one) => Buffer.from(one).toString());
const ask = async (id: string, inputs: NamedTensor[], outputs: string[] = []) => {
  const answer = await agent.infer('cascade', inputs, { id, outputs });
  const { steps } = await agent.get<{ steps: { what: string }[] }>(`/agent/v1/explain/${id}`);
  return { ...answer, said: steps.map(({ what }) => what) };
};
const side = (name: string): Promise<number> =>
  agent.metric(`tidegate_branch_items_total{model="cascade",step="${BRANCH}",side="${name}"}`);

describe('a pipeline with a branch', () => {
  it('says which side it took, and counts both', async () => {
    const sure = await ask('sure', digits('2-0'));
    expect(textsOf(sure.outputs[0])).toEqual(['2']);
    expect(sure.said).toContain(`${BRANCH}: its second side`);
    expect(sure.said.some((what) => what.startsWith('digits.onnx'))).toBe(false);
    const both = await ask('both', digits('2-0', '3-2', '2-1'));
    expect(textsOf(both.outputs[0])).toEqual(['2', '3', '2']);
    expect(both.provenance.confidence).toBeCloseTo(Math.min(...float32Of(both.outputs[1]!)), 6);
    expect(both.said).toContain(`${BRANCH}: its first side for 1 of 3 items`);
    expect([await side('first'), await side('second')]).toEqual([1, 3]);
  });

  it('takes what was kept of either side', async () => {
    await ask('apart', digits('8-0'), ['small-confidence', 'large-label']);
    const { said, provenance } = await ask('whole', digits('8-0'));
    expect(said).toEqual(
      expect.arrayContaining(
        ['small', 'digits'].map((graph) => `${graph}.onnx: not run, its outputs for this input were kept`),
      ),
    );
    expect([provenance.cacheLayer, provenance.computeUs]).toEqual([undefined, 0]);
  });

  it('is refused by name where it may be split', async () => {
    const other = await assemble(join(folder, 'other'));
    await appendFile(join(other, 'model.yaml'), 'placement: { split: true }\n');
    await expect(startAgent(['serve', other])).rejects.toThrow(/placement\.split: contradicts step branch \(unsure\)/);
  });
});
