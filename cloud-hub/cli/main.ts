// The program `tidegate`: the operator's command line, over the hub's admin API. Exit codes 0 done, 1 failed, 2 wrong usage.
import { makeContext } from './context.js';
import { runProgram } from './program.js';

process.exitCode = await runProgram(process.argv.slice(2), makeContext(process, process.env));
