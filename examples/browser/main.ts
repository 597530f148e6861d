/** A small network as a picture. See `examples/README.md` for how to serve the page. */
import { Flux2cError, graph, linear, mul, sigmoid, sin } from 'flux2c';
import { compile, openBrowserDevice, tensor } from 'flux2c/runtime';

const canvas = document.querySelector('canvas')!;
const report = document.querySelector('pre')!;
const { width, height } = canvas;

/** The colours of all pixels, rgb after rgb, and a sentence about how they were made. */
async function draw(): Promise<{ readonly colours: Float32Array; readonly about: string }> {
  const g = graph('colours');
  const places = g.input('places', 'f32', ['pixels', 3]);
  const first = sin(linear(places, g.weight('first', 'f32', [64, 3])));
  const second = sin(mul(linear(first, g.weight('second', 'f32', [64, 64])), 0.5));
  g.output({ colours: sigmoid(linear(second, g.weight('third', 'f32', [3, 64]))) });

  const device = await openBrowserDevice();
  const program = compile(g.build(), device);
  const wave = (count: number, scale: number) =>
    Float32Array.from({ length: count }, (_, i) => scale * Math.sin(i * i));
  const weights = {
    first: tensor('f32', [64, 3], wave(64 * 3, 4)),
    second: tensor('f32', [64, 64], wave(64 * 64, 0.7)),
    third: tensor('f32', [3, 64], wave(3 * 64, 0.6)),
  };
  const model = await program.load(device, { weights });
  const place = (i: number) => [(2 * (i % width)) / width - 1, (2 * Math.floor(i / width)) / height - 1, 1];
  const numbers = Array.from({ length: width * height }, (_, i) => place(i)).flat();
  const started = performance.now();
  const results = await model.run('colours', { places: tensor('f32', [width * height, 3], numbers) });
  const milliseconds = performance.now() - started;
  await model.destroy();
  await device.destroy();
  const about = `${program.kernels.size} kernels, ${milliseconds.toFixed(0)} ms on ${device.description}`;
  return { colours: results.get('colours', 'f32').data, about };
}

try {
  const { colours, about } = await draw();
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let channel = 0; channel < 3; channel++) image.data[4 * i + channel] = 255 * colours[3 * i + channel]!;
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext('2d')!.putImageData(image, 0, 0);
  report.textContent = about;
} catch (error) {
  report.textContent = error instanceof Flux2cError ? error.format() : String(error);
}
