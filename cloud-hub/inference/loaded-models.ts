// Models that are loaded on the hub: at most a stated number, the one unused for longest makes room. Loading is shared by all who
// wait for it. The one that leaves is closed before the next is loaded (closing waits for its own requests), so memory
// never holds more than the limit.
interface Closable {
  close(): Promise<void>;
}

interface Slot<T> {
  readonly loaded: Promise<T>;
  usedAt: number;
}

export class LoadedModels<T extends Closable> {
  readonly #limit: number;
  readonly #slots = new Map<string, Slot<T>>();
  #leaving: Promise<unknown> = Promise.resolve();
  #uses = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#slots.size;
  }

  /** The model under this key, loading it where it isn't. A load that fails leaves nothing behind. */
  get(key: string, load: () => Promise<T>): Promise<T> {
    this.#uses += 1;
    const known = this.#slots.get(key);
    if (known !== undefined) {
      known.usedAt = this.#uses;
      return known.loaded;
    }
    this.#makeRoom();
    const room = this.#leaving;
    const loaded = room.then(load);
    const slot: Slot<T> = { loaded, usedAt: this.#uses };
    this.#slots.set(key, slot);
    loaded.catch(() => {
      if (this.#slots.get(key) === slot) this.#slots.delete(key);
    });
    return loaded;
  }

  async closeAll(): Promise<void> {
    for (const key of this.#slots.keys()) this.#evict(key);
    await this.#leaving;
  }

  #makeRoom(): void {
    while (this.#slots.size >= this.#limit) {
      let oldest: string | undefined;
      let usedAt = Infinity;
      for (const [key, slot] of this.#slots) {
        if (slot.usedAt < usedAt) [oldest, usedAt] = [key, slot.usedAt];
      }
      if (oldest === undefined) return;
      this.#evict(oldest);
    }
  }

  #evict(key: string): void {
    const slot = this.#slots.get(key);
    if (slot === undefined) return;
    this.#slots.delete(key);
    // A load that failed has nothing to close.
    const closed = slot.loaded.then(
      (model) => model.close(),
      () => undefined,
    );
    this.#leaving = Promise.allSettled([this.#leaving, closed]);
  }
}
