/**
 * What becomes of one single-stream block of FLUX.2 [dev]: its kernels, their work, and the WGSL of one. Needs neither
 * weights nor a graphics card. Run it with `node dist/examples/flux2-block.js`, or with the name of a kernel to see that.
 */
import { createModule } from 'flux2c';
import { applySingleBlock, ComponentWeights, variants } from 'flux2c/flux2';
import { compile, portableWebgpu, printTileKernel } from 'flux2c/runtime';

const config = variants.dev.transformer;
const { hidden, headDim } = config;
const module = createModule();
const block = module.function('block');
const weights = new ComponentWeights(block, 'transformer', () => 'bf16');
const row = (name: string) => block.input(name, 'f32', [1, 1, hidden]);
const { tokens } = applySingleBlock(
  { weights, config },
  0,
  block.input('tokens', 'f32', ['batch', 'tokens', hidden]),
  { shift: row('shift'), scale: row('scale'), gate: row('gate') },
  { cos: block.input('cos', 'f32', ['tokens', headDim / 2]), sin: block.input('sin', 'f32', ['tokens', headDim / 2]) },
);
block.output({ tokens });
const program = compile(module.build(), { target: portableWebgpu });

// 1024x1024 pixels are 4096 tokens, and 512 of the prompt come before them.
const sizes = { batch: 1, tokens: 4608 };
console.log('GFLOP      MB  kernel and what it makes');
for (const { kernel, label, flop, bytes } of program.launches('block')) {
  const [work, moved] = [flop.evaluate(sizes) / 1e9, bytes.evaluate(sizes) / 1e6];
  console.log(`${work.toFixed(1).padStart(7)} ${moved.toFixed(0).padStart(5)}  ${kernel}: ${label}`);
}
const chosen = process.argv[2] ?? program.launches('block')[0]!.kernel;
const { tile, source } = program.kernels.get(chosen)!;
console.log(`\n${printTileKernel(tile)}\n${source}`);
