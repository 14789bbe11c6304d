// The queue of samples under review, as a pure state. A change shows at once as a draft over what the hub last said of the sample; the
// hub's answer replaces both, a refusal takes the draft back and leaves the reason on the sample. Samples keep their place when their
// state changes, so that nothing moves under the reviewer's hands; the list is read anew on request.
import type { SampleView } from '@tidegate/shared/wire/data-api.js';

export type Change =
  { readonly kind: 'label'; readonly label: string } | { readonly kind: 'reject' | 'reopen' | 'propose' | 'accept' };

export interface QueueItem {
  /** As the hub last said it. */
  readonly server: SampleView;
  /** As it will be once the hub has agreed to what is under way. */
  readonly draft?: SampleView | undefined;
  readonly inFlight: number;
  /** Why the last change was refused. */
  readonly error?: string | undefined;
}

export interface Queue {
  readonly items: readonly QueueItem[];
  /** Index of the sample in focus; 0 where there is none. */
  readonly at: number;
  /** Ids of decided samples, the latest last: what `undo` reopens. */
  readonly decided: readonly string[];
  /** Where the next page begins; undefined when all are here. */
  readonly nextCursor: string | undefined;
}

export const EMPTY_QUEUE: Queue = { items: [], at: 0, decided: [], nextCursor: undefined };

const LIMIT_UNDO = 200;

export function shown(item: QueueItem): SampleView {
  return item.draft ?? item.server;
}

/** What the sample is after the change, as far as that can be told without asking; a rejected one keeps its label for later. */
function afterChange(sample: SampleView, change: Change): SampleView {
  const { label: _label, labelSource: _source, ...bare } = sample;
  switch (change.kind) {
    case 'label':
      return { ...bare, state: 'labelled', label: change.label, labelSource: 'person' };
    case 'accept':
      return sample.proposal === undefined
        ? sample
        : { ...bare, state: 'labelled', label: sample.proposal.label, labelSource: 'hub-model' };
    case 'reject':
      return { ...sample, state: 'rejected' };
    case 'reopen':
      return sample.state === 'rejected' && sample.label !== undefined
        ? { ...sample, state: 'labelled' }
        : { ...bare, state: 'new' };
    case 'propose':
      return sample;
  }
}

export function withPage(queue: Queue, page: { items: readonly SampleView[]; nextCursor?: string | undefined }): Queue {
  const known = new Set(queue.items.map(({ server }) => server.id));
  const fresh = page.items.filter(({ id }) => !known.has(id)).map((server) => ({ server, inFlight: 0 }));
  return { ...queue, items: [...queue.items, ...fresh], nextCursor: page.nextCursor };
}

export function select(queue: Queue, at: number): Queue {
  return { ...queue, at: Math.max(0, Math.min(queue.items.length - 1, at)) };
}

/** The change shows; the focus goes on from a decided sample to the next that is in the state this one was in. */
export function begin(queue: Queue, id: string, change: Change): Queue {
  const at = indexOf(queue, id);
  const item = queue.items[at];
  if (item === undefined) return queue;
  const before = shown(item);
  const draft = afterChange(before, change);
  const changed = put(queue, at, { server: item.server, draft, inFlight: item.inFlight + 1 });
  if (change.kind === 'propose') return changed;
  const others = queue.decided.filter((other) => other !== id);
  if (change.kind === 'reopen') return { ...changed, decided: others, at };
  const decided = [...others, id].slice(-LIMIT_UNDO);
  return { ...changed, decided, at: at === queue.at ? nextIn(changed, at, before.state) : queue.at };
}

/** The hub agreed: what it says holds, unless more is under way for the sample. */
export function settle(queue: Queue, sample: SampleView): Queue {
  return update(queue, sample.id, (item) => ({ ...answered(item), server: sample }));
}

/** The hub refused: the draft is taken back. */
export function fail(queue: Queue, id: string, error: string): Queue {
  const failed = update(queue, id, (item) => ({ ...answered(item), error }));
  return { ...failed, decided: failed.decided.filter((other) => other !== id) };
}

/** One less is under way; the draft goes with the last. */
function answered(item: QueueItem): QueueItem {
  const inFlight = Math.max(0, item.inFlight - 1);
  return { ...item, inFlight, draft: inFlight > 0 ? item.draft : undefined };
}

/** Someone changed the sample elsewhere; one that is not in the queue changes nothing. */
export function observe(queue: Queue, sample: SampleView): Queue {
  return update(queue, sample.id, (item) => ({ ...item, server: sample }));
}

/** Someone deleted the sample. The focus stays on the sample that it was on, or goes to the one that takes its place. */
export function remove(queue: Queue, id: string): Queue {
  const gone = indexOf(queue, id);
  if (gone < 0) return queue;
  const items = queue.items.filter((_, i) => i !== gone);
  const decided = queue.decided.filter((other) => other !== id);
  return select({ ...queue, items, decided }, gone < queue.at ? queue.at - 1 : queue.at);
}

/** Is this one that came after the list was read? What stands further down the list is only not read yet. */
export function isNews({ items }: Queue, sample: SampleView): boolean {
  const newest = items.reduce((latest, { server }) => (server.receivedAt > latest ? server.receivedAt : latest), '');
  const known = items.some(({ server }) => server.id === sample.id);
  return !known && sample.state === 'new' && sample.receivedAt >= newest;
}

interface Tally {
  readonly new: number;
  readonly labelled: number;
  readonly rejected: number;
}

/** How many of the samples that are here stand in each state. */
export function tally(queue: Queue): Tally {
  const counts = { new: 0, labelled: 0, rejected: 0 };
  for (const item of queue.items) counts[shown(item).state] += 1;
  return counts;
}

function indexOf(queue: Queue, id: string): number {
  return queue.items.findIndex(({ server }) => server.id === id);
}

function put(queue: Queue, at: number, item: QueueItem): Queue {
  return { ...queue, items: queue.items.map((other, i) => (i === at ? item : other)) };
}

function update(queue: Queue, id: string, change: (item: QueueItem) => QueueItem): Queue {
  const at = indexOf(queue, id);
  const item = queue.items[at];
  return item === undefined ? queue : put(queue, at, change(item));
}

/** The next sample in that state after `at`, then from the beginning; `at` itself where there is none. */
function nextIn(queue: Queue, at: number, state: SampleView['state']): number {
  const count = queue.items.length;
  for (let step = 1; step < count; step += 1) {
    const index = (at + step) % count;
    const item = queue.items[index];
    if (item !== undefined && shown(item).state === state) return index;
  }
  return at;
}
