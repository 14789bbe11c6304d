// A verb of `tidegate-agent`: a file `cli/<verb>.ts` whose function puts its command onto the program. main.ts lists them.
import type { Command } from 'commander';

export interface CliContext {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly version: string;
}

/** Registers the verb. Its action throws UsageError or SettingsError for wrong usage (exit 2), anything else fails it (exit 1). */
export type Verb = (program: Command, context: CliContext) => void;

export class UsageError extends Error {
  override readonly name = 'UsageError';
}
