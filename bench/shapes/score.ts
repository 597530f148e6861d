/** What a picture shows of the scene it was asked for. */
import type { RgbImage } from '../../models/flux2/picture.js';
import { type Color, colors, kinds, palette, type Place, type Relation, type Scene } from './scenes.js';
import { fitTemplate, type Mask, measure } from './templates.js';

export interface Score {
  readonly background: boolean;
  readonly colors: boolean;
  readonly kinds: boolean;
  readonly place: boolean;
  /** Mean overlap of the shapes with the templates of the kinds that were asked for; 0 for a shape that is missing. */
  readonly overlap: number;
  /** Everything at once. */
  readonly right: boolean;
}

/** Overlap with its template from which on a shape counts as drawn: of one shape, and of each of two smaller ones. */
const LEAST_OVERLAP = { one: 0.7, two: 0.6 } as const;
/** Pixels of a 128x128 picture; smaller pieces are traces of the decoder. */
const LEAST_AREA = 12;
/** Larger pieces beside the shapes, to the smallest shape's area, spoil the drawing. */
const MOST_EXTRA_AREA = 0.1;
/** Of the side: how far the only shape's centre lies off the middle where the prompt puts it aside, and where not. */
const LEAST_ASIDE = 0.06;
const MOST_OFF_CENTER = 0.12;

/** Holds `image` against `scene`. Shapes are connected pieces of pixels that differ from the border's colour. */
export function scorePicture(image: RgbImage, scene: Scene): Score {
  const named = nameColors(image, colors);
  const background = borderColor(named, image.width, image.height);
  const pieces = findShapes(image, named, background, scene);
  const count = scene.shapes.length;
  const drawn = pieces.slice(0, count);
  const shapes = arrange(drawn, scene);
  const least = count === 1 ? LEAST_OVERLAP.one : LEAST_OVERLAP.two;
  const smallest = drawn.at(-1)?.area ?? 0;
  const clean = pieces.slice(count).every(({ area }) => area <= smallest * MOST_EXTRA_AREA);
  const fits = scene.shapes.map(({ kind }, i) => judgeKind(shapes[i], kind, least));
  const score = {
    background: background === scene.background,
    colors: scene.shapes.every(({ color }, i) => shapes[i]?.color === color),
    kinds: clean && fits.every(({ isRight }) => isRight),
    place: shapes.length === count && isPlaced(shapes, scene, image),
  };
  const right = score.background && score.colors && score.kinds && score.place;
  return { ...score, right, overlap: fits.reduce((sum, { overlap }) => sum + overlap, 0) / count };
}

interface Piece {
  readonly mask: Mask;
  readonly area: number;
  readonly x: number;
  readonly y: number;
  readonly color: Color;
}

/** Every pixel's nearest of `choices`, as an index. */
function nameColors({ data, width, height }: RgbImage, choices: readonly Color[]): Uint8Array {
  return Uint8Array.from({ length: width * height }, (_, pixel) => {
    const distances = choices.map((color) =>
      palette[color].reduce((sum, value, channel) => sum + (value - data[pixel * 3 + channel]!) ** 2, 0),
    );
    return distances.indexOf(Math.min(...distances));
  });
}

function borderColor(named: Uint8Array, width: number, height: number): Color {
  const onBorder = (pixel: number): boolean => {
    const [x, y] = [pixel % width, Math.floor(pixel / width)];
    return x === 0 || y === 0 || x === width - 1 || y === height - 1;
  };
  return majority([...named.keys()].filter(onBorder), named);
}

function majority(pixels: readonly number[], named: Uint8Array): Color {
  const counts = colors.map(() => 0);
  for (const pixel of pixels) counts[named[pixel]!]!++;
  return colors[counts.indexOf(Math.max(...counts))]!;
}

/**
 * Connected pieces that are not of the background's colour, largest first. Only where there are fewer than the scene has
 * shapes, because two touch, pixels that are nearer to different colours of the scene do not connect.
 */
