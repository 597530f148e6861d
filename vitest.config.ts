import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import manifest from './package.json' with { type: 'json' };

/** The examples import the package by its name; tests run the sources behind it, not a build. */
const ownPackage = Object.entries(manifest.exports).map(([path, { default: built }]) => ({
  find: new RegExp(`^${path.replace('.', 'flux2c')}$`),
  replacement: fileURLToPath(new URL(built.replace('./dist', '.').replace(/js$/, 'ts'), import.meta.url)),
}));

export default defineConfig({
  resolve: { alias: ownPackage },
  test: {
    environment: 'node',
    // What was tuned on this machine changes no test.
    env: { FLUX2C_CACHE: '' },
    include: ['{ir,frontend,passes,backends,runtime,models,cli,bench,examples,test}/**/*.test.ts'],
    // A process a file: Vulkan's loader reads its environment once, so files choose their drivers apart.
    pool: 'forks',
    // Software drivers compile each kernel in tens of milliseconds, and machines of two cores run several files at once.
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
