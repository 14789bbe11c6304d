import { describe, expect, it } from 'vitest';
import { StateError } from '@tidegate/edge-agent/state/state-error.js';
import type { Outbox } from '@tidegate/edge-agent/telemetry/outbox.js';
import { Telemetry } from '@tidegate/edge-agent/telemetry/telemetry.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { privacySchema } from '@tidegate/shared/wire/privacy.js';
import { telemetryRecordSchema, type TelemetryRecord } from '@tidegate/shared/wire/telemetry.js';
import { ManualClock } from '../../support/manual-clock.js';

function setUp() {
  const clock = new ManualClock();
  const stored: TelemetryRecord[] = [];
  const box = { full: false, droppedCount: 0 };
  const outbox = {
    get droppedCount() {
      return box.droppedCount;
    },
    add: (record: Omit<TelemetryRecord, 'seq'>) => {
      if (box.full) throw new StateError('full', 'no space');
      stored.push(telemetryRecordSchema.parse({ ...record, seq: stored.length }));
    },
  } as unknown as Outbox;
  const interval = { ms: 1000 };
  const telemetry = new Telemetry(
    { deviceId: 'd', intervalMs: () => interval.ms },
    {
      outbox,
      clock,
      log: silentLog,
      stored: () => undefined,
      mayLeave: (model, answered) => model !== 'secret' && answered?.telemetry !== 'none',
    },
  );
  telemetry.start();
  return { clock, stored, box, telemetry, interval };
}

const answered = {
  model: 'digits',
  versionDigest: sha256('v'),
  variantDigest: sha256('a'),
  outcome: 'edge' as const,
  totalMs: 2,
  edgeConfidence: 0.9,
};

describe('telemetry', () => {
  it('stores a window per interval, and none where nothing happened', () => {
    const { clock, stored, telemetry } = setUp();
    telemetry.finished(answered);
    clock.advance(3500);
    expect(stored).toHaveLength(1);
    expect(stored[0]?.evidence[0]?.requests).toBe(1);
    telemetry.event('rolled-back', 'digits version 2');
    clock.advance(1000);
    expect(stored[1]?.events).toMatchObject([{ kind: 'rolled-back', detail: 'digits version 2' }]);
  });

  it('gathers nothing that may not leave', () => {
    const { clock, stored, telemetry } = setUp();
    telemetry.finished({ ...answered, model: 'secret' });
    telemetry.finished({ ...answered, privacy: privacySchema.parse({ telemetry: 'none' }) });
    clock.advance(1000);
    expect(stored).toEqual([]);
  });

  it('loses no window to a full disk: it goes on growing (B5)', () => {
    const { clock, stored, box, telemetry } = setUp();
    box.full = true;
    telemetry.finished(answered);
    clock.advance(1000);
    telemetry.finished(answered);
    clock.advance(1000);
    box.full = false;
    clock.advance(1000);
    expect(stored.map(({ evidence }) => evidence[0]?.requests)).toEqual([2]);
  });

  it('says what it dropped, and bounds events', () => {
    const { clock, stored, box, telemetry } = setUp();
    box.droppedCount = 7;
    for (let i = 0; i < 150; i += 1) telemetry.event('noise', 'x'.repeat(2000));
    clock.advance(1000);
    expect(stored[0]?.events).toHaveLength(100);
    expect(stored[0]?.events.at(-1)?.detail).toBe(
      '7 records dropped from the full outbox, 51 events and 0 requests not recorded',
    );
  });

  it('follows a new interval at once', () => {
    const { clock, stored, interval, telemetry } = setUp();
    interval.ms = 100;
    telemetry.intervalChanged();
    telemetry.finished(answered);
    clock.advance(100);
    expect(stored).toHaveLength(1);
    telemetry.stop();
    telemetry.finished(answered);
    clock.advance(5000);
    expect(stored).toHaveLength(1);
  });
});
