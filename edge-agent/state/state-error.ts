// Why the state database could not do what was asked. `full` is the one that callers must live with: the disk has no room,
// nothing was changed, and the same call works again once there is room (field lesson B5).

type StateErrorCode =
  | 'full' // no space on the volume, or an I/O error while writing
  | 'failed'; // anything else that SQLite refuses

export class StateError extends Error {
  override readonly name = 'StateError';
  readonly code: StateErrorCode;
  constructor(code: StateErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
  }
}

/** Runs a write and turns SQLite's errors into ours. The write either happened wholly or not at all. */
export function writing<T>(what: string, write: () => T): T {
  try {
    return write();
  } catch (cause) {
    const code = (cause as { code?: unknown }).code;
    const full = typeof code === 'string' && (code === 'SQLITE_FULL' || code.startsWith('SQLITE_IOERR'));
    throw new StateError(full ? 'full' : 'failed', `${what}: ${(cause as Error).message}`, { cause });
  }
}
