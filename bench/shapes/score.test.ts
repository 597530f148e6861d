import { describe, expect, it } from 'vitest';
import type { RgbImage } from '../../models/flux2/picture.js';
import { readImage } from '../../models/flux2/node/image-files.js';
import { type Color, kinds, makeScenes, palette, type Scene, type Shape } from './scenes.js';
import { scorePicture } from './score.js';
import { signedDistance } from './templates.js';

const SIDE = 128;

interface Drawing extends Shape {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
}

/** Draws with an edge one pixel wide, as the training pictures are. */
function draw(background: Color, drawings: readonly Drawing[]): RgbImage {
  const data = new Uint8Array(SIDE * SIDE * 3);
  for (let pixel = 0; pixel < SIDE * SIDE; pixel++) {
    let color: readonly number[] = palette[background];
    for (const { kind, x, y, radius, color: own } of drawings) {
      const [u, v] = [(pixel % SIDE) + 0.5 - x, Math.floor(pixel / SIDE) + 0.5 - y];
      const cover = Math.min(1, Math.max(0, 0.5 - signedDistance(kind, u / radius, v / radius) * radius));
      color = color.map((value, channel) => value + cover * (palette[own][channel]! - value));
    }
    data.set(color.map(Math.round), pixel * 3);
  }
  return { width: SIDE, height: SIDE, data };
}

/** What the scene's prompt asks for, at the middle of where it may be. */
function drawScene({ background, shapes, place, relation }: Scene): RgbImage {
  const [first, second] = shapes;
  if (second === undefined) {
    const [x, y] = [64 + 34 * (place?.x ?? 0), 64 + 34 * (place?.y ?? 0)];
    return draw(background, [{ ...first!, x, y, radius: 24 }]);
  }
  const vertical = relation === 'above' || relation === 'below';
  const offset = relation === 'left of' || relation === 'above' || relation === 'and' ? -28 : 28;
  const [dx, dy] = vertical ? [0, offset] : [offset, 0];
  return draw(background, [
    { ...first!, x: 64 + dx, y: 64 + dy, radius: 18 },
    { ...second, x: 64 - dx, y: 64 - dy, radius: 15 },
  ]);
}

describe('scores of pictures', () => {
  const scenes = makeScenes(42, 5);

  it('finds nothing wrong in drawings of the scenes', () => {
    for (const scene of scenes) {
      const score = scorePicture(drawScene(scene), scene);
      expect(score, scene.prompt).toMatchObject({ right: true });
      expect(score.overlap, scene.prompt).toBeGreaterThan(0.88);
    }
  });

  it('tells every kind from every other', () => {
    for (const drawn of kinds) {
      for (const asked of kinds) {
        const scene = oneShape({ kind: asked, color: 'red' });
        const score = scorePicture(drawScene(oneShape({ kind: drawn, color: 'red' })), scene);
        expect(score.kinds, `${drawn} for ${asked}`).toBe(drawn === asked);
      }
    }
  });

  it('judges background, colour, place, missing and extra shapes apart', () => {
    const asked = oneShape({ kind: 'circle', color: 'red' });
    const right = { background: true, colors: true, kinds: true, place: true };
    const circle = { kind: 'circle', color: 'red', x: 64, y: 64, radius: 25 } as const;
    const extra = { kind: 'square', color: 'blue', x: 20, y: 20, radius: 8 } as const;
    expect(scorePicture(draw('blue', [circle]), asked)).toMatchObject({ ...right, background: false });
    expect(scorePicture(draw('white', [{ ...circle, color: 'green' }]), asked)).toMatchObject({
      ...right,
      colors: false,
    });
    expect(scorePicture(draw('white', [{ ...circle, x: 90 }]), asked)).toMatchObject({ ...right, place: false });
    expect(scorePicture(draw('white', [circle, extra]), asked)).toMatchObject({ ...right, kinds: false });
    expect(scorePicture(draw('white', []), asked)).toMatchObject({ colors: false, kinds: false, overlap: 0 });
  });

  it('judges how two shapes lie to each other', () => {
    const scene = scenes.find(({ relation }) => relation === 'left of')!;
    expect(scorePicture(drawScene({ ...scene, relation: 'right of' }), scene)).toMatchObject({
      colors: true,
      kinds: true,
      place: false,
    });
  });

  it('tells shapes that touch apart', () => {
    const shapes = [
      { kind: 'square', color: 'green' },
      { kind: 'circle', color: 'black' },
    ] as const;
    const image = draw('blue', [
      { ...shapes[0], x: 40, y: 64, radius: 22 },
      { ...shapes[1], x: 84, y: 64, radius: 24 },
    ]);
    const scene: Scene = { prompt: '', background: 'blue', shapes, place: undefined, relation: 'left of' };
    expect(scorePicture(image, scene)).toMatchObject({ right: true });
  });

  it("knows a drawing of the training's", async () => {
    const image = await readImage('test/golden/flux2-shapes-samples/edit_0_reference_0.png');
    const scores = kinds.map(
      (kind) => scorePicture(image, { ...oneShape({ kind, color: 'red' }), place: undefined }).kinds,
    );
    expect(kinds.filter((_, i) => scores[i])).toEqual(['circle']);
  });
});

function oneShape(shape: Shape): Scene {
  return { prompt: '', background: 'white', shapes: [shape], place: { x: 0, y: 0 }, relation: undefined };
}

describe('scenes', () => {
  it('are the same for the same seed, and ask for every kind', () => {
    expect(makeScenes(20, 3)).toEqual(makeScenes(20, 3));
    expect(makeScenes(20, 3)).not.toEqual(makeScenes(20, 4));
    const asked = makeScenes(20, 3).flatMap(({ shapes }) => shapes.map(({ kind }) => kind));
    for (const kind of kinds) expect(asked.filter((one) => one === kind).length).toBeGreaterThan(2);
  });
});
