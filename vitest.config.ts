import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    environment: 'node',
    include: ['{ir,frontend,passes,backends,runtime,models,cli,bench,examples,test}/**/*.test.ts'],
    // A process a file: Vulkan's loader reads its environment once, so files choose their drivers apart.
    pool: 'forks',
    // Software drivers compile each kernel in tens of milliseconds, and machines of two cores run several files at once.
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
