// In which order samples are seen: each epoch its own shuffle (Fisher and Yates), made from the seed and the epoch alone. So seed and
// number of the next batch are the whole position in the data: no generator's state has to be kept. What is only read through or judged by
// goes in the order in which it stands.
import { seededRandom } from '../system/random.js';

interface OrderPlan {
  readonly count: number;
  readonly batchSize: number;
  readonly seed: number;
}

/** Batches of an epoch; the last one may be smaller. */
export function batchesPerEpoch({ count, batchSize }: Pick<OrderPlan, 'count' | 'batchSize'>): number {
  return Math.ceil(count / batchSize);
}

/** The epoch's order of 0 .. count - 1. */
export function shuffled(count: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const random = seededRandom((seed ^ Math.imul(epoch + 1, 0x9e3779b1)) >>> 0);
  for (let i = count - 1; i > 0; i -= 1) {
    const j = Math.floor(random.next() * (i + 1));
    const kept = order[i]!;
    order[i] = order[j]!;
    order[j] = kept;
  }
  return order;
}

/** Batches of 0 .. count - 1 as they stand; the last one may be smaller. */
export function* batchesInTurn({
  count,
  batchSize,
}: Pick<OrderPlan, 'count' | 'batchSize'>): Generator<readonly number[], void, void> {
  for (let from = 0; from < count; from += batchSize) {
    yield Array.from({ length: Math.min(batchSize, count - from) }, (_, i) => from + i);
  }
}

/** Batches of indexes from number `first` to number `last` - 1, counted over all epochs. */
export function* batchOrder(plan: OrderPlan, first: number, last: number): Generator<readonly number[], void, void> {
  const perEpoch = batchesPerEpoch(plan);
  let epoch = -1;
  let order: Uint32Array = new Uint32Array(0);
  for (let number = first; number < last; number += 1) {
    const own = Math.floor(number / perEpoch);
    if (own !== epoch) {
      epoch = own;
      order = shuffled(plan.count, plan.seed, epoch);
    }
    const at = (number % perEpoch) * plan.batchSize;
    yield Array.from(order.subarray(at, at + plan.batchSize));
  }
}
