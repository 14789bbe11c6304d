import { afterEach, describe, expect, it } from 'vitest';
import type { Outbox } from '@tidegate/edge-agent/telemetry/outbox.js';
import { TelemetrySender } from '@tidegate/edge-agent/telemetry/telemetry-sender.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import type { TelemetryRecord } from '@tidegate/shared/wire/telemetry.js';

const senders: TelemetrySender[] = [];
afterEach(async () => {
  for (const sender of senders.splice(0)) await sender.stop();
});

class Hub {
  readonly rows: TelemetryRecord[];
  readonly published: number[] = [];
  readonly posted: number[] = [];
  mqttConnected = true;
  acknowledges = true;
  answers = true;
  refuses = new Set<number>();
  sender: TelemetrySender;
  #changed: () => void = () => undefined;

  constructor(count: number) {
    this.rows = Array.from({ length: count }, (_, seq) => ({
      deviceId: 'd',
      seq,
      fromMs: 0,
      toMs: 1,
      evidence: [],
      events: [],
    }));
    const outbox = {
      next: (afterSeq: number, limit: number) => this.rows.filter(({ seq }) => seq > afterSeq).slice(0, limit),
      acknowledge: (seq: number) => {
        const index = this.rows.findIndex((row) => row.seq === seq);
        if (index >= 0) this.rows.splice(index, 1);
        this.#changed();
      },
    } as unknown as Outbox;
    const connected = (): boolean => this.mqttConnected;
    this.sender = new TelemetrySender(
      {
        outbox,
        routes: {
          get mqttConnected() {
            return connected();
          },
          publish: async ({ seq }) => {
            this.published.push(seq);
            if (this.acknowledges) setImmediate(() => this.sender.acknowledged(seq));
            this.#changed();
          },
          post: async ({ seq }) => {
            this.posted.push(seq);
            this.#changed();
            if (this.refuses.has(seq)) throw new Error('refused');
            if (!this.answers) throw new Error('away');
          },
          refused: (cause) => (cause as Error).message === 'refused',
        },
        clock: systemClock,
        random: seededRandom(1),
        log: silentLog,
      },
      { inFlightMax: 4, ackTimeoutMs: 20, backoff: { baseMs: 5, maxMs: 20 } },
    );
    senders.push(this.sender);
  }

  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#changed = () => {
        if (condition()) resolve();
      };
      this.#changed();
    });
  }
}

describe('sending telemetry', () => {
  it('deletes only what the hub acknowledged, in order, few in flight', async () => {
    const hub = new Hub(10);
    hub.sender.start();
    await hub.until(() => hub.rows.length === 0);
    expect(hub.published).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('sends again what was not acknowledged', async () => {
    const hub = new Hub(2);
    hub.acknowledges = false;
    hub.sender.start();
    await hub.until(() => hub.published.length >= 6);
    expect(hub.rows).toHaveLength(2);
    hub.acknowledges = true;
    await hub.until(() => hub.rows.length === 0);
  });

  it('goes by HTTPS while MQTT is away, and waits out an outage', async () => {
    const hub = new Hub(3);
    hub.mqttConnected = false;
    hub.answers = false;
    hub.sender.start();
    await hub.until(() => hub.posted.length >= 3);
    expect(hub.rows).toHaveLength(3);
    hub.answers = true;
    await hub.until(() => hub.rows.length === 0);
    expect(hub.published).toEqual([]);
  });

  it('a record that the hub refuses does not block those behind it', async () => {
    const hub = new Hub(3);
    hub.mqttConnected = false;
    hub.refuses.add(0);
    hub.sender.start();
    await hub.until(() => hub.rows.length === 0);
    expect(hub.posted).toEqual([0, 1, 2]);
  });

  it('takes what was on its way up again when the link changes', async () => {
    const hub = new Hub(1);
    hub.acknowledges = false;
    hub.sender.start();
    await hub.until(() => hub.published.length === 1);
    hub.mqttConnected = false;
    hub.sender.linkChanged();
    await hub.until(() => hub.rows.length === 0);
    expect(hub.posted).toEqual([0]);
  });
});
