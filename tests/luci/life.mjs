// The page and the real daemon: one request after another through its whole life, by clicks. The lab (tests/lab/page.rs)
// has the home, the flood and the provider running, and tells by the environment where they are.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';

import { World, card, closed, dialog, eventually, press, says, seen } from './world.mjs';

const { DOTS_BUS, DOTS_ROOT, DOTS_PID, DOTS_CLIENT, DOTS_CONTROL, DOTS_ROUTER, DOTS_SEEN, DOTS_TARGET, DOTS_MAC } = process.env;

const provider = (command, ...args) => JSON.parse(execFileSync(DOTS_CLIENT, [ command, '--control', DOTS_CONTROL, '--json', ...args ]));

/* What was ended here is not asked again: each time it is about other ports beside the one that is attacked. */
function request(ports = '53') {
	const [ , address, port ] = /^(.*):(\d+)$/.exec(DOTS_SEEN);

	return provider('request', '--router', DOTS_ROUTER, '--source', `${address}/32`, '--source-port', port,
		'--target', `${DOTS_TARGET}/32`, '--target-port', ports, '--protocol', '17', '--lifetime', '3600').mid;
}

const told = mid => provider('status', '--router', DOTS_ROUTER, '--mid', String(mid)).mitigations[0];

async function step(name, work) {
	await work();
	console.log(`ok   life: ${name}`);
}

const world = await World.around({ socket: DOTS_BUS, root: DOTS_ROOT, init: () => process.kill(+DOTS_PID, 'SIGHUP') });
let passed = 0;

try {
	const page = await world.open('requests', { user: 'anna' });
	let mid;

	await step('a request appears with the device behind NAT', async () => {
		await says(page, 'Nothing waits for you.');
		mid = request();
		await eventually(async () => assert.match(await seen(page), new RegExp(DOTS_MAC)));
		await eventually(async () => assert.match(await seen(page), new RegExp(`Sends about [0-9.,]+ [kMG]bit/s of your upload \\([0-9,]+ packets a second\\) to ${DOTS_TARGET}, UDP port 53`)));
		await says(page, 'Certain', /isp, (just now|\d+ seconds ago)/);
		passed++;
	});
	await step('the header counts it', async () => {
		await eventually(async () => assert.equal(await page.locator('#indicators [data-indicator]').textContent(), 'DDoS Call Home: 1 request'));
		passed++;
	});
	await step('who may only read is refused by the server', async () => {
		const other = await world.open('requests', { user: 'guest' });

		await says(other, DOTS_MAC);
		assert.ok(await other.getByRole('button', { name: 'Block this traffic' }).isDisabled());
		await other.context().close();
		passed++;
	});
	await step('the block is in force, verified, counted, and bears the name of who decided', async () => {
		await press(page, 'Block this traffic');
		await press(dialog(page), 'Block this traffic');
		await closed(page);
		await eventually(async () => assert.match(await seen(page), /Verified: nothing gets through/));
		await says(page, /Decided by\s+anna, /, /Approved – anna/);
		await eventually(async () => assert.match(await seen(page), /[1-9][0-9,]* packets \(/));
		await eventually(() => assert.equal(told(mid).status, 2));
		passed++;
	});
	await step('the device is shown as blocked', async () => {
		await page.goto(`${world.url}admin/services/dots-callhome/devices`);
		await eventually(async () => assert.match(await card(page, DOTS_MAC).innerText(), /Traffic blocked/));
		passed++;
	});
	await step('ended here, the provider is told', async () => {
		await page.goto(`${world.url}admin/services/dots-callhome/requests`);
		await press(page, 'End now');
		await dialog(page).locator('input[name=comment]').fill('found the camera');
		await press(dialog(page), 'End now');
		await closed(page);
		await says(page, 'Nothing waits for you.', 'Ended here – anna', 'found the camera');
		await eventually(() => assert.equal(told(mid).status, 7));
		passed++;
	});
	await step('legitimate traffic is answered as such', async () => {
		mid = request('53-54');
		await eventually(async () => assert.match(await seen(page), /Waiting for your decision/));
		await press(page, 'This is legitimate');
		await press(dialog(page), 'This is legitimate');
		await closed(page);
		await says(page, 'Answered as legitimate – anna');
		await eventually(() => assert.equal(told(mid).status, 7));
		passed++;
	});
	await step('a device is quarantined and released', async () => {
		await page.goto(`${world.url}admin/services/dots-callhome/devices`);
		await press(card(page, DOTS_MAC), 'Quarantine');
		await press(dialog(page), 'Quarantine device');
		await closed(page);
		await eventually(async () => assert.match(await card(page, DOTS_MAC).innerText(), /Quarantined/));
		await press(card(page, DOTS_MAC), 'Release');
		await press(dialog(page), 'Release');
		await closed(page);
		await eventually(async () => assert.match(await card(page, DOTS_MAC).innerText(), /Free/));
		passed++;
	});
	await step('a setting that is saved and applied reaches the daemon', async () => {
		await page.goto(`${world.url}admin/services/dots-callhome/settings`);
		await says(page, 'Connected', /TLS · /);
		await page.locator('[id="widget.cbid.dots-callhome.globals.consent"]').selectOption('observe');
		await page.locator('.cbi-button-apply').first().click();
		await eventually(async () => assert.equal((await world.bridge.bus.call('dots-callhome', 'status')).consent, 'observe'));
		passed++;
	});
	assert.deepEqual(world.errors, []);
}
catch (error) {
	console.log(`FAIL life\n${error.stack}`);
	process.exitCode = 1;
}
await world.close();
console.log(`${passed} passed, ${process.exitCode ? 1 : 0} failed`);
process.exit();
