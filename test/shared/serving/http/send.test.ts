// When memory that was sent may be used again; what answers and refusals look like is in oip-handler.test.ts.
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { giveBackOnceSent } from '@tidegate/shared/serving/http/send.js';
import { ReusedBuffers, reusedBuffers } from '@tidegate/shared/system/reused-buffers.js';

/** More than the kernel takes of a sender whose reader is slow. */
const SIZE_BYTES = 24 << 20;
let close: () => Promise<unknown> = () => Promise.resolve();

afterEach(() => close());

/** A client that reads nothing, and the answer that waits for it, in memory that may be given back. */
async function answering(): Promise<{ memory: Buffer; response: ServerResponse; client: Socket }> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1').pause();
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const [, response] = (await once(server, 'request')) as [unknown, ServerResponse];
  const memory = reusedBuffers.take(SIZE_BYTES).fill(7);
  response.writeHead(200, ['Content-Length', String(SIZE_BYTES)]);
  response.write(memory);
  response.end();
  giveBackOnceSent(response, [memory.subarray(5)]);
  close = () => {
    client.destroy();
    return new Promise((resolve) => server.close(resolve));
  };
  return { memory, response, client };
}

describe('memory of an answer', () => {
  it('is given back once the kernel has the last byte, however slow the client reads', async () => {
    const { memory, response, client } = await answering();
    await new Promise(setImmediate);
    expect(memory.byteLength).toBe(SIZE_BYTES);
    let [bytes, foreign] = [0, 0];
    const whole = new Promise<void>((resolve) => {
      client.on('data', (chunk: Buffer) => {
        bytes += chunk.byteLength;
        if (chunk.includes(9)) foreign += 1;
        if (bytes >= SIZE_BYTES) resolve();
      });
    });
    client.resume();
    await once(response, 'finish');
    expect(memory.byteLength).toBe(0);
    reusedBuffers.take(SIZE_BYTES).fill(9); // what another request would do now
    await whole;
    expect(foreign).toBe(0);
  });

  it('is out of everybody’s reach, or still its owner’s, after the client went away', async () => {
    const { memory, response, client } = await answering();
    client.destroy();
    await once(response, 'close');
    expect([0, SIZE_BYTES]).toContain(memory.byteLength);
  });

  it('is nobody’s business where it came from somewhere else', () => {
    const others = new ReusedBuffers().take(SIZE_BYTES);
    reusedBuffers.giveBack(others);
    expect(others.byteLength).toBe(SIZE_BYTES);
  });
});
