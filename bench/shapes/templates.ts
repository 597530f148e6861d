/** The drawn shapes of the training pictures as signed distances, and how well a mask overlaps with them. */
import { unreachable } from '../../ir/diagnostics.js';
import type { Kind } from './scenes.js';

/** A set of pixels, row by row. */
export interface Mask {
  readonly width: number;
  readonly height: number;
  /** 1 inside, 0 outside. */
  readonly pixels: Uint8Array;
}

export interface Fit {
  readonly kind: Kind;
  /** Intersection over union at the best position and size. */
  readonly overlap: number;
}

type Point = readonly [number, number];

/** Half the thickness of a cross's arms, the hole of a ring and the inner corners of a star, to the outer radius. */
const CROSS_ARM = 0.3;
const RING_HOLE = 0.52;
const STAR_INNER = 0.45;
/** The heart: a square on its corner and a disc on each of its upper sides, brought to the size of the others. */
const HEART_SCALE = 1.65;

const triangle: readonly Point[] = [
  [0, -0.95],
  [1, 0.85],
  [-1, 0.85],
];
const star: readonly Point[] = Array.from({ length: 10 }, (_, i) => {
  const radius = i % 2 === 0 ? 1 : STAR_INNER;
  const angle = (Math.PI / 5) * i;
  return [radius * Math.sin(angle), -radius * Math.cos(angle)];
});
const diamond: readonly Point[] = [
  [0, 0],
  [0.5, -0.5],
  [0, -1],
  [-0.5, -0.5],
];

/** Distance from (`x`, `y`), y downwards, to the outline of the shape of about radius 1 at the origin; negative inside. */
export function signedDistance(kind: Kind, x: number, y: number): number {
  const radius = Math.hypot(x, y);
  switch (kind) {
    case 'circle':
      return radius - 1;
    case 'ring':
      return Math.max(radius - 1, RING_HOLE - radius);
    case 'square':
      return boxDistance(x, y, 1, 1);
    case 'cross':
      return Math.min(boxDistance(x, y, 1, CROSS_ARM), boxDistance(x, y, CROSS_ARM, 1));
    case 'triangle':
      return polygonDistance(triangle, x, y);
    case 'star':
      return polygonDistance(star, x, y);
    case 'heart': {
      const [u, v] = [x / HEART_SCALE, y / HEART_SCALE + 0.55 - 1];
      const discs = Math.hypot(Math.abs(u) - 0.25, v + 0.75) - Math.SQRT2 / 4;
      return HEART_SCALE * Math.min(discs, polygonDistance(diamond, u, v));
    }
    default:
      return unreachable(kind, 'kind of shape');
  }
}

/**
 * The best overlap of `mask` with the template of `kind` over position and size: from the place and size at which the
 * template's centroid and area are the mask's, by steps that halve from an eighth of the size to half a pixel.
 */
export function fitTemplate(mask: Mask, kind: Kind): Fit {
  const { area, x, y } = measure(mask);
  const template = templateOf(kind);
  const size = Math.sqrt(area / template.area);
  let best = { x: x - template.x * size, y: y - template.y * size, size, overlap: 0 };
  best = { ...best, overlap: overlapAt(mask, area, template, best) };
  for (let step = size / 8; step >= 0.25; step /= 2) {
    for (let improved = true; improved;) {
      improved = false;
      for (const [dx, dy, grow] of moves) {
        const place = { x: best.x + dx * step, y: best.y + dy * step, size: best.size + grow * step };
        const overlap = overlapAt(mask, area, template, place);
        if (overlap <= best.overlap) continue;
        best = { ...place, overlap };
        improved = true;
      }
    }
  }
  return { kind, overlap: best.overlap };
}

const moves = [
  [1, 0, 0],
  [-1, 0, 0],
  [0, 1, 0],
  [0, -1, 0],
  [0, 0, 1],
  [0, 0, -1],
] as const;

/** A template drawn once, at radius `RESOLUTION`, so that a pixel's test is a look-up. */
interface Template {
  readonly inside: Uint8Array;
  /** For radius 1. */
  readonly area: number;
  readonly x: number;
  readonly y: number;
}

const RESOLUTION = 96;
/** The heart reaches a little beyond radius 1. */
const REACH = 1.1;
const SIDE = 2 * Math.ceil(RESOLUTION * REACH);
const drawn = new Map<Kind, Template>();

function templateOf(kind: Kind): Template {
  const known = drawn.get(kind);
  if (known) return known;
  const inside = new Uint8Array(SIDE * SIDE);
  for (let i = 0; i < inside.length; i++) {
    const [column, row] = [i % SIDE, Math.floor(i / SIDE)];
    const distance = signedDistance(kind, toUnits(column), toUnits(row));
    inside[i] = distance < 0 ? 1 : 0;
  }
  const { area, x, y } = measure({ width: SIDE, height: SIDE, pixels: inside });
  const template = { inside, area: area / RESOLUTION ** 2, x: toUnits(x), y: toUnits(y) };
  drawn.set(kind, template);
  return template;
}

function toUnits(pixel: number): number {
  return (pixel + 0.5 - SIDE / 2) / RESOLUTION;
}

function overlapAt(
  { width, height, pixels }: Mask,
  maskArea: number,
  { inside }: Template,
  { x, y, size }: { readonly x: number; readonly y: number; readonly size: number },
): number {
  let both = 0;
  let templateArea = 0;
  const reach = size * REACH;
  const scale = RESOLUTION / size;
  for (let row = Math.ceil(y - reach); row <= y + reach; row++) {
    const v = Math.floor((row - y) * scale + SIDE / 2);
    if (v < 0 || v >= SIDE) continue;
    for (let column = Math.ceil(x - reach); column <= x + reach; column++) {
      const u = Math.floor((column - x) * scale + SIDE / 2);
      if (u < 0 || u >= SIDE || inside[v * SIDE + u] === 0) continue;
      // Beyond the picture's edge nothing can be drawn, so nothing is missing there.
      if (row < 0 || row >= height || column < 0 || column >= width) continue;
      templateArea++;
      both += pixels[row * width + column]!;
    }
  }
  return both / (maskArea + templateArea - both);
}

/** Area and centroid in pixels, of at least one pixel. */
export function measure({ width, pixels }: Mask): { readonly area: number; readonly x: number; readonly y: number } {
  let [area, x, y] = [0, 0, 0];
  for (let i = 0; i < pixels.length; i++) {
    if (pixels[i] === 0) continue;
    area++;
    x += i % width;
    y += Math.floor(i / width);
  }
  return { area, x: x / area, y: y / area };
}

function boxDistance(x: number, y: number, halfWidth: number, halfHeight: number): number {
  const [dx, dy] = [Math.abs(x) - halfWidth, Math.abs(y) - halfHeight];
  return Math.hypot(Math.max(dx, 0), Math.max(dy, 0)) + Math.min(Math.max(dx, dy), 0);
}

function polygonDistance(corners: readonly Point[], x: number, y: number): number {
  let nearest = Infinity;
  let inside = false;
  corners.forEach(([ax, ay], i) => {
    const [bx, by] = corners[(i + 1) % corners.length]!;
    const [ex, ey, px, py] = [bx - ax, by - ay, x - ax, y - ay];
    const along = Math.min(1, Math.max(0, (px * ex + py * ey) / (ex * ex + ey * ey)));
    nearest = Math.min(nearest, Math.hypot(px - ex * along, py - ey * along));
    if (ay > y !== by > y && px < (ex * py) / ey) inside = !inside;
  });
  return inside ? -nearest : nearest;
}
