import {
  openSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  readdirSync,
  statSync,
  writeFileSync,
  writeSync,
  existsSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { LIMIT_ACTIVATIONS_PER_MODEL, type ActivationRecord } from '@tidegate/edge-agent/state/activations.js';
import { ActiveMirror } from '@tidegate/edge-agent/state/active-mirror.js';
import { AgentState } from '@tidegate/edge-agent/state/agent-state.js';
import { StateError, writing } from '@tidegate/edge-agent/state/state-error.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { failingFiles } from '../../support/failing-files.js';
import { desiredState, FakePackageSource } from '../../support/fake-package-source.js';
import { ManualClock } from '../../support/manual-clock.js';
import { recordedLog } from '../../support/recorded-log.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('state');
const opened: AgentState[] = [];
const source = new FakePackageSource();
const model = source.publish('digits', 1).model;
const record: ActivationRecord = { target: model, step: 'load', state: 'running', attempt: 1, interruptions: 0 };

async function open(dataDir: string, clock = new ManualClock(1_000_000)): Promise<AgentState> {
  const state = await AgentState.open(dataDir, { files: systemFiles, log: silentLog, clock });
  opened.push(state);
  return state;
}

function closeAll(): void {
  for (const state of opened.splice(0)) state.close();
}

afterEach(closeAll);

describe('the state of an agent', () => {
  it('keeps everything over a restart', async () => {
    const dataDir = folder();
    const first = await open(dataDir);
    first.documents.saveDesired(desiredState(4, [model]));
    first.activations.save(record);
    first.activations.saveActive(
      'digits',
      { running: model, sinceMs: 5, committed: false },
      { ...record, step: 'probation' },
    );
    first.close();
    opened.length = 0;
    const second = await open(dataDir);
    expect(second.documents.desired()).toEqual(desiredState(4, [model]));
    expect(second.activations.active().get('digits')).toEqual({ running: model, sinceMs: 5, committed: false });
    expect(second.activations.records()).toEqual([{ ...record, step: 'probation' }]);
    second.activations.commit('digits', { running: model, sinceMs: 5, committed: false });
    expect(second.activations.records()).toEqual([]);
    expect(second.activations.active().get('digits')?.committed).toBe(true);
  });

  it('counts from the clock in a new database, so that a rebuilt one repeats no number', async () => {
    const dataDir = folder();
    const state = await open(dataDir);
    expect(state.documents.increment('report-seq')).toBe(1_000_001);
    expect(state.documents.increment('telemetry-seq', 3)).toBe(1_000_003);
    state.documents.raise('report-seq', 5);
    expect(state.documents.counter('report-seq')).toBe(1_000_001);
  });

  it('counts from the clock at each start, so that one that missed a run on a read-only volume repeats no number', async () => {
    const dataDir = folder();
    (await open(dataDir)).documents.increment('report-seq');
    closeAll();
    const later = await open(dataDir, new ManualClock(5_000_000));
    expect(later.documents.increment('report-seq')).toBe(5_000_001);
    closeAll();
    const clockWentBack = await open(dataDir, new ManualClock(0));
    expect(clockWentBack.documents.increment('report-seq')).toBe(5_000_002);
  });

  it('knows a clean stop once', async () => {
    const state = await open(folder());
    expect(state.documents.takeCleanStop()).toBe(false);
    state.documents.markCleanStop();
    expect(state.documents.takeCleanStop()).toBe(true);
    expect(state.documents.takeCleanStop()).toBe(false);
  });

  it('bounds the records of a model, the oldest go first', async () => {
    const state = await open(folder());
    for (let i = 0; i < LIMIT_ACTIVATIONS_PER_MODEL + 5; i += 1) {
      state.activations.save({ ...record, target: { ...model, rolloutId: `r${i}` } });
    }
    const records = state.activations.records();
    expect(records).toHaveLength(LIMIT_ACTIVATIONS_PER_MODEL);
    expect(records[0]?.target.rolloutId).toBe('r5');
  });

  it('lies in memory on a volume that became read-only (B24)', async () => {
    const dataDir = folder();
    mkdirSync(join(dataDir, 'state.db')); // can't be opened, as no database can there
    const files = failingFiles();
    await expect(AgentState.open(dataDir, { files, log: silentLog, clock: new ManualClock() })).rejects.toThrow();
    expect(readdirSync(dataDir)).toEqual(['state.db']);
    files.failNext('state.probe', 'EROFS');
    const log = recordedLog();
    const state = await AgentState.open(dataDir, { files, log, clock: new ManualClock(1_000_000) });
    opened.push(state);
    expect(state.rebuiltBecause).toBe('the data folder is read-only');
    expect(log.lines.at(-1)?.message).toMatch('data folder is read-only');
    expect(state.documents.increment('report-seq')).toBe(1_000_001);
  });

  it('says that another agent uses the folder', async () => {
    const dataDir = folder();
    const first = await open(dataDir);
    first.documents.markCleanStop();
    await expect(open(dataDir)).rejects.toThrow('another agent runs on this data folder');
  });

  it('tells a full disk from a mistake', () => {
    const full = Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' });
    const run = (error: Error) => () =>
      writing('x', () => {
        throw error;
      });
    expect(run(full)).toThrow(expect.objectContaining({ name: 'StateError', code: 'full' }));
    expect(run(new Error('no'))).toThrow(StateError);
  });
});

describe('a damaged database (B24)', () => {
  const damages: Record<string, (path: string) => void> = {
    'is not a database': (path) =>
      writeFileSync(path, 'not a database at all, but long enough to be looked at'.repeat(100)),
    'is cut off': (path) => {
      const file = openSync(path, 'r+');
      ftruncateSync(file, 4096 * 3 + 100);
      closeSync(file);
    },
    'is empty': (path) => writeFileSync(path, ''),
    'has zeroed pages': (path) => {
      const file = openSync(path, 'r+');
      writeSync(file, Buffer.alloc(8192), 0, 8192, 4096);
      closeSync(file);
    },
  };

  it.each(Object.keys(damages))('that %s is set aside and rebuilt', async (how) => {
    const dataDir = folder();
    const path = join(dataDir, 'state.db');
    const first = await open(dataDir);
    for (let i = 0; i < 20; i += 1) first.activations.save({ ...record, target: { ...model, rolloutId: `r${i}` } });
    opened.length = 0;
    first.close();
    damages[how]?.(path);
    const second = await open(dataDir);
    if (how !== 'is empty') {
      expect(second.rebuiltBecause).toBeDefined();
      expect(existsSync(`${path}.corrupt`)).toBe(true);
    }
    second.activations.save(record);
    expect(second.activations.records()).toHaveLength(1);
  });

  it('never stops a start, wherever bytes flip', async () => {
    const dataDir = folder();
    const path = join(dataDir, 'state.db');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }), async (flips) => {
        const before = await open(dataDir);
        before.activations.saveActive('digits', { running: model, sinceMs: 1, committed: true }, record);
        before.documents.saveDesired(desiredState(1, [model]));
        closeAll();
        const file = openSync(path, 'r+');
        const { size } = statSync(path);
        for (const [place, byte] of flips) writeSync(file, Buffer.from([byte]), 0, 1, place % size);
        closeSync(file);
        try {
          const after = await open(dataDir);
          // Whatever is read is either what was written or absent, never nonsense.
          for (const active of after.activations.active().values())
            expect(active.running.name.length).toBeGreaterThan(0);
          after.activations.records();
          after.documents.desired();
          after.documents.counter('report-seq');
          after.activations.save(record);
        } finally {
          closeAll();
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('the copy of what is active', () => {
  it('is read back, and counts as absent where it is damaged', async () => {
    const dataDir = folder();
    const mirror = new ActiveMirror(dataDir, systemFiles);
    expect((await mirror.read()).size).toBe(0);
    const active = new Map([['digits', { running: model, sinceMs: 1, committed: true }]]);
    await mirror.write(active);
    expect(await mirror.read()).toEqual(active);
    writeFileSync(join(dataDir, 'models', 'active.json'), '{"digits": 1');
    expect((await mirror.read()).size).toBe(0);
  });
});
