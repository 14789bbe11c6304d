import { PassThrough, type Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { MeteredConnection } from '@tidegate/cloud-hub/broker/aedes/metered-connection.js';

/** A socket whose arriving bytes the test writes with `arrive`. */
function fakeSocket(): { socket: TLSSocket; arrive: (bytes: Buffer) => void; stream: Duplex } {
  const stream = new PassThrough();
  return { socket: stream as unknown as TLSSocket, arrive: (bytes) => stream.write(bytes), stream };
}

describe('a metered connection', () => {
  it('passes packets on as they came', async () => {
    const { socket, arrive } = fakeSocket();
    const connection = new MeteredConnection(socket, 100);
    arrive(Buffer.from([0x30, 3, 1, 2, 3]));
    const got = await new Promise<Buffer>((resolve) => void connection.once('data', resolve));
    expect([...got]).toEqual([0x30, 3, 1, 2, 3]);
    connection.destroy();
  });

  it('ends both sides at a packet that is too large, before its body', async () => {
    const { socket, arrive, stream } = fakeSocket();
    const connection = new MeteredConnection(socket, 100);
    const failed = new Promise<Error>((resolve) => void connection.once('error', resolve));
    connection.resume();
    arrive(Buffer.from([0x30, 0xff, 0x7f]));
    expect((await failed).message).toContain('larger than 100 bytes');
    expect(stream.destroyed).toBe(true);
  });

  it('ends when the socket does', async () => {
    const { socket, stream } = fakeSocket();
    const connection = new MeteredConnection(socket, 100);
    const closed = new Promise<void>((resolve) => void connection.once('close', () => resolve()));
    stream.destroy();
    await closed;
    expect(connection.destroyed).toBe(true);
  });
});
