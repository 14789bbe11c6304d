// The chapters of the demo. Each uses what a user has: the three programs, the admin API, the inference protocol.
import { join } from 'node:path';
import { HubApi, until } from './hub-api.mjs';
import * as learning from './learning.mjs';
import { Line } from './line.mjs';
import { digitInput, infer, pictureInput } from './oip.mjs';
import { cli, expect, GROUP, json, publishVersion, rollout } from './operator.mjs';
import { run, start } from './processes.mjs';
import { Traffic } from './traffic.mjs';

/** Where devices reach the hub: another loopback address, with a line between that can be cut. */
const HUB_FOR_DEVICES = '127.0.0.2';

async function startHub(world, ports = { http: 0, grpc: 0, device: 0, mqtt: 0 }) {
  world.hub = await start(
    'tidegate-hub',
    [
      'serve',
      ...['--data-dir', join(world.folder, 'hub')],
      ...['--public-host', HUB_FOR_DEVICES],
      ...Object.entries(ports).flatMap(([name, port]) => [`--${name}-port`, String(port)]),
    ],
    { logFile: join(world.folder, 'hub.log') },
  );
  return world.hub;
}

const portsOf = ({ addresses }) =>
  Object.fromEntries(Object.entries(addresses).map(([name, address]) => [name, Number(address.split(':').at(-1))]));

async function hubUp(world, { say, figure }) {
  const started = performance.now();
  const printed = await run('tidegate-hub', ['init', '--data-dir', join(world.folder, 'hub')]);
  world.token = printed.trim();
  await startHub(world);
  world.ports = portsOf(world.hub);
  world.line = new Line({ from: HUB_FOR_DEVICES, to: '127.0.0.1', ports: [world.ports.device, world.ports.mqtt] });
  await world.line.up();
  world.api = new HubApi(world.hub.addresses.http, world.token);
  figure('hubReadyMs', Math.round(performance.now() - started));
  say(`hub at http://${world.hub.addresses.http}/, devices reach it at ${HUB_FOR_DEVICES} by a line that can be cut`);
}

async function publish(world, { say, figure }) {
  for (const folder of [world.digitsFolder, join(world.folder, 'ocr-line')]) {
    say((await cli(world, ['model', 'publish', folder])).trimEnd());
  }
  const { items: models } = await world.api.get('/api/v1/models');
  const versions = await Promise.all(
    models.map(async ({ name }) => (await world.api.get(`/api/v1/models/${name}/versions`)).items[0]),
  );
  figure(
    'variants',
    Object.fromEntries(
      versions.map((version) => [
        version.model,
        version.variants.map(({ variant, sizeBytes, latencyP50Ms, score, outcome, reason }) => ({
          variant,
          sizeBytes,
          latencyP50Ms,
          score,
          outcome,
          reason,
        })),
      ]),
    ),
  );
}

async function enrol(world, { say, figure }) {
  const { token } = await json(world, ['group', 'token', 'create', '--group', GROUP, '--uses', '3']);
  for (const name of ['kiosk-1', 'kiosk-2', 'kiosk-3']) {
    const dataDir = join(world.folder, name);
    const hub = `https://${HUB_FOR_DEVICES}:${world.ports.device}`;
    await run('tidegate-agent', ['enroll', '--hub', hub, '--token', token, '--name', name, '--data-dir', dataDir]);
    const agent = await start(
      'tidegate-agent',
      ['run', '--data-dir', dataDir, '--http-port', '0', '--grpc-port', '0'],
      {
        logFile: join(world.folder, `${name}.log`),
      },
    );
    world.agents.push(Object.assign(agent, { name }));
  }
  const { items } = await until(
    'all devices online',
    () => world.api.get('/api/v1/devices'),
    ({ items }) => items.length === 3 && items.every((device) => device.online),
    { withinMs: 20_000 },
  );
  await world.api.put(`/api/v1/groups/${GROUP}/config`, { telemetryIntervalMs: 1000 });
  figure('devices', items.length);
  say(items.map((device) => `${device.name} enrolled with its own key, in group ${device.group}`).join('\n'));
}

async function rollOut(world, { say, figure }) {
  world.traffic = new Traffic({
    agents: world.agents.map((agent) => agent.addresses.http),
    digits: world.digits,
    pictures: world.lines.filter((line) => line.group === 'clean'),
  });
  world.traffic.start();
  const outcomes = await Promise.all([rollout(world, 'digits', 1), rollout(world, 'ocr-line', 1)]);
  for (const outcome of outcomes) {
    if (outcome.state !== 'completed') throw new Error(`${outcome.model}: ${outcome.state}, ${outcome.reason}`);
    say(`${outcome.model}@${outcome.version} runs on 3 of 3 devices: ${outcome.reason}`);
  }
  const traffic = world.traffic.take();
  if (traffic.failed > 0) throw new Error(`${traffic.failed} requests failed: ${traffic.firstFailure}`);
  figure('traffic', traffic);
  say(`${traffic.answered} requests meanwhile, none failed; answered by ${placements(traffic.placements)}`);
}

