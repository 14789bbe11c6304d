// A lineage as a tree of text: the version on top, below each thing what it was made from. What several were made from is drawn out
// once and only named the next time.
import type { Lineage } from '@tidegate/shared/wire/training-api.js';

type Node = Lineage['nodes'][number];

/** The first node is the root. */
export function lineageText({ nodes, edges }: Lineage): string {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const drawn = new Set<string>();
  const lines: string[] = [];
  const draw = (node: Node, first: string, rest: string): void => {
    const isRepeated = drawn.has(node.id);
    drawn.add(node.id);
    const sources = isRepeated
      ? []
      : edges.flatMap(({ from, to }) => (to === node.id ? [byId.get(from)] : [])).filter((one) => one !== undefined);
    const [head = '', ...details] = textOf(node);
    lines.push(`${first}${head}${isRepeated ? ' (above)' : ''}`);
    const beside = sources.length > 0 ? `${rest}│    ` : `${rest}     `;
    if (!isRepeated) lines.push(...details.map((detail) => `${beside}${detail}`));
    for (const [at, source] of sources.entries()) {
      const isLast = at === sources.length - 1;
      draw(source, `${rest}${isLast ? '└─ ' : '├─ '}`, `${rest}${isLast ? '   ' : '│  '}`);
    }
  };
  const [root] = nodes;
  if (root !== undefined) draw(root, '', '');
  return `${lines.join('\n')}\n`;
}

function textOf({ kind, title, facts }: Node): string[] {
  const fact = (name: string): string[] => (facts[name] === undefined ? [] : [String(facts[name])]);
  switch (kind) {
    case 'version': {
      const label = fact('label').map((text) => `(${text})`);
      const digest = fact('digest').map((text) => text.slice('sha256:'.length, 'sha256:'.length + 12));
      const passed = fact('evaluation').map((text) => `evaluation ${text}`);
      return [[title, ...label, ...digest, ...fact('state'), ...passed, ...fact('createdAt')].join('  ')];
    }
    case 'job': {
      const how = [
        `${facts['optimizer']} at ${facts['learningRate']}`,
        `${facts['epochs']} ${facts['epochs'] === 1 ? 'epoch' : 'epochs'} of batches of ${facts['batchSize']}`,
        `seed ${facts['seed']}`,
        `from ${facts['start']}`,
        `hub ${facts['code']}`,
      ];
      const metrics = Object.entries(facts).filter(([, value]) => String(value).includes(' -> '));
      const measured = metrics.filter(([name]) => name !== 'evaluation').map(([name, value]) => `${name}: ${value}`);
      return [`job ${title}  ${how.join(', ')}`, ...measured];
    }
    case 'dataset': {
      const counts = ['train', 'held-out'].flatMap((side) => fact(side).map((count) => `${count} ${side}`));
      const from = fact('from').map((query) => `from ${query}`);
      return [[`dataset ${title}`, ...fact('use'), ...counts, ...from].join('  ')];
    }
    case 'samples':
      return [`${facts['count']} ${facts['count'] === 1 ? 'sample' : 'samples'} ${title.replace(/^samples /, '')}`];
  }
}
