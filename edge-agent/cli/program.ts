// The program around the verbs: help, exit codes (0 done, 1 failed, 2 wrong usage), and errors as one line on stderr.
import { Command, CommanderError } from 'commander';
import { SettingsError } from '@tidegate/shared/system/settings.js';
import { UsageError, type CliContext, type Verb } from './verb.js';

/** Runs one command line (without node and script) and resolves with the exit code. */
export async function runProgram(
  argv: readonly string[],
  verbs: readonly Verb[],
  context: CliContext,
): Promise<0 | 1 | 2> {
  const program = new Command('tidegate-agent')
    .description('Answers inference on this device, and asks a hub where it should not or can not.')
    .version(context.version)
    .showHelpAfterError('(add --help for the options and an example)')
    .configureOutput({
      writeOut: (text) => void context.stdout.write(text),
      writeErr: (text) => void context.stderr.write(text),
    })
    .exitOverride();
  for (const verb of verbs) verb(program, context);
  inherit(program);
  if (argv.length === 0) {
    program.outputHelp({ error: true });
    return 2;
  }
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // commander has said why
    context.stderr.write(`tidegate-agent: ${messageOf(error)}\n`);
    return error instanceof SettingsError || error instanceof UsageError ? 2 : 1;
  }
}

/** Verbs of verbs too: `service install`. */
function inherit(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent);
    inherit(command);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
