// The program `tidegate`: the operator's command line, over the hub's admin API. Exit codes 0 done, 1 failed, 2 wrong usage.
import { makeContext } from './context.js';
import { runProgram } from './program.js';

// Whoever reads may have had enough (`tidegate sample list | head`): that is no error, and nothing is left to say.
process.stdout.on('error', (cause: NodeJS.ErrnoException) => {
  if (cause.code === 'EPIPE') process.exit(0);
  throw cause;
});

process.exitCode = await runProgram(process.argv.slice(2), makeContext(process, process.env));
