// The versions that a hub knows, over models that only count bytes and take simulated time. Real executors: test/e2e/hub-memory.test.ts.
import type { CatalogueEntry } from '@tidegate/cloud-hub/inference/catalogue.js';
import type { LoadedModel } from '@tidegate/cloud-hub/inference/hub-model.js';
import { KnownModels } from '@tidegate/cloud-hub/inference/known-models.js';
import { Residency } from '@tidegate/shared/residency/residency.js';
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { Tracer, type FinishedSpan } from '@tidegate/shared/tracing/span.js';
import { afterEach, expect, test } from 'vitest';
import { settle } from '../../support/fake-graph-runner.js';
import { ManualClock } from '../../support/manual-clock.js';

const MIB = 2 ** 20;
const SIZE = 60 * MIB;
const LOAD_MS = 400;

class Hub {
  readonly clock = new ManualClock();
  readonly models: KnownModels;
  /** By version: its process, while it is in memory. */
  readonly running = new Map<number, number>();
  readonly opened: number[] = [];
  readonly closed: number[] = [];
  /** Versions that hold what sequences carry. */
  readonly live = new Set<number>();
  infer: (request: Parameters<LoadedModel['infer']>[0]) => Promise<void> = async () => undefined;
  failures = 0;
  peak = 0;

  constructor(
    { limitBytes, modelsMax }: { limitBytes?: number; modelsMax?: number },
    options: { keepAliveMs?: number; knownMax?: number } = {},
  ) {
    const memoryOf = (pid: number): Promise<number> => Promise.resolve(pid === 1 ? 50 * MIB : SIZE);
    const modules = { clock: this.clock, log: silentLog, memoryOf, ownPids: () => [1] };
    const residency = new Residency({ limitBytes, modelsMax }, modules);
    this.models = new KnownModels(
      { keepAliveMs: undefined, ...options },
      { residency, load: (entry) => this.#load(entry) },
    );
  }

  async #load({ variant: { version } }: CatalogueEntry): Promise<LoadedModel> {
    this.opened.push(version);
    const { running, live, closed } = this;
    const wake = (): Promise<void> =>
      new Promise((resolve, reject) => {
        this.clock.after(LOAD_MS, () => {
          if (this.failures-- > 0) return reject(new Error('broken'));
          running.set(version, 100 + version);
          this.peak = Math.max(this.peak, running.size);
          resolve();
        });
      });
    await wake();
    return {
      ...{ loadMs: LOAD_MS, quarantine: undefined, deterministic: true, threads: 2, wake, memoryShareOf: () => 1 },
      get pids() {
        return [...running].flatMap(([number, pid]) => (number === version ? pid : []));
      },
      get holdsState() {
        return live.has(version);
      },
      infer: async (request) => {
        await this.infer(request);
        return { outputs: [], queueUs: 0, computeUs: 1, confidence: undefined };
      },
      park: async () => void running.delete(version),
      close: async () => {
        running.delete(version);
        closed.push(version);
      },
    };
  }

  ask(
    version: number,
    timeoutMs = 30_000,
    keepAliveMs?: number,
    part: Partial<InferRequest> = {},
  ): Promise<'answered' | ServingError> {
    const variant = { model: 'm', version, variantDigest: `sha256:${version}`, manifest: { files: [] } };
    const entry = { variant, yaml: { pipeline: [{ graph: 'm.onnx' }], memory: { keepAliveMs } } };
    const request = { deadlineMs: this.clock.monotonicMs() + timeoutMs, ...part } as InferRequest;
    return this.models.infer(entry as unknown as CatalogueEntry, request, new AbortController().signal).then(
      () => 'answered' as const,
      (error: unknown) => error as ServingError,
    );
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      this.clock.advance(Math.min(50, left));
      await settle();
    }
  }

  /** Asks, and lets time pass until there is an answer. */
  async answer(version: number, timeoutMs?: number): Promise<'answered' | ServingError> {
    const asked = this.ask(version, timeoutMs);
    await this.pass(LOAD_MS + 100);
    return asked;
  }
}

let hub: Hub;
afterEach(() => hub.models.closeAll());

test('opens a version once for all who wait, and again where that failed', async () => {
  hub = new Hub({});
  hub.failures = 1;
  const both = Promise.all([hub.ask(1), hub.ask(1)]);
  await hub.pass(500);
  const failed = { code: 'failed', message: 'm@1 could not be loaded: broken' };
  expect(await both).toMatchObject([failed, failed]);
  expect(await hub.answer(1)).toBe('answered');
  expect(hub.opened).toEqual([1, 1]);
  expect(hub.models.inMemory()).toEqual([{ model: 'm', version: 1, bytes: SIZE, threads: 2 }]);
});

