// Answers that are bytes and no JSON: how they stand in the documentation, and how they are sent.
import type { FastifyReply } from 'fastify';
import { z } from 'zod';

/** For a route's `schema.response`. */
export function byteAnswer(...types: readonly string[]) {
  return {
    description: 'The bytes.',
    content: Object.fromEntries(types.map((type) => [type, { schema: z.any() }])),
  };
}

/** Without a copy. */
export function sendBytes(reply: FastifyReply, type: string, bytes: Uint8Array): FastifyReply {
  return reply.type(type).send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}
