// One MQTT connection, from connect to close; the only file that imports mqtt. What mqtt.js would do by itself is turned off:
// its reconnect (constant, without jitter, ended by an auth refusal) is ours in hub-link.ts, its store of unsent messages is
// the outbox, and its promises, which hang when the broker is gone, end with the connection here. The socket is the caller's:
// it carries the device's certificate and lets nothing out before the hub is recognised.
import type { Duplex } from 'node:stream';
import { MqttClient, type IClientOptions } from 'mqtt';

export interface MqttOptions {
  /** Dials the broker. */
  readonly openSocket: () => Duplex;
  readonly clientId: string;
  /** Published by the broker when the connection ends without a goodbye. */
  readonly will: { readonly topic: string; readonly payload: string };
  readonly connectTimeoutMs: number;
  readonly keepaliveS: number;
}

export interface MqttSession {
  /** Rejects when the broker refuses one of them, or the connection ends first. */
  subscribe(topics: readonly string[]): Promise<void>;
  /** QoS 1: resolves when the broker has it; rejects when the connection ends first. */
  publish(topic: string, payload: string): Promise<void>;
  /** Resolves with the reason once the connection is over, whoever ended it. */
  readonly closed: Promise<string>;
  /** After what is under way. Resolves once it is over; never where the broker hangs. */
  end(): Promise<void>;
  /** At once. */
  destroy(): void;
}

/** Resolves once connected. Rejects when it can't be, in time; then nothing is left behind. */
export type OpenMqttSession = (
  options: MqttOptions,
  onMessage: (topic: string, payload: Uint8Array) => void,
  signal: AbortSignal,
) => Promise<MqttSession>;

export const openMqttSession: OpenMqttSession = async (options, onMessage, signal) => {
  signal.throwIfAborted();
  let reason = 'the connection ended';
  const note = (error: Error): void => {
    reason = error.message;
  };
  let socket: Duplex | undefined;
  const dial = (): Duplex => {
    socket = options.openSocket();
    socket.on('error', note);
    return socket;
  };
  const client = new MqttClient(dial as ConstructorParameters<typeof MqttClient>[0], clientOptions(options));
  client.on('error', note);
  client.on('message', (topic, payload) => onMessage(topic, payload));
  const closed = new Promise<string>((resolve) => {
    client.once('close', () => resolve(reason));
  });
  let calledOff: () => void = () => undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      calledOff = () => reject(signal.reason);
      signal.addEventListener('abort', calledOff, { once: true });
      client.once('connect', () => resolve());
      client.once('error', reject);
      void closed.then((why) => reject(new Error(why)));
    });
  } catch (cause) {
    client.end(true);
    socket?.destroy();
    throw cause;
  } finally {
    signal.removeEventListener('abort', calledOff);
  }
  return new Session(client, closed);
};

function clientOptions(options: MqttOptions): IClientOptions {
  return {
    clientId: options.clientId,
    clean: true,
    reconnectPeriod: 0,
    connectTimeout: options.connectTimeoutMs,
    keepalive: options.keepaliveS,
    queueQoSZero: false,
    will: { topic: options.will.topic, payload: Buffer.from(options.will.payload), qos: 1, retain: false },
  };
}

class Session implements MqttSession {
  readonly closed: Promise<string>;
  readonly #client: MqttClient;

  constructor(client: MqttClient, closed: Promise<string>) {
    this.#client = client;
    this.closed = closed;
  }

  async subscribe(topics: readonly string[]): Promise<void> {
    try {
      await this.#whileOpen(this.#client.subscribeAsync([...topics], { qos: 1 }));
    } catch (cause) {
      throw new Error(`subscribing to ${topics.join(', ')}: ${(cause as Error).message}`, { cause });
    }
  }

  async publish(topic: string, payload: string): Promise<void> {
    await this.#whileOpen(this.#client.publishAsync(topic, payload, { qos: 1 }));
  }

  async end(): Promise<void> {
    this.#client.end(false);
    await this.closed;
  }

  destroy(): void {
    this.#client.end(true);
  }

  /** mqtt.js leaves a promise open for ever when the broker goes and reconnecting is off. */
  async #whileOpen<T>(work: Promise<T>): Promise<T> {
    work.catch(() => undefined); // when the close wins the race, no one else hears the work's own error
    return Promise.race([
      work,
      this.closed.then((reason) => {
        throw new Error(reason);
      }),
    ]);
  }
}
