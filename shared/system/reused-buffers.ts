// Memory for large tensors and bodies that is used again. Fresh memory costs a page fault for each 4 KB and a full collection of V8's
// heap for each 64 MB (docs/performance.md). Like Buffer's own pool it is one for the process: who takes and who gives back are far
// apart.
//
// Ownership: what `take` answers is the taker's, and whoever it passes it on to. It need never be given back; then it is collected
// as any buffer is. Only who knows that nobody else holds it may give it back. Every view of it is empty from then on, its bytes
// are out of reach: a mistake is a missing tensor and never another caller's data.

/** Memory that lies here unused, at most. */
const LIMIT_HELD_BYTES = 32 << 20;
/** Smaller ones come out of memory that the allocator has at hand. */
const LEAST_BYTES = 32 << 10;
/** Sizes are rounded up to quarters between powers of two, so that few kinds serve all. */
const QUARTER_SHIFT = 2;

const OWNER = Symbol('owner');

interface OwnedMemory extends ArrayBuffer {
  [OWNER]?: ReusedBuffers;
}

export class ReusedBuffers {
  readonly #limitBytes: number;
  /** By size; those given back last are taken first, being in the processor's cache. */
  readonly #free = new Map<number, ArrayBuffer[]>();
  #heldBytes = 0;

  constructor(limitBytes = LIMIT_HELD_BYTES) {
    this.#limitBytes = limitBytes;
  }

  /** Bytes that wait to be used again. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Memory of the taker's own, its content undefined. */
  take(sizeBytes: number): Buffer {
    if (sizeBytes < LEAST_BYTES || sizeBytes > this.#limitBytes) return Buffer.allocUnsafeSlow(sizeBytes);
    const wholeBytes = roundedUp(sizeBytes);
    const free = this.#free.get(wholeBytes)?.pop();
    if (free !== undefined) this.#heldBytes -= wholeBytes;
    const memory: OwnedMemory = free ?? (Buffer.allocUnsafeSlow(wholeBytes).buffer as ArrayBuffer);
    memory[OWNER] = this;
    return Buffer.from(memory, 0, sizeBytes);
  }

  /** The memory behind a view that `take` answered, or behind a part of it. Any other is left alone. */
  giveBack(view: Uint8Array): void {
    const old = view.buffer as OwnedMemory;
    if (old[OWNER] !== this || old.byteLength === 0) return; // foreign, or given back before
    const memory = structuredClone<ArrayBuffer>(old, { transfer: [old] }); // the same pages under another object: 1 us
    const wholeBytes = memory.byteLength;
    if (this.#heldBytes + wholeBytes > this.#limitBytes) this.trim(); // of sizes, perhaps, that nobody asks for any more
    const list = this.#free.get(wholeBytes);
    if (list === undefined) this.#free.set(wholeBytes, [memory]);
    else list.push(memory);
    this.#heldBytes += wholeBytes;
  }

  /** Lets go of all that waits: there is nothing to do for it. */
  trim(): void {
    this.#free.clear();
    this.#heldBytes = 0;
  }
}

function roundedUp(sizeBytes: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(sizeBytes)) - QUARTER_SHIFT);
  return Math.ceil(sizeBytes / step) * step;
}

export const reusedBuffers = new ReusedBuffers();
