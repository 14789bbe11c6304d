// Where a request is answered: pure decisions, before and after the device has tried. What a privacy policy forbids no
// caller can allow; what a caller forbids is never done; and a device that can answer well does.
import type { AnsweredBy } from '@tidegate/shared/cache/cache-key.js';
import type { InferRequest, PlacementRequest } from '@tidegate/shared/serving/inference-service.js';
import type { ServingErrorCode } from '@tidegate/shared/serving/serving-error.js';
import type { MayLeave } from '../privacy/may-leave.js';

export interface PlaceView {
  readonly asked: PlacementRequest;
  readonly modelOnDevice: boolean;
  /** Why it is not, though it should be: it doesn't fit the memory budget. */
  readonly whyAbsent?: string | undefined;
  /** May the model's inputs go to the hub? (privacy/may-leave.ts, kind `fallback`) */
  readonly privacy: MayLeave;
  readonly hub: 'none' | 'reachable' | 'broken';
  /** The model keeps state over a sequence, which stays where it began. */
  readonly stateful: boolean;
  /** Where the sequence began that the request goes on with; undefined for a start, and for no sequence. */
  readonly begun: 'here' | 'hub' | undefined;
  /** Can its pipeline be cut for this request? */
  readonly canSplit: boolean;
}

type PlaceDecision =
  | { readonly place: 'local' }
  | { readonly place: 'hub'; readonly reason: string }
  | { readonly place: 'refuse'; readonly code: ServingErrorCode; readonly reason: string };

/** Before anything ran. */
export function place(view: PlaceView): PlaceDecision {
  if (view.asked === 'hub') {
    if (!view.privacy.allowed) {
      return refuse(
        'forbidden',
        `the model's privacy policy keeps its inputs on the device (${view.privacy.rule}); placement hub is not allowed`,
      );
    }
    if (view.begun === 'here') {
      return refuse('forbidden', 'its sequence began on this device, where its state is; placement hub is not allowed');
    }
    return askHub(view, 'the caller asked for the hub');
  }
  if (view.asked === 'split') {
    if (!view.modelOnDevice) return absent(view, 'and so has no part here');
    if (!view.privacy.allowed)
      return refuse('forbidden', `the model's privacy policy keeps its inputs on the device (${view.privacy.rule})`);
    if (view.hub === 'none')
      return refuse('hub-unavailable', 'the caller asked for a split, and this agent has no hub');
    if (!view.canSplit)
      return refuse('forbidden', 'its package does not say placement.split, or has no cut for such a request');
    return { place: 'local' };
  }
  if (view.begun === 'hub' && view.asked !== 'local' && view.privacy.allowed) {
    return askHub(view, 'its sequence began at the hub');
  }
  if (view.modelOnDevice) return { place: 'local' };
  if (view.asked === 'local') return absent(view, 'and placement local keeps it here');
  if (!view.privacy.allowed) return absent(view, `and its privacy policy keeps inputs here (${view.privacy.rule})`);
  if (view.hub === 'none') return absent(view, 'and there is no hub to ask');
  return askHub(view, view.whyAbsent ?? NOT_HERE);
}

const NOT_HERE = 'the model is not on this device';

function absent({ whyAbsent }: PlaceView, so: string): PlaceDecision {
  return refuse(whyAbsent === undefined ? 'not-found' : 'not-ready', `${whyAbsent ?? NOT_HERE}, ${so}`);
}

export interface RescueView extends PlaceView {
  /** Why the device could not answer, or not well enough. */
  readonly trouble: 'would-miss-deadline' | 'queue-full' | 'failed' | 'not-ready' | 'low-confidence';
  readonly detail: string;
}

/** After the device tried: may the hub be asked instead? `local` then means: what the device has (answer or error) stands. */
export function rescue(view: RescueView): { readonly place: 'local' | 'hub'; readonly reason: string } {
  if (view.asked === 'local') return { place: 'local', reason: `${view.detail}; placement local` };
  if (view.stateful) return { place: 'local', reason: `${view.detail}; its sequence stays on this device` };
  if (!view.privacy.allowed) return { place: 'local', reason: `${view.detail}; ${view.privacy.rule}` };
  if (view.hub === 'none') return { place: 'local', reason: `${view.detail}, and there is no hub to ask` };
  if (view.hub === 'broken') return { place: 'local', reason: `${view.detail}; the hub does not answer` };
  return { place: 'hub', reason: view.detail };
}

/** May the hub have a part of a request that is answered here? */
export function maySplit({ asked, privacy, hub }: PlaceView): boolean {
  return (asked === 'auto' || asked === 'split') && privacy.allowed && hub === 'reachable';
}

/** Whose kept answer is wanted, and whose is as good: who asks for a split gets one. */
export function answerers(
  { placement }: Pick<InferRequest, 'placement'>,
  split: AnsweredBy | undefined,
): readonly [AnsweredBy, AnsweredBy | undefined] {
  return placement === 'split' && split !== undefined ? [split, undefined] : ['edge', split];
}

function askHub(view: PlaceView, reason: string): PlaceDecision {
  if (view.hub === 'none') return refuse('hub-unavailable', `${reason}, and this agent has none`);
  if (view.hub === 'broken') return refuse('hub-unavailable', `${reason}, and it does not answer now`);
  return { place: 'hub', reason };
}

function refuse(code: ServingErrorCode, reason: string): PlaceDecision {
  return { place: 'refuse', code, reason };
}
