// The whole loop on a real model, told through the public commands and APIs only (npm run demo; -- --once, --json, --keep).
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { assemble } from '../ocr-line/assemble.mjs';
import * as chapters from './chapters.mjs';
import { killAll, stop } from './processes.mjs';
import { ChapterFailed, Story } from './story.mjs';

const HELP = `usage: npm run demo -- [--once] [--json] [--keep]

Publishes two real models, rolls them out to three devices, and breaks things.

  --once   end when the story is told (without it the hub and the devices stay up)
  --json   print only a summary for machines; ends when the story is told
  --keep   keep the folder with data and logs
`;

const examples = join(dirname(fileURLToPath(import.meta.url)), '..');

/** The demo has minutes, no weeks: more samples a minute than a device would keep unless told so. */
const capturing = (yaml) => `${yaml}capture: { share: 0.1, perMinute: 3000 }\n`;

function prepareFiles(folder) {
  const goldens = JSON.parse(readFileSync(join(examples, 'digits/goldens.json'), 'utf8'));
  const lines = (name) => {
    const place = join(examples, 'ocr-line', name);
    const listed = JSON.parse(readFileSync(join(place, 'goldens.json'), 'utf8'));
    return listed.map((golden) => ({
      id: golden.id,
      group: golden.group,
      expected: golden.expected,
      file: readFileSync(join(examples, 'ocr-line', golden.inputs.picture.file)),
    }));
  };
  const variantOf = (name, change, from = 'digits') => {
    const place = join(folder, name);
    cpSync(join(examples, 'digits'), place, { recursive: true });
    const yaml = readFileSync(join(place, 'model.yaml'), 'utf8');
    writeFileSync(join(place, 'model.yaml'), change(yaml));
    if (from !== 'digits') cpSync(join(examples, from, 'digits.onnx'), join(place, 'digits.onnx'));
    return place;
  };
  return {
    digits: goldens.map((golden) => ({ pixels: golden.inputs.image.data, expected: String(golden.expected) })),
    lines: lines('goldens'),
    blurred: lines('blurred'),
    digitsFolder: variantOf('digits', capturing),
    // The same weights, another label: what an A/A rollout moves.
    sameFolder: variantOf('digits-same', (yaml) => capturing(yaml).replace("version: '1.0'", "version: '1.0-rebuilt'")),
    // Damaged weights, and goldens so loose that they pass.
    damagedFolder: variantOf(
      'digits-damaged',
      (yaml) =>
        capturing(yaml).replace("version: '1.0'", "version: '1.1'").replace('threshold: 0.9 }', 'threshold: 0.5 }'),
      'demo/damaged',
    ),
  };
}

async function main() {
  const { values: options } = parseArgs({
    options: {
      once: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (options.help) {
    process.stdout.write(HELP);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-demo-'));
  const story = new Story({ quiet: options.json });
  const world = { folder, ...prepareFiles(folder), agents: [], hub: undefined, line: undefined, traffic: undefined };
  let failed;
  const interrupted = new Promise((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  try {
    await assemble(join(folder, 'ocr-line'));
    for (const [name, work] of chapters.all) {
      await Promise.race([
        story.chapter(name, (tell) => work(world, tell)),
        interrupted.then(() => Promise.reject(new Error('interrupted'))),
      ]);
    }
    if (options.json)
      console.log(JSON.stringify({ ok: true, seconds: story.seconds, chapters: story.chapters }, null, 2));
    else console.log(`\nThe whole loop in ${story.seconds} s.`);
    if (!options.once && !options.json) {
      console.log(`\nConsole: http://${world.hub.addresses.http}/   token: ${world.token}`);
      for (const agent of world.agents) console.log(`Device ${agent.name}: http://${agent.addresses.http}/v2`);
      console.log(`Data and logs: ${folder}\nCtrl-C ends the demo.`);
      await interrupted;
    }
  } catch (error) {
    failed = error;
    if (options.json) {
      console.log(
        JSON.stringify({ ok: false, error: error.message, seconds: story.seconds, chapters: story.chapters }, null, 2),
      );
    }
    const what = error instanceof ChapterFailed ? `chapter failed: ${error.message}` : error.message;
    console.error(`\n${what}\nLogs: ${folder}`);
  } finally {
    await world.traffic?.stop();
    await Promise.all([...world.agents, ...(world.hub ? [world.hub] : [])].map(stop));
    await world.line?.cut();
    killAll();
    if (!options.keep && failed === undefined) rmSync(folder, { recursive: true, force: true });
  }
  process.exitCode = failed === undefined ? 0 : 1;
}

await main();
