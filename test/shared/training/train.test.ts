// The loop's own decisions over a state that only counts; what it trains on the engine: step-graph.test.ts and job-process/.
import { describe, expect, it } from 'vitest';
import type { EngineState } from '@tidegate/shared/runtime/engine.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { train, TrainingDiverged, type StepReport, type TrainingBatch } from '@tidegate/shared/training/train.js';
import { ManualClock } from '../../support/manual-clock.js';

const names = {
  feeds: { inputs: ['x'], labels: 'y', learningRate: 'rate', step: 'step', apply: 'apply' },
  outputs: { loss: 'loss', norm: 'norm', right: 'right' },
};
const float = (name: string, value: number): NamedTensor => tensor(name, 'FP32', [], bytesOf(Float32Array.of(value)));

interface Setup {
  readonly steps?: number;
  readonly doneSteps?: number;
  readonly accumulate?: number;
  readonly checkpointEveryMs?: number;
  /** Of run number i, from 0. */
  readonly answer?: (run: number) => { readonly loss?: number; readonly norm?: number };
  readonly onStep?: (report: StepReport) => void;
  readonly batches?: number;
  readonly signal?: AbortSignal;
}

async function run(setup: Setup) {
  const { steps = 3, doneSteps = 0, accumulate = 1, checkpointEveryMs = 1e9, answer, onStep, batches = 1000 } = setup;
  const clock = new ManualClock();
  const fed: (readonly NamedTensor[])[] = [];
  const reports: StepReport[] = [];
  const saved: number[] = [];
  const state: EngineState = {
    run: async (feeds) => {
      const { loss = 1, norm = 2 } = answer?.(fed.length) ?? {};
      fed.push(feeds);
      clock.advance(8);
      return [float('loss', loss), float('norm', norm), tensor('right', 'INT64', [], bytesOf(BigInt64Array.of(1n)))];
    },
    read: () => [],
    close: async () => undefined,
  };
  async function* given(): AsyncGenerator<TrainingBatch> {
    for (let number = 0; number < batches; number += 1) {
      clock.advance(2);
      const count = number % 2 === 0 ? 3 : 1;
      yield { feeds: [float('x', number), float('not-fed', 0)], labels: float('labels', number), count };
    }
  }
  const end = train(
    { names, doneSteps, steps, accumulate, learningRate: (step) => step / 8, checkpointEveryMs },
    {
      state,
      batches: given(),
      clock,
      onStep: (report) => {
        reports.push(report);
        onStep?.(report);
      },
      checkpoint: async (step) => void saved.push(step),
    },
    setup.signal ?? new AbortController().signal,
  );
  return { end, fed, reports, saved };
}

describe('training', () => {
  it('feeds what the graph takes, under its names, and reports means weighed by samples', async () => {
    const { end, fed, reports } = await run({
      steps: 2,
      accumulate: 2,
      answer: (i) => ({ loss: i % 2 === 0 ? 1 : 5 }),
    });
    expect(await end).toEqual({ kind: 'done', doneSteps: 2 });
    expect(fed.map((feeds) => feeds.map(({ name }) => name))).toEqual(
      Array.from({ length: 4 }, () => ['x', 'y', 'rate', 'step', 'apply']),
    );
    expect(fed.map((feeds) => feeds[4]?.data[0])).toEqual([0, 1, 0, 1]);
    expect(fed.map((feeds) => float32Of(feeds[2]!)[0])).toEqual([1 / 8, 1 / 8, 2 / 8, 2 / 8]);
    expect(reports).toHaveLength(2);
    expect(reports[0]).toEqual({
      ...{ step: 1, loss: (3 * 1 + 1 * 5) / 4, rightShare: 2 / 4, norm: 2, learningRate: 1 / 8, samples: 4 },
      ...{ elapsedMs: 20, waitMs: 4 },
    });
  });

  it('counts on from the updates that were made before', async () => {
    const { end, reports } = await run({ steps: 5, doneSteps: 3 });
    expect(await end).toEqual({ kind: 'done', doneSteps: 5 });
    expect(reports.map(({ step }) => step)).toEqual([4, 5]);
    const none = await run({ steps: 5, doneSteps: 5 });
    expect(await none.end).toEqual({ kind: 'done', doneSteps: 5 });
    expect(none.fed).toEqual([]);
  });

  it('saves by the clock, and leaves the last update to the caller', async () => {
    const byTime = await run({ steps: 10, checkpointEveryMs: 25 }); // an update takes 10 ms
    await byTime.end;
    expect(byTime.saved).toEqual([3, 6, 9]);
    const each = await run({ steps: 4, checkpointEveryMs: 0 });
    await each.end;
    expect(each.saved).toEqual([1, 2, 3]);
  });

  it('stops between two updates, with the last one saved once', async () => {
    for (const checkpointEveryMs of [0, 1e9]) {
      const stop = new AbortController();
      const onStep = ({ step }: StepReport): void => void (step === 2 && stop.abort());
      const { end, saved } = await run({ steps: 9, checkpointEveryMs, onStep, signal: stop.signal });
      expect(await end).toEqual({ kind: 'stopped', doneSteps: 2 });
      expect(saved.filter((step) => step === 2)).toHaveLength(1);
    }
  });

  it.each([{ loss: Number.NaN }, { loss: Number.POSITIVE_INFINITY }, { norm: Number.NaN }])(
    'has diverged at %o',
    async (bad) => {
      const { end, reports } = await run({ answer: (i) => (i === 1 ? bad : {}) });
      await expect(end).rejects.toThrow(TrainingDiverged);
      expect(reports).toHaveLength(1);
    },
  );

  it('does not make up for batches that are not there', async () => {
    const { end } = await run({ steps: 3, batches: 2 });
    await expect(end).rejects.toThrow('the batches ended before the updates');
  });
});
