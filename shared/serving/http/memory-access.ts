// Who may name shared memory in a request, and how much of it: callers on this machine only (the unix socket, or loopback
// without a proxy in between), within the limit of a body and the budget of all bodies, since what is read is a copy.
import type { IncomingMessage } from 'node:http';
import { ServingError } from '../serving-error.js';
import type { RegionUse, SharedMemoryRegions } from '../shared-memory.js';
import type { BodyShare } from './body-budget.js';

interface MemoryLimits {
  readonly bodyBytesMax: number;
  readonly share: BodyShare;
}

/** Every use is refused where the server offers none or the caller is elsewhere. */
export function memoryAccess(
  regions: SharedMemoryRegions | undefined,
  local: boolean,
  { bodyBytesMax, share }: MemoryLimits,
): RegionUse {
  if (regions === undefined || !local) {
    const refuse = (_part: unknown, field: string): never => {
      throw memoryRefusal(regions !== undefined, `${field}.parameters.shared_memory_region`);
    };
    return { read: refuse, place: refuse, release: () => undefined };
  }
  let use: RegionUse | undefined; // made by the first part that is named: most requests name none
  const used = (): RegionUse => (use ??= regions.use());
  return {
    place: (part, field) => used().place(part, field),
    release: () => use?.release(),
    read: (part, field) => {
      if (part.byteSize > bodyBytesMax) {
        const text = `${field}: ${part.byteSize} bytes are more than the ${bodyBytesMax} that an input may take`;
        throw new ServingError('too-large', text, { field });
      }
      share.grow(part.byteSize);
      return used().read(part, field);
    },
  };
}

export function memoryRefusal(offered: boolean, field: string): ServingError {
  if (!offered) return new ServingError('unimplemented', `${field}: system shared memory is not offered`, { field });
  return new ServingError('forbidden', `${field}: only callers on this machine share memory with it`, { field });
}

export function isLocalCaller({ socket, headers }: IncomingMessage, unixSocket: boolean): boolean {
  return !isProxied(headers) && (unixSocket || isLoopbackAddress(socket.remoteAddress ?? ''));
}

/** A proxy on this machine speaks for callers elsewhere. */
export function isProxied(headers: Readonly<Record<string, unknown>>): boolean {
  return headers['forwarded'] !== undefined || headers['x-forwarded-for'] !== undefined || headers['via'] !== undefined;
}

export function isLoopbackAddress(address: string): boolean {
  return /^(::1|(::ffff:)?127\.[0-9.]+)$/.test(address);
}
