/** Scenes of the embedded checkpoint's training grammar, and the sentences that ask for them. */

export const kinds = ['circle', 'square', 'triangle', 'star', 'ring', 'cross', 'heart'] as const;
export type Kind = (typeof kinds)[number];

/** The colours of the training pictures, in 8 bits. */
export const palette = {
  red: [225, 35, 35],
  orange: [250, 140, 20],
  yellow: [250, 222, 40],
  green: [40, 165, 65],
  blue: [40, 80, 220],
  purple: [135, 50, 175],
  white: [250, 250, 250],
  black: [15, 15, 15],
} as const satisfies Readonly<Record<string, readonly [number, number, number]>>;
export type Color = keyof typeof palette;
export const colors = Object.keys(palette) as readonly Color[];

export interface Shape {
  readonly kind: Kind;
  readonly color: Color;
}

/** Where the only shape is: -1 left or top, 0 centre, 1 right or bottom; undefined where the prompt does not say. */
export interface Place {
  readonly x: -1 | 0 | 1;
  readonly y: -1 | 0 | 1;
}

/** How the first of two shapes lies to the second. */
export type Relation = 'left of' | 'right of' | 'above' | 'below' | 'and';

export interface Scene {
  readonly prompt: string;
  readonly background: Color;
  /** One or two, in the order of the prompt. */
  readonly shapes: readonly Shape[];
  readonly place: Place | undefined;
  readonly relation: Relation | undefined;
}

const sizes = ['', '', 'small', 'little', 'large', 'big'];
const relations: readonly Relation[] = ['left of', 'right of', 'above', 'below', 'and'];
const sides = { '-1': 'left', '0': '', '1': 'right' } as const;
const ends = { '-1': 'top', '0': '', '1': 'bottom' } as const;

/**
 * `count` scenes, the same for the same `seed`; every third has two shapes. Kinds take turns, so that each is asked for
 * as often as any other; colours, sizes, places and the form of the sentence are drawn.
 */
export function makeScenes(count: number, seed: number): readonly Scene[] {
  const draw = createDraw(seed);
  let asked = 0;
  const nextKind = (): Kind => kinds[asked++ % kinds.length]!;
  return Array.from({ length: count }, (_, i) => {
    const background = draw(colors);
    const others = colors.filter((color) => color !== background);
    const first: Shape = { kind: nextKind(), color: draw(others) };
    if (i % 3 !== 2) return oneShape(first, background, draw);
    // Two shapes of one colour and kind could not be told apart.
    const second: Shape = { kind: nextKind(), color: draw(others.filter((color) => color !== first.color)) };
    const relation = draw(relations);
    const shapes = [first, second] as const;
    const [a, b] = shapes.map((shape) => nameShape(shape, draw)) as [string, string];
    const prompt = draw([
      `${a} ${relation} ${b} on ${withArticle(background)} background`,
      `${a} ${relation} ${b}, ${background} background`,
    ]);
    return { prompt, background, shapes, place: undefined, relation };
  });
}

function oneShape(shape: Shape, background: Color, draw: Draw): Scene {
  const place = draw([undefined, { x: draw([-1, 0, 1] as const), y: draw([-1, 0, 1] as const) }]);
  const subject = nameShape(shape, draw) + (place === undefined ? '' : ` ${namePlace(place)}`);
  const prompt = draw([
    `${subject} on ${withArticle(background)} background`,
    `${subject}, ${background} background`,
    `${withArticle(background)} background with ${subject}`,
  ]);
  return { prompt, background, shapes: [shape], place, relation: undefined };
}

function nameShape({ kind, color }: Shape, draw: Draw): string {
  const size = draw(sizes);
  return withArticle(`${size} ${color} ${kind}`.trim());
}

function namePlace({ x, y }: Place): string {
  if (x === 0 && y === 0) return 'in the center';
  if (x !== 0 && y !== 0) return `in the ${ends[y]} ${sides[x]} corner`;
  return x !== 0 ? `on the ${sides[x]}` : `at the ${ends[y]}`;
}

function withArticle(words: string): string {
  return `${/^[aeiou]/.test(words) ? 'an' : 'a'} ${words}`;
}

type Draw = <T>(items: readonly T[]) => T;

/** Draws from lists by a linear congruential generator (multiplier and increment of Numerical Recipes), high bits. */
function createDraw(seed: number): Draw {
  let state = seed >>> 0;
  return (items) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return items[Math.floor((state / 2 ** 32) * items.length)]!;
  };
}
