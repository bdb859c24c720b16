// The model and what is pure; the rest is tried in a browser (tests/ui).
const esm = ['@jupyterlab', '@lumino', 'lib0', 'y-protocols', 'yjs', 'nanoid', '@jupyter'].join(
  '|'
);

module.exports = {
  testEnvironment: 'jsdom',
  testMatch: ['<rootDir>/test/**/*.spec.ts'],
  transform: { '\\.[jt]sx?$': ['ts-jest', { tsconfig: 'tsconfig.test.json', diagnostics: false }] },
  transformIgnorePatterns: [`/node_modules/(?!(${esm}))`]
};
