// Gives back the memory of buffers that nobody uses any more, without forgetting compiled code as collect-garbage.ts does: for a server
// that is over its memory budget while it serves. V8 collects them only as others are made, so what a few large requests left would lie
// there, and models would have to leave for it. That stops the process for some 30 ms.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { reusedBuffers } from './reused-buffers.js';

/** What is worth the stop. */
export const WORTH_COLLECTING_BYTES = 64 << 20;

interface BufferMemory {
  /** Of all buffers outside the heap, used or not. */
  readonly heldBytes: () => number;
  readonly collect: () => void;
}

const OF_THIS_PROCESS: BufferMemory = {
  heldBytes: () => process.memoryUsage().arrayBuffers,
  collect: () => {
    reusedBuffers.trim();
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    collect();
    collect(); // buffers are freed by another thread, for which this one waits
  },
};

/** False where there is too little to be worth it. */
export function collectUnusedBuffers(memory: BufferMemory = OF_THIS_PROCESS): boolean {
  if (memory.heldBytes() < WORTH_COLLECTING_BYTES) return false;
  memory.collect();
  return true;
}
