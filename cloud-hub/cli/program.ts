// `tidegate`, put together: one noun per file. Separate from main.ts, so that tests run it without a process.
import { Command, CommanderError } from 'commander';
import { auditCommand } from './audit.js';
import { cacheCommand } from './cache.js';
import { CliError } from './cli-error.js';
import type { CliContext } from './context.js';
import { datasetCommand } from './dataset.js';
import { deviceCommand } from './device.js';
import { groupCommand } from './group.js';
import { inferCommand } from './infer.js';
import { jobCommand } from './job.js';
import { loginCommand } from './login.js';
import { modelCommand } from './model.js';
import { rolloutCommand } from './rollout.js';
import { sampleCommand } from './sample.js';
import { tokenCommand } from './token.js';
import { trainCommand } from './train.js';

/** Runs one command line (without `node` and the script). Returns the exit code; errors go to stderr. */
export async function runProgram(args: readonly string[], context: CliContext): Promise<number> {
  const root = new Command('tidegate')
    .description('The operator’s command line of a Tidegate hub.')
    .addHelpText(
      'after',
      '\nExample:\n  tidegate login --hub http://127.0.0.1:9000\n  tidegate model publish ./ocr-line',
    )
    .addCommand(loginCommand(context))
    .addCommand(modelCommand(context))
    .addCommand(trainCommand(context))
    .addCommand(jobCommand(context))
    .addCommand(rolloutCommand(context))
    .addCommand(deviceCommand(context))
    .addCommand(groupCommand(context))
    .addCommand(inferCommand(context))
    .addCommand(datasetCommand(context))
    .addCommand(sampleCommand(context))
    .addCommand(cacheCommand(context))
    .addCommand(tokenCommand(context))
    .addCommand(auditCommand(context));
  prepare(root, context);
  try {
    await root.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (cause) {
    if (cause instanceof CommanderError) return cause.exitCode === 0 ? 0 : 2; // commander has said it
    const field = fieldOf(cause);
    const text = cause instanceof Error ? cause.message : String(cause);
    context.stderr.write(`tidegate: ${text}${field === undefined || text.includes(field) ? '' : ` (${field})`}\n`);
    return cause instanceof CliError ? cause.exitCode : 1;
  }
}

/** Sub-commands don't inherit these. */
function prepare(command: Command, context: CliContext): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => void context.stdout.write(text),
    writeErr: (text) => void context.stderr.write(text),
  });
  for (const sub of command.commands) prepare(sub, context);
}

function fieldOf(cause: unknown): string | undefined {
  const field = (cause as { field?: unknown } | undefined)?.field;
  return typeof field === 'string' ? field : undefined;
}
