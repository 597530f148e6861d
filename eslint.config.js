import tseslint from 'typescript-eslint';

/**
 * The import arrows of docs/architecture.md. Each rule names a folder and what it must not import; patterns match the
 * text of the import, which is relative and ends in `.js`.
 */
const nodeModules = {
  regex: '^(node:|sharp$|webgpu$|koffi$|commander$)|/node/|\\.node\\.js$',
  message: 'A browser must be able to load this file: keep Node.js in folders called node, in cli/ and in tests.',
};

const arrows = [
  {
    name: 'arrows/ir',
    files: ['ir/**/*.ts'],
    forbidden: [
      { regex: '/(frontend|passes|backends|runtime|models|cli|bench)/', message: 'ir/ imports nothing above it.' },
    ],
  },
  {
    name: 'arrows/frontend',
    files: ['frontend/**/*.ts'],
    forbidden: [{ regex: '/(passes|backends|runtime|models|cli|bench)/', message: 'frontend/ imports ir/ only.' }],
  },
  {
    name: 'arrows/passes',
    files: ['passes/**/*.ts'],
    forbidden: [
      {
        regex: '/backends/(?!target\\.js$)',
        message: 'Passes know capabilities (backends/target.js), never a backend.',
      },
      { regex: '/(runtime|models|cli|bench)/', message: 'passes/ imports ir/, frontend/ and backends/target.js only.' },
    ],
  },
  {
    name: 'arrows/backends',
    files: ['backends/**/*.ts'],
    forbidden: [
      { regex: '/ir/graph/', message: 'Backends print kernels; they never see the graph.' },
      { regex: '/(frontend|passes|runtime|models|cli|bench)/', message: 'backends/ imports ir/ only.' },
    ],
  },
  {
    name: 'arrows/runtime',
    files: ['runtime/**/*.ts'],
    forbidden: [{ regex: '/(models|cli|bench)/', message: 'The runtime executes plans; it knows no model.' }],
  },
  {
    name: 'arrows/models',
    files: ['models/**/*.ts'],
    forbidden: [
      {
        regex: '/frontend/(?!index\\.js$|checkpoint/)',
        message: 'Models use the public graph API: frontend/index.js.',
      },
      {
        regex: '/passes/(?!compile\\.js$|compiled\\.js$)',
        message: 'Models use the compiler through passes/compile.js.',
      },
      {
        regex: '/(backends/(?!(target|print-kernel)\\.js$)|cli/|bench/)',
        message: 'Models know no backend and no command line.',
      },
      { regex: '/ir/kernel/', message: 'Models know no kernels.' },
    ],
  },
];

const nodeFree = {
  name: 'arrows/node-free',
  files: ['{ir,frontend,passes,backends,runtime,models}/**/*.ts'],
  ignores: ['**/node/**', '**/*.node.ts', '**/*.test.ts'],
};

/** Flat configuration replaces a rule as a whole, so each folder's list carries the ban on Node.js with it. */
function forbid(patterns) {
  return { 'no-restricted-imports': ['error', { patterns }] };
}

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'out/', 'test/golden/'] },
  ...tseslint.configs.strict,
  {
    files: ['**/*.ts'],
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', destructuredArrayIgnorePattern: '^_' },
      ],
      '@typescript-eslint/no-invalid-void-type': 'off',
      // Indices are checked by loops' bounds; `!` in them is the price of noUncheckedIndexedAccess.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-dynamic-delete': 'off',
      '@typescript-eslint/unified-signatures': 'off',
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  { files: ['**/*.test.ts', '{test,examples,bench}/**/*.ts'], rules: { 'no-console': 'off' } },
  {
    name: 'arrows/examples',
    files: ['examples/**/*.ts'],
    ignores: ['**/*.test.ts'],
    rules: forbid([{ regex: '^\\.', message: 'Examples use what the package exports: flux2c, flux2c/runtime, ...' }]),
  },
  ...arrows.map(({ name, files, forbidden }) => ({
    name,
    files,
    ignores: ['**/*.test.ts'],
    rules: forbid(forbidden),
  })),
  ...arrows.map(({ name, files, forbidden }) => ({
    ...nodeFree,
    name: `${name}/node-free`,
    files,
    rules: forbid([...forbidden, nodeModules]),
  })),
);
