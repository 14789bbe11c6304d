import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { AgentState } from '@tidegate/edge-agent/state/agent-state.js';
import { Outbox } from '@tidegate/edge-agent/telemetry/outbox.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import type { TelemetryRecord } from '@tidegate/shared/wire/telemetry.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('outbox');
const open: AgentState[] = [];

async function outboxIn(dataDir: string, limitBytes?: number): Promise<{ outbox: Outbox; state: AgentState }> {
  const state = await AgentState.open(dataDir, { files: systemFiles, log: silentLog, clock: new ManualClock() });
  open.push(state);
  return { state, outbox: new Outbox({ table: state.outbox, documents: state.documents }, limitBytes) };
}

afterEach(() => {
  for (const state of open.splice(0)) state.close();
});

const record = (events: TelemetryRecord['events'] = []): Omit<TelemetryRecord, 'seq'> => ({
  deviceId: 'device-1',
  fromMs: 0,
  toMs: 1,
  evidence: [],
  events,
});
const event = (detail: string) => ({ atMs: 1, kind: 'rolled-back', detail });

describe('the outbox', () => {
  it('gives growing numbers over restarts and keeps what was not acknowledged', async () => {
    const dataDir = folder();
    const first = await outboxIn(dataDir);
    const a = first.outbox.add(record());
    const b = first.outbox.add(record([event('b')]));
    first.outbox.acknowledge(a.seq);
    first.outbox.acknowledge(a.seq);
    open.splice(0);
    first.state.close();
    const { outbox } = await outboxIn(dataDir);
    expect(outbox.next(-1, 10)).toEqual([b]);
    expect(outbox.add(record()).seq).toBe(b.seq + 1);
  });

  it('drops by priority, then age, and counts it (B6)', async () => {
    const { outbox } = await outboxIn(folder(), 2000);
    const kept = outbox.add(record([event('an operator has to hear of this')]));
    const figures = Array.from({ length: 40 }, () => outbox.add(record()).seq);
    const left = outbox.next(-1, 100).map(({ seq }) => seq);
    expect(left[0]).toBe(kept.seq);
    expect(left.slice(1)).toEqual(figures.slice(-(left.length - 1)));
    expect(outbox.droppedCount).toBe(41 - left.length);
    expect(outbox.size().bytes).toBeLessThanOrEqual(2000);
  });

  it('30 days offline stay within the bound on disk, and the space comes back after the drain (B6)', async () => {
    const dataDir = folder();
    const limitBytes = 500_000;
    const { outbox } = await outboxIn(dataDir, limitBytes);
    const onDisk = (): number =>
      ['state.db', 'state.db-wal'].reduce(
        (sum, name) => sum + (statSync(join(dataDir, name), { throwIfNoEntry: false })?.size ?? 0),
        0,
      );
    const big = record([event('x'.repeat(500)), event('y'.repeat(500))]);
    for (let hour = 0; hour < 30 * 24; hour += 1) outbox.add(big);
    const peak = onDisk();
    expect(outbox.droppedCount).toBeGreaterThan(0);
    expect(outbox.size().bytes).toBeLessThanOrEqual(limitBytes);
    expect(peak).toBeLessThan(limitBytes * 1.5 + 2 * 1024 * 1024);
    for (let records = outbox.next(-1, 100); records.length > 0; records = outbox.next(-1, 100)) {
      for (const { seq } of records) outbox.acknowledge(seq);
    }
    expect(onDisk()).toBeLessThan(peak / 10);
  }, 60_000);
});
