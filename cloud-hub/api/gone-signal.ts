// Work for a caller who is gone is work for nobody: the signal that ends it.
import type { FastifyReply } from 'fastify';

/** Aborts when the caller goes away before its answer. */
export function goneSignal({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController();
  raw.once('close', () => {
    if (!raw.writableFinished) controller.abort(new Error('the caller went away'));
  });
  return controller.signal;
}
