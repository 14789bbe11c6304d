// P4: cache hits per second against a plain node:http server that reads the body, hashes it and answers the same bytes.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ONE_RUN, startAgent } from './agent.mjs';
import { ask } from './answers.mjs';
import { CONV } from './bench-models.mjs';
import { startScript } from './processes.mjs';
import { inferRequest } from './requests.mjs';
import { figures, interleave, ratio } from './statistics.mjs';
import { served, SERVED_FIGURES, startLoad } from './throughput.mjs';

const CONNECTIONS = 16;
const TARGET = 0.8;

export async function cacheHits({ folder, rounds, roundMs, warmUpMs, say }) {
  const { file, name, input, shape } = CONV;
  const agent = await startAgent([file], ONE_RUN);
  const request = inferRequest({ model: name, input, shape });
  const { headers, body } = await cachedAnswer(agent, request);
  const answerFile = join(folder, 'answer');
  writeFileSync(answerFile, body);
  const plain = await startScript('plain-server.mjs', [answerFile, JSON.stringify(headers)]);
  const [, host, port] = /http=(.+):(\d+)/.exec(plain.ready);
  const loads = {
    tidegate: await startLoad(folder, agent, CONNECTIONS, request),
    plain: await startLoad(folder, { host, port }, CONNECTIONS, request),
  };
  for (const load of Object.values(loads)) await load.ask(warmUpMs);
  const measured = await interleave(
    {
      tidegate: () => served(loads.tidegate, agent, roundMs),
      plain: () => served(loads.plain, plain, roundMs),
    },
    rounds,
    (round) => say(`P4: round ${round} of ${rounds}`),
  );
  await Promise.all([...Object.values(loads), plain, agent].map((one) => one.stop()));
  return [
    {
      name: 'P4',
      about: `cache hits, request of ${request.body.length} bytes, answer of ${body.length}; ${CONNECTIONS} connections`,
      plot: 'answers / s',
      contestants: {
        tidegate: { figures: figures(measured.tidegate, SERVED_FIGURES) },
        'plain node:http': {
          note: 'reads the body, hashes it with SHA-256, answers the same bytes',
          figures: figures(measured.plain, SERVED_FIGURES),
        },
      },
      ratios: [
        { what: 'hits, tidegate / plain node:http', ...ratio(measured.tidegate, measured.plain), atLeast: TARGET },
        {
          what: 'processor time, tidegate / plain node:http',
          ...ratio(measured.tidegate, measured.plain, ({ cpuUs }) => cpuUs),
        },
      ],
    },
  ];
}

/** What the agent answers to the request from its cache: the plain server sends the same. */
export async function cachedAnswer(agent, request) {
  for (let attempt = 0; ; attempt++) {
    const response = await ask(agent, request);
    const headers = Object.fromEntries(
      [...response.headers].filter(([key]) => !/^(date|connection|keep-alive)$/.test(key)),
    );
    if (headers['tidegate-placement'] === 'cache') return { headers, body: response.body };
    if (attempt === 10) throw new Error(`no cache hit after ${attempt} requests: ${JSON.stringify(headers)}`);
  }
}
