// A TLS socket as the broker reads it: the same bytes, until a packet is larger than allowed; then the connection ends before the
// packet is in memory. Backpressure goes through in both directions.
import { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { PacketMeter } from './packet-meter.js';

export class MeteredConnection extends Duplex {
  readonly #socket: TLSSocket;

  constructor(socket: TLSSocket, limitBytes: number) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    const meter = new PacketMeter(limitBytes);
    socket.on('data', (chunk: Buffer) => {
      if (!meter.accepts(chunk)) this.destroy(new Error(`a packet is larger than ${limitBytes} bytes`));
      else if (!this.push(chunk)) socket.pause();
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Uint8Array, _encoding: string, callback: (error?: Error | null) => void): void {
    this.#socket.write(chunk, callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#socket.end(() => callback());
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#socket.destroy();
    callback(error);
  }
}
