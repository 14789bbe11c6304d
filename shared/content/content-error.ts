// Why content could not be stored or fetched. `needBytes` and `haveBytes` come with `no-space`, so that the message can say
// what would have to be freed (field lesson B5).

type ContentErrorCode =
  | 'no-space' // the volume is full; nothing that was stored is lost, and a partial download keeps what it has
  | 'digest-mismatch' // all bytes came, but they are not what the digest says; they were discarded
  | 'size-mismatch' // more or fewer bytes than stated
  | 'not-found' // not in the store
  | 'busy' // another writer is receiving the same content
  | 'refused' // the server answered with a status that a retry won't change
  | 'unreachable'; // retries used up

export class ContentError extends Error {
  override readonly name = 'ContentError';
  readonly code: ContentErrorCode;
  readonly needBytes: number | undefined;
  readonly haveBytes: number | undefined;
  constructor(
    code: ContentErrorCode,
    message: string,
    options: { cause?: unknown; needBytes?: number; haveBytes?: number } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.needBytes = options.needBytes;
    this.haveBytes = options.haveBytes;
  }
}

export function noSpace(needBytes: number, haveBytes: number, cause?: unknown): ContentError {
  return new ContentError('no-space', `not enough space: ${needBytes} bytes needed, ${haveBytes} free`, {
    needBytes,
    haveBytes,
    cause,
  });
}

/** True for what the operating system, or a database on its behalf, says when a volume or a quota is full. */
export function isDiskFull(cause: unknown): boolean {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'SQLITE_FULL';
}
