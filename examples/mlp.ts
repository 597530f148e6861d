/** A small network from description to numbers. Run it with `node dist/examples/mlp.js`. */
import { gelu, graph, linear } from 'flux2c';
import { openDevice } from 'flux2c/node';
import { compile, tensor } from 'flux2c/runtime';

const g = graph('mlp');
const x = g.input('x', 'f32', ['tokens', 256]);
const hidden = gelu(linear(x, g.weight('fc1.weight', 'bf16', [1024, 256]), g.weight('fc1.bias', 'f32', [1024])));
g.output({ y: linear(hidden, g.weight('fc2.weight', 'bf16', [256, 1024])) });

const device = await openDevice({ onNotice: console.error });
const program = compile(g.build(), device);
const wave = (count: number): Float32Array => Float32Array.from({ length: count }, (_, i) => Math.sin(i * i) / 16);
const model = await program.load(device, {
  weights: {
    'fc1.weight': tensor('f32', [1024, 256], wave(1024 * 256)),
    'fc1.bias': tensor('f32', [1024], wave(1024)),
    'fc2.weight': tensor('f32', [256, 1024], wave(256 * 1024)),
  },
});

// One compiled program serves any number of tokens.
for (const tokens of [3, 77]) {
  const results = await model.run('mlp', { x: tensor('f32', [tokens, 256], wave(tokens * 256)) });
  const { shape, data } = results.get('y', 'f32');
  console.log(
    `y is f32[${shape.join(', ')}]: ${[...data.slice(0, 4)].map((value) => value.toFixed(5)).join(', ')}, ...`,
  );
}
await model.destroy();
await device.destroy();
