import js from '@eslint/js'
import tseslint from 'typescript-eslint'

export default tseslint.config(
  { ignores: ['dist', 'node_modules', 'coverage'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // The commonest bug of this field: a promise nobody waits for.
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // In-memory implementations of asynchronous interfaces have nothing to wait for.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }]
    }
  },
  { files: ['**/*.js'], languageOptions: { globals: { process: 'readonly', console: 'readonly' } } },
  {
    files: ['nodes/daemon/dashboard/page/*.js'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          ...[
            'addEventListener',
            'atob',
            'AbortController',
            'CSS',
            'devicePixelRatio',
            'dispatchEvent',
            'document',
            'Event'
          ],
          ...['fetch', 'FormData', 'getComputedStyle', 'history', 'localStorage', 'location', 'matchMedia'],
          ...[
            'removeEventListener',
            'ResizeObserver',
            'sessionStorage',
            'setTimeout',
            'TextDecoderStream',
            'URLSearchParams'
          ]
        ].map((name) => [name, 'readonly'])
      )
    }
  }
)
