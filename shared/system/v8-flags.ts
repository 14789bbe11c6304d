// How V8 works in processes that serve tensors. Its defaults suit pages that are short-lived and heaps that hold what a program
// allocates; here the same few functions run for weeks, and most bytes lie in buffers outside the heap. Each flag has its figures
// in docs/performance.md. Agent, hub and executors call
// `tuneForServing` once they have loaded their own code, which runs once and is not worth optimising.
import { setFlagsFromString } from 'node:v8';

/** A flag that V8 doesn't know does nothing but print an error, so a test holds these against its list. */
export const SERVING_FLAGS: readonly string[] = [
  // V8 begins to mark its heap in steps whenever another 64 MB of buffers were made, several times a second: half of a server's
  // processor time. Without the steps, buffers that died young go with a scavenge.
  '--no-incremental-marking',
  // A function is optimised after a third of the bytecode that V8 waits for (66 KB): the way of a request is fast after some 1,000
  // requests instead of 4,000, which a device that answers 20 a second has had only after minutes.
  '--interrupt-budget=20000',
];

export function tuneForServing(): void {
  for (const flag of SERVING_FLAGS) setFlagsFromString(flag);
}
