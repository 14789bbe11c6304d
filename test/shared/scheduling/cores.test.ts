// Several models on the same cores: real schedulers over simulated executors and time.
import { describe, expect, it } from 'vitest';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';
import { Cores } from '@tidegate/shared/scheduling/cores.js';
import { Scheduler } from '@tidegate/shared/scheduling/scheduler.js';
import type { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { FakeGraphRunner, feedOf, settle, type FakeRunnerOptions } from '../../support/fake-graph-runner.js';
import { ManualClock } from '../../support/manual-clock.js';

interface Ask {
  readonly caller?: string;
  readonly tenant?: string;
  readonly timeoutMs?: number;
}

class Machine {
  readonly clock = new ManualClock();
  readonly cores: Cores;
  /** Names of models in the order in which their runs began. */
  readonly began: string[] = [];
  computing = 0;

  constructor(count: number, callerWeights?: ReadonlyMap<string, number>) {
    this.cores = new Cores({ count, callerWeights }, { clock: this.clock });
  }

  /** Its runs take so long, or until `hangs` says otherwise; known from the beginning unless `fresh`. */
  async model(name: string, runMs: number, options: FakeRunnerOptions & { fresh?: boolean; cores?: Cores } = {}) {
    const { fresh = false, cores = this.cores, ...rest } = options;
    const state = { hangs: false };
    const durationMs = (): number => (state.hangs ? Infinity : runMs);
    const runner = new FakeGraphRunner(this.clock, { concurrency: 2, durationMs, ...rest });
    const { clock } = this;
    const scheduler = new Scheduler(runner, { maxRows: 1, queueDepthMax: 64 }, { clock, cores });
    const run = runner.run.bind(runner);
    runner.run = async (...work) => {
      this.began.push(name);
      this.computing += 1;
      try {
        return await run(...work);
      } finally {
        this.computing -= 1;
      }
    };
    const ask = ({ caller = '', tenant, timeoutMs = 10_000 }: Ask = {}): Promise<string> => {
      const deadlineMs = clock.monotonicMs() + timeoutMs;
      const work = { feeds: feedOf(1), outputs: [], deadlineMs, priority: 0, caller, tenant };
      return scheduler.run(work, new AbortController().signal).then(
        () => 'answered',
        (error: unknown) => (error as ServingError).code,
      );
    };
    if (!fresh) {
      for (let i = 0; i < 20; i += 1) await Promise.all([ask({ caller: 'before' }), this.pass(runMs)]);
      this.clock.advance(200_000); // what they used is forgotten
      this.began.length = 0;
    }
    return { ask, runner, scheduler, state };
  }

  /** Time passes in small steps. */
  async pass(ms: number): Promise<void> {
    await settle();
    for (let i = 0; i < ms; i += 1) {
      this.clock.advance(1);
      await settle();
    }
  }
}

describe('the runs of several models', () => {
  it('are as many as there are cores, and no fewer while anything waits', async () => {
    const machine = new Machine(2);
    const models = [await machine.model('a', 30), await machine.model('b', 50), await machine.model('c', 20)];
    const asked = Array.from({ length: 30 }, (_, i) => models[(i * 7) % 3]!.ask());
    while (machine.cores.report.waiting > 0) {
      expect(machine.computing).toBe(2);
      expect(machine.cores.report.busy).toBe(2);
      await machine.pass(1);
    }
    await machine.pass(100);
    expect(new Set(await Promise.all(asked))).toEqual(new Set(['answered']));
    expect(machine.cores.report).toEqual({ count: 2, busy: 0, waiting: 0 });
    expect(machine.clock.timerCount).toBe(0);
  });

  it('begin in the order of deadlines, over all of them', async () => {
    const machine = new Machine(1);
    const [a, b] = [await machine.model('a', 30), await machine.model('b', 30)];
    void a.ask({ timeoutMs: 900 });
    void a.ask({ timeoutMs: 800 });
    void b.ask({ timeoutMs: 700 });
    void a.ask({ timeoutMs: 600 });
    void b.ask({ timeoutMs: 500 });
    await machine.pass(200);
    expect(machine.began.join('')).toBe('ababa');
  });

  it('put nobody off for ever: what has much time goes before what comes ten seconds later', async () => {
    const machine = new Machine(1);
    const [a, b] = [await machine.model('a', 30), await machine.model('b', 30)];
    void a.ask({ timeoutMs: 500 });
    const cameMs = machine.clock.monotonicMs();
    const patient = b.ask({ timeoutMs: 60_000 });
    for (let ms = 0; ms < 12_000 && !machine.began.includes('b'); ms += 20) {
      void a.ask({ timeoutMs: 500 });
      await machine.pass(20);
    }
    expect(machine.clock.monotonicMs() - cameMs).toBeLessThan(10_100);
    await machine.pass(30);
    expect(await patient).toBe('answered');
  });

  it('leave a core that their own graph may not use to others', async () => {
    const machine = new Machine(2);
    const [a, b] = [await machine.model('a', 30, { concurrency: 1 }), await machine.model('b', 30)];
    for (let i = 0; i < 3; i += 1) void a.ask({ timeoutMs: 500 });
    void b.ask({ timeoutMs: 900 });
    await settle();
    expect(machine.began).toEqual(['a', 'b']);
  });

  it('let no short run that is sent ahead overtake who waits for a core', async () => {
    const machine = new Machine(2);
    const [a, b] = [await machine.model('a', 10), await machine.model('b', 10)];
    for (let i = 0; i < 2; i += 1) void a.ask();
    void b.ask({ timeoutMs: 500 });
    void a.ask({ timeoutMs: 900 });
    await machine.pass(11);
    expect(machine.began.join('')).toBe('aaba');
  });

  it('of several threads take as many cores, and begin as soon as one is free', async () => {
    const machine = new Machine(3);
    const wide = await machine.model('w', 30, { threads: 2, concurrency: 1 });
    const thin = await machine.model('t', 30, { concurrency: 3 });
    void wide.ask();
    void thin.ask();
    void thin.ask();
    await settle();
    expect(machine.began.join('')).toBe('wt');
    expect(machine.cores.report).toEqual({ count: 3, busy: 3, waiting: 1 });
    await machine.pass(100);
    for (let i = 0; i < 2; i += 1) void thin.ask();
    void wide.ask();
    await settle();
    expect(machine.cores.report).toMatchObject({ busy: 4, waiting: 0 });
  });

  it('that are short share a core with long ones, and are admitted as such', async () => {
    const machine = new Machine(1);
    const [a, b] = [await machine.model('a', 100), await machine.model('b', 5)];
    void a.ask();
    void a.ask();
    const short = b.ask({ timeoutMs: 15 });
    await settle();
    expect(machine.cores.report).toEqual({ count: 1, busy: 2, waiting: 1 });
    await machine.pass(15);
    expect(await short).toBe('answered');
  });

  it('that compute elsewhere wait for no core', async () => {
    const machine = new Machine(1, new Map([['x', 3]]));
    const [a, gpu] = [await machine.model('a', 30), await machine.model('g', 30, { cores: machine.cores.apart(1) })];
    void a.ask();
    void gpu.ask();
    await settle();
    expect(machine.began.join('')).toBe('ag');
    expect(machine.cores.report).toEqual({ count: 1, busy: 1, waiting: 0 });
  });
});

describe('admission', () => {
  it('counts what waits for other models', async () => {
    const machine = new Machine(1);
    const [a, b] = [await machine.model('a', 30), await machine.model('b', 10)];
    const asked = [1, 2, 3].map(() => a.ask({ timeoutMs: 106 })); // the third in 90, or 105 if the device gets slow
    const late = b.ask({ timeoutMs: 90 });
    asked.push(b.ask({ timeoutMs: 130 }));
    await settle();
    expect(b.scheduler.counts).toMatchObject({ refused: 1, queueDepth: 1 });
    expect(await late).toBe('would-miss-deadline');
    await machine.pass(120);
    expect(await Promise.all(asked)).toEqual(['answered', 'answered', 'answered', 'answered']);
  });

  it("leaves room beside a graph that may not use all cores, and counts the graph's own wait", async () => {
    const machine = new Machine(2);
    const [a, b] = [await machine.model('a', 30, { concurrency: 1 }), await machine.model('b', 30)];
    const asked = [1, 2, 3].map(() => a.ask({ timeoutMs: 110 }));
    const late = a.ask({ timeoutMs: 119 });
    asked.push(b.ask({ timeoutMs: 50 }));
    await settle();
    expect([a, b].map(({ scheduler }) => scheduler.counts.refused)).toEqual([1, 0]);
    expect(await late).toBe('would-miss-deadline');
    await machine.pass(110);
    expect(await Promise.all(asked)).toEqual(['answered', 'answered', 'answered', 'answered']);
  });
});

describe('callers of different models', () => {
  it('take turns by time: who floods one model does not starve another who asks for another', async () => {
    const machine = new Machine(1);
    const [a, b] = [await machine.model('a', 30), await machine.model('b', 30)];
    for (let i = 0; i < 20; i += 1) void a.ask({ caller: 'x', timeoutMs: 2000 });
    for (let i = 0; i < 5; i += 1) void b.ask({ caller: 'y', timeoutMs: 9000 });
    await machine.pass(300);
    expect(machine.began.filter((name) => name === 'b')).toHaveLength(5);
  });

  it('share by their weights', async () => {
    const machine = new Machine(1, new Map([['y', 3]]));
    const [a, b] = [await machine.model('a', 30), await machine.model('b', 30)];
    for (let i = 0; i < 30; i += 1) for (const [model, caller] of [[a, 'x'], [b, 'y']] as const) void model.ask({ caller }); // prettier-ignore
    await machine.pass(1200);
    const first = machine.began.slice(0, 32);
    expect(first.filter((name) => name === 'b').length).toBeGreaterThanOrEqual(22);
  });

  it('make way for one that had next to nothing, whatever model they keep busy', async () => {
    const machine = new Machine(1);
    const [a, b] = [await machine.model('a', 100), await machine.model('b', 30)];
    for (let i = 0; i < 8; i += 1) void a.ask({ caller: 'x' });
    await machine.pass(520);
    const light = b.ask({ caller: 'y', timeoutMs: 200 }); // a's run has 80 ms to go
    await machine.pass(32);
    expect(await light).toBe('answered');
    expect(a.scheduler.counts.repeated).toBe(1);
  });
});

describe("a device's tenants", () => {
  it('share what the device gets, and no more, however many it names', async () => {
    const machine = new Machine(1);
    const a = await machine.model('a', 30);
    const answered: string[] = [];
    const of = (caller: string, tenant: string): void => {
      void a.ask({ caller, tenant }).then((code) => code === 'answered' && answered.push(`${caller} ${tenant}`));
    };
    for (let i = 0; i < 20; i += 1) of('device:1', 'flood');
    for (let i = 0; i < 4; i += 1) of('device:1', 'calm');
    for (let i = 0; i < 8; i += 1) of('device:2', '');
    await machine.pass(30 * 12);
    const count = (prefix: string): number => answered.filter((one) => one.startsWith(prefix)).length;
    expect(count('device:1') - count('device:2')).toBeLessThanOrEqual(1);
    expect(count('device:1 calm')).toBeGreaterThanOrEqual(2);
    expect(Math.abs(count('device:1 calm') - count('device:1 flood'))).toBeLessThanOrEqual(2);
  });

  it('refuse the excess of the one that floods, and not the other', async () => {
    const machine = new Machine(1);
    const a = await machine.model('a', 30);
    const flood = Array.from({ length: 70 }, () => a.ask({ caller: 'device:1', tenant: 'flood', timeoutMs: 1000 }));
    const calm = a.ask({ caller: 'device:1', tenant: 'calm', timeoutMs: 200 });
    await machine.pass(1000);
    expect(await calm).toBe('answered');
    expect(new Set(await Promise.all(flood))).toEqual(new Set(['answered', 'would-miss-deadline']));
  });
});

describe('a model whose executor hangs', () => {
  it('keeps the cores from others for no longer than four of its runs, and gets them back (B20)', async () => {
    const machine = new Machine(2);
    const [a, b] = [await machine.model('a', 30), await machine.model('b', 20)];
    a.state.hangs = true;
    for (let i = 0; i < 6; i += 1) void a.ask({ timeoutMs: 5000 });
    const other = b.ask({ timeoutMs: 9000 });
    await machine.pass(119);
    expect(machine.began.join('')).toBe('aa');
    await machine.pass(1);
    expect(machine.began.join('')).toBe('aab');
    await machine.pass(20);
    expect(await other).toBe('answered');
    expect(machine.cores.report.busy).toBe(0);
    a.state.hangs = false;
    for (const hung of a.runner.runs.slice(-2)) hung.fail(new RuntimeError('executor-hung', 'too long'));
    await machine.pass(200);
    expect(a.scheduler.counts).toMatchObject({ retried: 2, queueDepth: 0, running: 0 });
  });

  it('nor does one of which nothing is known, for longer than a second', async () => {
    const machine = new Machine(1);
    const [a, b] = [await machine.model('a', 9000, { fresh: true }), await machine.model('b', 20)];
    void a.ask();
    const other = b.ask();
    await machine.pass(1019);
    expect(machine.cores.report.waiting).toBe(0);
    await machine.pass(1);
    expect(await other).toBe('answered');
  });
});
