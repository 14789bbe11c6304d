// What the command line says on stderr before it exits: 1 it could not be done, 2 it was asked for wrongly.

export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: 1 | 2;
  constructor(message: string, options: { cause?: unknown; exitCode?: 1 | 2 } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.exitCode = options.exitCode ?? 1;
  }
}

export function wrongUsage(message: string): CliError {
  return new CliError(message, { exitCode: 2 });
}
