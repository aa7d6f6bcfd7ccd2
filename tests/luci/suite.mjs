// Runs the tests of the page. Arguments: parts of the names of those to run; none: all.

import { World } from './world.mjs';

const FILES = [ 'texts', 'requests', 'people', 'wide', 'devices', 'settings', 'everywhere', 'robust', 'access', 'pictures' ];

const started = Date.now();
const world = await World.create();
let passed = 0, failed = 0, skipped = 0;

for (const file of FILES) {
	for (const [ name, test ] of Object.entries(await import(`./test_${file}.mjs`))) {
		const title = `${file}: ${name.replaceAll('_', ' ')}`;

		if (process.argv.length > 2 && !process.argv.slice(2).some(part => title.includes(part)))
			continue;
		const began = Date.now();
		try {
			await world.reset();
			if (await test(world) === 'skipped') {
				skipped++;
				console.log(`skip ${title}`);
				continue;
			}
			if (world.errors.length)
				throw new Error(`the page failed: ${world.errors.join('; ')}`);
			passed++;
			console.log(`ok   ${title} (${Date.now() - began} ms)`);
		}
		catch (error) {
			failed++;
			console.log(`FAIL ${title}\n${error.stack}`);
		}
	}
}
await world.close();
console.log(`${((Date.now() - started) / 1000).toFixed(0)} seconds`);
console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
process.exit(failed || !passed ? 1 : 0);