test('tells the trace which side a branch of the pipeline took', async () => {
  hub = new Hub({});
  hub.infer = async ({ onChoice }) => onChoice?.({ step: 'step branch', held: 2, of: 3 });
  const spans: FinishedSpan[] = [];
  const tracer = new Tracer(1, { clock: hub.clock, random: seededRandom(1), take: (span) => spans.push(span) });
  const trace = tracer.begin(undefined, 'ask', { kind: 'server' });
  const asked = hub.ask(1, undefined, undefined, { trace });
  await hub.pass(LOAD_MS + 100);
  expect(await asked).toBe('answered');
  trace.span?.end();
  const events = spans.find(({ name }) => name === 'ask')?.events.map(({ name }) => name);
  expect(events).toEqual(['step branch: its first side for 2 of 3 items']);
});

test('keeps to the memory budget: who is worth least leaves, stays known, and is only woken again', async () => {
  hub = new Hub({ limitBytes: 180 * MIB }); // the hub itself and two
  for (const version of [1, 2]) expect(await hub.answer(version)).toBe('answered');
  await hub.pass(30_000);
  for (let i = 0; i < 5; i += 1) await hub.answer(1);
  expect(await hub.answer(3)).toBe('answered');
  expect([...hub.running.keys()].sort()).toEqual([1, 3]);
  await hub.pass(60_000);
  expect(await hub.answer(2)).toBe('answered');
  expect(hub.opened).toEqual([1, 2, 3]);
  expect(hub.peak).toBe(2);
  expect(hub.models.memory).toMatchObject({ loads: 4, evictions: { budget: 2 }, refusals: 0 });
});

test('versions alternating over the budget do not thrash: who can not be there in time is told when to come (B22)', async () => {
  hub = new Hub({ limitBytes: 120 * MIB });
  const told = { answered: 0, refused: 0 };
  const MINUTES = 10;
  for (let i = 0; i < MINUTES * 120; i += 1) {
    void hub.ask(1 + (i % 2), 1500).then((got) => {
      if (got === 'answered') told.answered += 1;
      else if (got.retryAfterMs !== undefined && got.code === 'not-ready') told.refused += 1;
    });
    await hub.pass(500);
  }
  await hub.pass(2000);
  expect(hub.models.memory.loads).toBeLessThanOrEqual(MINUTES * 6 + 1);
  expect(hub.models.memory.loads).toBeGreaterThan(MINUTES);
  expect(told.answered + told.refused).toBeGreaterThan(MINUTES * 120 * 0.99); // few are late: loading began too late for them
  expect(told.answered).toBeGreaterThan(MINUTES * 120 * 0.45);
  expect(hub.peak).toBe(1);
});

test('never has a version leave that answers, or that holds what sequences carry', async () => {
  hub = new Hub({ modelsMax: 1 });
  await hub.answer(1);
  hub.live.add(1);
  await hub.pass(60_000);
  expect(await hub.answer(2, 400)).toMatchObject({ code: 'not-ready', retryAfterMs: 1250 });
  expect([...hub.running.keys()]).toEqual([1]);
  hub.live.delete(1);
  let finish = (): void => undefined;
  hub.infer = () => new Promise((resolve) => (finish = resolve));
  const answering = hub.ask(1);
  await hub.pass(60_000);
  const next = hub.ask(2);
  await hub.pass(1000);
  expect([...hub.running.keys()]).toEqual([1]);
  hub.infer = async () => undefined;
  finish();
  await hub.pass(1000);
  expect([await answering, await next, [...hub.running.keys()]]).toEqual(['answered', 'answered', [2]]);
});

test('lets go what nobody asked for as long as its package says', async () => {
  hub = new Hub({}, { keepAliveMs: 600_000 });
  const asked = [hub.ask(1, 30_000, 5000), hub.ask(2)];
  await hub.pass(500);
  expect(await Promise.all(asked)).toEqual(['answered', 'answered']);
  await hub.pass(6000);
  expect([...hub.running.keys()]).toEqual([2]);
});

test('forgets the one unused for longest when it knows many', async () => {
  hub = new Hub({}, { keepAliveMs: 0, knownMax: 3 });
  for (const version of [1, 2, 3, 1]) await hub.answer(version);
  expect(hub.closed).toEqual([]);
  expect(await hub.answer(4)).toBe('answered');
  expect(await hub.answer(2)).toBe('answered');
  expect(hub.closed).toEqual([2, 3]);
});

test('closing waits for what still answers', async () => {
  hub = new Hub({});
  await hub.answer(1);
  await hub.models.closeAll();
  expect(hub.closed).toEqual([1]);
  expect(hub.models.inMemory()).toEqual([]);
});
