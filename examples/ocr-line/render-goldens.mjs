// Renders the line pictures of this package: goldens/ (what publishing, optimising and activating run) and blurred/ (lines
// that are hard on purpose, for comparing the edge's reading with the hub's). Everything follows from the seed and the
// fonts; the pictures are committed, so nobody needs the fonts but who changes this script. Debian: fonts-dejavu,
// fonts-liberation, fonts-noto-cjk.
//
//   node examples/ocr-line/render-goldens.mjs
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import sharp from 'sharp';

const SEED = 20_261_124;
const here = fileURLToPath(new URL('.', import.meta.url));

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

const LATIN = [
  'DejaVu Sans',
  'DejaVu Serif',
  'DejaVu Sans Mono',
  'Liberation Sans',
  'Liberation Serif',
  'Liberation Mono',
];
const CHINESE = ['Noto Sans CJK SC', 'Noto Serif CJK SC'];

/** What stands on price labels, meters, type plates and packets. */
function makeText(random, index) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  const digits = (count) => Array.from({ length: count }, () => Math.floor(random() * 10)).join('');
  const code = (count) => Array.from({ length: count }, () => pick([...'ABCDEFGHJKLMNPRSTUVWXYZ23456789'])).join('');
  const two = (from, to) => String(from + Math.floor(random() * (to - from + 1))).padStart(2, '0');
  const latin = [
    () => `${pick(['Apples', 'Olive oil', 'Green tea', 'Butter', 'Coffee'])} ${digits(1)}.${digits(2)}`,
    () => `SN ${code(4)}-${code(4)}`,
    () => `${digits(6)}.${digits(1)} kWh`,
    () => `Best before ${two(1, 28)}.${two(1, 12)}.20${two(26, 31)}`,
    () => `LOT ${code(3)}${digits(5)}`,
    () => `Part No. ${digits(3)}-${digits(4)}`,
    () => pick(['Handle with care', 'Keep refrigerated', 'Made in Portugal', 'Do not bend', 'This side up']),
    () => `+49 30 ${digits(4)} ${digits(3)}`,
    () => `${pick(['Pump', 'Valve', 'Motor', 'Sensor'])} ${digits(2)}, ${digits(2)} bar`,
    () => `${digits(3)} ml / ${digits(2)} fl oz`,
  ];
  const chinese = [
    () => `生产日期 2026年${Number(two(1, 12))}月`,
    () => `净含量${digits(3)}克`,
    () => pick(['小心轻放', '请勿倒置', '保质期十二个月', '阴凉干燥处保存', '中国制造']),
    () => `批号${code(2)}${digits(4)}`,
    () => `电表读数${digits(5)}`,
    () => `单价${digits(2)}元`,
  ];
  const isChinese = index % 4 === 3;
  return { text: pick(isChinese ? chinese : latin)(), family: pick(isChinese ? CHINESE : LATIN) };
}

const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** Draws one line large enough, then cuts the picture to the ink with a margin in proportion to the letters. */
async function drawLine({ text, family, sizePx, bold, ink, paper, angle }) {
  const width = Math.ceil(text.length * sizePx * 1.2 + 4 * sizePx);
  const height = Math.ceil(4 * sizePx + Math.abs(Math.sin((angle * Math.PI) / 180)) * width);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
    <rect width="100%" height="100%" fill="${paper}"/>
    <text x="${width / 2}" y="${height / 2}" text-anchor="middle" dominant-baseline="central" xml:space="preserve"
      transform="rotate(${angle} ${width / 2} ${height / 2})" font-family="${family}" font-size="${sizePx}"
      font-weight="${bold ? 'bold' : 'normal'}" fill="${ink}">${escape(text)}</text></svg>`;
  const trimmed = await sharp(Buffer.from(svg))
    .flatten({ background: paper })
    .trim({ background: paper, threshold: 4 })
    .toBuffer();
  const margin = Math.round(sizePx * 0.2);
  return sharp(trimmed)
    .extend({ top: margin, bottom: margin, left: margin * 2, right: margin * 2, background: paper })
    .removeAlpha();
}

/** Adds normally distributed noise (Box and Muller) to every channel alike. */
async function addNoise(picture, deviation, random) {
  const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });
  for (let i = 0; i < data.length; i += info.channels) {
    const noise = deviation * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    for (let c = 0; c < info.channels; c += 1)
      data[i + c] = Math.max(0, Math.min(255, Math.round(data[i + c] + noise)));
  }
  return sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } });
}

const GROUPS = [
  { group: 'clean', count: 24 },
  { group: 'noise', count: 10 },
  { group: 'blur', count: 10 },
  { group: 'rotated', count: 10 },
  { group: 'low-contrast', count: 10 },
];

/** The look of one picture of a group. Blur and noise grow with the letters. */
function makeLook(group, random) {
  const between = (low, high) => low + random() * (high - low);
  const grey = (value) => `rgb(${value},${value},${value})`;
  const dark = random() < 0.2;
  const paperGrey = Math.round(dark ? between(20, 60) : between(225, 255));
  const inkGrey = Math.round(dark ? between(215, 255) : between(0, 60));
  const look = { sizePx: Math.round(between(20, 40)), bold: random() < 0.3, angle: 0, blur: 0, noise: 0 };
  const contrast = Math.round(between(18, 40));
  const colours =
    group === 'low-contrast' ? [paperGrey, paperGrey + (dark ? contrast : -contrast)] : [paperGrey, inkGrey];
  if (group === 'noise') look.noise = between(20, 45);
  if (group === 'blur') look.blur = look.sizePx * between(0.05, 0.09);
  if (group === 'blurred') Object.assign(look, { blur: look.sizePx * between(0.1, 0.16), noise: between(0, 4) });
  if (group === 'rotated') look.angle = between(1.5, 4) * (random() < 0.5 ? -1 : 1);
  return { ...look, paper: grey(colours[0]), ink: grey(colours[1]) };
}

async function render(folder, id, index, group, random) {
  const { text, family } = makeText(random, index);
  const look = makeLook(group, random);
  let picture = await drawLine({ text, family, ...look });
  if (look.blur > 0) picture = sharp(await picture.blur(look.blur).png().toBuffer());
  if (look.noise > 0) picture = await addNoise(picture, look.noise, random);
  const kind = ['png', 'webp', 'jpg'][group === 'noise' ? 1 + (index % 2) : index % 3];
  const encoded = {
    png: () => picture.png({ compressionLevel: 9, palette: false }),
    webp: () => picture.webp({ quality: 88 }),
    jpg: () => picture.jpeg({ quality: 88 }),
  }[kind]();
  const file = `${folder}/${id}.${kind}`;
  await writeFile(join(here, file), await encoded.toBuffer());
  return { id, group, inputs: { picture: { file } }, expected: text };
}

async function renderFolder(folder, groups, seed) {
  await rm(join(here, folder), { recursive: true, force: true });
  await mkdir(join(here, folder), { recursive: true });
  const random = seeded(seed);
  const goldens = [];
  for (const { group, count } of groups) {
    for (let index = 0; index < count; index += 1) {
      const id = `${group}-${String(index + 1).padStart(2, '0')}`;
      goldens.push(await render(folder, id, index, group, random));
    }
  }
  const lines = goldens.map((golden) => `  ${JSON.stringify(golden)}`).join(',\n');
  await writeFile(join(here, folder, 'goldens.json'), `[\n${lines}\n]\n`);
  process.stdout.write(`${folder}: ${goldens.length} pictures\n`);
}

await renderFolder('goldens', GROUPS, SEED);
await renderFolder('blurred', [{ group: 'blurred', count: 40 }], SEED + 1);
