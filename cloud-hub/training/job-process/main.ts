// Entry point of a training job's process: `node main.js FOLDER`, started by the hub with IPC. SIGTERM, or the hub gone, makes it save a
// checkpoint and exit with EXIT.preempted, so that none trains on unseen; SIGKILL costs what came after the last checkpoint.
import { openLog } from '@tidegate/shared/system/open-log.js';
import { pickEngine } from '@tidegate/shared/runtime/executor/pick-engine.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { HUB_VERSION } from '../../hub-version.js';
import { explainFailure } from './explain-failure.js';
import { EXIT, type JobMessage } from './job-order.js';
import { lowerPriority } from './lower-priority.js';
import { runJob } from './run-job.js';

const log = openLog({ logLevel: 'info', logFormat: 'json' }, process.stderr);
const folder = process.argv[2] ?? '';
const stop = new AbortController();

/** Settles when the hub has all that was sent, or is gone. */
let sent: Promise<void> = Promise.resolve();

function send(message: JobMessage): void {
  sent = new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(message, undefined, undefined, () => resolve());
  });
}

async function main(): Promise<number> {
  try {
    const { engine } = await pickEngine('capi'); // the other engine keeps no tensors between runs
    const outcome = await runJob(
      folder,
      {
        engine,
        hubVersion: HUB_VERSION,
        files: systemFiles,
        clock: systemClock,
        log,
        rssBytes: () => process.memoryUsage.rss(),
        send,
      },
      stop.signal,
    );
    await engine.close();
    return outcome === 'done' ? EXIT.done : EXIT.preempted;
  } catch (error) {
    const failure = explainFailure(error);
    log.error({ err: error, ...failure }, 'the job failed');
    send({ kind: 'failed', ...failure });
    return EXIT.failed;
  }
}

lowerPriority(log);
process.title = `tidegate-training ${folder}`;
for (const event of ['SIGTERM', 'SIGINT', 'disconnect'] as const) {
  process.on(event, () => stop.abort(new Error(`the job was stopped by ${event}`)));
}
const code = await main();
await sent;
process.exit(code);
