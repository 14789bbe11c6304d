// What is told of a graph is read from its runner and its scheduler at that moment.
import { describe, expect, it } from 'vitest';
import type { GraphPlace } from '@tidegate/shared/runtime/graph-runner.js';
import type { PaddingRule } from '@tidegate/shared/scheduling/padding-rule.js';
import { Scheduler } from '@tidegate/shared/scheduling/scheduler.js';
import { graphReport } from '@tidegate/shared/serving/graph-report.js';
import { FakeGraphRunner, feedOf } from '../../support/fake-graph-runner.js';
import { ManualClock } from '../../support/manual-clock.js';

const ragged: PaddingRule = {
  field: 'pipeline.0.ragged',
  inputs: [{ name: 'x', axis: 1, element: new Uint8Array(4) }],
  outputs: [],
  tolerance: 0.001,
  maxWaste: 0.25,
};

function slotWith(more: { readonly place?: GraphPlace; readonly ragged?: PaddingRule } = {}) {
  const clock = new ManualClock();
  const runner = Object.assign(new FakeGraphRunner(clock, { concurrency: 2, threads: 3 }), { place: more.place });
  const options = { maxRows: 8, queueDepthMax: 4, ragged: more.ragged };
  const scheduler = new Scheduler(runner, options, { clock });
  return { graph: 'm.onnx', runner, scheduler, batchRowsMax: 8, stage: undefined, nodes: 1, state: undefined };
}

describe('the report of a graph', () => {
  it('says on what it runs, and what has run', async () => {
    const slot = slotWith();
    expect(graphReport(slot)).toMatchObject({
      graph: 'm.onnx',
      pid: 1,
      engine: 'fake',
      engineVersion: '1',
      provider: { runs: 'cpu', reason: 'asked for' },
      loadMs: 1,
      concurrency: 2,
      threads: 3,
      counts: { runs: 0, rows: 0 },
    });
    const work = { feeds: feedOf(1, 2), outputs: [], deadlineMs: 1000, priority: 0, caller: '' };
    const run = slot.scheduler.run(work, new AbortController().signal);
    slot.runner.runs[0]!.finish();
    await run;
    expect(graphReport(slot).counts).toMatchObject({ runs: 1, rows: 2 });
  });

  it('says with how many it shares its executor and why, and nothing of it while it is in none', () => {
    expect(graphReport(slotWith()).executor).toBeNull();
    const place = { pid: 9, graphs: 3, memoryShare: 1 / 3, reason: 'small and proven' };
    expect(graphReport(slotWith({ place })).executor).toEqual({
      graphs: 3,
      memoryShare: 0.333,
      reason: 'small and proven',
    });
  });

  it('says whether padding was tried, where the package asks for it', () => {
    expect(graphReport(slotWith())).not.toHaveProperty('padding');
    expect(graphReport(slotWith({ ragged })).padding).toEqual({ state: 'untried' });
  });
});
