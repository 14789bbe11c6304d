// Kept stages: through real executors, a new version whose last graph alone changed; and the rules, on simulated time.
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import { StageCache } from '@tidegate/edge-agent/cache/stage-cache.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import type { KeptStages, StageLook, StageQuestion } from '@tidegate/shared/serving/kept-stages.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { openServedModel } from '@tidegate/shared/serving/open-served-model.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { systemClock, type Clock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { BARE_GRAPH, bareYaml } from '../../support/bare-package.js';
import { ManualClock } from '../../support/manual-clock.js';
import { fp32, numbersOf } from '../../support/word-pipeline.js';

const MATMUL = fileURLToPath(new URL('../../fixtures/onnx/matmul.onnx', import.meta.url));
const digest = (digit: string): string => `sha256:${digit.repeat(64)}`;
const signal = (): AbortSignal => new AbortController().signal;

describe('a new version that changed only its last graph', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-stages-'));
  const stages = new StageCache({
    memory: new MemoryLayer({ limitBytes: 1e6 }, { clock: systemClock }),
    clock: systemClock,
  });
  const spared: string[] = [];
  let runtime: ExecutorRuntime;
  beforeAll(() => {
    runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
  });
  afterAll(async () => {
    await runtime.close();
    rmSync(folder, { recursive: true });
  });

  const version = (number: string, last: string, columns: number): Promise<ServedModel> => {
    const at = mkdtempSync(join(folder, 'v'));
    copyFileSync(BARE_GRAPH, join(at, 'detect.onnx'));
    copyFileSync(last, join(at, 'last.onnx'));
    const pipeline = `[{ graph: detect.onnx, outputs: { y: found } }, { graph: last.onnx, inputs: { x: found }, outputs: { y: y } }]`;
    const outputs = `[{ name: y, datatype: FP32, shape: [-1, ${columns}] }]`;
    writeFileSync(join(at, 'model.yaml'), bareYaml('m', { pipeline, outputs, cache: '{ stages: [detect.onnx] }' }));
    const variantDigest = digest(number);
    const identity = { name: 'm', version: number, versionDigest: variantDigest, variant: 'fp32', variantDigest };
    const options = { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 16, heavy: false } as const;
    return openServedModel(at, identity, options, { runtime, inspect: inspectGraphFile, clock: systemClock }, signal());
  };
  const ask = async (model: ServedModel, value: number): Promise<number[]> => {
    const deadlineMs = systemClock.monotonicMs() + 20_000;
    const kept = stages.of({ model: 'm', tags: [] }, { maxAgeMs: 60_000, onHit: (graph) => spared.push(graph) });
    const inputs = [fp32('x', [1, 4], [value, value, value, value])];
    const answer = await model.infer({ inputs, outputs: [], deadlineMs, priority: 0, stages: kept }, signal());
    return numbersOf(answer.outputs[0]);
  };
  const runsOf = (model: ServedModel): number[] => model.graphs.map(({ counts }) => counts.runs);

  it("takes the detector's outputs of the version before, and runs what is new", async () => {
    const first = await version('1', MATMUL, 2);
    const second = await version('2', BARE_GRAPH, 4);
    await ask(first, 1);
    expect(runsOf(first)).toEqual([1, 1]);
    const found = [1.5, 2.5, 3.5, 4.5]; // x * [1, 2, 3, 4] + 0.5
    expect(await ask(second, 1)).toEqual(found.map((value, at) => value * (at + 1) + 0.5));
    expect(runsOf(second)).toEqual([0, 1]);
    expect(spared).toEqual(['detect.onnx']);
    await ask(second, 2);
    expect(runsOf(second)).toEqual([1, 2]);
    expect(stages.counts).toEqual([{ model: 'm', graph: 'detect.onnx', hits: 1, misses: 2, aside: false }]);
  });

  it('says which graph the pipeline does not have', async () => {
    const at = mkdtempSync(join(folder, 'v'));
    copyFileSync(BARE_GRAPH, join(at, 'm.onnx'));
    writeFileSync(join(at, 'model.yaml'), bareYaml('m', { cache: '{ stages: [n.onnx] }' }));
    const identity = {
      name: 'm',
      version: '1',
      versionDigest: digest('1'),
      variant: 'v',
      variantDigest: digest('1'),
    };
    const options = { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 16, heavy: false } as const;
    const opened = openServedModel(
      at,
      identity,
      options,
      { runtime, inspect: inspectGraphFile, clock: systemClock },
      signal(),
    );
    await expect(opened).rejects.toMatchObject({
      message: expect.stringMatching(/cache\.stages.*no graph 'n\.onnx'/) as string,
    });
  });
});