const placements = (counts) =>
  Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');

async function atTheEdge(world, { say, figure }) {
  const line = world.lines.find((candidate) => candidate.group === 'clean');
  const input = pictureInput('picture', line.file);
  const agent = world.agents[0].addresses.http;
  const edge = await infer(agent, 'ocr-line', input, { cache: 'refresh' });
  const cached = await infer(agent, 'ocr-line', input);
  expect(edge.parameters.placement, 'edge', 'first answer');
  expect(cached.parameters.placement, 'cache', 'second answer');
  expect(cached.outputs.text[0], edge.outputs.text[0], 'text from the cache');
  say(
    `"${edge.outputs.text[0]}" (${edge.parameters.confidence.toFixed(3)}), on the device in ${edge.totalMs.toFixed(1)} ms`,
  );
  say(`again: from the ${cached.parameters.cache_layer} cache in ${cached.totalMs.toFixed(1)} ms, equal to the byte`);
  figure('text', edge.outputs.text[0]);
  figure('edgeMs', Number(edge.totalMs.toFixed(2)));
  figure('cacheMs', Number(cached.totalMs.toFixed(2)));
}

/** 1 - edit distance / length, at least 0. */
function characterAccuracy(expected, actual) {
  let row = Array.from({ length: actual.length + 1 }, (_, j) => j);
  for (let i = 1; i <= expected.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= actual.length; j += 1) {
      next[j] = Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (expected[i - 1] === actual[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return Math.max(0, 1 - row[actual.length] / Math.max(1, expected.length));
}

async function byTheHub(world, { say, figure }) {
  const agent = world.agents[0].addresses.http;
  const mean = { local: 0, hub: 0, auto: 0 };
  let shown;
  let asked = 0;
  for (const line of world.blurred) {
    for (const placement of Object.keys(mean)) {
      const answer = await infer(agent, 'ocr-line', pictureInput('picture', line.file), { placement, cache: 'bypass' });
      mean[placement] += characterAccuracy(line.expected, answer.outputs.text[0]) / world.blurred.length;
      if (placement !== 'auto' || answer.parameters.placement !== 'hub') continue;
      asked += 1;
      shown ??= answer;
    }
  }
  if (shown === undefined) throw new Error('no blurred line was passed on to the hub');
  say(
    `a blurred line: "${shown.outputs.text[0]}" answered by the ${shown.parameters.placement}: ${shown.parameters.reason}`,
  );
  const rate = (value) => value.toFixed(3);
  const verdict = mean.hub > mean.local ? 'better' : 'no better';
  say(
    `${world.blurred.length} blurred lines, character accuracy: device ${rate(mean.local)}, hub ${rate(mean.hub)} (${verdict}),`,
  );
  say(`left to Tidegate ${rate(mean.auto)}; ${asked} of them went to the hub`);
  figure(
    'characterAccuracy',
    Object.fromEntries(Object.entries(mean).map(([key, value]) => [key, Number(rate(value))])),
  );
  figure('askedHub', asked);
  figure('hubReason', shown.parameters.reason);
}

async function outage(world, { say, figure }) {
  const device = world.agents[1];
  const before = await world.api.get(`/api/v1/devices/${device.name}`);
  const lastSeq = (await world.api.get(`/api/v1/devices/${before.id}/telemetry`)).items[0]?.seq ?? -1;
  world.traffic.take();
  world.hub.kill('SIGKILL');
  await world.hub.exited;
  await world.line.cut();
  await new Promise((resolve) => setTimeout(resolve, 4000));
  const traffic = world.traffic.take();
  if (traffic.failed > 0) throw new Error(`${traffic.failed} requests failed: ${traffic.firstFailure}`);
  say(
    `hub killed, line cut: ${traffic.answered} requests answered on the devices, none failed, p99 ${traffic.p99Ms.toFixed(1)} ms`,
  );
  await startHub(world, world.ports);
  await world.api.put(`/api/v1/groups/${GROUP}/config`, { telemetryIntervalMs: 800 });
  const changed = await world.api.get(`/api/v1/devices/${before.id}`);
  if (changed.desiredVersion <= before.desiredVersion) throw new Error('the desired state did not change');
  say(`hub back from its folder, line still cut: desired state ${before.desiredVersion} -> ${changed.desiredVersion}`);
  await world.line.up();
  const started = performance.now();
  await until(
    'the desired change on the device',
    () => world.api.get(`/api/v1/devices/${before.id}`),
    (seen) => (seen.reportedDesiredVersion ?? 0) >= changed.desiredVersion,
    { withinMs: 45_000 },
  );
  const { items } = await until(
    'telemetry of the outage',
    () => world.api.get(`/api/v1/devices/${before.id}/telemetry`),
    ({ items }) => items.some((item) => item.seq === lastSeq + 2),
    { withinMs: 45_000 },
  );
  const during = items.filter((item) => item.seq > lastSeq);
  const seconds = Number(((performance.now() - started) / 1000).toFixed(1));
  say(
    `line back: the change and ${during.length} telemetry records arrived within ${seconds} s, no sequence number missing`,
  );
  const seqs = during.map((item) => item.seq).sort((a, b) => a - b);
  if (seqs.some((seq, i) => seq !== lastSeq + 1 + i)) throw new Error(`telemetry has gaps: ${seqs.join(' ')}`);
  figure('answeredDuringOutage', traffic.answered);
  figure('p99DuringOutageMs', Number(traffic.p99Ms.toFixed(1)));
  figure('caughtUpSeconds', seconds);
}

async function sameAgain(world, { say, figure }) {
  await publishVersion(world, world.sameFolder, 2);
  const outcome = await rollout(world, 'digits', 2);
  expect(outcome.state, 'completed', `A/A rollout (${outcome.reason})`);
  say(`digits@2 (the same weights): ${outcome.reason}`);
  figure('reason', outcome.reason);
}

async function worse(world, { say, figure }) {
  await publishVersion(world, world.damagedFolder, 3);
  say('digits@3 (damaged weights) published: its loose goldens pass');
  const outcome = await rollout(world, 'digits', 3);
  expect(outcome.state, 'halted', `rollout of a worse version (${outcome.reason})`);
  expect(outcome.wave, 1, 'wave in which it was halted');
  const { items } = await world.api.get('/api/v1/devices');
  const running = items.map((device) => device.models.find((model) => model.name === 'digits')?.running?.version);
  if (running.some((version) => version !== 2))
    throw new Error(`devices run digits@${running.join(', @')} after the rollback`);
  say(`halted by itself: ${outcome.reason}`);
  say('rolled back by itself: 3 of 3 devices run digits@2');
  const traffic = world.traffic.take();
  if (traffic.failed > 0) throw new Error(`${traffic.failed} requests failed: ${traffic.firstFailure}`);
  say(`${traffic.answered} requests since the outage, none failed`);
  figure('reason', outcome.reason);
}

async function killedExecutor(world, { say, figure }) {
  await world.traffic.stop();
  const agent = world.agents[0].addresses.http;
  const inputs = Array.from({ length: 240 }, (_, i) =>
    digitInput(world.digits[i % world.digits.length].pixels, 0.1, 10_000 + i),
  );
  const expected = [];
  for (const input of inputs) {
    expected.push((await infer(agent, 'digits', input, { cache: 'bypass', placement: 'local' })).outputs);
  }
  const status = await (await fetch(`http://${agent}/agent/v1/status`)).json();
  const pid = status.models.find((model) => model.name === 'digits').graphs[0].pid;
  let next = 0;
  let wrong = 0;
  let slowestMs = 0;
  const worker = async () => {
    while (next < inputs.length) {
      const i = next++;
      if (i === 60) process.kill(pid, 'SIGKILL');
      const answer = await infer(agent, 'digits', inputs[i], { cache: 'bypass', placement: 'local' });
      slowestMs = Math.max(slowestMs, answer.totalMs);
      if (answer.outputs.label[0] !== expected[i].label[0]) wrong += 1;
      if (Math.abs(answer.outputs.confidence[0] - expected[i].confidence[0]) > 1e-4) wrong += 1;
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  if (wrong > 0) throw new Error(`${wrong} answers differ from their expectation`);
  const after = await (await fetch(`http://${agent}/agent/v1/status`)).json();
  const replacement = after.models.find((model) => model.name === 'digits').graphs[0];
  if (replacement.pid === pid) throw new Error('the executor was not replaced');
  say(`executor ${pid} killed with -9 under 16 requests at once: 240 of 240 answered right on the device,`);
  say(`slowest ${slowestMs.toFixed(0)} ms; executor ${replacement.pid} took over`);
  figure('answered', inputs.length);
  figure('slowestMs', Math.round(slowestMs));
  figure('retried', replacement.counts?.retried);
}

export const all = [
  ['The hub comes up', hubUp],
  ['Two models are published, checked and made smaller', publish],
  ['Three devices enrol', enrol],
  ['Both models roll out in waves, under traffic', rollOut],
  ['A picture is answered on the device, then from its cache', atTheEdge],
  ['A blurred one is answered by the hub', byTheHub],
  ['The hub is killed and the line is cut', outage],
  ['The same weights as a new version pass the gate', sameAgain],
  ['A worse version is halted and rolled back', worse],
  ['What devices find hard becomes samples', learning.capture],
  ['A version learns from them', learning.learn],
  ['What was learnt rolls out', learning.rollOutLearnt],
  ['An executor is killed under load', killedExecutor],
];
