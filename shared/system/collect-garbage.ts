// A collection that also gives memory back to the system, in the process that is running. V8 does so by itself in idle moments, but
// only by marking in steps, which serving turns off (v8-flags.ts); `gc()` shrinks nothing. What developer tools call "collect garbage"
// does: it collects until nothing more goes, compacts, and halves the young generation. It stops the thread (60 ms for an agent), and
// compiled code goes too, so it is for processes that nobody waits for (quiet-memory.ts).
import { getHeapStatistics } from 'node:v8';

/** False where this Node was built without an inspector. */
export async function collectGarbage(): Promise<boolean> {
  const inspector = await import('node:inspector').catch(() => undefined);
  if (inspector === undefined) return false;
  const session = new inspector.Session();
  session.connect();
  // Leaving the session inside of its own callback would wait for itself for ever.
  const cause = await new Promise<Error | null>((resolve) =>
    session.post('HeapProfiler.collectGarbage', (error) => setImmediate(resolve, error)),
  );
  session.disconnect();
  if (cause !== null) throw new Error(`the garbage could not be collected: ${cause.message}`, { cause });
  return true;
}

/** What V8 has taken for objects and for buffers outside its heap, in use or not. */
export function heldBytes(): number {
  const { total_heap_size: heap, external_memory: external } = getHeapStatistics();
  return heap + external;
}
