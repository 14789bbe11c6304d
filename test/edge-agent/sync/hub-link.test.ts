import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { HubLink } from '@tidegate/edge-agent/sync/hub-link.js';
import type { MqttOptions, MqttSession } from '@tidegate/edge-agent/sync/mqtt-session.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { deviceTopics, presenceSchema } from '@tidegate/shared/wire/device-api.js';
import { ManualClock } from '../../support/manual-clock.js';

const topics = deviceTopics('device-1');
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A broker in memory: refuses while `refusing`, and keeps what came. */
class Broker {
  refusing: string | undefined;
  readonly opened: MqttOptions[] = [];
  readonly published: [string, unknown][] = [];
  readonly subscribed: string[] = [];
  message: (topic: string, payload: Uint8Array) => void = () => undefined;
  cut: (reason: string) => void = () => undefined;
  silent = false;
  dial: () => Promise<void> = async () => undefined;

  open = async (options: MqttOptions, onMessage: Broker['message']): Promise<MqttSession> => {
    this.opened.push(options);
    await this.dial();
    if (this.refusing !== undefined) throw new Error(this.refusing);
    this.message = onMessage;
    const closed = new Promise<string>((resolve) => (this.cut = resolve));
    return {
      closed,
      subscribe: async (names) => void this.subscribed.push(...names),
      publish: async (topic, payload) => {
        if (this.silent) await new Promise(() => undefined);
        this.published.push([topic, JSON.parse(payload)]);
      },
      end: async () => this.cut('ended'),
      destroy: () => this.cut('destroyed'),
    };
  };
}

function linkTo(broker: Broker) {
  const clock = new ManualClock();
  const heard: string[] = [];
  const link = new HubLink(
    { deviceId: 'device-1', openSocket: () => new PassThrough(), backoff: { baseMs: 100, maxMs: 1000 } },
    {
      desiredHint: () => heard.push('hint'),
      telemetryAck: (seq) => heard.push(`ack ${seq}`),
      up: () => heard.push('up'),
      down: (reason) => heard.push(`down: ${reason}`),
    },
    { open: broker.open, clock, random: { next: () => 0.999 }, log: silentLog },
  );
  return { link, clock, heard };
}

describe('the link to the hub', () => {
  it('subscribes, says that it is there, passes on hints and acknowledgements, and says goodbye', async () => {
    const broker = new Broker();
    const { link, heard } = linkTo(broker);
    link.start();
    await settle();
    expect(link.connected).toBe(true);
    expect(broker.subscribed).toEqual([topics.desired, topics.telemetryAck]);
    broker.message(topics.desired, Buffer.from('{}'));
    broker.message(topics.telemetryAck, Buffer.from('{"seq": 4}'));
    broker.message(topics.telemetryAck, Buffer.from('{"seq": "x"}'));
    broker.message('somewhere/else', Buffer.from('{"seq": 4}'));
    expect(heard).toEqual(['up', 'hint', 'ack 4']);
    await link.publish('reported', { seq: 1 }, new AbortController().signal);
    await link.stop();
    const will = presenceSchema.parse(JSON.parse(broker.opened[0]?.will.payload ?? ''));
    expect(will.online).toBe(false);
    expect(broker.published).toEqual([
      [topics.presence, { connectionId: will.connectionId, online: true }],
      [topics.reported, { seq: 1 }],
      [topics.presence, { connectionId: will.connectionId, online: false }],
    ]);
    await expect(link.publish('reported', {}, new AbortController().signal)).rejects.toThrow('not connected');
  });

  it('comes back for ever with growing waits, also after a refusal, and each time under a new id (B11)', async () => {
    const broker = new Broker();
    const { link, clock } = linkTo(broker);
    broker.refusing = 'Connection refused: Not authorized';
    link.start();
    await settle();
    expect(link.lastError).toContain('Not authorized');
    const waits: number[] = [];
    for (let round = 0; round < 6; round += 1) {
      const attempts = broker.opened.length;
      let waited = 0;
      while (broker.opened.length === attempts) {
        clock.advance(50);
        waited += 50;
        await settle();
      }
      waits.push(waited);
    }
    expect(waits).toEqual([200, 400, 800, 1000, 1000, 1000]);
    expect(new Set(broker.opened.map(({ will }) => will.payload)).size).toBe(broker.opened.length);
    broker.refusing = undefined;
    clock.advance(1000);
    await settle();
    expect(link.connected).toBe(true);
    await link.stop();
  });

  it('notices a cut, and begins with a short wait after a connection that lived', async () => {
    const broker = new Broker();
    const { link, clock, heard } = linkTo(broker);
    link.start();
    await settle();
    clock.advance(60_000);
    broker.cut('the cable is out');
    await settle();
    expect(link.connected).toBe(false);
    expect(heard).toEqual(['up', 'down: the cable is out']);
    clock.advance(100);
    await settle();
    expect(link.connected).toBe(true);
    await link.stop();
  });

  it('an attempt that hangs for long is a failure like any other: the waits grow', async () => {
    const broker = new Broker();
    const { link, clock } = linkTo(broker);
    let fail: (cause: Error) => void = () => undefined;
    broker.dial = () => new Promise((_resolve, reject) => (fail = reject));
    link.start();
    for (const waitMs of [200, 400, 800]) {
      await settle();
      const attempts = broker.opened.length;
      clock.advance(30_000);
      fail(new Error('did not answer'));
      await settle();
      clock.advance(waitMs - 50);
      await settle();
      expect(broker.opened).toHaveLength(attempts);
      clock.advance(50);
      await settle();
      expect(broker.opened).toHaveLength(attempts + 1);
    }
    const stopping = link.stop();
    fail(new Error('called off'));
    await stopping;
  });

  it('does not wait for ever for a broker that takes nothing', async () => {
    const broker = new Broker();
    const { link, clock, heard } = linkTo(broker);
    link.start();
    await settle();
    broker.silent = true;
    const publishing = link.publish('telemetry', { seq: 1 }, new AbortController().signal);
    const outcome = expect(publishing).rejects.toThrow('did not answer within 15000 ms');
    clock.advance(15_000);
    await outcome;
    // Nor does the agent's end wait for it.
    const stopping = link.stop();
    await settle();
    clock.advance(2000);
    await stopping;
    expect(heard.at(-1)).toBe('down: stop');
  });
});
