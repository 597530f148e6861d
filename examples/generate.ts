/** A picture from a program, without the command line. Run it with `node dist/examples/generate.js`. */
import { openPipeline, writeImage } from 'flux2c/flux2/node';
import { openDevice } from 'flux2c/node';

const device = await openDevice({ onNotice: console.error });
// The embedded checkpoint; { model: './FLUX.2-klein-4B' } takes another.
const pipeline = await openPipeline(device);
const { pictures } = await pipeline.generate(
  { prompt: 'a red circle on a white background', seeds: [7n] },
  { onProgress: ({ stage, step, of }) => step === of && console.log(`${stage}: ${of} done`) },
);
for (const { image } of pictures) {
  await writeImage('circle.png', image);
  console.log(`circle.png is ${image.width}x${image.height}`);
}
await pipeline.close();
await device.destroy();
