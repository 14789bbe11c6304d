import { statusText, type Status } from '@tidegate/edge-agent/cli/status.js';
import { describe, expect, test } from 'vitest';

const quiet: Status = {
  version: '0.1.0',
  mode: 'run',
  state: 'serving',
  uptimeMs: 90_000,
  residentBytes: 100 * 2 ** 20,
  models: [],
  hub: null,
};

describe('what status says', () => {
  test('of an agent without models or hub', () => {
    expect(statusText(quiet)).toBe('serving (run, version 0.1.0), up 1.5 min, 100 MiB\nno models\n');
  });

  test('of a model that is not loaded, with the reason', () => {
    const unloaded = [{ name: 'wide', version: '1', reason: 'it needs 300 MiB' }];
    expect(statusText({ ...quiet, unloaded })).toMatch(/100 MiB\nwide@1 is not loaded: it needs 300 MiB\n$/);
  });

  test('of the hub, and of the way there as far as it is measured', () => {
    const hubLine = (more: object): string | undefined =>
      statusText({ ...quiet, hub: { url: 'http://hub', phase: 'closed', ...more } })
        .split('\n')
        .find((line) => line.startsWith('hub'));
    expect(hubLine({})).toBe('hub http://hub: asked when it is needed');
    expect(hubLine({ roundTripMs: 21.4, bytesPerSecond: 2_500_000 })).toBe(
      'hub http://hub: asked when it is needed; round trip 21 ms, 2.5 MB/s',
    );
  });

  test('of memory, and of a model that is on demand or in quarantine', () => {
    const MIB = 2 ** 20;
    const model = {
      ...{ name: 'm', version: '2', variant: 'int8', variantDigest: 'sha256:0123456789', verified: true },
      provider: { runs: 'cpu', reason: 'asked for' },
      counts: { runs: 7, queueDepth: 0 },
      residency: { state: 'on demand', neededBytes: 40 * MIB, pinned: false },
    };
    const measuredAtMs = Date.UTC(2026, 2, 5, 12);
    const threads = { threads: 2, reason: 'a run takes 40 ms with 1 thread', measuredAtMs };
    const executor = { graphs: 3, reason: 'proven' };
    const graphs = [
      { graph: 'a.onnx', pid: 12, executor },
      { graph: 'b.onnx', pid: 12, executor },
      { graph: 'c.onnx', pid: 13, executor: { graphs: 1, reason: 'it holds state' } },
      { graph: 'd.onnx', executor: null },
    ];
    const pinned = { ...model, graphs, residency: { state: 'resident', neededBytes: 60 * MIB, pinned: true }, threads };
    const held = { ...model, quarantine: { reason: 'its executors ended 3 times' } };
    const memory = { budgetBytes: 512 * MIB, usedBytes: 160 * MIB, agentBytes: 50 * MIB };
    expect(
      statusText({ ...quiet, memory, cores: { count: 2, busy: 1, waiting: 3 }, models: [model, pinned, held] })
        .split('\n')
        .slice(1, -1),
    ).toEqual([
      'memory: 160 MiB with executors (50 MiB the agent itself), of a budget of 512 MiB',
      'cores: 1 of 2 compute, 3 requests wait',
      'm@2 int8 sha256:01234567 (verified) on cpu: asked for; 7 runs, 0 waiting',
      '  on demand: 40 MiB',
      'm@2 int8 sha256:01234567 (verified) on cpu: asked for; 7 runs, 0 waiting',
      '  in memory: 60 MiB, pinned',
      '  executor 12, 3 graphs: proven',
      '  executor 13, this graph only: it holds state',
      '  2 threads a run: a run takes 40 ms with 1 thread (measured on 2026-03-05)',
      'm@2 int8 sha256:01234567 (verified) on cpu: asked for; 7 runs, 0 waiting',
      '  in quarantine: its executors ended 3 times',
      '  to try it again: tidegate-agent release m',
    ]);
  });

  test('of the cache: what each layer gave, and how far answers that were not computed here are right', () => {
    const layers = {
      memory: { hits: 40, audits: 0, disagreements: 0 },
      hub: { hits: 9, audits: 2, disagreements: 1 },
      semantic: { hits: 8, audits: 5, disagreements: 0 },
    };
    const semantic = [
      { model: 'm', disagreementRate: 0.125, off: true },
      { model: 'n', disagreementRate: 0, off: false },
    ];
    expect(
      statusText({ ...quiet, cache: { layers, semantic } })
        .split('\n')
        .slice(1, -2),
    ).toEqual([
      'cache: 40 from memory, 7 from hub, 3 to similar inputs',
      '  hub: 1 of 2 audited answers were wrong',
      '  semantic: 0 of 5 audited answers were wrong',
      '  m, answers to similar inputs: 12.5% of late were wrong, too many: off',
      '  n, answers to similar inputs: 0.0% of late were wrong',
    ]);
  });

  test('of captures: what was sent, what waits, and what was lost and why', () => {
    const captures = { sent: 3, waiting: { count: 2, bytes: 4096 }, dropped: { rate: 14, limit: 1 } };
    expect(statusText({ ...quiet, captures })).toContain(
      'captures: 3 sent, 2 waiting for the hub (4 KiB), 14 dropped: rate, 1 dropped: limit\n',
    );
  });

  test('of a version that is on its way: what is being done and how far it is (B19)', () => {
    const variantDigest = `sha256:${'ab'.repeat(32)}`;
    const activation = { variantDigest, versionDigest: variantDigest, step: 'warm-up', state: 'running' } as const;
    const models = [{ name: 'digits', activation: { ...activation, progress: 0.43, attempt: 1 } }, { name: 'lines' }];
    expect(statusText({ ...quiet, sync: { models } })).toContain('\ndigits to be sha256:abababab: warming 43%\n');
  });

  test('of similar inputs only where a model gives answers to them', () => {
    const memory = { hits: 4, audits: 0, disagreements: 0 };
    const layers = { memory, semantic: { ...memory, hits: 0 } };
    expect(statusText({ ...quiet, cache: { layers, semantic: [] } })).toContain('\ncache: 4 from memory\n');
  });
});
