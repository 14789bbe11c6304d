// PUT /device/v1/samples/{hex}: a captured sample comes in under the digest of its body, so that sending it again is harmless. What is
// held in memory at once is bounded, by device and in all: beyond it a device is told when to come again, before its body is read.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LIMIT_SAMPLE_BYTES, sampleId } from '@tidegate/shared/wire/sample.js';
import type { SampleIntake } from '../../data/sample-intake.js';
import { DeviceError, sendJson } from './device-error.js';
import { readBounded } from './read-document.js';

/** Of bodies that are being received. */
export const RECEIVED_LIMITS = { bytes: 128 * 1024 * 1024, bytesOfDevice: 2 * LIMIT_SAMPLE_BYTES } as const;
const RETRY_AFTER_SECONDS = 2;
/** Without a byte for so long a body gives its share of the memory back, and the connection is closed. */
const STALL_LIMIT_MS = 30_000;

export class SampleDoor {
  readonly #intake: Pick<SampleIntake, 'take'>;
  readonly #stallLimitMs: number;
  #bytes = 0;
  readonly #bytesOf = new Map<string, number>();

  constructor(intake: Pick<SampleIntake, 'take'>, stallLimitMs = STALL_LIMIT_MS) {
    this.#intake = intake;
    this.#stallLimitMs = stallLimitMs;
  }

  /** Answers 201 where it was taken, 200 where the hub had it. Rejects with DeviceError or DataError for what is refused. */
  async answer(request: IncomingMessage, response: ServerResponse, hex: string, device: string): Promise<void> {
    if (!/^[0-9a-f]{64}$/.test(hex)) {
      throw new DeviceError(400, 'invalid', 'the path names no SHA-256 in lower-case hex', { field: 'digest' });
    }
    const release = this.#reserve(statedBytes(request), device);
    try {
      const body = await this.#receive(request);
      const digest = sampleId(body);
      if (digest !== `sha256:${hex}`) {
        throw new DeviceError(400, 'invalid', `the body's digest is ${digest}, not the path's`, { field: 'digest' });
      }
      const { id, added } = await this.#intake.take(body, { device });
      sendJson(response, added ? 201 : 200, { id });
    } finally {
      release();
    }
  }

  /** Rejects as readBounded, and with DeviceError 408 where no byte comes for too long. Only the body is timed, not what is done with it. */
  async #receive(request: IncomingMessage): Promise<Buffer> {
    const { socket } = request;
    const onStall = (): void => void request.destroy(new DeviceError(408, 'busy', 'the body came to a halt'));
    socket.setTimeout(this.#stallLimitMs, onStall);
    try {
      return await readBounded(request, LIMIT_SAMPLE_BYTES);
    } finally {
      socket.setTimeout(0).off('timeout', onStall);
    }
  }

  #reserve(bytes: number, device: string): () => void {
    const ofDevice = this.#bytesOf.get(device) ?? 0;
    const options = { retryAfterSeconds: RETRY_AFTER_SECONDS };
    if (ofDevice + bytes > RECEIVED_LIMITS.bytesOfDevice) {
      throw new DeviceError(429, 'busy', `${device} is sending ${ofDevice} bytes of samples already`, options);
    }
    if (this.#bytes + bytes > RECEIVED_LIMITS.bytes) {
      throw new DeviceError(503, 'busy', `${this.#bytes} bytes of samples are being received already`, options);
    }
    this.#bytes += bytes;
    this.#bytesOf.set(device, ofDevice + bytes);
    return () => {
      this.#bytes -= bytes;
      const left = (this.#bytesOf.get(device) ?? 0) - bytes;
      if (left > 0) this.#bytesOf.set(device, left);
      else this.#bytesOf.delete(device);
    };
  }
}

/** What the body may take: as stated, or the most that is read. */
function statedBytes({ headers }: IncomingMessage): number {
  return Math.min(LIMIT_SAMPLE_BYTES, Number(headers['content-length'] ?? LIMIT_SAMPLE_BYTES));
}
