import { afterEach, describe, expect, it } from 'vitest';
import { Reporter } from '@tidegate/edge-agent/sync/reporter.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import type { ReportedState } from '@tidegate/shared/wire/reported-state.js';

const reporters: Reporter[] = [];
afterEach(async () => {
  for (const reporter of reporters.splice(0)) await reporter.stop(10);
});

class Hub {
  desiredVersion = 1;
  seq = 0;
  mqtt = true;
  publishes = true;
  answers = true;
  readonly got: [string, number, number][] = [];
  tries = 0;
  #heard: () => void = () => undefined;
  readonly reporter = new Reporter(
    {
      build: () => ({
        deviceId: 'd',
        bootId: 'b',
        desiredVersion: this.desiredVersion,
        agentVersion: '0',
        deviceClass: { architecture: 'x64', instructions: [], provider: 'cpu', cores: 1, memoryTierGiB: 1 },
        models: [],
      }),
      nextSeq: () => (this.seq += 1),
      mqttConnected: () => this.mqtt,
      publish: (report) => this.#take('mqtt', report, this.publishes),
      put: (report) => this.#take('https', report, this.answers),
      clock: systemClock,
      random: seededRandom(3),
      log: silentLog,
    },
    { gatherMs: 1, backoff: { baseMs: 2, maxMs: 10 } },
  );

  constructor() {
    reporters.push(this.reporter);
    this.reporter.start();
  }

  async #take(way: string, { seq, desiredVersion }: ReportedState, works: boolean): Promise<void> {
    this.tries += 1;
    if (works) this.got.push([way, seq, desiredVersion]);
    this.#heard();
    if (!works) throw new Error('away');
  }

  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#heard = () => {
        if (condition()) resolve();
      };
      this.#heard();
    });
  }
}

describe('reporting', () => {
  it('says each thing once, with a growing number, and nothing where nothing changed', async () => {
    const hub = new Hub();
    await hub.until(() => hub.got.length === 1);
    hub.reporter.changed();
    hub.desiredVersion = 2;
    hub.reporter.changed();
    await hub.until(() => hub.got.length === 2);
    expect(hub.got).toEqual([
      ['mqtt', 1, 1],
      ['mqtt', 2, 2],
    ]);
  });

  it('goes by HTTPS when MQTT is away or takes nothing', async () => {
    const hub = new Hub();
    await hub.until(() => hub.got.length === 1);
    hub.publishes = false;
    hub.desiredVersion = 2;
    hub.reporter.changed();
    await hub.until(() => hub.got.length === 2);
    hub.mqtt = false;
    hub.desiredVersion = 3;
    hub.reporter.changed();
    await hub.until(() => hub.got.length === 3);
    expect(hub.got.map(([way]) => way)).toEqual(['mqtt', 'https', 'https']);
  });

  it('tries again until the hub has it, and then says what is true now', async () => {
    const hub = new Hub();
    await hub.until(() => hub.got.length === 1);
    hub.mqtt = false;
    hub.answers = false;
    hub.desiredVersion = 2;
    hub.reporter.changed();
    const tries = hub.tries;
    await hub.until(() => hub.tries >= tries + 3);
    hub.desiredVersion = 3;
    hub.answers = true;
    await hub.until(() => hub.got.length === 2);
    expect(hub.got[1]?.[2]).toBe(3);
  });

  it('says it again when the link comes back', async () => {
    const hub = new Hub();
    await hub.until(() => hub.got.length === 1);
    hub.reporter.again();
    await hub.until(() => hub.got.length === 2);
    expect(hub.got[1]).toEqual(['mqtt', 2, 1]);
  });
});