function findShapes(image: RgbImage, named: Uint8Array, background: Color, scene: Scene): readonly Piece[] {
  const outside = colors.indexOf(background);
  const isOutside = (pixel: number): boolean => named[pixel] === outside;
  const whole = findPieces(
    named,
    named.map((_, pixel) => (isOutside(pixel) ? OUTSIDE : 0)),
    image,
  );
  if (whole.length === 0 || whole.length >= scene.shapes.length) return whole;
  const asked = scene.shapes.map(({ color }) => color);
  const nearest = nameColors(image, asked);
  return findPieces(
    named,
    nearest.map((color, pixel) => (isOutside(pixel) ? OUTSIDE : color)),
    image,
  );
}

const OUTSIDE = 255;

/** Connected pixels of equal `labels`, in pieces that have an inside: an edge of mixed colours has none. */
function findPieces(named: Uint8Array, labels: Uint8Array, { width, height }: RgbImage): readonly Piece[] {
  const seen = labels.map((label) => (label === OUTSIDE ? 1 : 0));
  const pieces: Piece[] = [];
  for (let start = 0; start < seen.length; start++) {
    if (seen[start] === 1) continue;
    const members = [start];
    let hasInside = false;
    seen[start] = 1;
    for (const pixel of members) {
      const alike = neighbours(pixel, width, height).filter((next) => labels[next] === labels[pixel]);
      hasInside ||= alike.length === 4;
      for (const next of alike) {
        if (seen[next] === 1) continue;
        seen[next] = 1;
        members.push(next);
      }
    }
    if (members.length < LEAST_AREA || !hasInside) continue;
    const mask = { width, height, pixels: new Uint8Array(width * height) };
    for (const pixel of members) mask.pixels[pixel] = 1;
    pieces.push({ mask, ...measure(mask), color: majority(members, named) });
  }
  return pieces.sort((a, b) => b.area - a.area);
}

function neighbours(pixel: number, width: number, height: number): readonly number[] {
  const [x, y] = [pixel % width, Math.floor(pixel / width)];
  return [
    ...(x > 0 ? [pixel - 1] : []),
    ...(x < width - 1 ? [pixel + 1] : []),
    ...(y > 0 ? [pixel - width] : []),
    ...(y < height - 1 ? [pixel + width] : []),
  ];
}

/** The pieces in the order of the scene's shapes, by colour; a wrong place is not made right by a wrong colour. */
function arrange(pieces: readonly Piece[], { shapes }: Scene): readonly Piece[] {
  const [first, second] = pieces;
  if (first === undefined || second === undefined) return pieces;
  const matches = (order: readonly Piece[]): number =>
    order.filter(({ color }, i) => color === shapes[i]?.color).length;
  return matches([second, first]) > matches(pieces) ? [second, first] : pieces;
}

function judgeKind(
  piece: Piece | undefined,
  kind: (typeof kinds)[number],
  least: number,
): { readonly isRight: boolean; readonly overlap: number } {
  if (piece === undefined) return { isRight: false, overlap: 0 };
  const fits = kinds.map((one) => fitTemplate(piece.mask, one));
  const { overlap } = fits[kinds.indexOf(kind)]!;
  return { isRight: overlap >= least && fits.every((other) => other.overlap <= overlap), overlap };
}

function isPlaced(pieces: readonly Piece[], { place, relation }: Scene, { width, height }: RgbImage): boolean {
  const [first, second] = pieces;
  if (place && first) return isAt(place.x, first.x / width) && isAt(place.y, first.y / height);
  if (relation && first && second) return isRelated(relation, first, second);
  return true;
}

function isAt(side: Place['x'], center: number): boolean {
  const offset = center - 0.5;
  return side === 0 ? Math.abs(offset) <= MOST_OFF_CENTER : offset * side >= LEAST_ASIDE;
}

function isRelated(relation: Relation, a: Piece, b: Piece): boolean {
  const [dx, dy] = [a.x - b.x, a.y - b.y];
  switch (relation) {
    case 'left of':
      return dx < -Math.abs(dy);
    case 'right of':
      return dx > Math.abs(dy);
    case 'above':
      return dy < -Math.abs(dx);
    case 'below':
      return dy > Math.abs(dx);
    case 'and':
      return true;
  }
}
