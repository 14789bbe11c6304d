// What clients are told of a model. That the fronts tell it so is held by their own tests.
import { describe, expect, it } from 'vitest';
import type { CarriedState } from '@tidegate/shared/runtime/engine.js';
import { Scheduler } from '@tidegate/shared/scheduling/scheduler.js';
import type { GraphSlot } from '@tidegate/shared/serving/evaluate-request.js';
import { modelDetails } from '@tidegate/shared/serving/model-details.js';
import { modelYamlSchema } from '@tidegate/shared/wire/model-yaml.js';
import { FakeGraphRunner } from '../../support/fake-graph-runner.js';
import { ManualClock } from '../../support/manual-clock.js';

const row = (name: string) => ({ name, datatype: 'FP32' as const, shape: [-1, 2] });
const YAML = { name: 'm', licence: 'MIT', inputs: [row('x')], outputs: [row('y')], pipeline: [{ graph: 'a.onnx' }] };
const pipeline = { inputs: [row('x')], outputs: [row('y')], inner: [row('between')] };
const labels = new Map([['y', ['cat', 'dog']]]);

function slotOf(graph: string, batchRowsMax: number, more: Pick<GraphSlot, 'state'> & { onGpu?: boolean }): GraphSlot {
  const clock = new ManualClock();
  const runner = new FakeGraphRunner(clock, { concurrency: 2 });
  const gpu = { asked: ['webgpu'], tried: [], runs: 'webgpu', reason: 'asked for' } as const;
  if (more.onGpu === true) Object.assign(runner, { provider: gpu });
  const scheduler = new Scheduler(runner, { maxRows: batchRowsMax, queueDepthMax: 4 }, { clock });
  return { graph, runner, scheduler, batchRowsMax, stage: undefined, nodes: 1, state: more.state };
}
const described = (slots: readonly GraphSlot[], { yaml = {}, hasYaml = true, deterministic = true } = {}) => {
  const pack = { yaml: modelYamlSchema.parse({ ...YAML, ...yaml }), hasYaml };
  return modelDetails({ name: 'm', version: '7' }, { pack, slots, pipeline, deterministic, labels });
};

describe('the details of a model', () => {
  it('name its version, tensors and labels, and whether a package or a graph alone is served', () => {
    const { metadata, version, labels: told } = described([]);
    expect(metadata).toEqual({ name: 'm', versions: ['7'], platform: 'tidegate_package', ...pipeline });
    expect([version, told]).toEqual(['7', labels]);
    expect(described([], { hasYaml: false }).metadata.platform).toBe('onnxruntime_onnx');
  });

  it('say where each graph runs, and as large a batch as all of them take', () => {
    const slots = [slotOf('a.onnx', 8, { state: undefined }), slotOf('b.onnx', 3, { state: undefined, onGpu: true })];
    expect(described(slots)).toMatchObject({
      batchRowsMax: 3,
      instances: [
        { graph: 'a.onnx', count: 2, kind: 'cpu' },
        { graph: 'b.onnx', count: 2, kind: 'gpu' },
      ],
    });
    expect(described([])).toMatchObject({ batchRowsMax: 1, instances: [] }); // steps only
  });

  it('say that answers are cached only where the package wants it and the same request has the same answer', () => {
    const cache = { enabled: true };
    expect(described([], { yaml: { cache } }).cached).toBe(true);
    expect(described([], { yaml: { cache }, deterministic: false }).cached).toBe(false);
    expect(described([], { yaml: { cache: { enabled: false } } }).cached).toBe(false);
  });

  it('say what sequences carry and how long they may be idle, and nothing of it for a model without state', () => {
    const state: CarriedState = { initial: [], carried: new Map([['h_next', 'h']]) };
    const slots = [slotOf('a.onnx', 1, { state }), slotOf('b.onnx', 1, { state: undefined })];
    const carrying = { graph: 'a.onnx', state: [{ input: 'h', output: 'h_next' }] };
    const yaml = { pipeline: [carrying, { graph: 'b.onnx' }], sequences: { idleTimeoutMs: 5000 } };
    expect(described(slots, { yaml }).sequences).toEqual({ idleTimeoutMs: 5000, state: [state] });
    expect(described([])).not.toHaveProperty('sequences');
  });
});
