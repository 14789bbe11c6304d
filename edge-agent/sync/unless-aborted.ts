// Waiting that ends with its signal, whether or not the work listens to it: undici, for one, defers an abort until its dial has
// ended, and an engine may hang (field lesson B15).

/** Settles when the signal aborts, even when the work does not listen (B15); what it yields later goes to `late`. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal, late: (value: T) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(
      (value) => {
        signal.removeEventListener('abort', onAbort);
        if (signal.aborted) late(value);
        resolve(value);
      },
      (cause: unknown) => {
        signal.removeEventListener('abort', onAbort);
        reject(cause);
      },
    );
    if (signal.aborted) onAbort();
  });
}
