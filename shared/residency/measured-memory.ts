// What the server and the models in memory use, read from the system: the bytes that residency.ts decides by.
//
// Invariants: an executor is asked for once, however many models share it, and divided among them; what the system doesn't tell
// stays as it was known.
import type { Resident } from './resident.js';

export interface MemorySource {
  /** Bytes that a process uses; undefined where it is gone or the system doesn't tell. */
  readonly memoryOf: (pid: number) => Promise<number | undefined>;
  /** The server's own process, and others whose memory counts beside the models'. */
  readonly ownPids: () => readonly number[];
}

export class MeasuredMemory {
  readonly #source: MemorySource;
  #ownBytes = 0;

  constructor(source: MemorySource) {
    this.#source = source;
  }

  /** Beside the models, as last read. */
  get ownBytes(): number {
    return this.#ownBytes;
  }

  /** Reads anew, and tells each of `residents`, who they are by then. One in quarantine is in memory no longer. */
  async read(residents: () => readonly Resident[]): Promise<void> {
    const { memoryOf, ownPids } = this.#source;
    const own = await Promise.all(ownPids().map((pid) => memoryOf(pid)));
    this.#ownBytes = sumOf(own) || this.#ownBytes;
    const ofExecutors = new Map<number, Promise<number | undefined>>(); // each once, whoever shares it
    for (const resident of residents()) {
      if (resident.model?.quarantine !== undefined && resident.state === 'resident') resident.state = 'on demand';
      const { model } = resident;
      const parts = (model?.pids ?? []).map(async (pid) => {
        if (!ofExecutors.has(pid)) ofExecutors.set(pid, memoryOf(pid));
        return ((await ofExecutors.get(pid)) ?? 0) * (model?.memoryShareOf(pid) ?? 1);
      });
      const bytes = Math.round(sumOf(await Promise.all(parts)));
      if (bytes > 0) resident.bytes = bytes;
    }
  }
}

function sumOf(sizes: readonly (number | undefined)[]): number {
  return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
}
