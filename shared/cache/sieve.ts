// SIEVE (Zhang et al., NSDI 2024) by bytes: a queue in order of arrival, a bit for each entry that a hit sets, and a hand that
// walks from the oldest to the newest, clears bits and evicts the first entry without one. A hit moves nothing, so it costs a
// map lookup; a scan passes through the place that the hand left and does not push out what is asked for again.
// Measured against LRU and W-TinyLFU in test/shared/cache/scan-resistance.test.ts.

interface Node<V> {
  readonly key: string;
  readonly value: V;
  readonly sizeBytes: number;
  visited: boolean;
  newer: Node<V> | undefined;
  older: Node<V> | undefined;
}

export class Sieve<V> {
  readonly #limitBytes: number;
  readonly #nodes = new Map<string, Node<V>>();
  #newest: Node<V> | undefined;
  #oldest: Node<V> | undefined;
  #hand: Node<V> | undefined;
  #sizeBytes = 0;

  constructor(options: { readonly limitBytes: number }) {
    this.#limitBytes = options.limitBytes;
  }

  get entries(): number {
    return this.#nodes.size;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Without marking it: the caller may find it too old. */
  peek(key: string): V | undefined {
    return this.#nodes.get(key)?.value;
  }

  /** It was of use: the hand passes it once more. */
  markUsed(key: string): void {
    const node = this.#nodes.get(key);
    if (node !== undefined) node.visited = true;
  }

  /** Replaces what is there. Returns how many had to make room. An entry over the limit is not kept. */
  set(key: string, value: V, sizeBytes: number): number {
    const before = this.#nodes.get(key);
    if (before !== undefined) this.#unlink(before);
    if (sizeBytes > this.#limitBytes) return 0;
    let evicted = 0;
    while (this.#sizeBytes + sizeBytes > this.#limitBytes && this.#evictOne()) evicted += 1;
    // A renewed entry keeps its bit: it was asked for under this key before.
    const node: Node<V> = {
      key,
      value,
      sizeBytes,
      visited: before?.visited ?? false,
      newer: undefined,
      older: this.#newest,
    };
    if (this.#newest !== undefined) this.#newest.newer = node;
    this.#newest = node;
    this.#oldest ??= node;
    this.#nodes.set(key, node);
    this.#sizeBytes += sizeBytes;
    return evicted;
  }

  /** Removes each entry for which `matches` holds. Returns how many went. */
  removeWhere(matches: (value: V) => boolean): number {
    let removed = 0;
    for (const node of this.#nodes.values()) {
      if (!matches(node.value)) continue;
      this.#unlink(node);
      removed += 1;
    }
    return removed;
  }

  *[Symbol.iterator](): IterableIterator<{ readonly value: V; readonly sizeBytes: number }> {
    yield* this.#nodes.values();
  }

  #evictOne(): boolean {
    let node = this.#hand ?? this.#oldest;
    while (node?.visited === true) {
      node.visited = false;
      node = node.newer ?? this.#oldest;
    }
    if (node === undefined) return false;
    this.#hand = node; // unlink moves it on to the newer one
    this.#unlink(node);
    return true;
  }

  #unlink(node: Node<V>): void {
    if (this.#hand === node) this.#hand = node.newer;
    if (node.newer === undefined) this.#newest = node.older;
    else node.newer.older = node.older;
    if (node.older === undefined) this.#oldest = node.newer;
    else node.older.newer = node.newer;
    this.#nodes.delete(node.key);
    this.#sizeBytes -= node.sizeBytes;
  }
}
