// Renders the pictures of this package: 40 layouts as a camera finds them (receipts, labels, signs, forms), with slight
// rotation, noise, blur and uneven light. Everything follows from the seed and the fonts; the pictures are committed, so nobody
// needs the fonts but who changes this script. Debian: fonts-dejavu, fonts-liberation, fonts-noto-cjk.
//
//   node examples/ocr/render-layouts.mjs
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

const SEED = 20_261_126;
const here = fileURLToPath(new URL('.', import.meta.url));
/** So many of each kind become goldens; all are compared with RapidOCR. */
const GOLDENS_OF_A_KIND = 3;

/** mulberry32: numbers in [0, 1) that depend on the seed alone. */
function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const random = seeded(SEED);
const between = (low, high) => low + random() * (high - low);
const pick = (list) => list[Math.floor(random() * list.length)];
const digits = (count) => Array.from({ length: count }, () => Math.floor(random() * 10)).join('');
const code = (count) => Array.from({ length: count }, () => pick([...'ABCDEFGHJKLMNPRSTUVWXYZ23456789'])).join('');
const two = (from, to) => String(from + Math.floor(random() * (to - from + 1))).padStart(2, '0');
const price = (wide) => `${1 + Math.floor(random() * (wide ? 99 : 9))}.${digits(2)}`;
const date = () => `${two(1, 28)}.${two(1, 12)}.20${two(24, 29)}`;
const grey = (value) => `rgb(${value},${value},${value})`;

const SANS = ['DejaVu Sans', 'Liberation Sans'];
const MONO = ['DejaVu Sans Mono', 'Liberation Mono'];
const SERIF = ['DejaVu Serif', 'Liberation Serif'];
const GOODS = [
  'APPLES',
  'OLIVE OIL',
  'GREEN TEA',
  'BUTTER',
  'COFFEE',
  'BREAD',
  'CHEESE',
  'TOMATOES',
  'RICE',
  'ORANGES',
];

/** A line: text, x and y of its middle left (or of its end, or middle), size. */
const line = (text, x, y, size, more = {}) => ({ text, x, y, size, ...more });

/** Each gives width, height, font, ink, paper and its lines in reading order. */
const KINDS = {
  receipt: () => {
    const size = Math.round(between(17, 22));
    const step = Math.round(size * between(1.7, 2));
    const lines = [
      line(pick(['CITY MARKET', 'CORNER SHOP', 'FRESH FOOD']), 180, 40, size + 8, { anchor: 'middle', bold: true }),
    ];
    let y = 40 + step * 1.5;
    lines.push(line(`Date ${date()} ${two(8, 20)}:${two(0, 59)}`, 24, y, size));
    const count = 4 + Math.floor(random() * 4);
    for (let i = 0; i < count; i += 1) {
      y += step;
      lines.push(line(pick(GOODS), 24, y, size), line(price(false), 336, y, size, { anchor: 'end' }));
    }
    y += step * 1.4;
    lines.push(
      line('TOTAL', 24, y, size + 4, { bold: true }),
      line(price(true), 336, y, size + 4, { anchor: 'end', bold: true }),
    );
    y += step * 1.3;
    lines.push(line('THANK YOU', 180, y, size, { anchor: 'middle' }));
    return { width: 360, height: Math.round(y + 40), family: pick(MONO), ink: grey(30), paper: grey(245), lines };
  },
  label: () => {
    const size = Math.round(between(20, 26));
    const lines = [
      line(pick(['PUMP UNIT', 'GEAR MOTOR', 'FLOW SENSOR', 'VALVE BLOCK']), 28, 44, size + 10, { bold: true }),
      line(`Type ${code(3)}-${digits(3)}`, 28, 100, size),
      line(`Serial No. ${code(2)}${digits(6)}`, 28, 146, size),
      line(`Power ${digits(2)}.5 kW`, 28, 192, size),
      line(`Voltage 230 V`, 280, 192, size),
      line(`Made in ${pick(['Portugal', 'Germany', 'Poland'])}`, 28, 238, size - 2),
    ];
    const dark = random() < 0.4;
    return {
      width: 500,
      height: 280,
      family: pick(SANS),
      ink: grey(dark ? 235 : 25),
      paper: grey(dark ? 50 : 225),
      lines,
    };
  },
  sign: () => {
    const colours = pick([
      ['white', 'rgb(20,60,150)'],
      ['white', 'rgb(20,110,60)'],
      ['black', 'rgb(250,205,40)'],
      ['rgb(180,20,30)', 'white'],
    ]);
    const words = pick([
      ['EXIT', 'Emergency only'],
      ['Platform 7', 'Central Station', 'Departures'],
      ['DANGER', 'High voltage', 'Keep out'],
      ['Reception', 'Second floor', 'Room 214'],
      ['Parking', 'Visitors only'],
    ]);
    const lines = words.map((text, at) =>
      line(text, 260, 62 + at * 74, at === 0 ? 46 : 34, { anchor: 'middle', bold: at === 0 }),
    );
    return {
      width: 520,
      height: 62 + words.length * 74,
      family: pick(SANS),
      ink: colours[0],
      paper: colours[1],
      lines,
    };
  },
  packet: () => {
    const lines = [
      line(pick(['净含量500克', '净含量250克']), 30, 50, 30),
      line(`生产日期 20${two(24, 26)}年${Number(two(1, 12))}月`, 30, 108, 28),
      line(pick(['保质期十二个月', '阴凉干燥处保存', '小心轻放']), 30, 166, 28),
      line(`LOT ${code(3)}${digits(5)}`, 30, 224, 26),
    ];
    return {
      width: 440,
      height: 270,
      family: pick(['Noto Sans CJK SC', 'Noto Serif CJK SC']),
      ink: grey(30),
      paper: grey(240),
      lines,
    };
  },
  letter: () => {
    const size = Math.round(between(18, 22));
    const sentences = pick([
      [
        'Dear customer,',
        'your parcel has arrived and can be',
        'collected from our office until Friday.',
        'Please bring this letter with you.',
      ],
      [
        'Notice to residents',
        'The water supply will be interrupted',
        'on Monday from 9 to 12 in the morning.',
        'We apologise for the inconvenience.',
      ],
      [
        'Minutes of the meeting',
        'Present were all members of the board.',
        'The budget for next year was approved',
        'without changes.',
      ],
    ]);
    const lines = sentences.map((text, at) => line(text, 34, 46 + at * size * 2.1, size));
    lines.push(line(`Ref. ${code(4)}/${digits(4)}`, 34, 60 + sentences.length * size * 2.1, size));
    return {
      width: 520,
      height: Math.round(100 + sentences.length * size * 2.1),
      family: pick(SERIF),
      ink: grey(35),
      paper: grey(235),
      lines,
    };
  },
};