describe('StageCache', () => {
  const question = (part: Partial<StageQuestion> = {}): StageQuestion => ({
    graph: 'g.onnx',
    identity: 'stage:a',
    feeds: [fp32('x', [1], [1])],
    outputs: ['y'],
    ...part,
  });
  const made = (value: number) => [fp32('y', [1], [value])];
  const of = (stages: StageCache, maxAgeMs = 100, part: { model?: string; tags?: string[] } = {}): KeptStages =>
    stages.of({ model: 'm', tags: [], ...part }, { maxAgeMs, onHit: () => undefined });
  const setUp = () => {
    const clock = new ManualClock();
    const memory = new MemoryLayer({ limitBytes: 1e6 }, { clock });
    return { clock, memory, stages: new StageCache({ memory, clock }) };
  };
  const value = (look: StageLook | undefined): number | undefined => numbersOf(look?.outputs?.[0])[0];

  it('keeps apart graphs, feeds, outputs, models and tags', () => {
    const { stages } = setUp();
    of(stages).look(question())?.keep(made(1), 5);
    expect(value(of(stages).look(question()))).toBe(1);
    for (const part of [{ identity: 'stage:b' }, { feeds: [fp32('x', [1], [2])] }, { outputs: ['z'] }])
      expect(of(stages).look(question(part))?.outputs).toBeUndefined();
    expect(of(stages, 100, { model: 'n' }).look(question())?.outputs).toBeUndefined();
    expect(of(stages, 100, { tags: ['t'] }).look(question())?.outputs).toBeUndefined();
  });

  it('takes none that is too old, and none at all where the caller wants a fresh answer', () => {
    const { clock, stages } = setUp();
    of(stages).look(question())?.keep(made(1), 5);
    const fresh = of(stages, 0).look(question());
    expect(fresh?.outputs).toBeUndefined();
    fresh?.keep(made(2), 5);
    expect(value(of(stages).look(question()))).toBe(2);
    clock.advance(101);
    expect(of(stages).look(question())?.outputs).toBeUndefined();
  });

  it('lies under the limit of the memory layer, goes with its model, and does not come back', () => {
    const { memory, stages } = setUp();
    const late = of(stages).look(question());
    of(stages).look(question())?.keep(made(1), 5);
    expect(memory.models().get('m')?.entries).toBe(1);
    expect(memory.drop({ model: 'm' })).toBe(1);
    late?.keep(made(1), 5); // was being run when the model was dropped
    expect(memory.models().size).toBe(0);
  });

  it('stands aside where looking up costs more than it saves', () => {
    const { clock, memory } = setUp();
    let nowMs = 0;
    const costly = new StageCache({ memory, clock: { ...clock, monotonicMs: () => (nowMs += 1) } as Clock }); // each look takes 1 ms
    for (let i = 0; i < 512; i += 1)
      of(costly)
        .look(question({ feeds: [fp32('x', [1], [i])] }))
        ?.keep(made(i), 100);
    expect(of(costly).look(question())).toBeUndefined();
    expect(costly.counts).toMatchObject([{ misses: 512, aside: true }]);
  });
});
