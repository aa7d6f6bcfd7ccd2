// ESLint's recommended rules with the names LuCI gives a module, and no name left unused.

import { createRequire } from 'node:module';

const js = createRequire(new URL('../../target/tools/node/', import.meta.url))('@eslint/js');
const names = list => Object.fromEntries(list.split(' ').map(name => [ name, 'readonly' ]));

export default [ {
	files: [ 'luci-app/**/*.js' ],
	...js.configs.recommended,
	languageOptions: {
		sourceType: 'script',
		parserOptions: { ecmaFeatures: { globalReturn: true } },
		globals: names('window document location navigator performance console FormData Intl setTimeout L E _ N_ '
			+ 'baseclass dom form fs poll request rpc session uci ui view')
	},
	rules: { ...js.configs.recommended.rules, 'no-unused-vars': 'error', 'no-undef': 'error', 'prefer-const': 'error', eqeqeq: 'off' }
} ];