const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** Paper on a table, turned a little: on every other picture more. */
async function draw({ width, height, family, ink, paper, lines }, angle, upsideDown) {
  const margin = Math.round(20 + Math.abs(Math.sin((angle * Math.PI) / 180)) * Math.max(width, height));
  const [outerWidth, outerHeight] = [width + 2 * margin, height + 2 * margin];
  const texts = lines.map(
    ({ text, x, y, size, anchor = 'start', bold }) =>
      `<text x="${x}" y="${y}" dominant-baseline="central" text-anchor="${anchor}" font-size="${size}" font-weight="${bold ? 'bold' : 'normal'}">${escape(text)}</text>`,
  );
  const table = Math.round(between(90, 170));
  const turn = angle + (upsideDown ? 180 : 0);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${outerWidth}" height="${outerHeight}">
    <defs><linearGradient id="light" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="white" stop-opacity="0.12"/><stop offset="1" stop-color="black" stop-opacity="0.18"/></linearGradient></defs>
    <rect width="100%" height="100%" fill="${grey(table)}"/>
    <g transform="rotate(${turn.toFixed(2)} ${outerWidth / 2} ${outerHeight / 2}) translate(${margin} ${margin})">
      <rect width="${width}" height="${height}" fill="${paper}"/>
      <g font-family="${family}" fill="${ink}" xml:space="preserve">${texts.join('')}</g>
    </g>
    <rect width="100%" height="100%" fill="url(#light)"/></svg>`;
  return sharp(Buffer.from(svg)).flatten().removeAlpha();
}

/** Adds normally distributed noise (Box and Muller) to every channel alike. */
async function addNoise(picture, deviation) {
  const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });
  for (let i = 0; i < data.length; i += info.channels) {
    const noise = deviation * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    for (let c = 0; c < info.channels; c += 1)
      data[i + c] = Math.max(0, Math.min(255, Math.round(data[i + c] + noise)));
  }
  return sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } });
}

await rm(join(here, 'goldens'), { recursive: true, force: true });
await rm(join(here, 'layouts'), { recursive: true, force: true });
for (const folder of ['goldens', 'layouts']) await mkdir(join(here, folder), { recursive: true });
const goldens = [];
const kinds = Object.keys(KINDS);
for (let at = 0; at < 40; at += 1) {
  const kind = kinds[at % kinds.length];
  const round = Math.floor(at / kinds.length);
  const layout = KINDS[kind]();
  const angle = round % 2 === 0 ? between(-0.4, 0.4) : between(-4, 4);
  let picture = await draw(layout, angle, round === 5);
  if (round >= 3) picture = sharp(await picture.blur(between(0.4, 0.8)).png().toBuffer());
  picture = await addNoise(picture, between(1, 5));
  const id = `${kind}-${round + 1}`;
  const isGolden = round < GOLDENS_OF_A_KIND;
  const file = `${isGolden ? 'goldens' : 'layouts'}/${id}.webp`;
  await writeFile(join(here, file), await picture.webp({ quality: 80 }).toBuffer());
  const expected = layout.lines.map(({ text }) => text).join('\n');
  if (isGolden) goldens.push({ id, group: kind, inputs: { picture: { file } }, expected });
}
const text = goldens.map((golden) => `  ${JSON.stringify(golden)}`).join(',\n');
await writeFile(join(here, 'goldens', 'goldens.json'), `[\n${text}\n]\n`);
process.stdout.write(`40 pictures, ${goldens.length} of them goldens\n`);
